package servers

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Kind names a server that can be installed: the value is its folder in the cache and its name on
// the command line of the installer.
type Kind string

// The servers that Meridian is tested on, with the versions that are installed.
const (
	MySQL       Kind = "mysql"         // 9.7, the long-term release
	MySQL80     Kind = "mysql-8.0"     // 8.0.15, an early 8.0: no tagged GTIDs, old option names
	MariaDB     Kind = "mariadb"       // 11.8, the long-term release; default collation uca1400
	MariaDB1011 Kind = "mariadb-10.11" // 10.11, the long-term release before it
	Kafka       Kind = "kafka"         // Apache Kafka 4.1, KRaft
	Redis       Kind = "redis"         // 7.0
)

// Kinds lists every kind, the one that most work waits for first.
func Kinds() []Kind {
	return []Kind{MySQL, MariaDB1011, MariaDB, Kafka, MySQL80, Redis}
}

// ParseKind returns the kind with that name; its error lists those there are.
func ParseKind(name string) (Kind, error) {
	names := make([]string, 0, len(Kinds()))
	for _, k := range Kinds() {
		if string(k) == name {
			return k, nil
		}
		names = append(names, string(k))
	}
	return "", fmt.Errorf("no server is called %q; there are: %s", name, strings.Join(names, ", "))
}

// CacheDirectory is where servers are installed and found: $MERIDIAN_CACHE, else meridian in the
// user's cache folder under the home directory.
func CacheDirectory() (string, error) {
	if dir := os.Getenv("MERIDIAN_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache folder (set MERIDIAN_CACHE to choose one): %w", err)
	}
	return filepath.Join(home, ".cache", "meridian"), nil
}

// Version is a server's version, as far as Meridian tells them apart.
type Version struct{ Major, Minor, Patch int }

func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// AtLeast reports whether v is that version or a later one.
func (v Version) AtLeast(major, minor, patch int) bool {
	if v.Major != major {
		return v.Major > major
	}
	if v.Minor != minor {
		return v.Minor > minor
	}
	return v.Patch >= patch
}

// parseVersion reads the first dotted number of a --version line: "mysqld  Ver 9.7.4-2 for Linux"
// or "mariadbd  Ver 10.11.11-MariaDB-0+deb12u1 for debian-linux-gnu".
func parseVersion(line string) (Version, error) {
	for _, field := range strings.Fields(line) {
		field = strings.TrimPrefix(field, "v=") // redis-server: "Redis server v=7.0.15 sha=..."
		parts := strings.SplitN(field, ".", 3)
		if len(parts) < 3 {
			continue
		}
		var v Version
		var err error
		if v.Major, err = strconv.Atoi(parts[0]); err != nil {
			continue
		}
		if v.Minor, err = strconv.Atoi(parts[1]); err != nil {
			continue
		}
		digits := strings.IndexFunc(parts[2], func(r rune) bool { return r < '0' || r > '9' })
		if digits < 0 {
			digits = len(parts[2])
		}
		if v.Patch, err = strconv.Atoi(parts[2][:digits]); err != nil {
			continue
		}
		return v, nil
	}
	return Version{}, fmt.Errorf("no version number in %q", strings.TrimSpace(line))
}

// accepts reports whether a server of that version, found on the machine, can stand in for the kind.
func (k Kind) accepts(v Version, mariadb bool) bool {
	switch k {
	case MySQL:
		return !mariadb && v.AtLeast(8, 4, 0)
	case MySQL80:
		return !mariadb && v.Major == 8 && v.Minor == 0
	case MariaDB:
		return mariadb && v.AtLeast(11, 4, 0)
	case MariaDB1011:
		return mariadb && v.Major == 10 && v.Minor == 11
	case Redis:
		return v.AtLeast(7, 0, 0)
	case Kafka:
		return false // a folder of jars, never a program in the PATH
	}
	return false
}

// IsDatabase reports whether the kind is a MySQL or a MariaDB.
func (k Kind) IsDatabase() bool {
	return k == MySQL || k == MySQL80 || k.IsMariaDB()
}

// IsMariaDB reports whether the kind is a MariaDB.
func (k Kind) IsMariaDB() bool { return k == MariaDB || k == MariaDB1011 }
