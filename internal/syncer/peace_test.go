package syncer_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"meridian/internal/testenv"
	"meridian/internal/verify"
)

// typed is a column type, a value, and one that differs from it in as little as the type allows.
type typed struct {
	name, ddl, value, other string
	only                    testenv.Kind // "": both have it
}

var everyType = []typed{
	{"tiny", "TINYINT", "-128", "-127", ""}, {"small", "SMALLINT UNSIGNED", "65535", "65534", ""}, {"medium", "MEDIUMINT", "7", "8", ""},
	{"whole", "INT", "0", "1", ""}, {"big", "BIGINT UNSIGNED", "18446744073709551615", "18446744073709551614", ""},
	{"year", "YEAR", "2024", "2023", ""}, {"price", "DECIMAL(30,10)", "12345678901234567890.0000000001", "12345678901234567890.0000000002", ""},
	{"single", "FLOAT", "1.1", "1.2", ""}, {"double_", "DOUBLE", "0.1", "0.10000000000000002", ""}, {"bits", "BIT(33)", "b'1'", "b'100000000000000000000000000000001'", ""},
	{"fixed", "CHAR(10) CHARACTER SET latin1", "'Zoë'", "'Zoè'", ""}, {"text_", "VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", "'same'", "'Same'", ""},
	{"padded", "VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "'x'", "'x '", ""}, {"long_", "MEDIUMTEXT CHARACTER SET utf8mb4", "REPEAT('a', 70000)", "CONCAT(REPEAT('a', 69999), 'b')", ""},
	{"kind", "ENUM('a','b')", "'a'", "'b'", ""}, {"flags", "SET('a','b','c')", "'a,c'", "'a,b'", ""}, {"bin", "BINARY(4)", "x'00ff0000'", "x'00ff0001'", ""},
	{"varbin", "VARBINARY(9)", "x'00'", "x'0000'", ""}, {"blob_", "BLOB", "REPEAT(x'fe', 5000)", "CONCAT(REPEAT(x'fe', 4999), x'ff')", ""},
	{"day", "DATE", "'2024-02-29'", "'2024-02-28'", ""}, {"hour_", "TIME(6)", "'-838:59:58.999999'", "'-838:59:58.999998'", ""},
	{"at", "DATETIME(6)", "'2024-01-01 00:00:00.000001'", "'2024-01-01 00:00:00.000000'", ""}, {"stamp", "TIMESTAMP(3) NULL", "'2024-01-01 00:00:00.001'", "'2024-01-01 00:00:00.002'", ""},
	{"doc", "JSON", `'{"a": [1, 2], "b": null}'`, `'{"a": [1, 3], "b": null}'`, ""}, {"geo", "POINT", "ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('POINT(1 2.5)')", ""},
	{"vec", "VECTOR(2)", "STRING_TO_VECTOR('[1,2]')", "STRING_TO_VECTOR('[1,3]')", testenv.KindMySQL},
	{"uuid_", "UUID", "'00000000-0000-0000-0000-000000000001'", "'00000000-0000-0000-0000-000000000002'", testenv.KindMariaDB},
	{"inet", "INET6", "'::1'", "'::2'", testenv.KindMariaDB}, {"empty_", "VARCHAR(9)", "''", "NULL", ""}, {"absent", "VARCHAR(9)", "NULL", "''", ""},
	{"blank", "BLOB", "''", "NULL", ""}, {"zero", "INT", "NULL", "0", ""},
}

// damage is what is done past the binlog in some regions, and what is to be said of it.
type damage struct {
	name    string
	in      []string // regions; nil: b
	queries []string
	want    map[string]string // "table [key]": kind
}

func (r *regions) damages(kind testenv.Kind) []damage {
	types := damage{"a changed value of each type, each in a row of its own", nil, nil, map[string]string{}}
	for i, c := range everyType {
		if c.only == "" || c.only == kind {
			types.queries = append(types.queries, fmt.Sprint("UPDATE typed SET `"+c.name+"` = "+c.other+" WHERE id = ", i))
			types.want[fmt.Sprintf("typed [%d]", i)] = verify.Different
		}
	}
	return append([]damage{types}, []damage{
		{"a missing row", nil, []string{"DELETE FROM orders WHERE id = 50"}, map[string]string{"orders [50]": verify.Missing}},
		{"an extra row", nil, []string{"INSERT INTO orders VALUES (1000000, 'extra', 1)"}, map[string]string{"orders [1000000]": verify.Extra}},
		{"two swapped values", nil, []string{"UPDATE orders SET n = CASE id WHEN 10 THEN 1 ELSE 0 END WHERE id IN (10, 11)"},
			map[string]string{"orders [10]": verify.Different, "orders [11]": verify.Different}},
		{"the same wrong row in two of three regions", []string{"b", "c"}, []string{"UPDATE orders SET item = 'wrong' WHERE id = 20"},
			map[string]string{"orders [20]": verify.Different}},
		{"the same extra row in two of three regions", []string{"a", "c"}, []string{"INSERT INTO orders VALUES (77777, 'wrong', 1)"},
			map[string]string{"orders [77777]": verify.Extra}},
		{"the same row missing in two of three regions", []string{"a", "c"}, []string{"DELETE FROM orders WHERE id = 21"}, map[string]string{"orders [21]": verify.Missing}},
		{"a row before the first", nil, []string{"INSERT INTO orders VALUES (-2147483648, 'first', 1)"}, map[string]string{"orders [-2147483648]": verify.Extra}},
		{"a row past the last", nil, []string{"INSERT INTO orders VALUES (2147483647, 'last', 1)"}, map[string]string{"orders [2147483647]": verify.Extra}},
		{"the first row and the last row missing", nil, []string{"DELETE FROM orders WHERE id IN (0, 99)"},
			map[string]string{"orders [0]": verify.Missing, "orders [99]": verify.Missing}},
		{"a key that differs by case only", nil, []string{"INSERT INTO bin VALUES ('ANNA', 1)"}, map[string]string{"bin [ANNA]": verify.Extra}},
		{"a key that differs by case only, in a part of it", nil, []string{"INSERT INTO parts VALUES ('Anna', 1, x'00', 1)"}, map[string]string{"parts [Anna 1 0x00]": verify.Extra}},
		{"a key that differs by a trailing byte", nil, []string{"INSERT INTO parts VALUES ('anna', 1, x'0000', 1)"}, map[string]string{"parts [anna 1 0x0000]": verify.Extra}},
		{"a key's own case", nil, []string{"UPDATE ci SET name = 'ANNA' WHERE name = 'anna'"}, map[string]string{"ci [anna]": verify.Different}},
		{"a key under another case in a table that calls them equal", nil, []string{"DELETE FROM ci WHERE name = 'anna'", "INSERT INTO ci VALUES ('aNNa', 1)"},
			map[string]string{"ci [anna]": verify.Different}},
		{"a row in a table that is empty elsewhere", nil, []string{"INSERT INTO nothing VALUES (1)"}, map[string]string{"nothing [1]": verify.Extra}},
		{"all rows of a table missing", nil, []string{"DELETE FROM bin"}, map[string]string{"bin [anna]": verify.Missing, "bin [Zoë]": verify.Missing}},
	}...)
}

// Whatever is changed past the binlog is found by reading the rows again, told by comparing, and repaired: one thing at a time, and
// then all of it at once.
func TestPeace_IsNeverFalse(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB} {
		t.Run(string(kind), func(t *testing.T) {
			r := newRegions(t, 2, kind, kind, kind)
			r.makePeace(kind)
			v := r.verifier()
			if result := r.compare(v); result.Equal == nil || !*result.Equal {
				t.Fatalf("before anything was done: %+v", result)
			}
			all := map[string]string{}
			damages := r.damages(kind)
			for _, d := range damages {
				r.plant(&d)
				r.finds(d.name, d.want)
				for at, k := range d.want {
					all[at] = k
				}
				r.mend()
			}
			if result := r.compare(v); result.Equal == nil || !*result.Equal {
				t.Fatalf("after all was put right: %+v", result)
			}
			for _, d := range damages {
				if d.name != "all rows of a table missing" && d.name != "a key under another case in a table that calls them equal" {
					r.plant(&d)
				}
			}
			delete(all, "bin [anna]")
			delete(all, "bin [Zoë]")
			r.finds("all at once", all)
			r.mend()
			if result := r.compare(v); result.Equal == nil || !*result.Equal {
				t.Errorf("after all was repaired: %+v", result)
			}
		})
	}
}

// makePeace makes three regions with the same rows, some from before Meridian came and some of its time.
func (r *regions) makePeace(kind testenv.Kind) {
	var columns, names, values []string
	for _, c := range everyType {
		if c.only == "" || c.only == kind {
			columns, names, values = append(columns, "`"+c.name+"` "+c.ddl), append(names, "`"+c.name+"`"), append(values, c.value)
		}
	}
	r.t.Helper()
	typed := fmt.Sprintf("INSERT INTO typed (id, %s) VALUES (?, %s)", strings.Join(names, ", "), strings.Join(values, ", "))
	for _, ddl := range []string{
		ordersDDL, "CREATE TABLE typed (id INT PRIMARY KEY, touched INT, " + strings.Join(columns, ", ") + ")", "CREATE TABLE nothing (id INT PRIMARY KEY)",
		"CREATE TABLE bin (name VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, n INT)",
		"CREATE TABLE ci (name VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY, n INT)",
		"CREATE TABLE parts (name VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_general_cs, n INT, b VARBINARY(9), x INT, PRIMARY KEY (name, n, b))",
	} {
		r.exec(ddl)
	}
	for _, g := range r.list {
		g.cfg.ScrubRows = 1_000_000
		g.insertMany(0, 50)
		g.exec("INSERT INTO bin VALUES ('anna', 1)")
	}
	r.start()
	a := r.list[0]
	a.insertMany(50, 50)
	for i := range everyType {
		a.exec(typed, i)
	}
	for _, q := range []string{"INSERT INTO bin VALUES ('Zoë', 1)", "INSERT INTO ci VALUES ('anna', 1)", "INSERT INTO parts VALUES ('anna', 1, x'00', 1)"} {
		a.exec(q)
	}
	r.waitSettled()
	for _, g := range r.list {
		g.waitScanned("orders", "typed", "bin", "ci", "parts", "nothing")
	}
}

func (r *regions) plant(d *damage) {
	r.t.Helper()
	for _, g := range r.list {
		if slices.Contains(d.in, g.name) || d.in == nil && g.name == "b" {
			for _, q := range d.queries {
				g.execOutOfBand(q)
			}
		}
	}
}

// finds waits until comparing tells these rows, and nothing else.
func (r *regions) finds(what string, want map[string]string) {
	r.t.Helper()
	v := r.verifier()
	eventually(r.t, what+" is found", func() error {
		got := map[string]string{}
		for _, f := range r.compare(v).Drift {
			got[fmt.Sprint(f.Table[len(r.schema)+1:], " ", f.Key)] = f.Kind
		}
		if !maps.Equal(got, want) {
			return fmt.Errorf("got %v, want %v", got, want)
		}
		return nil
	})
}

// mend repairs all that is found, and waits until nothing is found any more.
func (r *regions) mend() {
	r.t.Helper()
	v := r.verifier()
	eventually(r.t, "all is repaired", func() error {
		plan := verify.MakePlan(r.compare(v), verify.PlanOptions{MaxRows: 1000, Confirmed: true})
		if len(plan.Left) > 0 {
			r.t.Fatalf("nobody knows who is right: %+v", plan.Left)
		}
		if len(plan.Rows) == 0 {
			return nil
		}
		done, err := v.Repair(r.t.Context(), plan)
		if err != nil {
			r.t.Fatal(err)
		}
		return fmt.Errorf("%+v", done.Rows)
	})
	r.finds("nothing any more", map[string]string{})
}
