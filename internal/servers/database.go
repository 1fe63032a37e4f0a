package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// DatabaseConfig says which server to start, and where.
type DatabaseConfig struct {
	Program *Program
	Cache   string // keeps the empty data folder that new servers are copied from
	// Directory gets the server's data, socket and log; it must exist. A server that was there
	// before is started again with its data.
	Directory string
	ServerID  uint32
	// Args are appended to the server's own options, of which the last one counts: "--sync-binlog=0".
	Args []string
	Env  []string // appended to this process's: "LD_PRELOAD=/a.so"
}

// Database is a MySQL or MariaDB server, ready to be replicated from: binlog in ROW format with full
// images and metadata, GTIDs, and a commit that is durable when it returns.
type Database struct {
	Server
	config DatabaseConfig
}

// StartDatabase starts a server and returns when it serves; ctx bounds the start, not the server.
func StartDatabase(ctx context.Context, config DatabaseConfig) (*Database, error) {
	if !config.Program.Kind.IsDatabase() {
		return nil, fmt.Errorf("%s is no database server", config.Program.Kind)
	}
	d := &Database{config: config}
	d.Program, d.LogPath = config.Program, filepath.Join(config.Directory, "server.log")
	d.prepare = d.prepareData
	if err := d.startOnFreePorts(ctx, 1); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Database) prepareData(ctx context.Context) (command, error) {
	if err := d.provideData(ctx); err != nil {
		return command{}, err
	}
	// A killed server leaves these; their process id may since have been given to another process.
	for _, name := range []string{"mysql.sock.lock", "mysql.sock", "mysql.pid"} {
		if err := os.Remove(filepath.Join(d.data(), name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return command{}, err
		}
	}
	return command{argv: d.argv(), env: d.config.Env, dir: d.config.Directory, isReady: servesDatabase}, nil
}

// provideData copies the template, unless the folder has data. The copy is renamed into place, so an
// interrupted one is never taken for data.
func (d *Database) provideData(ctx context.Context) error {
	data := d.data()
	if _, err := os.Stat(data); err == nil {
		return nil
	}
	from, err := template(ctx, d.config.Cache, d.Program)
	if err != nil {
		return err
	}
	copied := data + ".new"
	if err := os.RemoveAll(copied); err != nil {
		return err
	}
	if err := os.CopyFS(copied, os.DirFS(from)); err != nil {
		return fmt.Errorf("copying an empty data folder for %s: %w", d.Program.Kind, err)
	}
	return os.Rename(copied, data)
}

func (d *Database) data() string { return filepath.Join(d.config.Directory, "data") }

// SetArgs replaces the options that were given with the configuration, from the next start on.
func (d *Database) SetArgs(args ...string) { d.config.Args = args }

func (d *Database) argv() []string {
	argv := append(d.Program.base(d.data()), d.Program.initializeFlags()...)
	argv = append(argv,
		"--port="+strconv.Itoa(d.ports[0].Number), "--bind-address=127.0.0.1",
		// Relative to the data folder: the path of a socket has at most 107 bytes.
		"--socket=mysql.sock", "--pid-file=mysql.pid",
		// Its own: a MariaDB that starts removes what looks left over in a shared one, under the others' feet.
		"--tmpdir="+d.config.Directory,
		"--skip-name-resolve", "--secure-file-priv=", "--max-connections=500",
		"--server-id="+strconv.FormatUint(uint64(d.config.ServerID), 10),
		"--log-bin=bin", "--binlog-format=ROW", "--binlog-row-image=FULL", "--binlog-row-metadata=FULL",
		"--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1",
		"--performance-schema=OFF", "--innodb-buffer-pool-size=64M",
	)
	switch {
	case d.Program.Kind.IsMariaDB():
		argv = append(argv, "--log-slave-updates", "--gtid-strict-mode=ON")
	case d.Program.Version.AtLeast(8, 0, 26):
		argv = append(argv, "--log-replica-updates", "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--mysqlx=OFF")
	default:
		argv = append(argv, "--log-slave-updates", "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--mysqlx=OFF")
	}
	return append(argv, d.config.Args...)
}

// servesDatabase recognises the line that MySQL and MariaDB log when they accept connections.
func servesDatabase(line string) bool { return strings.Contains(line, "ready for connections") }
