package binlog_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"meridian/internal/binlog"
	"meridian/internal/testenv"
)

// refusal is a transaction that cannot be turned into exact row changes.
type refusal struct {
	name       string
	flavor     string // "" for both
	kind       testenv.Kind
	statements []string
	check      func(err error) bool
	words      []string // that the message must have
}

var refusals = []refusal{
	{"minimal row image", "", "", []string{"SET SESSION binlog_row_image = 'MINIMAL'", "UPDATE a SET n = 5 WHERE id = 1"},
		is[binlog.RowImageError], []string{".a ", "binlog_row_image", "FULL"}},
	{"row image without blobs", "", "", []string{"SET SESSION binlog_row_image = 'NOBLOB'", "UPDATE a SET n = 5 WHERE id = 1"},
		is[binlog.RowImageError], []string{".a ", "binlog_row_image"}},
	{"row image without duplicates", "", testenv.KindMariaDB, []string{"SET SESSION binlog_row_image = 'FULL_NODUP'", "UPDATE a SET n = 5 WHERE id = 1"},
		is[binlog.RowImageError], []string{".a ", "binlog_row_image"}},
	{"partial JSON", "mysql", "", []string{"SET SESSION binlog_row_value_options = 'PARTIAL_JSON'",
		"UPDATE a SET j = JSON_SET(j, '$.k', 'x') WHERE id = 1"},
		is[binlog.RowImageError], []string{".a ", "binlog_row_value_options"}},
	{"a table without a key", "", "", []string{"CREATE TABLE keyless (n INT)", "INSERT INTO keyless VALUES (1)"},
		is[binlog.MetadataError], []string{".keyless ", "primary key", "exclude"}},
	{"a key over a prefix", "", "", []string{"CREATE TABLE prefixed (s VARCHAR(50), PRIMARY KEY (s(5)))", "INSERT INTO prefixed VALUES ('x')"},
		is[binlog.MetadataError], []string{".prefixed ", "prefix"}},
	{"insert as a statement", "", "", []string{"SET SESSION binlog_format = 'STATEMENT'", "INSERT INTO a (id) VALUES (9)"},
		is[binlog.StatementError], []string{".a ", "binlog_format=ROW", "INSERT INTO a"}},
	{"update as a statement", "", "", []string{"SET SESSION binlog_format = 'STATEMENT'", "UPDATE skip_b, a SET a.n = 3, skip_b.n = 4"},
		is[binlog.StatementError], []string{".a ", "UPDATE"}},
	{"delete as a statement", "", "", []string{"SET SESSION binlog_format = 'MIXED'", "DELETE FROM a WHERE id = 1"},
		is[binlog.StatementError], []string{".a ", "DELETE"}},
	{"load data as a statement", "", "", []string{"SELECT 11, 2 INTO OUTFILE 'PATH'", "SET SESSION binlog_format = 'STATEMENT'",
		"LOAD DATA INFILE 'PATH' INTO TABLE a (id, n)"}, is[binlog.StatementError], []string{".a ", "LOAD DATA"}},
	{"a function as a statement", "mysql", "", []string{"SET GLOBAL log_bin_trust_function_creators = 1",
		"CREATE FUNCTION f() RETURNS INT MODIFIES SQL DATA BEGIN UPDATE a SET n = 8; RETURN 1; END",
		"SET SESSION binlog_format = 'STATEMENT'", "SELECT f()"}, is[binlog.StatementError], []string{"which one cannot be told"}},
	{"an own table as a statement", "", "", []string{"SET SESSION binlog_format = 'STATEMENT'", "INSERT INTO own_p VALUES (1)"},
		is[binlog.StatementError], []string{".own_p "}},
	{"XA", "", "", []string{"XA START 'x1'", "INSERT INTO a (id) VALUES (9)", "XA END 'x1'", "XA PREPARE 'x1'", "XA ROLLBACK 'x1'"},
		is[binlog.UnsupportedError], []string{"XA", ".a "}},
	{"XA that is committed", "", "", []string{"XA START 'x4'", "INSERT INTO a (id) VALUES (9)", "XA END 'x4'", "XA PREPARE 'x4'", "XA COMMIT 'x4'"},
		is[binlog.UnsupportedError], []string{"XA PREPARE", ".a "}},
	{"XA in one phase", "mysql", "", []string{"XA START 'x5'", "INSERT INTO a (id) VALUES (9)", "XA END 'x5'", "XA COMMIT 'x5' ONE PHASE"},
		is[binlog.UnsupportedError], []string{"XA", ".a "}},
	{"a table without a key that is made with its rows", "", testenv.KindMySQL, []string{"CREATE TABLE filled AS SELECT id FROM a"},
		is[binlog.MetadataError], []string{".filled ", "primary key"}},
	{"a table without a key that is made with its rows", "mariadb", "", []string{"CREATE TABLE filled AS SELECT id FROM a"},
		is[binlog.MetadataError], []string{".filled ", "primary key"}},
	{"create from a select as a statement", "mariadb", "", []string{"SET SESSION binlog_format = 'STATEMENT'", "CREATE TABLE filled (PRIMARY KEY (id)) AS SELECT id FROM a"},
		is[binlog.StatementError], []string{".filled "}},
}

// on tells whether the server has such a thing.
func (c *refusal) on(db *testenv.Database) bool {
	return (c.flavor == "" || c.flavor == db.Flavor) && (c.kind == "" || c.kind == db.Kind)
}

// run makes the tables, begins to follow, and has the server write the transaction. It gives where the reading began.
func (c *refusal) run(t *testing.T, db *testenv.Database) (schema string, from *binlog.Position, f *tail) {
	t.Helper()
	schema = db.FreshSchema(t)
	runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY, n INT, j JSON, b BLOB)", "CREATE TABLE skip_b (id INT PRIMARY KEY, n INT)",
		"CREATE TABLE own_p (id INT PRIMARY KEY)", `INSERT INTO a VALUES (1, 2, '{"k": "abcdefghijklmnop"}', 'b')`, "INSERT INTO skip_b VALUES (1, 1)")
	from = now(t, db)
	f = follow(t, db, schema, options{from: from})
	folder := t.TempDir()
	statements := slices.Clone(c.statements)
	for i := range statements {
		statements[i] = strings.ReplaceAll(statements[i], "PATH", folder+"/rows")
	}
	runIn(t, db, schema, statements...)
	return schema, from, f
}

// What cannot be turned into exact row changes ends Run with an error that names the table, the transaction and what to do.
func TestTailer_RefusesWhatIsNotExact(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		for _, c := range refusals {
			if !c.on(db) {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				_, _, f := c.run(t, db)
				err := f.wait()
				if !c.check(err) || errors.Is(err, binlog.ErrConnection) {
					t.Fatalf("got %v", err)
				}
				for _, word := range append(c.words, gtidOf(t, db)) {
					if !strings.Contains(err.Error(), word) {
						t.Errorf("no %q in: %v", word, err)
					}
				}
				if f.open != nil && len(f.open.changes) > 0 {
					t.Errorf("changes were handed over: %s", text(f.open.changes))
				}
			})
		}
	})
}

// is tells whether an error is a *T.
func is[T any, P interface {
	*T
	error
}](err error) bool {
	var typed P
	return errors.As(err, &typed)
}

// gtidOf gives what every GTID of the server begins with.
func gtidOf(t *testing.T, db *testenv.Database) string {
	t.Helper()
	var prefix string
	query := "SELECT @@GLOBAL.server_uuid"
	if db.Flavor == "mariadb" {
		query = "SELECT CONCAT('0-', @@GLOBAL.server_id, '-')"
	}
	if err := db.DB.QueryRowContext(t.Context(), query).Scan(&prefix); err != nil {
		t.Fatal(err)
	}
	return prefix
}

// What is none of our business, or loses nothing, is passed.
func TestTailer_PassesWhatIsNoneOfOurs(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		schema, other := db.FreshSchema(t), db.FreshSchema(t)
		runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY, n INT)", "CREATE TABLE skip_b (id INT PRIMARY KEY, n INT)",
			"CREATE TABLE "+other+".c (id INT PRIMARY KEY, a INT)", "CREATE TABLE skip_m (id INT PRIMARY KEY) ENGINE=MyISAM")
		f := follow(t, db, schema, options{})
		if db.Flavor == "mariadb" {
			runIn(t, db, schema, "CREATE SEQUENCE counter", "DO NEXTVAL(counter)", "ALTER SEQUENCE counter RESTART 50", "DROP SEQUENCE counter")
		}
		runIn(t, db, schema,
			"SET SESSION binlog_format = 'STATEMENT'",
			"INSERT INTO skip_b VALUES (1, 1), (2, 2), (3, 3)", "UPDATE skip_b AS x SET n = 3", "DELETE FROM skip_b WHERE id = 1",
			"REPLACE LOW_PRIORITY INTO "+other+".c (id, a) VALUES (1, 2)", "UPDATE "+other+".c JOIN "+other+".c AS d SET c.a = 1",
			"SET SESSION binlog_format = 'ROW'",
			"CREATE USER IF NOT EXISTS somebody@localhost", "GRANT SELECT ON *.* TO somebody@localhost", "DROP USER somebody@localhost",
			"ANALYZE TABLE a", "OPTIMIZE TABLE a", "FLUSH TABLES", "CREATE VIEW v AS SELECT * FROM a", "DROP VIEW v",
			"CREATE PROCEDURE p() UPDATE a SET n = 1", "DROP PROCEDURE p", "CREATE TRIGGER tr BEFORE INSERT ON a FOR EACH ROW SET NEW.n = 1", "DROP TRIGGER tr",
			"CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM a", "DROP EVENT e",
			"CREATE TEMPORARY TABLE tmp (id INT)", "INSERT INTO tmp VALUES (1)", "DROP TEMPORARY TABLE tmp",
			"BEGIN", "INSERT INTO skip_m VALUES (1)", "INSERT INTO skip_b VALUES (7, 7)", "ROLLBACK",
			"XA START 'x2'", "INSERT INTO skip_b VALUES (8, 8)", "XA END 'x2'", "XA PREPARE 'x2'", "XA COMMIT 'x2'",
			"XA START 'x3'", "INSERT INTO skip_b VALUES (9, 9)", "XA END 'x3'", "XA COMMIT 'x3' ONE PHASE",
			"BEGIN", "INSERT INTO a VALUES (1, 1)", "SAVEPOINT s", "INSERT INTO a VALUES (2, 2)", "ROLLBACK TO s", "INSERT INTO a VALUES (3, 3)", "COMMIT",
		)
		got := texts(f.fence(db))
		if last := got[len(got)-1]; last != "insert a(1,1) insert a(3,3)" || len(got) > 2 {
			t.Errorf("got %q", got)
		}
		if p := f.last.Position(); len(p.Prepared) > 0 {
			t.Errorf("still prepared: %q", p.Prepared)
		}
		f.stop()
	})
}

// An XA transaction of other tables may be prepared before a restart and committed after it.
func TestTailer_RemembersPreparedTransactionsOfOtherTables(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		schema := db.FreshSchema(t)
		runIn(t, db, schema, "CREATE TABLE skip_b (id INT PRIMARY KEY)")
		session, err := db.Open(schema).Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = session.Close() }()
		exec := func(statement string) {
			t.Helper()
			if _, err := session.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		f := follow(t, db, schema, options{})
		exec("XA START 'gtrid', 'bqual', 7")
		exec("INSERT INTO skip_b VALUES (8)")
		exec("XA END 'gtrid', 'bqual', 7")
		exec("XA PREPARE 'gtrid', 'bqual', 7")
		f.fence(db)
		p := f.last.Position()
		f.stop()
		if len(p.Prepared) != 1 {
			t.Fatalf("prepared: %q", p.Prepared)
		}
		exec("XA COMMIT 'gtrid', 'bqual', 7")
		second := follow(t, db, schema, options{from: &p})
		second.fence(db)
		if left := second.last.Position().Prepared; len(left) > 0 {
			t.Errorf("still prepared: %q", left)
		}
		second.stop()
		p.Prepared = nil
		if err := follow(t, db, schema, options{from: &p}).wait(); !is[binlog.UnsupportedError](err) {
			t.Errorf("a commit of what nobody has seen: %v", err)
		}
	})
}

func TestTailer_RefusesMinimalMetadata(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		schema := db.FreshSchema(t)
		runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE skip_b (id INT PRIMARY KEY)")
		f := follow(t, db, schema, options{})
		runIn(t, db, schema, "SET GLOBAL binlog_row_metadata = 'MINIMAL'")
		defer runIn(t, db, schema, "SET GLOBAL binlog_row_metadata = 'FULL'")
		runIn(t, db, schema, "INSERT INTO skip_b VALUES (1)")
		f.fence(db)
		runIn(t, db, schema, "INSERT INTO a VALUES (1)")
		err := f.wait()
		if !is[binlog.MetadataError](err) || !strings.Contains(err.Error(), "binlog_row_metadata=FULL") || !strings.Contains(err.Error(), schema+".a ") {
			t.Fatalf("got %v", err)
		}
	})
}
