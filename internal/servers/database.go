package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startDeadline is generous: a dozen servers may start at once on two cores.
const startDeadline = 2 * time.Minute

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
}

// Database is a MySQL or MariaDB server on loopback, ready to be replicated from: binlog in ROW
// format with full images and metadata, GTIDs, and a commit that is durable when it returns. It ends
// with the process that started it. Its methods are not for concurrent use.
type Database struct {
	Program *Program
	LogPath string // what the server says, all its runs

	config  DatabaseConfig
	port    *Port
	process *process
}

// StartDatabase starts a server and returns when it serves; ctx bounds the start, not the server.
// It listens on a port of its own choice that it keeps when it is started again.
func StartDatabase(ctx context.Context, config DatabaseConfig) (*Database, error) {
	if !config.Program.Kind.IsDatabase() {
		return nil, fmt.Errorf("%s is no database server", config.Program.Kind)
	}
	d := &Database{Program: config.Program, config: config, LogPath: filepath.Join(config.Directory, "server.log")}
	if err := d.provideData(ctx); err != nil {
		return nil, err
	}
	const attempts = 5
	for attempt := 1; ; attempt++ {
		var err error
		if d.port, err = ReservePort(ctx); err != nil {
			return nil, err
		}
		if err = d.Start(ctx); err == nil {
			return d, nil
		}
		err = errors.Join(err, d.port.Release())
		var failed *startError
		if attempt == attempts || !errors.As(err, &failed) || !failed.portTaken() {
			return nil, err
		}
	}
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

// Address is where clients of the server connect, as host:port.
func (d *Database) Address() string { return d.port.Address() }

// PID is the process id of the server's current or last run.
func (d *Database) PID() int { return d.process.pid }

// Start starts the server again after Stop or Kill, with the same data and on the same port, and
// returns when it serves.
func (d *Database) Start(ctx context.Context) error {
	if d.process != nil {
		select {
		case <-d.process.ended:
		default:
			return fmt.Errorf("starting %s: it runs already", d.Program.Kind)
		}
	}
	// A killed server leaves these; their process id may since have been given to another process.
	for _, name := range []string{"mysql.sock.lock", "mysql.sock", "mysql.pid"} {
		if err := os.Remove(filepath.Join(d.data(), name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	process, err := start(ctx, command{
		name: fmt.Sprintf("%s %s on port %d", d.Program.Kind, d.Program.Version, d.port.Number),
		argv: d.argv(), dir: d.config.Directory, logPath: d.LogPath,
		isReady: servesDatabase, deadline: startDeadline,
	})
	if err != nil {
		return err
	}
	d.process = process
	return nil
}

// SetArgs replaces the options that were given with the configuration, from the next start on.
func (d *Database) SetArgs(args ...string) { d.config.Args = args }

func (d *Database) argv() []string {
	argv := append(d.Program.base(d.data()), d.Program.initializeFlags()...)
	argv = append(argv,
		"--port="+strconv.Itoa(d.port.Number), "--bind-address=127.0.0.1",
		// Relative to the data folder: the path of a socket has at most 107 bytes.
		"--socket=mysql.sock", "--pid-file=mysql.pid",
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

// Stop ends the server in order (SIGTERM); when ctx ends first, it is killed, and that is an error.
func (d *Database) Stop(ctx context.Context) error { return d.process.stop(ctx) }

// Kill ends the server as a crash would (SIGKILL).
func (d *Database) Kill() error { return d.process.kill() }

// Pause stops the server where it stands (SIGSTOP): its connections hang. Continue ends that.
func (d *Database) Pause() error { return d.process.signal(syscall.SIGSTOP) }

// Continue lets a paused server run again.
func (d *Database) Continue() error { return d.process.signal(syscall.SIGCONT) }

// Close kills the server if it runs and gives its port back. Its folder stays.
func (d *Database) Close() error { return errors.Join(d.process.kill(), d.port.Release()) }

// servesDatabase recognises the line that MySQL and MariaDB log when they accept connections.
func servesDatabase(line string) bool { return strings.Contains(line, "ready for connections") }
