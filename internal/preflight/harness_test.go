package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"meridian/internal/bus"
	"meridian/internal/mysqldb"
	"meridian/internal/testenv"
)

// include is a Tables that matches one pattern and has one rule for all tables.
type include struct {
	schema string
	except []string
	rule   Rule
}

func (s include) Match(schema, table string) bool {
	return schema == s.schema && !slices.Contains(s.except, table)
}
func (s include) Rule(string, string) Rule { return s.rule }

// login is a database and who comes to it.
type login struct {
	db             *testenv.Database
	user, password string
}

func (l login) region(name string) Region {
	return Region{Name: name, Address: l.db.Address, Open: func(ctx context.Context) (*mysqldb.Server, error) {
		return mysqldb.Open(ctx, mysqldb.Config{Address: l.db.Address, User: l.user, MaxConnections: 1,
			Password: func() (string, error) { return l.password, nil }})
	}}
}

func root(db *testenv.Database) login { return login{db, db.User, db.Password} }

// newUser makes a user with the given rights, %s in which stands for the account.
func newUser(t *testing.T, db *testenv.Database, name string, grants ...string) login {
	t.Helper()
	account := QuoteAccount(name + "@%")
	db.Exec("CREATE USER " + account + " IDENTIFIED BY 'Secret-1'")
	for _, g := range grants {
		db.Exec(strings.ReplaceAll(g, "%s", account))
	}
	return login{db, name, "Secret-1"}
}

// pattern matches all tables of a schema.
func pattern(schema string) Pattern {
	return Pattern{Text: schema + ".*", Schema: schema, Table: "*", Match: func(s, _ string) bool { return s == schema }}
}

func configFor(t *testing.T, here login, schema string, others ...login) Config {
	t.Helper()
	c := Config{Region: here.region("here"), User: here.user, Tables: include{schema: schema, rule: Rule{ParkUnique: true}},
		Include: []Pattern{pattern(schema)}, Directory: t.TempDir(), MaxSkew: 500 * time.Millisecond,
		BatchBytes: 8 << 20, MaxRecordBytes: 32 << 20, Timeout: 30 * time.Second}
	for n, o := range others {
		c.Others = append(c.Others, o.region(fmt.Sprintf("other%d", n+1)))
	}
	return c
}

func check(t *testing.T, c Config) *Report {
	t.Helper()
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// want compares the results with those named, and all others with ok.
func want(t *testing.T, r *Report, expected map[string]Result) {
	t.Helper()
	seen := map[string]bool{}
	for _, c := range r.Checks {
		result, named := expected[c.Name]
		if !named {
			result = OK
		}
		if c.Result != result {
			t.Errorf("%s is %s, want %s: %s", c.Name, c.Result, result, c.Detail)
		}
		if seen[c.Name] {
			t.Errorf("%s is there twice", c.Name)
		}
		seen[c.Name] = true
		if c.Detail == "" || c.Result == Fail && c.Fix == "" {
			t.Errorf("%s %s says nothing: %q, %q", c.Name, c.Result, c.Detail, c.Fix)
		}
	}
	for name := range expected {
		if !seen[name] {
			t.Errorf("%s was not checked", name)
		}
	}
	if !slices.IsSortedFunc(r.Checks, func(a, b Check) int { return badness(a.Result) - badness(b.Result) }) {
		t.Error("the worst is not first")
	}
}

func find(t *testing.T, r *Report, name string) Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("%s was not checked", name)
	return Check{}
}

// says checks that a check speaks of all the words.
func says(t *testing.T, r *Report, name string, words ...string) {
	t.Helper()
	c := find(t, r, name)
	for _, w := range words {
		if !strings.Contains(c.Detail+"\n"+c.Fix, w) {
			t.Errorf("%s does not say %q: %s\n%s", name, w, c.Detail, c.Fix)
		}
	}
}

// shop makes a schema that is fit to be replicated.
func shop(t *testing.T, dbs ...*testenv.Database) string {
	t.Helper()
	schema := dbs[0].FreshSchema(t)
	for n, db := range dbs {
		if n > 0 {
			db.Exec("CREATE DATABASE " + schema)
		}
		db.Exec("CREATE TABLE " + schema + ".orders (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, note VARCHAR(50))")
		db.Exec("CREATE TABLE " + schema + ".users (name VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY)")
	}
	return schema
}

func embeddedBus(t *testing.T) *bus.Client {
	t.Helper()
	broker, err := bus.StartEmbedded(t.Context(), bus.EmbeddedConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	client, err := bus.Dial(bus.Config{Brokers: []string{broker.Addr()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		if err := broker.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// The region under test and another one, that would not hand out the same keys.
var kinds = []testenv.Kind{testenv.KindMySQL, testenv.KindMySQL80, testenv.KindMariaDB, testenv.KindMariaDB1011}

func regionOf(t *testing.T, kind testenv.Kind) *testenv.Database {
	t.Helper()
	return testenv.Shared(t, kind, "here", testenv.AutoIncrement(10, 1), testenv.Args("--max-allowed-packet=64M"))
}

func otherRegion(t *testing.T) *testenv.Database {
	t.Helper()
	return testenv.Shared(t, testenv.KindMariaDB1011, "other", testenv.AutoIncrement(10, 2), testenv.Args("--max-allowed-packet=64M"))
}
