package mysqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"net"
	"testing"

	"meridian/internal/mysqldb"
	"meridian/internal/row"
	"meridian/internal/testenv"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		// Each check is several statements on a server, and there are four servers.
		if err := checks.Value.Set("30"); err != nil {
			panic(err)
		}
	}
	testenv.Main(m)
}

// kinds are the servers that every statement and every answer is tried on.
var kinds = []testenv.Kind{testenv.KindMySQL, testenv.KindMySQL80, testenv.KindMariaDB, testenv.KindMariaDB1011}

// bench is a server under test: opened as the product does, with a schema of the test's own.
type bench struct {
	*testing.T
	kind   testenv.Kind
	db     *testenv.Database
	server *mysqldb.Server
	schema string
}

// everywhere runs a test on every kind of server.
func everywhere(t *testing.T, test func(*testing.T, *bench)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) { test(t, newBench(t, kind)) })
	}
}

func newBench(t *testing.T, kind testenv.Kind) *bench {
	t.Helper()
	db := testenv.Shared(t, kind, "", testenv.Args("--sync-binlog=0", "--innodb-flush-log-at-trx-commit=0"))
	b := &bench{T: t, kind: kind, db: db, schema: db.FreshSchema(t)}
	b.server = b.open(mysqldb.Config{NoForeignKeyChecks: true})
	return b
}

// open opens the server with more settings than the address and the user.
func (b *bench) open(c mysqldb.Config) *mysqldb.Server {
	b.Helper()
	if c.Address == "" {
		c.Address = b.db.Address
	}
	if c.User == "" {
		c.User, c.Password = b.db.User, func() (string, error) { return b.db.Password, nil }
	}
	s, err := mysqldb.Open(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

func (b *bench) maria() bool { return b.server.Flavor == mysqldb.MariaDB }

// create makes a table of the given definition, "t (id INT PRIMARY KEY)", and loads it.
func (b *bench) create(name, definition string) *mysqldb.TableInfo {
	b.Helper()
	b.exec("CREATE TABLE " + b.schema + "." + mysqldb.QuoteIdentifier(name) + " (" + definition + ")")
	return b.load(name)
}

func (b *bench) load(name string) *mysqldb.TableInfo {
	b.Helper()
	info, err := b.server.LoadTable(b.Context(), b.schema, name)
	if err != nil {
		b.Fatal(err)
	}
	return info
}

// exec runs a statement in a session of the product's and gives the number of rows that it matched.
func (b *bench) exec(query string) int64 {
	b.Helper()
	n, err := b.try(b.server.DB, query)
	if err != nil {
		b.Fatalf("%v\nrunning: %.2000s", err, query)
	}
	return n
}

type executor interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func (b *bench) try(on executor, query string) (int64, error) {
	result, err := on.ExecContext(b.Context(), query)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// value reads one value as text: the first column of the first row.
func (b *bench) value(query string) string {
	b.Helper()
	rows, err := b.server.DB.QueryContext(b.Context(), query)
	if err != nil {
		b.Fatalf("%v\nrunning: %s", err, query)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		b.Fatal(err)
	}
	fields := make([]sql.NullString, len(columns))
	into := make([]any, len(columns))
	for i := range into {
		into[i] = &fields[i]
	}
	if rows.Next() {
		err = rows.Scan(into...)
	}
	if err = errors.Join(err, rows.Err()); err != nil {
		b.Fatalf("%v\nrunning: %s", err, query)
	}
	return fields[0].String
}

func (b *bench) mapping(target *mysqldb.TableInfo, source *row.Table) *mysqldb.Mapping {
	b.Helper()
	m, err := b.server.Mapping(target, source)
	if err != nil {
		b.Fatal(err)
	}
	return m
}

type writer func(dst []byte, images [][]row.Value) ([]byte, int, error)

// write runs a kind of statement for all images and gives the number of rows affected.
func (b *bench) write(build writer, images [][]row.Value) int64 {
	b.Helper()
	var affected int64
	for len(images) > 0 {
		query, n, err := build(nil, images)
		if err != nil {
			b.Fatal(err)
		}
		if n < 1 || n > len(images) {
			b.Fatalf("the statement is for %d of %d images", n, len(images))
		}
		affected += b.exec(string(query))
		images = images[n:]
	}
	return affected
}

// read gives the rows that are there for the images' keys, in their order.
func (b *bench) read(m *mysqldb.Mapping, images [][]row.Value) [][]row.Value {
	b.Helper()
	t := m.Target().Table
	all := make([]int, len(t.Columns))
	for i := range all {
		all[i] = i
	}
	var found [][]row.Value
	for len(images) > 0 {
		query, n, err := m.ReadRows(nil, images, false)
		if err != nil {
			b.Fatal(err)
		}
		err = mysqldb.QueryRows(b.Context(), b.server.DB, string(query), t, all, func(values []row.Value) error {
			found = append(found, values)
			return nil
		})
		if err != nil {
			b.Fatalf("%v\nrunning: %.2000s", err, query)
		}
		images = images[n:]
	}
	return found
}

// dialTo makes connections go to wherever address points at the time.
func dialTo(address *string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, *address)
	}
}
