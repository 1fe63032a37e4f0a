package servers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The account that every server started by this package has, with every privilege, from any host.
const (
	User     = "root"
	Password = "meridian"
)

// accounts is run when a data folder is made. It is in no binlog.
const accounts = `SET sql_log_bin=0;
ALTER USER 'root'@'localhost' IDENTIFIED BY '` + Password + `';
CREATE USER '` + User + `'@'%' IDENTIFIED BY '` + Password + `';
GRANT ALL PRIVILEGES ON *.* TO '` + User + `'@'%' WITH GRANT OPTION;
`

// forgetHosts removes the accounts without a password that MariaDB's script makes for the names and
// addresses of the host, and loads the privileges, without which there is no CREATE USER.
const forgetHosts = `DELETE FROM mysql.global_priv WHERE User='root' AND Host<>'localhost';
DELETE FROM mysql.proxies_priv;
FLUSH PRIVILEGES;
`

const initializeDeadline = 3 * time.Minute

// template returns an initialized data folder of the program, to be copied: initializing one takes
// seconds, copying one does not. It is made once per version and recipe, and kept in the cache.
func template(ctx context.Context, cache string, p *Program) (string, error) {
	recipe := sha256.Sum256([]byte(strings.Join(p.initializeFlags(), "\n") + forgetHosts + accounts))
	name := fmt.Sprintf("%s-%s-%s", p.Kind, p.Version, hex.EncodeToString(recipe[:4]))
	dir := filepath.Join(cache, "templates", name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		return "", fmt.Errorf("making the folder for templates: %w", err)
	}
	unlock, err := lockFile(ctx, dir+".lock", func() error { return nil })
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(dir); err == nil {
		return dir, unlock()
	}
	return dir, errors.Join(p.makeTemplate(ctx, dir), unlock())
}

func (p *Program) makeTemplate(ctx context.Context, dir string) error {
	work, err := os.MkdirTemp(filepath.Dir(dir), ".new-")
	if err != nil {
		return fmt.Errorf("making a data folder for %s: %w", p.Kind, err)
	}
	data := filepath.Join(work, "data")
	if p.Kind.IsMariaDB() {
		err = p.initializeMariaDB(ctx, work, data)
	} else {
		err = p.initializeMySQL(ctx, work, data)
	}
	if err == nil {
		err = os.Rename(data, dir)
	}
	if err = errors.Join(err, os.RemoveAll(work)); err != nil {
		return fmt.Errorf("making a data folder for %s %s: %w", p.Kind, p.Version, err)
	}
	return nil
}

// initializeFlags are what shapes a data folder.
func (p *Program) initializeFlags() []string {
	switch {
	case p.Kind.IsMariaDB(), !p.Version.AtLeast(8, 0, 30):
		return []string{"--innodb-log-file-size=32M"}
	default:
		return []string{"--innodb-redo-log-capacity=32M"}
	}
}

func (p *Program) base(data string) []string {
	argv := append([]string{}, p.chain...)
	argv = append(argv, "--no-defaults")
	argv = append(argv, p.flags...)
	if os.Geteuid() == 0 {
		argv = append(argv, "--user=root")
	}
	return append(argv, "--datadir="+data)
}

func (p *Program) initializeMySQL(ctx context.Context, work, data string) error {
	sql := filepath.Join(work, "accounts.sql")
	if err := os.WriteFile(sql, []byte(accounts), 0o600); err != nil {
		return err
	}
	argv := append(p.base(data), p.initializeFlags()...)
	argv = append(argv, "--initialize-insecure", "--init-file="+sql, "--secure-file-priv=",
		"--innodb-flush-log-at-trx-commit=0", "--skip-log-bin")
	err := run(ctx, command{name: string(p.Kind) + " --initialize", argv: argv, dir: work,
		logPath: filepath.Join(work, "initialize.log"), deadline: initializeDeadline})
	if err != nil {
		return err
	}
	// The server's UUID: each copy makes its own.
	return os.Remove(filepath.Join(data, "auto.cnf"))
}

// initializeMariaDB does what mariadb-install-db does: that script knows only its own package's
// paths, which an unpacked tree does not have.
func (p *Program) initializeMariaDB(ctx context.Context, work, data string) error {
	share, err := mariadbShare(p.Path)
	if err != nil {
		return err
	}
	script := []byte("create database if not exists mysql;\nuse mysql;\nset @auth_root_socket=NULL;\n")
	for _, name := range []string{"system_tables", "performance_tables", "system_tables_data"} {
		script, err = appendFirst(script, filepath.Join(share, "mariadb_"+name+".sql"), filepath.Join(share, "mysql_"+name+".sql"))
		if err != nil {
			return err
		}
	}
	for _, name := range []string{"fill_help_tables.sql", "maria_add_gis_sp_bootstrap.sql"} {
		if script, err = appendFirst(script, filepath.Join(share, name)); err != nil {
			return err
		}
	}
	script, err = appendFirst(script, filepath.Join(share, "mariadb_sys_schema.sql"), filepath.Join(share, "mysql_sys_schema.sql"))
	if err != nil {
		return err
	}
	script = append(script, forgetHosts+accounts...)
	input := filepath.Join(work, "bootstrap.sql")
	if err := os.WriteFile(input, script, 0o600); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(data, "mysql"), 0o750); err != nil {
		return err
	}
	argv := append(p.base(data), p.initializeFlags()...)
	return run(ctx, command{name: string(p.Kind) + " --bootstrap", dir: work, stdin: input,
		argv:    append(argv, "--bootstrap", "--skip-grant-tables", "--innodb-flush-log-at-trx-commit=0"),
		logPath: filepath.Join(work, "initialize.log"), deadline: initializeDeadline})
}

// appendFirst appends the first of the files that exists: MariaDB renamed its scripts in version 11.
func appendFirst(dst []byte, paths ...string) ([]byte, error) {
	var err error
	for _, path := range paths {
		var text []byte
		if text, err = os.ReadFile(path); err == nil {
			return append(append(dst, text...), '\n'), nil
		}
	}
	return nil, err
}
