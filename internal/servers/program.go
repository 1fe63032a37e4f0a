package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Program is a server program that was found and can be started.
type Program struct {
	Kind    Kind
	Version Version
	Path    string // the program; for Kafka the folder with its jars

	root  string   // the unpacked tree that it belongs to; "" when it is the system's own
	chain []string // the command up to its options: a loader with its library path, or the program alone
	flags []string // options that tell a relocated server where its files are
}

// MissingError says that a server is neither in the cache nor on the machine.
type MissingError struct {
	Kind  Kind
	Cache string // where it was looked for, beside the PATH
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("there is no %s server in %s, and none that fits in the PATH; `make servers` gets it "+
		"(or only it: `go run ./internal/servers/install %s`)", e.Kind, e.Cache, e.Kind)
}

// Find returns the kind's program: from the cache, else from the PATH if its version fits. If there
// is none, the error is a *MissingError.
func Find(ctx context.Context, cache string, kind Kind) (*Program, error) {
	root := filepath.Join(cache, string(kind))
	program, err := inTree(ctx, kind, root)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return program, err
	}
	for _, name := range systemNames(kind) {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		program, err := At(ctx, path)
		if err == nil && kind.accepts(program.Version, program.Kind.IsMariaDB()) {
			program.Kind = kind
			return program, nil
		}
	}
	return nil, &MissingError{Kind: kind, Cache: cache}
}

// systemNames are where a system's package puts the kind's program; sbin is not in every PATH.
func systemNames(kind Kind) []string {
	switch {
	case kind.IsMariaDB():
		return []string{"mariadbd", "/usr/sbin/mariadbd", "/usr/local/sbin/mariadbd", "mysqld", "/usr/sbin/mysqld"}
	case kind.IsDatabase():
		return []string{"mysqld", "/usr/sbin/mysqld", "/usr/local/mysql/bin/mysqld"}
	case kind == Redis:
		return []string{"redis-server"}
	default:
		return nil
	}
}

// At returns the mysqld, mariadbd or redis-server at that path, its kind told by its --version.
func At(ctx context.Context, path string) (*Program, error) {
	p := &Program{Path: path, chain: []string{path}}
	line, err := p.versionLine(ctx)
	if err != nil {
		return nil, err
	}
	if p.Version, err = parseVersion(line); err != nil {
		return nil, fmt.Errorf("asking %s for its version: %w", path, err)
	}
	switch {
	case strings.Contains(line, "MariaDB") && p.Version.Major == 10:
		p.Kind = MariaDB1011
	case strings.Contains(line, "MariaDB"):
		p.Kind = MariaDB
	case strings.HasPrefix(line, "Redis"):
		p.Kind = Redis
	case p.Version.AtLeast(8, 4, 0):
		p.Kind = MySQL
	case p.Version.AtLeast(8, 0, 0):
		p.Kind = MySQL80
	default:
		return nil, fmt.Errorf("%s is %q: Meridian needs MySQL 8.0 or later, or MariaDB 10.5 or later", path, line)
	}
	return p, nil
}

func (p *Program) versionLine(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, p.chain[0], append(p.chain[1:], "--version")...)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("asking %s for its version: %w", p.Path, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// versionFile stands in an installed tree; it is written last, so a tree without it is no tree.
const versionFile = "meridian-version"

// inTree returns the kind's program installed at root, or an error that is os.ErrNotExist.
func inTree(_ context.Context, kind Kind, root string) (*Program, error) {
	line, err := os.ReadFile(filepath.Join(root, versionFile))
	if err != nil {
		return nil, fmt.Errorf("looking for %s in the cache: %w", kind, err)
	}
	p, err := layout(kind, root)
	if err != nil {
		return nil, err
	}
	if p.Version, err = parseVersion(string(line)); err != nil {
		return nil, fmt.Errorf("reading %s (remove the folder and run `make servers`): %w", filepath.Join(root, versionFile), err)
	}
	return p, nil
}

// layout tells how a program is started from a tree that was unpacked at root.
func layout(kind Kind, root string) (*Program, error) {
	p := &Program{Kind: kind, root: root}
	switch kind {
	case Kafka:
		p.Path = filepath.Join(root, "libs")
		return p, nil
	case MySQL80:
		base := filepath.Join(root, mysql80Folder)
		p.Path = filepath.Join(base, "bin/mysqld")
		p.flags = []string{"--basedir=" + base, "--lc-messages-dir=" + filepath.Join(base, "share")}
	case Redis:
		p.Path = filepath.Join(root, "usr/bin/redis-server")
	case MySQL:
		share := filepath.Join(root, "usr/share/mysql")
		p.Path = filepath.Join(root, "usr/sbin/mysqld")
		p.flags = []string{"--basedir=" + filepath.Join(root, "usr"), "--lc-messages-dir=" + share,
			"--character-sets-dir=" + filepath.Join(share, "charsets")}
	case MariaDB, MariaDB1011:
		p.Path = filepath.Join(root, "usr/sbin/mariadbd")
		share, err := mariadbShare(p.Path)
		if err != nil {
			return nil, err
		}
		p.flags = []string{"--basedir=" + filepath.Join(root, "usr"), "--lc-messages-dir=" + share,
			"--character-sets-dir=" + filepath.Join(share, "charsets"),
			"--plugin-dir=" + filepath.Join(root, "usr/lib/mysql/plugin")}
	}
	// The tree is of another Debian than the machine's: it brings its own C library, which only its
	// own loader can load. Debian 13 moved /lib into /usr/lib.
	var loaders []string
	for _, pattern := range []string{"usr/lib/*-linux-gnu*/ld-linux-*.so.*", "lib/*-linux-gnu*/ld-linux-*.so.*"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		loaders = append(loaders, found...)
	}
	if len(loaders) == 0 {
		return nil, fmt.Errorf("the %s tree in %s has no loader: remove the folder and run `make servers`", kind, root)
	}
	architecture := filepath.Base(filepath.Dir(loaders[0]))
	libraries := strings.Join([]string{filepath.Join(root, "usr/lib", architecture), filepath.Join(root, "lib", architecture),
		filepath.Join(root, "usr/lib/mysql/private"), filepath.Join(root, mysql80Folder, "lib")}, ":")
	p.chain = []string{loaders[0], "--library-path", libraries, p.Path}
	return p, nil
}

// mariadbShare finds the folder with the SQL files and messages that belong to a mariadbd.
func mariadbShare(program string) (string, error) {
	prefix := filepath.Dir(filepath.Dir(program))
	for _, dir := range []string{"share/mariadb", "share/mysql"} {
		share := filepath.Join(prefix, dir)
		if _, err := os.Stat(filepath.Join(share, "fill_help_tables.sql")); err == nil {
			return share, nil
		}
	}
	return "", fmt.Errorf("%s has no share/mariadb or share/mysql with fill_help_tables.sql beside it: its package is not complete", program)
}
