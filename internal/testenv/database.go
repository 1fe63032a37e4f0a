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

// Database is a running MySQL or MariaDB server, as one test sees it.
type Database struct {
	Server
	User     string // has every privilege
	Password string
	Flavor   string // "mysql" or "mariadb"
	ServerID uint32
	DB       *sql.DB // no default schema; several statements in one Exec are allowed; survives restarts

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
	d, err := startDatabase(t.Context(), kind, apply(options))
	if err != nil {
		t.Fatal(err)
	}
	d.endWith(t)
	return d.handle(t)
}

// runningDatabase is a database server with its pool.
type runningDatabase struct {
	*running
	server   *servers.Database
	db       *sql.DB
	serverID uint32
}

// lastServerID counts server ids up; they need to differ only between servers that are joined.
var lastServerID atomic.Uint32

func startDatabase(ctx context.Context, kind Kind, s settings) (*runningDatabase, error) {
	if s.serverID == 0 {
		s.serverID = 100 + lastServerID.Add(1)
	}
	server, r, err := launch(ctx, kind,
		func(ctx context.Context, cache string, program *servers.Program, folder string) (*servers.Database, error) {
			return servers.StartDatabase(ctx, servers.DatabaseConfig{
				Program: program, Cache: cache, Directory: folder, ServerID: s.serverID, Args: s.args, Env: s.env})
		})
	if err != nil {
		return nil, err
	}
	r.logPath = server.LogPath
	connector, err := mysql.NewConnector(dsn(server.Address(), ""))
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	db := sql.OpenDB(connector)
	r.closers = append(r.closers, func() error { _ = db.Close(); return nil }) // a server that was killed took connections along
	return &runningDatabase{running: r, server: server, db: db, serverID: s.serverID}, nil
}

func (r *runningDatabase) handle(t testing.TB) *Database {
	flavor := "mysql"
	if r.kind.IsMariaDB() {
		flavor = "mariadb"
	}
	return &Database{
		Server: Server{Kind: r.kind, Version: r.server.Program.Version, Address: r.server.Address(),
			LogPath: r.server.LogPath, t: t, control: r.server},
		User: servers.User, Password: servers.Password, Flavor: flavor, ServerID: r.serverID, DB: r.db, server: r.server,
	}
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

// RestartWith stops the server and starts it with other options than before.
func (d *Database) RestartWith(options ...Option) {
	d.t.Helper()
	d.Stop()
	d.server.SetArgs(apply(options).args...)
	d.Start()
}

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
	d.t.Cleanup(func() { _ = db.Close() }) // a server that was killed took connections along
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
