package mysqldb_test

import (
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/internal/mysqldb"
	"meridian/internal/row"
	"meridian/internal/testenv"
)

// keyType is a kind of primary key: its columns, and keys in it.
type keyType struct {
	name    string
	columns string // of the key, and the PRIMARY KEY itself
	on      func(testenv.Kind) bool
	keys    [][]row.Value
}

func single(vs ...row.Value) [][]row.Value {
	var keys [][]row.Value
	for _, v := range vs {
		keys = append(keys, []row.Value{v})
	}
	return keys
}

func textKey(name, ddl string, values ...string) keyType {
	return keyType{name: name, columns: "k VARCHAR(40) " + ddl + ", PRIMARY KEY (k)", keys: single(text(values...)...)}
}

var keyTypes = []keyType{
	{name: "int", columns: "k INT, PRIMARY KEY (k)", keys: single(row.IntValue(-5), row.IntValue(0), row.IntValue(math.MaxInt32))},
	{name: "bigint unsigned", columns: "k BIGINT UNSIGNED, PRIMARY KEY (k)", keys: single(row.UintValue(math.MaxUint64), row.UintValue(1), row.UintValue(1<<63))},
	{name: "year", columns: "k YEAR, PRIMARY KEY (k)", keys: single(row.UintValue(0), row.UintValue(2000), row.UintValue(2155))},
	{name: "decimal", columns: "k DECIMAL(30,5), PRIMARY KEY (k)", keys: single(bytesOf(row.Decimal, "0.00000", "-1.50000", strings.Repeat("9", 25)+".99999")...)},
	{name: "double", columns: "k DOUBLE, PRIMARY KEY (k)", keys: single(row.DoubleValue(0.1), row.DoubleValue(-1e300), row.DoubleValue(0))},
	{name: "float", columns: "k FLOAT, PRIMARY KEY (k)", keys: single(row.FloatValue(1.1), row.FloatValue(-3e38), row.FloatValue(16777216))},
	{name: "bit", columns: "k BIT(64), PRIMARY KEY (k)", keys: single(bitValues(0, 5, math.MaxUint64)...)},
	textKey("utf8mb4 0900", "CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci", "a", "é'", "日本", "😀", "x y"),
	textKey("utf8mb4 general", "CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", "a", "c'", "日本", "x y", ""),
	textKey("utf8mb4 unicode", "CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci", "a", "c'", "日本"),
	textKey("utf8mb4 bin", "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "a", "A", "日本"),
	textKey("utf8mb3", "CHARACTER SET utf8mb3 COLLATE utf8mb3_unicode_ci", "a", "c'", "日本"),
	textKey("latin1", "CHARACTER SET latin1 COLLATE latin1_swedish_ci", "a", "é", "?"),
	textKey("latin1 bin", "CHARACTER SET latin1 COLLATE latin1_bin", "a", "A", "é", "?"),
	textKey("ascii", "CHARACTER SET ascii", "a", "123e4567", "?"),
	textKey("cp1251", "CHARACTER SET cp1251", "a", "Привет", "?"),
	textKey("ucs2", "CHARACTER SET ucs2", "a", "é日", "?"),
	{name: "raw text", columns: "k VARCHAR(20) CHARACTER SET cp932, PRIMARY KEY (k)", keys: single(append(text("a", "日本"), row.BytesValue(row.RawText, []byte("\xed\x40")))...)},
	{name: "char", columns: "k CHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci, PRIMARY KEY (k)", keys: single(text("a", "b c", "")...)},
	{name: "binary", columns: "k BINARY(16), PRIMARY KEY (k)", keys: single(bytesOf(row.Binary, strings.Repeat("\x00", 16), strings.Repeat("\xff'", 8), "a"+strings.Repeat("\x00", 15))...)},
	{name: "varbinary", columns: "k VARBINARY(200), PRIMARY KEY (k)", keys: single(bytesOf(row.Binary, "", "a", "a\x00", strings.Repeat("'\xe2", 60))...)},
	{name: "date", columns: "k DATE, PRIMARY KEY (k)", keys: single(row.DateValue(0, 0, 0), row.DateValue(2020, 2, 31), row.DateValue(2020, 1, 1))},
	{name: "time", columns: "k TIME(3), PRIMARY KEY (k)", keys: single(row.TimeValue(-838*3600*second), row.TimeValue(1000), row.TimeValue(100*3600*second))},
	{name: "datetime", columns: "k DATETIME(6), PRIMARY KEY (k)", keys: single(row.DatetimeValue(0, 0, 0, 0, 0, 0, 0),
		row.DatetimeValue(2020, 1, 1, 1, 2, 3, 4), row.DatetimeValue(2020, 2, 31, 0, 0, 0, 0))},
	{name: "timestamp", columns: "k TIMESTAMP(3) DEFAULT '2000-01-01', PRIMARY KEY (k)", keys: single(row.TimestampValue(0), row.TimestampValue(second), row.TimestampValue(1600000000*second+1000))},
	{name: "enum", columns: "k ENUM('a','b,c','é') CHARACTER SET latin1, PRIMARY KEY (k)", keys: single(append(text("b,c", "a", "é"), row.Value{Kind: row.EnumZero})...)},
	{name: "enum utf8mb4", columns: "k ENUM('a','b,c','é') CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci, PRIMARY KEY (k)", keys: single(text("b,c", "a", "é")...)},
	{name: "set", columns: "k SET('a','b','c') CHARACTER SET utf8mb4, PRIMARY KEY (k)", keys: single(text("", "a", "a,c")...)},
	{name: "uuid", on: onMaria, columns: "k UUID, PRIMARY KEY (k)", keys: single(text("123e4567-e89b-12d3-a456-426655440000", "00000000-0000-0000-0000-000000000001")...)},
	{name: "inet6", on: onMaria, columns: "k INET6, PRIMARY KEY (k)", keys: single(text("::", "2001:db8::1")...)},
	{name: "inet4", on: onMaria, columns: "k INET4, PRIMARY KEY (k)", keys: single(text("10.0.0.1", "10.0.0.2")...)},
	{name: "composite", columns: "k INT, k2 VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci, PRIMARY KEY (k, k2)", keys: [][]row.Value{
		{row.IntValue(1), row.TextValue("a")}, {row.IntValue(1), row.TextValue("b")}, {row.IntValue(2), row.TextValue("a")}, {row.IntValue(-1), row.TextValue("")}}},
	{name: "composite in another order", columns: "k DATETIME, k2 BIGINT UNSIGNED, k3 CHAR(3) CHARACTER SET latin1, PRIMARY KEY (k3, k, k2)", keys: [][]row.Value{
		{row.DatetimeValue(2020, 1, 1, 0, 0, 0, 0), row.UintValue(math.MaxUint64), row.TextValue("a")},
		{row.DatetimeValue(2020, 1, 1, 0, 0, 0, 0), row.UintValue(5), row.TextValue("a")}}},
}

func (k *keyType) applies(kind testenv.Kind) bool {
	if k.name == "utf8mb4 0900" {
		return !kind.IsMariaDB()
	}
	return k.on == nil || k.on(kind)
}

func withNumber(keys [][]row.Value, n int64) [][]row.Value {
	var images [][]row.Value
	for _, k := range keys {
		images = append(images, append(slices.Clone(k), row.IntValue(n)))
	}
	return images
}

func TestMapping_FindsRowsByEveryKindOfKey(t *testing.T) {
	everywhere(t, func(_ *testing.T, b *bench) {
		for i, k := range keyTypes {
			if !k.applies(b.kind) {
				continue
			}
			b.Run(k.name, func(t *testing.T) {
				b := *b
				b.T = t
				columns, primary, _ := strings.Cut(k.columns, ", PRIMARY")
				info := b.create(fmt.Sprint("t", i), columns+", n INT, PRIMARY"+primary)
				m := b.mapping(info, info.Table)
				there, n := k.keys[:len(k.keys)-1], int64(len(k.keys)-1) // all but the last
				if got := b.write(m.InsertRows, withNumber(there, 1)); got != n {
					t.Errorf("%d rows inserted, want %d", got, n)
				}
				if got := b.write(m.UpdateRows, withNumber(k.keys, 2)); got != n {
					t.Errorf("%d rows matched, want %d", got, n)
				}
				compare(&b, t.Errorf, info, "UPDATE", withNumber(there, 2), b.read(m, withNumber(there, 0)))
				checkPlans(&b, m, k)
				if got := b.write(m.DeleteRows, withNumber(k.keys[1:], 0)); got != n-1 {
					t.Errorf("%d rows deleted, want %d", got, n-1)
				}
				compare(&b, t.Errorf, info, "DELETE", withNumber(there[:1], 2), b.read(m, withNumber(k.keys, 0)))
			})
		}
	})
}

// checkPlans sees to it that every statement looks its rows up in the primary key, one lookup a key, whether the table is
// smaller than the list of keys, as here, or larger.
func checkPlans(b *bench, m *mysqldb.Mapping, k keyType) {
	b.Helper()
	keyed := map[string]writer{"UPDATE": m.UpdateRows, "DELETE": m.DeleteRows, "LOCK": m.LockRows,
		"READ": func(dst []byte, images [][]row.Value) ([]byte, int, error) { return m.ReadRows(dst, images, false) }}
	many := slices.Repeat(withNumber(k.keys, 0), 5)
	for name, build := range keyed {
		if b.Failed() {
			return
		}
		for _, images := range [][][]row.Value{withNumber(k.keys[:1], 0), withNumber(k.keys, 0), many} {
			for len(images) > 0 {
				query, n, err := build(nil, images)
				if err != nil {
					b.Fatal(err)
				}
				images = images[n:]
				if !strings.HasPrefix(string(query), "SET STATEMENT") { // which cannot be explained
					b.checkPlan(name, string(query))
				}
			}
		}
	}
}

func (b *bench) checkPlan(name, query string) {
	b.Helper()
	format := "FORMAT=TRADITIONAL "
	if b.maria() {
		format = ""
	}
	rows, err := b.server.DB.QueryContext(b.Context(), "EXPLAIN "+format+query)
	if err != nil {
		b.Fatalf("%v\nexplaining: %.1000s", err, query)
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
	var plan []string
	good := false
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			b.Fatal(err)
		}
		line := map[string]string{}
		for i, c := range columns {
			line[c] = fields[i].String
		}
		plan = append(plan, fmt.Sprint(line))
		if line["key"] == "PRIMARY" && (line["type"] == "eq_ref" || line["type"] == "const") {
			good = true
		}
		if line["key"] == "PRIMARY" && line["type"] == "range" && !strings.Contains(query, "STRAIGHT_JOIN") {
			good = true // a single key, given as a constant in another character set
		}
		// A lookup of constants that finds nothing: the row is not there, or the list has no row that could match.
		if extra := line["Extra"]; extra == "no matching row in const table" || strings.HasPrefix(extra, "Impossible WHERE") {
			good = true
		}
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
	if !good {
		b.Errorf("%s does not look its rows up in the primary key:\n%s\n%.1000s", name, strings.Join(plan, "\n"), query)
	}
}

func TestMapping_LooksKeysUpInALargeTable(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		info := b.create("large", "a INT, b VARCHAR(20) CHARACTER SET latin1, n INT, PRIMARY KEY (a, b), KEY (n)")
		m := b.mapping(info, info.Table)
		image := func(i int) []row.Value {
			return []row.Value{row.IntValue(int64(i / 10)), row.TextValue(fmt.Sprint("é", i)), row.IntValue(int64(i % 3))}
		}
		var images [][]row.Value
		for i := range 2000 {
			images = append(images, image(i))
		}
		b.write(m.InsertRows, images)
		b.exec("ANALYZE TABLE " + b.schema + ".large")
		for _, n := range []int{1, 2, 500} {
			query, _, err := m.UpdateRows(nil, images[:n])
			if err != nil {
				t.Fatal(err)
			}
			b.checkPlan("UPDATE", string(query))
			query, _, err = m.DeleteRows(nil, images[:n])
			if err != nil {
				t.Fatal(err)
			}
			b.checkPlan("DELETE", string(query))
		}
		if n := b.write(m.DeleteRows, images); n != 2000 {
			t.Errorf("%d rows deleted", n)
		}
	})
}

// A text that the key's character set cannot hold must not be looked up as the question mark that stands for it.
func TestMapping_NeverTakesAQuestionMarkForTheTextItReplaces(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		info := b.create("marks", "k VARCHAR(20) CHARACTER SET latin1 PRIMARY KEY, n INT")
		m := b.mapping(info, info.Table)
		b.write(m.InsertRows, [][]row.Value{{row.TextValue("?"), row.IntValue(1)}, {row.TextValue("a"), row.IntValue(1)}})
		images := [][]row.Value{{row.TextValue("☃"), row.IntValue(2)}, {row.TextValue("a"), row.IntValue(2)}}
		for _, build := range []writer{m.UpdateRows, m.DeleteRows} {
			query, _, err := build(nil, images)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := b.try(b.server.DB, string(query)); err != nil && mysqldb.Classify(err) != mysqldb.Refused {
				t.Errorf("the error is %s: %v", mysqldb.Classify(err), err)
			} else if n > 1 {
				t.Errorf("%d rows matched: %s", n, query)
			}
		}
		if got := b.value("SELECT n FROM " + b.schema + ".marks WHERE k = '?'"); got != "1" {
			t.Errorf("the row '?' was taken for another: it has %q", got)
		}
	})
}

func keyMapping(b *bench, info *mysqldb.TableInfo) *mysqldb.Mapping {
	b.Helper()
	m, err := mysqldb.NewKeyMapping(b.server.Flavor, info)
	if err != nil {
		b.Fatal(err)
	}
	return m
}

func TestMapping_LockRowsLocksWhatIsThereAndTheGapsOfWhatIsNot(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		info := b.create("locked", "id INT PRIMARY KEY, n INT")
		keys := keyMapping(b, info)
		m := b.mapping(info, info.Table)
		rowOf := func(id int64) [][]row.Value { return [][]row.Value{{row.IntValue(id), row.IntValue(0)}} }
		for _, id := range []int64{10, 20, 30, 40, 50} {
			b.write(m.InsertRows, rowOf(id))
		}
		other := b.open(mysqldb.Config{LockTimeout: time.Second})
		for _, c := range []struct {
			level         sql.IsolationLevel
			gaps          bool
			wanted, found []int64
		}{
			{sql.LevelRepeatableRead, true, []int64{20, 25, 41}, []int64{20}},
			{sql.LevelReadCommitted, false, []int64{20, 25, 41}, []int64{20}},
		} {
			tx, err := b.server.DB.BeginTx(t.Context(), &sql.TxOptions{Isolation: c.level})
			if err != nil {
				t.Fatal(err)
			}
			query, _, err := keys.LockRows(nil, single(row.IntValue(20), row.IntValue(25), row.IntValue(41)))
			if err != nil {
				t.Fatal(err)
			}
			var found []int64
			err = mysqldb.QueryRows(t.Context(), tx, string(query), info.Table, info.PrimaryKey, func(key []row.Value) error {
				found = append(found, key[0].Int64())
				return nil
			})
			if err != nil || !slices.Equal(found, c.found) {
				t.Errorf("%v: locked %v, want %v (%v)", c.level, found, c.found, err)
			}
			write := func(build writer, id int64) error {
				query, _, err := build(nil, rowOf(id))
				if err != nil {
					t.Fatal(err)
				}
				_, err = b.try(other.DB, string(query))
				return err
			}
			for _, id := range []int64{25, 41} {
				err := write(m.InsertRows, id)
				if blocked := err != nil && mysqldb.Reason(err) == "lock_timeout"; blocked != c.gaps {
					t.Errorf("%v: an insert of the locked key %d that is not there gave: %v", c.level, id, err)
				}
			}
			// The others stay free: nothing was scanned.
			for _, id := range []int64{10, 30, 40, 50} {
				if err := write(m.UpdateRows, id); err != nil {
					t.Errorf("%v: an update of row %d, which nobody asked to lock: %v", c.level, id, err)
				}
			}
			if err := write(m.InsertRows, 5); err != nil {
				t.Errorf("%v: an insert far from the locked keys: %v", c.level, err)
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			b.write(m.DeleteRows, rowOf(5))
		}
		// A lock on the row that is there: looked at apart, the wait takes a second.
		tx, err := b.server.DB.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		if err != nil {
			t.Fatal(err)
		}
		query, _, err := keys.LockRows(nil, single(row.IntValue(20)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = b.try(tx, string(query)); err != nil {
			t.Fatal(err)
		}
		if _, err := b.try(other.DB, "UPDATE "+b.schema+".locked SET n = 1 WHERE id = 20"); err == nil || mysqldb.Reason(err) != "lock_timeout" {
			t.Errorf("an update of the locked row gave: %v", err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	})
}
