package binlog_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/internal/binlog"
	"meridian/internal/row"
	"meridian/internal/testenv"
)

// A server that dies, or a connection that is cut, is an error that says so; the next Run goes on.
func TestTailer_SaysWhenTheConnectionIsLost(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			db := testenv.Own(t, kind)
			schema := db.FreshSchema(t)
			tailer := newTailer(t, db, schema, options{})
			f := run(t, tailer, *now(t, db), nil)
			runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)")
			f.fence(db)
			db.Kill()
			if err := f.wait(); !errors.Is(err, binlog.ErrConnection) {
				t.Fatalf("after a kill: %v", err)
			}
			if err := run(t, tailer, f.last.Position(), nil).wait(); !errors.Is(err, binlog.ErrConnection) {
				t.Fatalf("with no server there: %v", err)
			}
			db.Start()
			again := run(t, tailer, f.last.Position(), nil)
			runIn(t, db, schema, "INSERT INTO a VALUES (2)")
			got := again.fence(db)
			if !slices.Equal(texts(got), []string{"insert a(2)"}) {
				t.Errorf("got %q", texts(got))
			}
			if got[0].changes[0].Table != f.done[1].changes[0].Table {
				t.Error("the table is described by another pointer")
			}
			db.Stop()
			if err := again.wait(); !errors.Is(err, binlog.ErrConnection) {
				t.Fatalf("after a shutdown: %v", err)
			}
		})
	}
}

// A server that hangs counts as lost after ReadTimeout, and does not keep a cancelled Run from ending.
func TestTailer_GivesUpOnASilentServer(t *testing.T) {
	t.Parallel()
	db := testenv.MySQL(t)
	f := follow(t, db, "none", options{config: func(c *binlog.Config) { c.ReadTimeout, c.HeartbeatPeriod = time.Second, 100*time.Millisecond }})
	f.until(t, "a heartbeat", func() bool { return f.progress > 5 })
	db.Pause()
	defer db.Continue()
	if err := f.wait(); !errors.Is(err, binlog.ErrConnection) {
		t.Fatalf("got %v", err)
	}
}

func TestTailer_NamesWhatIsWrongWithTheAccount(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		db.Exec("CREATE USER IF NOT EXISTS poor@'%' IDENTIFIED BY 'secret'; GRANT SELECT ON *.* TO poor@'%'")
		for _, c := range []struct{ user, password string }{{"poor", "secret"}, {"poor", "wrong"}, {"nobody", ""}} {
			err := follow(t, db, "none", options{config: func(config *binlog.Config) {
				config.User, config.Password = c.user, func() (string, error) { return c.password, nil }
			}}).wait()
			var refused *binlog.ServerError
			if !errors.As(err, &refused) || errors.Is(err, binlog.ErrConnection) || !strings.Contains(err.Error(), "REPLICATION SLAVE") {
				t.Errorf("%s with %q: %v", c.user, c.password, err)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the password is in %v", err)
			}
		}
		broken := errors.New("no such file")
		err := follow(t, db, "none", options{config: func(config *binlog.Config) {
			config.Password = func() (string, error) { return "", broken }
		}}).wait()
		if !errors.Is(err, broken) {
			t.Errorf("a password that cannot be read: %v", err)
		}
	})
}

// Two readers with one server id throw each other out: the older one says why.
func TestTailer_NamesASecondReaderWithItsServerID(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		same := func(c *binlog.Config) { c.ServerID = 4711 }
		first := follow(t, db, "none", options{config: same})
		first.until(t, "its first word", func() bool { return first.last != nil })
		second := follow(t, db, "none", options{config: same})
		second.until(t, "its first word", func() bool { return second.last != nil })
		err := first.wait()
		var refused *binlog.ServerError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "same server id") {
			t.Errorf("got %v", err)
		}
		second.stop()
	})
}

// Compressed transactions and events come out as the others do.
func TestTailer_ReadsCompressedTransactions(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		if db.Kind == testenv.KindMySQL80 {
			t.Log("MySQL 8.0.15 does not compress")
		}
		schema := db.FreshSchema(t)
		runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY, s VARCHAR(200))", "CREATE TABLE skip_b (id INT PRIMARY KEY)")
		f := follow(t, db, schema, options{})
		switch db.Kind {
		case testenv.KindMySQL:
			runIn(t, db, schema, "SET SESSION binlog_transaction_compression = ON", "BEGIN", "INSERT INTO a VALUES (1, repeat('x', 200)), (2, repeat('y', 200))",
				"INSERT INTO skip_b VALUES (1)", "UPDATE a SET s = 'z' WHERE id = 1", "COMMIT", "INSERT INTO skip_b VALUES (2)", "DELETE FROM a WHERE id = 1")
		case testenv.KindMySQL80:
			runIn(t, db, schema, "BEGIN", "INSERT INTO a VALUES (1, repeat('x', 200)), (2, repeat('y', 200))",
				"INSERT INTO skip_b VALUES (1)", "UPDATE a SET s = 'z' WHERE id = 1", "COMMIT", "INSERT INTO skip_b VALUES (2)", "DELETE FROM a WHERE id = 1")
		default:
			runIn(t, db, schema, "SET GLOBAL log_bin_compress = ON, log_bin_compress_min_len = 10")
			defer runIn(t, db, schema, "SET GLOBAL log_bin_compress = OFF")
			runIn(t, db, schema, "BEGIN", "INSERT INTO a VALUES (1, repeat('x', 200)), (2, repeat('y', 200))",
				"INSERT INTO skip_b VALUES (1)", "UPDATE a SET s = 'z' WHERE id = 1", "COMMIT", "INSERT INTO skip_b VALUES (2)", "DELETE FROM a WHERE id = 1",
				"ALTER TABLE a COMMENT = 'a comment that is so long that the statement is compressed in the binlog'")
		}
		x, y := strings.Repeat("x", 200), strings.Repeat("y", 200)
		want := []string{"insert a(1," + x + ") insert a(2," + y + ") update a(1," + x + "→1,z)", "delete a(1,z)"}
		if db.Flavor == "mariadb" {
			want = append(want, "ALTER a")
		}
		got := f.fence(db)
		if !slices.Equal(texts(got), want) {
			t.Errorf("got %q, want %q", texts(got), want)
		}
		checkTransactions(t, got)
		f.stop()
	})
}

func TestTailer_ReadsTaggedGTIDs(t *testing.T) {
	db := testenv.SharedMySQL(t)
	schema := db.FreshSchema(t)
	from := now(t, db)
	runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY)", "SET gtid_next = 'AUTOMATIC:Blue'", "INSERT INTO a VALUES (1)", "INSERT INTO a VALUES (2)",
		"SET gtid_next = 'AUTOMATIC'", "INSERT INTO a VALUES (3)", "SET gtid_next = 'AUTOMATIC:blue'", "DELETE FROM a")
	f := follow(t, db, schema, options{from: from})
	got := f.fence(db)
	f.stop()
	if want := []string{"CREATE a", "insert a(1)", "insert a(2)", "insert a(3)", "delete a(1) delete a(2) delete a(3)"}; !slices.Equal(texts(got), want) {
		t.Fatalf("got %q", texts(got))
	}
	if gtid := got[1].tx.GTID; !strings.Contains(gtid, ":blue:1") {
		t.Errorf("the GTID is %s", gtid)
	}
	p := got[2].end.Position()
	again := follow(t, db, schema, options{from: &p})
	if rest := again.fence(db); !slices.Equal(texts(rest), texts(got[3:])) {
		t.Errorf("behind %s: %q", p.GTIDs, texts(rest))
	}
	if at := now(t, db); again.last.Position().GTIDs != at.GTIDs {
		t.Errorf("the position is %s, the server's %s", again.last.Position().GTIDs, at.GTIDs)
	}
	again.stop()
}

// A statement that writes both a table and its rows, and DDL in two phases.
func TestTailer_ReadsTablesThatAreCreatedWithRows(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		schema := db.FreshSchema(t)
		runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY, n INT)", "INSERT INTO a VALUES (1, 10), (2, 20)")
		f := follow(t, db, schema, options{})
		want := []string{"insert f(1) insert f(2) CREATE f", "ALTER f", "RENAME f RENAME skip_x", "DROP g DROP a"}
		if db.Kind == testenv.KindMySQL80 { // refuses CREATE … SELECT with GTIDs
			runIn(t, db, schema, "CREATE TABLE f (id INT PRIMARY KEY)", "INSERT INTO f SELECT id FROM a")
			want = append([]string{"CREATE f", "insert f(1) insert f(2)"}, want[1:]...)
		} else {
			runIn(t, db, schema, "CREATE TABLE f (PRIMARY KEY (id)) AS SELECT id FROM a")
		}
		if db.Flavor == "mariadb" {
			runIn(t, db, schema, "SET SESSION binlog_alter_two_phase = ON", "ALTER TABLE f ADD COLUMN more INT")
		} else {
			runIn(t, db, schema, "ALTER TABLE f ADD COLUMN more INT")
		}
		runIn(t, db, schema, "RENAME TABLE f TO skip_x, skip_x TO g", "DROP TABLE IF EXISTS g, skip_x, a")
		got := f.fence(db)
		if !slices.Equal(texts(got), want) {
			t.Errorf("got %q, want %q", texts(got), want)
		}
		f.stop()
	})
}

// After DDL the live schema is asked again, and the table is described anew.
func TestTailer_AsksForHintsAgainAfterDDL(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		schema := db.FreshSchema(t)
		runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY, n INT)")
		f := follow(t, db, schema, options{hints: hints{server(t, db)}})
		runIn(t, db, schema, "INSERT INTO a VALUES (1, 1)", "INSERT INTO a VALUES (2, 2)", "FLUSH TABLES", "INSERT INTO a VALUES (3, 3)")
		f.fence(db)
		runIn(t, db, schema, "ALTER TABLE a DROP COLUMN n, ADD COLUMN n INT AS (id + 1)", "INSERT INTO a (id) VALUES (4)")
		got := f.fence(db)
		var tables []*row.Table
		for _, s := range got {
			for _, c := range s.changes {
				tables = append(tables, c.Table)
			}
		}
		if tables[0] != tables[1] || tables[0] != tables[2] {
			t.Error("the table is described by several pointers while nothing changes")
		}
		if tables[3] == tables[0] || !tables[3].Columns[1].Generated || tables[0].Columns[1].Generated {
			t.Errorf("before: %+v, behind: %+v", tables[0].Columns, tables[3].Columns)
		}
		f.stop()
	})
}

// Key values that the collation calls equal are one key: an update.
func TestTailer_TakesACollationEqualKeyForTheSame(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		schema := db.FreshSchema(t)
		f := follow(t, db, schema, options{})
		runIn(t, db, schema, "CREATE TABLE a (k VARCHAR(20) COLLATE utf8mb4_general_ci PRIMARY KEY)", "INSERT INTO a VALUES ('a')",
			"UPDATE a SET k = 'A'", "UPDATE a SET k = 'Ä '", "UPDATE a SET k = 'b'")
		want := []string{"CREATE a", "insert a(a)", "update a(a→A)", "update a(A→Ä )", "delete a(Ä ) insert a(b)"}
		if got := f.fence(db); !slices.Equal(texts(got), want) {
			t.Errorf("got %q", texts(got))
		}
		f.stop()
	})
}

// Waiting for a place on a server that does nothing else takes no heartbeat: here they come once in an hour.
func TestTailer_PassesPlacesWithoutHeartbeats(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		schema := db.FreshSchema(t)
		f := follow(t, db, schema, options{config: func(c *binlog.Config) { c.HeartbeatPeriod, c.ReadTimeout = time.Hour, 2*time.Hour }})
		for _, statement := range []string{"CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE skip_b (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)",
			"INSERT INTO skip_b VALUES (1)", "FLUSH BINARY LOGS", "CREATE USER IF NOT EXISTS x@y", "DROP TABLE a"} {
			runIn(t, db, schema, statement)
			f.fence(db)
		}
		f.stop()
	})
}

// One transaction of 200,000 rows, twice: memory does not grow with it, compressed or not.
func TestTailer_ReadsALargeTransactionInBoundedMemory(t *testing.T) {
	const rows = 200_000
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB} {
		t.Run(string(kind), func(t *testing.T) {
			db := testenv.Shared(t, kind, "")
			schema := db.FreshSchema(t)
			from := now(t, db)
			compress := "SET @nothing = 1"
			if kind == testenv.KindMySQL {
				compress = "SET SESSION binlog_transaction_compression = ON"
			}
			runIn(t, db, schema, "CREATE TABLE skip_n (n INT PRIMARY KEY)", "INSERT INTO skip_n VALUES "+numbers(1000), "CREATE TABLE a (id INT PRIMARY KEY, s VARCHAR(100))",
				fmt.Sprintf("INSERT INTO a SELECT x.n * 1000 + y.n, repeat('x', 100) FROM skip_n x JOIN skip_n y WHERE x.n < %d", rows/1000),
				compress, "DELETE FROM a")
			r := newRecorder()
			r.discard = true
			var before, most uint64
			chunks := 0
			r.onChange = func(*binlog.Rows) error {
				if chunks++; chunks%500 == 1 {
					now := inUse()
					if before == 0 {
						before = now
					}
					most = max(most, now)
				}
				return nil
			}
			f := follow(t, db, schema, options{from: from, recorder: r})
			f.fence(db)
			f.stop()
			if r.total != 2*rows {
				t.Fatalf("%d changes", r.total)
			}
			if grown := int64(most) - int64(before); grown > 16<<20 {
				t.Errorf("memory grew by %d KiB", grown>>10)
			}
		})
	}
}

func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func numbers(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("(%d)", i)
	}
	return strings.Join(all, ",")
}

// The Tailer says the same server as mysqldb does, or coordinates of the two could not be compared; fence relies on it.
func TestTailer_RefusesATooSimpleConfiguration(t *testing.T) {
	for _, c := range []binlog.Config{
		{ServerID: 1, Tables: replicated("x")},
		{Address: "127.0.0.1:1", Tables: replicated("x")},
		{Address: "127.0.0.1:1", ServerID: 1},
	} {
		if _, err := binlog.New(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
	tailer, err := binlog.New(binlog.Config{Address: "127.0.0.1:1", ServerID: 1, Tables: replicated("x")})
	if err != nil {
		t.Fatal(err)
	}
	if err := tailer.Run(context.Background(), binlog.Position{}, newRecorder()); !errors.Is(err, binlog.ErrConnection) {
		t.Errorf("nobody there: %v", err)
	}
}

// A server whose certificate does not hold is refused, and trying again does not help.
func TestTailer_ChecksTheServersCertificate(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			certificates := testenv.NewCertificates(t)
			db := testenv.Own(t, kind, testenv.ServerTLS(certificates), testenv.Args("--require-secure-transport=ON"))
			with := func(config *tls.Config) *tail {
				return run(t, newTailer(t, db, "none", options{config: func(c *binlog.Config) { c.TLS = config }}), binlog.Position{}, nil)
			}
			trusting := certificates.ClientConfig()
			trusting.ServerName = "" // it is taken from the address
			f := with(trusting)
			f.until(t, "the first word over TLS", func() bool { return f.last != nil })
			f.stop()
			err := with(&tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}).wait()
			if errors.Is(err, binlog.ErrConnection) || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("an unknown authority: %v", err)
			}
			if err := with(nil).wait(); errors.Is(err, binlog.ErrConnection) {
				t.Errorf("no TLS where it is required: %v", err)
			}
		})
	}
}
