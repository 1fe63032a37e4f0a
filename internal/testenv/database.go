package testenv

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"meridian/internal/servers"
)

// Database is a running MySQL or MariaDB server, as one test sees it. Its methods fail that test
// when they cannot do what they say.
type Database struct {
	Address  string // host:port on loopback
	User     string // has every privilege
	Password string
	Flavor   string // "mysql" or "mariadb"
	Kind     Kind
	Version  servers.Version
	ServerID uint32
	DB       *sql.DB // no default schema; several statements in one Exec are allowed; survives restarts
	LogPath  string

	t      testing.TB
	server *servers.Database
}

// MySQL starts a MySQL 9.7 of the test's own.
func MySQL(t testing.TB, options ...Option) *Database {
	t.Helper()
	return Own(t, KindMySQL, options...)
}

// MySQL80 starts a MySQL 8.0 of the test's own.
func MySQL80(t testing.TB, options ...Option) *Database {
	t.Helper()
	return Own(t, KindMySQL80, options...)
}

// MariaDB starts a MariaDB 11.8 of the test's own.
func MariaDB(t testing.TB, options ...Option) *Database {
	t.Helper()
	return Own(t, KindMariaDB, options...)
}

// MariaDB1011 starts a MariaDB 10.11 of the test's own.
func MariaDB1011(t testing.TB, options ...Option) *Database {
	t.Helper()
	return Own(t, KindMariaDB1011, options...)
}

// Own starts a database server of the kind for this test alone; it ends with the test.
func Own(t testing.TB, kind Kind, options ...Option) *Database {
	t.Helper()
	running, err := startDatabase(t.Context(), kind, apply(options))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { running.end(t) })
	return running.handle(t)
}

// runningDatabase is a server with its folder and pool, of one test or shared by a package.
type runningDatabase struct {
	server   *servers.Database
	folder   *servers.Folder
	db       *sql.DB
	serverID uint32
	keep     bool
}

// lastServerID counts server ids up; they need to differ only between servers that are joined.
var lastServerID atomic.Uint32

func startDatabase(ctx context.Context, kind Kind, s settings) (*runningDatabase, error) {
	cache, err := servers.CacheDirectory()
	if err != nil {
		return nil, err
	}
	program, err := servers.Find(ctx, cache, kind)
	if err != nil {
		return nil, err
	}
	folder, err := servers.NewFolder()
	if err != nil {
		return nil, err
	}
	if s.serverID == 0 {
		s.serverID = 100 + lastServerID.Add(1)
	}
	r := &runningDatabase{folder: folder, serverID: s.serverID}
	r.server, err = servers.StartDatabase(ctx, servers.DatabaseConfig{
		Program: program, Cache: cache, Directory: folder.Path, ServerID: s.serverID, Args: s.args})
	if err != nil {
		return nil, errors.Join(err, folder.Remove())
	}
	connector, err := mysql.NewConnector(dsn(r.server.Address(), ""))
	if err != nil {
		return nil, errors.Join(err, r.server.Close(), folder.Remove())
	}
	r.db = sql.OpenDB(connector)
	return r, nil
}

func dsn(address, schema string) *mysql.Config {
	config := mysql.NewConfig()
	config.Net, config.Addr, config.DBName = "tcp", address, schema
	config.User, config.Passwd = servers.User, servers.Password
	config.MultiStatements = true
	config.Timeout = 10 * time.Second
	config.Logger = &mysql.NopLogger{} // a killed server is part of many a test
	return config
}

func (r *runningDatabase) handle(t testing.TB) *Database {
	flavor := "mysql"
	if r.server.Program.Kind.IsMariaDB() {
		flavor = "mariadb"
	}
	return &Database{Address: r.server.Address(), User: servers.User, Password: servers.Password, Flavor: flavor,
		Kind: r.server.Program.Kind, Version: r.server.Program.Version, ServerID: r.serverID,
		DB: r.db, LogPath: r.server.LogPath, t: t, server: r.server}
}

// end ends the server with its test.
func (r *runningDatabase) end(t testing.TB) {
	if t.Failed() {
		reportLog(t, r.server.Program.Kind, r.server.LogPath)
		r.keep = keepData()
	}
	if err := r.close(); err != nil {
		t.Errorf("ending the %s server: %v", r.server.Program.Kind, err)
	}
}

// close ends the server and removes its folder. Its data is thrown away: killing it is quicker than
// asking it to write its pages.
func (r *runningDatabase) close() error {
	err := errors.Join(r.db.Close(), r.server.Close())
	if r.keep {
		return errors.Join(err, r.folder.Keep())
	}
	return errors.Join(err, r.folder.Remove())
}

// Kill ends the server as a crash would.
func (d *Database) Kill() {
	d.t.Helper()
	d.must("killing", d.server.Kill())
}

// Stop ends the server in order.
func (d *Database) Stop() {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	d.must("stopping", d.server.Stop(ctx))
}

// Start starts the server again after Kill or Stop: the same data, the same address. Options given
// replace those that it was started with.
func (d *Database) Start(options ...Option) {
	d.t.Helper()
	if s := apply(options); len(s.args) > 0 {
		d.server.SetArgs(s.args...)
	}
	d.must("starting", d.server.Start(d.t.Context()))
}

// Restart is Stop and Start.
func (d *Database) Restart(options ...Option) {
	d.t.Helper()
	d.Stop()
	d.Start(options...)
}

// Pause stops the server where it stands: connections to it hang. Continue ends that.
func (d *Database) Pause() {
	d.t.Helper()
	d.must("pausing", d.server.Pause())
}

// Continue lets a paused server go on.
func (d *Database) Continue() {
	d.t.Helper()
	d.must("continuing", d.server.Continue())
}

// PID is the server's process id.
func (d *Database) PID() int { return d.server.PID() }

// Exec runs one or several statements.
func (d *Database) Exec(query string, args ...any) {
	d.t.Helper()
	if _, err := d.DB.ExecContext(d.t.Context(), query, args...); err != nil {
		d.t.Fatalf("on %s: %v, running: %s", d.Kind, err, query)
	}
}

// Open returns a pool whose connections have the schema as their default; it ends with the test.
func (d *Database) Open(schema string) *sql.DB {
	d.t.Helper()
	connector, err := mysql.NewConnector(dsn(d.Address, schema))
	d.must("opening", err)
	db := sql.OpenDB(connector)
	d.t.Cleanup(func() { d.must("closing a pool to", db.Close()) })
	return db
}

// DSN is what go-sql-driver/mysql needs to connect with the schema, which may be "".
func (d *Database) DSN(schema string) string { return dsn(d.Address, schema).FormatDSN() }

var lastSchema atomic.Uint32

// FreshSchema creates an empty schema that no other test has, and returns its name. It is not
// dropped: the server is thrown away as a whole.
func (d *Database) FreshSchema(t testing.TB) string {
	t.Helper()
	const longest = 40 // of the 64 characters that a name may have
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		default:
			return '_'
		}
	}, strings.ToLower(t.Name()))
	name = fmt.Sprintf("%s_%d", name[:min(len(name), longest)], lastSchema.Add(1))
	if _, err := d.DB.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("creating a schema on %s: %v", d.Kind, err)
	}
	return name
}

// FreshSchema creates an empty schema on the server and returns its name.
func FreshSchema(t testing.TB, db *Database) string {
	t.Helper()
	return db.FreshSchema(t)
}

func (d *Database) must(doing string, err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatalf("%s the %s server: %v", doing, d.Kind, err)
	}
}
