package binlog_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"meridian/internal/mysqldb"
	"meridian/internal/row"
	"meridian/internal/testenv"
)

// typed is a column type, and values of it as SQL.
type typed struct {
	name   string
	values []string
	only   string // flavor
}

var types = []typed{
	{"TINYINT", []string{"0", "-1", "127", "-128"}, ""},
	{"TINYINT UNSIGNED", []string{"0", "255", "128"}, ""},
	{"BOOLEAN", []string{"true", "false"}, ""},
	{"SMALLINT", []string{"-32768", "32767", "-1"}, ""},
	{"SMALLINT UNSIGNED", []string{"65535"}, ""},
	{"MEDIUMINT", []string{"-8388608", "8388607", "-1"}, ""},
	{"MEDIUMINT UNSIGNED", []string{"16777215"}, ""},
	{"INT", []string{"-2147483648", "2147483647", "-1"}, ""},
	{"INT UNSIGNED ZEROFILL", []string{"4294967295", "7"}, ""},
	{"BIGINT", []string{"-9223372036854775808", "9223372036854775807", "-1"}, ""},
	{"BIGINT UNSIGNED", []string{"18446744073709551615", "9223372036854775808"}, ""},
	{"DECIMAL(10,2)", []string{"0", "-1.5", "99999999.99", "-99999999.99", "0.01", "-0.01"}, ""},
	{"DECIMAL(65,30)", []string{"12345678901234567890123456789012345.123456789012345678901234567890", "-0.000000000000000000000000000001"}, ""},
	{"DECIMAL(30,30)", []string{"0.000000000100000000000000000001", "-0.9"}, ""},
	{"DECIMAL(65,0)", []string{"-99999999999999999999999999999999999999999999999999999999999999999", "1000000000"}, ""},
	{"DECIMAL(9,9)", []string{"-0.123456789"}, ""},
	{"FLOAT", []string{"0", "-0e0", "1.1", "3.40282e38", "-1e-30", "16777217", "0.333333"}, ""},
	{"FLOAT UNSIGNED", []string{"1.5"}, ""},
	{"DOUBLE", []string{"0", "-0e0", "0.1", "1.7976931348623157e308", "5e-324", "-1e100"}, ""},
	{"DOUBLE(10,3)", []string{"1.125"}, ""},
	{"BIT(1)", []string{"b'0'", "b'1'"}, ""},
	{"BIT(9)", []string{"b'100000001'", "b'0'"}, ""},
	{"BIT(64)", []string{"0xffffffffffffffff", "0x8000000000000001"}, ""},
	{"YEAR", []string{"1901", "2155", "0"}, ""},
	{"INT", []string{"-1"}, ""},
	{"INT UNSIGNED", []string{"4294967295"}, ""},
	{"DATE", []string{"'2024-02-29'", "'0000-00-00'", "'9999-12-31'", "'2024-00-00'", "'2024-02-31'", "'1000-01-01'"}, ""},
	{"TIME", []string{"'838:59:59'", "'-838:59:59'", "'00:00:00'", "'-00:00:01'"}, ""},
	{"TIME(1)", []string{"'-00:00:00.1'", "'00:00:00.9'", "'-01:00:00.0'"}, ""},
	{"TIME(2)", []string{"'-00:00:00.01'", "'-00:00:01.99'", "'838:59:58.99'"}, ""},
	{"TIME(3)", []string{"'-00:00:00.001'", "'12:34:56.789'"}, ""},
	{"TIME(4)", []string{"'-00:00:00.0001'", "'-100:59:59.9999'"}, ""},
	{"TIME(5)", []string{"'-00:00:00.00001'"}, ""},
	{"TIME(6)", []string{"'-838:59:58.999999'", "'-00:00:00.000001'", "'100:00:00.000001'"}, ""},
	{"DATETIME", []string{"'2024-01-02 03:04:05'", "'0000-00-00 00:00:00'", "'9999-12-31 23:59:59'", "'2024-02-31 00:00:00'", "'1000-01-01 00:00:00'"}, ""},
	{"DATETIME(2)", []string{"'2024-01-02 03:04:05.67'"}, ""},
	{"DATETIME(3)", []string{"'2024-01-02 03:04:05.678'"}, ""},
	{"DATETIME(6)", []string{"'2024-01-02 03:04:05.678901'", "'0000-00-00 00:00:00.000000'"}, ""},
	{"TIMESTAMP NULL", []string{"'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "0"}, ""},
	{"TIMESTAMP(3) NULL", []string{"'2024-01-02 03:04:05.678'"}, ""},
	{"TIMESTAMP(6) NULL", []string{"'2024-10-27 00:30:00.000001'", "0"}, ""},
	{"CHAR(10) CHARACTER SET utf8mb4", []string{"''", "'a  '", "'日本語'", "'x\\0'", "'😀'"}, ""},
	{"CHAR(255) CHARACTER SET utf8mb4", []string{"repeat('é', 255)", "'a'"}, ""},
	{"VARCHAR(10) CHARACTER SET latin1", []string{"''", "'a  '", "'é€'", "_binary x'8190'"}, ""},
	{"VARCHAR(300) CHARACTER SET latin1", []string{"repeat('ü', 300)", "'a'"}, ""},
	{"VARCHAR(255) CHARACTER SET utf8mb3", []string{"repeat('é', 255)", "'a'"}, ""},
	{"CHAR(5) CHARACTER SET utf16", []string{"'a'", "'é'", "'a b'"}, ""},
	{"VARCHAR(5) CHARACTER SET ucs2", []string{"'aé'"}, ""},
	{"VARCHAR(5) CHARACTER SET utf32", []string{"'a😀'"}, ""},
	{"VARCHAR(5) CHARACTER SET sjis", []string{"'日本'"}, ""},
	{"VARCHAR(5) CHARACTER SET gbk", []string{"'中文'"}, ""},
	{"VARCHAR(5) CHARACTER SET cp1251", []string{"'привт'"}, ""},
	{"VARCHAR(5) CHARACTER SET ascii", []string{"'abc'"}, ""},
	{"TINYTEXT", []string{"''", "'tiny'"}, ""},
	{"TEXT", []string{"repeat('x', 300)", "''"}, ""},
	{"MEDIUMTEXT", []string{"repeat('y', 70000)"}, ""},
	{"LONGTEXT", []string{"'long'"}, ""},
	{"BINARY(4)", []string{"x'00'", "x'01020000'", "''", "'abcd'"}, ""},
	{"BINARY(255)", []string{"repeat('a', 255)", "''"}, ""},
	{"VARBINARY(10)", []string{"x'000100'", "''"}, ""},
	{"VARBINARY(500)", []string{"repeat(x'ff00', 250)"}, ""},
	{"TINYBLOB", []string{"x'00ff'"}, ""},
	{"BLOB", []string{"repeat(x'00ff', 1000)", "''"}, ""},
	{"LONGBLOB", []string{"repeat('z', 100000)"}, ""},
	{"ENUM('a','b c','ü''','\\\\') CHARACTER SET latin1", []string{"'a'", "'ü'''", "3", "'\\\\'", "0"}, ""},
	{"ENUM(" + labels(300) + ")", []string{"1", "255", "256", "300"}, ""},
	{"SET('a','b','ü') CHARACTER SET latin1", []string{"''", "'a,ü'", "'a,b,ü'"}, ""},
	{"SET(" + labels(64) + ")", []string{"9223372036854775808", "1", "'v1,v64'"}, ""},
	{"SET(" + labels(20) + ")", []string{"1048575"}, ""},
	{"GEOMETRY", []string{"ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('POLYGON((0 0,0 1,1 1,0 0))', 4326)"}, ""},
	{"POINT", []string{"ST_GeomFromText('POINT(-1.5 2)')"}, ""},
	{"JSON", []string{`'{"b": [1, -1.5, true, null, "x"], "a": {"ü": 18446744073709551615}}'`, "'null'", "'[]'", `'"text"'`, "'1e100'"}, ""},
	{"JSON", []string{"CAST(CAST('2024-01-02 03:04:05.6' AS DATETIME(6)) AS JSON)", "JSON_ARRAY(1.10, CAST(1.10 AS DECIMAL(10,5)), x'00ff')"}, "mysql"},
	{"VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_ai_ci", []string{"'é'"}, "mariadb"},
	{"UUID", []string{
		"'6ccd780c-baba-1026-9564-5b8c656024db'", "'550e8400-e29b-41d4-a716-446655440000'", "'00000000-0000-0000-0000-000000000000'",
		"'ffffffff-ffff-ffff-ffff-ffffffffffff'", "'017f22e2-79b0-7cc3-98c4-dc0c0c07398f'", "'1ec9414c-232a-6b00-b3c8-9f6bdeced846'",
		"'550e8400-e29b-41d4-0716-446655440000'", "'320c3d4d-cc00-875b-8ec9-32d5f69181c0'", "'12345678-9abc-def0-1234-000000000000'",
	}, "mariadb"},
	{"INET4", []string{"'0.0.0.0'", "'255.255.255.255'", "'1.2.3.0'"}, "mariadb"},
	{"INET6", []string{"'::'", "'::1'", "'2001:db8::'", "'::ffff:1.2.3.4'", "'::1.2.3.4'", "'1:0:0:2::3'", "'fe80::1:0:0:2'"}, "mariadb"},
	{"VARCHAR(200) COMPRESSED", []string{"''", "'short'", "repeat('compress me ', 16)"}, "mariadb"},
	{"VARCHAR(300) COMPRESSED CHARACTER SET latin1", []string{"repeat('ü', 300)"}, "mariadb"},
	{"TEXT COMPRESSED", []string{"''", "repeat('abc', 1000)", "'x'"}, "mariadb"},
	{"BLOB COMPRESSED", []string{"repeat(x'00', 5000)", "x'80'"}, "mariadb"},
	{"VARBINARY(100) COMPRESSED", []string{"repeat('a', 100)"}, "mariadb"},
}

func labels(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("'v%d'", i+1)
	}
	return strings.Join(all, ",")
}

// typesOf gives what a server has.
func typesOf(t *testing.T, db *testenv.Database) []typed {
	t.Helper()
	var all []typed
	for _, c := range types {
		if c.only == "" || c.only == db.Flavor {
			all = append(all, c)
		}
	}
	switch db.Kind {
	case testenv.KindMySQL:
		all = append(all, typed{name: "VECTOR(3)", values: []string{"TO_VECTOR('[1,-2.5,3]')", "TO_VECTOR('[1]')"}})
	case testenv.KindMariaDB:
		all = append(all, typed{name: "VECTOR(3)", values: []string{"VEC_FromText('[1,-2.5,3]')"}},
			typed{name: "TIMESTAMP NULL", values: []string{"'2106-02-07 06:28:15'"}})
	default:
	}
	return all
}

// Every value that a server can hold must come out of its binlog as the same Value that a SELECT gives, in inserts,
// updates and deletes, and the columns must be described as the live schema describes them.
func TestTailer_GivesEveryValueAsSelectDoes(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		schema := db.FreshSchema(t)
		f := follow(t, db, schema, options{hints: hints{server(t, db)}})
		createTypes(t, db, schema)
		want := selectAll(t, db, schema)
		runIn(t, db, schema, "UPDATE t SET n = n + 1000", "DELETE FROM t")
		checkValues(t, db, f.fence(db), want)
		f.stop()
	})
}

func createTypes(t *testing.T, db *testenv.Database, schema string) {
	t.Helper()
	all := typesOf(t, db)
	columns := []string{"id INT PRIMARY KEY"}
	most := 0
	for i, c := range all {
		columns = append(columns, fmt.Sprintf("c%d %s", i, c.name))
		most = max(most, len(c.values))
	}
	columns = append(columns, "n INT DEFAULT 1", "g INT AS (n + 1) VIRTUAL", "st INT AS (n + 2) STORED")
	statements := []string{"SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'", "CREATE TABLE t (" + strings.Join(columns, ", ") + ") ROW_FORMAT=DYNAMIC"}
	for n := range most {
		names, values := []string{"id"}, []string{fmt.Sprint(n)}
		for i, c := range all {
			if n < len(c.values) {
				names, values = append(names, fmt.Sprintf("c%d", i)), append(values, c.values[n])
			}
		}
		statements = append(statements, fmt.Sprintf("INSERT INTO t (%s) VALUES (%s)", strings.Join(names, ", "), strings.Join(values, ", ")))
	}
	runIn(t, db, schema, statements...)
}

// runIn runs statements in one session.
func runIn(t *testing.T, db *testenv.Database, schema string, statements ...string) {
	t.Helper()
	s, err := db.Open(schema).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for _, statement := range statements {
		if _, err := s.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%v, running %.300s", err, statement)
		}
	}
}

func selectAll(t *testing.T, db *testenv.Database, schema string) [][]row.Value {
	t.Helper()
	s := server(t, db)
	info, err := s.LoadTable(t.Context(), schema, "t")
	if err != nil {
		t.Fatal(err)
	}
	columns := make([]int, len(info.Columns))
	for i := range columns {
		columns[i] = i
	}
	query := append([]byte("SELECT "), mysqldb.AppendSelectList(nil, info.Table, columns, "")...)
	var all [][]row.Value
	err = mysqldb.QueryRows(t.Context(), s.DB, string(query)+" FROM "+schema+".t ORDER BY id", info.Table, columns, func(values []row.Value) error {
		all = append(all, values)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func checkValues(t *testing.T, db *testenv.Database, got []*seen, want [][]row.Value) {
	t.Helper()
	if len(got) != len(want)+3 { // CREATE, an INSERT each, UPDATE, DELETE
		t.Fatalf("%d transactions instead of %d: %q", len(got), len(want)+3, texts(got))
	}
	info, err := server(t, db).LoadTable(t.Context(), got[1].changes[0].Table.Schema, "t")
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range got[1].changes[0].Table.Columns {
		live := info.Columns[i]
		if !reflect.DeepEqual(c, live) {
			t.Errorf("column %s is described as %+v, the live schema says %+v", c.Name, c, live)
		}
	}
	updates, deletes := got[len(got)-2].changes, got[len(got)-1].changes
	for i, image := range want {
		same(t, "insert", info, got[i+1].changes[0].After, image)
		same(t, "update", info, updates[i].Before, image)
		changed := append([]row.Value(nil), image...)
		for at, c := range info.Columns {
			if c.Name == "n" || c.Generated {
				changed[at].Num += 1000
			}
		}
		same(t, "update", info, updates[i].After, changed)
		same(t, "delete", info, deletes[i].Before, changed)
	}
}

func same(t *testing.T, what string, info *mysqldb.TableInfo, got, want []row.Value) {
	t.Helper()
	for i := range want {
		if got[i].Kind != want[i].Kind || got[i].Num != want[i].Num || string(got[i].Bytes) != string(want[i].Bytes) {
			// The texts of equal JSON documents may differ in their blanks and in how a number is written.
			if info.Columns[i].Generated && got[i].IsNull() && what != "insert" {
				continue // MariaDB leaves them out
			}
			if info.Columns[i].Type == row.TypeJSON && string(row.AppendValue(nil, got[i])) == string(row.AppendValue(nil, want[i])) {
				continue
			}
			t.Errorf("%s, row %d, column %+v: got %+v (%.60q), want %+v (%.60q)", what, want[0].Num, info.Columns[i],
				got[i].Num, got[i].Bytes, want[i].Num, want[i].Bytes)
		}
	}
}

// MariaDB may have tables from before it took over MySQL's temporal types.
func TestTailer_ReadsMariaDBsOldTemporalTypes(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMariaDB, testenv.KindMariaDB1011} {
		t.Run(string(kind), func(t *testing.T) {
			db := testenv.Shared(t, kind, "")
			schema := db.FreshSchema(t)
			columns := []string{"id INT PRIMARY KEY", "n INT"}
			first, second := []string{"1", "1"}, []string{"2", "1"}
			for digits := range 7 {
				fraction := strings.Repeat("9", digits)
				columns = append(columns, fmt.Sprintf("t%d TIME(%[1]d), d%[1]d DATETIME(%[1]d), s%[1]d TIMESTAMP(%[1]d) NULL", digits))
				first = append(first, "'-838:59:58."+fraction+"'", "'9999-12-31 23:59:59."+fraction+"'", "'2038-01-19 03:14:07."+fraction+"'")
				second = append(second, "'00:00:01."+fraction+"'", "'0000-00-00 00:00:00'", "0")
			}
			f := follow(t, db, schema, options{hints: hints{server(t, db)}})
			runIn(t, db, schema, "SET GLOBAL mysql56_temporal_format = OFF", "CREATE TABLE t ("+strings.Join(columns, ", ")+")", "SET GLOBAL mysql56_temporal_format = ON",
				"SET sql_mode = '', time_zone = '+00:00'", "INSERT INTO t VALUES ("+strings.Join(first, ", ")+")", "INSERT INTO t VALUES ("+strings.Join(second, ", ")+")")
			want := selectAll(t, db, schema)
			runIn(t, db, schema, "UPDATE t SET n = n + 1000", "DELETE FROM t")
			checkValues(t, db, f.fence(db), want)
			f.stop()
		})
	}
}

// Indexes over expressions have columns of their own, which are none of the table's.
func TestTailer_ReadsTablesWithIndexesOverExpressions(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMySQL80} {
		t.Run(string(kind), func(t *testing.T) {
			db := testenv.Shared(t, kind, "")
			schema := db.FreshSchema(t)
			f := follow(t, db, schema, options{hints: hints{server(t, db)}})
			runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY, n INT, s VARCHAR(10), j JSON, INDEX f ((n + 1)), INDEX g ((concat(s, 'x'))))")
			if kind == testenv.KindMySQL {
				runIn(t, db, schema, "ALTER TABLE a ADD INDEX m ((CAST(j AS UNSIGNED ARRAY)))")
			}
			runIn(t, db, schema, "INSERT INTO a VALUES (1, 2, 'q', '[1, 2]')", "UPDATE a SET n = 3", "DELETE FROM a")
			got := f.fence(db)
			for _, s := range got {
				for _, c := range s.changes {
					if image := c.Row(); image[0].Num != 1 || string(image[2].Bytes) != "q" || string(image[3].Bytes) != "[1, 2]" {
						t.Errorf("got %s", text(s.changes))
					}
					for _, column := range c.Table.Columns[4:] {
						if !column.Generated {
							t.Errorf("column %s is taken for one of the table's", column.Name)
						}
					}
				}
			}
			f.stop()
		})
	}
}
