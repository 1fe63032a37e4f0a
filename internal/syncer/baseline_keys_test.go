package syncer_test

import (
	"fmt"
	"strings"
	"testing"

	"meridian/internal/inspect"
	"meridian/internal/testenv"
)

// keyKinds are primary keys that servers order in ways of their own, with rows in that order.
var keyKinds = []struct {
	name, columns, primary string
	rows                   []string
	past                   string // behind all of them
}{
	{"number", "id INT", "id", []string{"-2147483648", "-1", "0", "1", "7", "2147483646"}, "2147483647"},
	{"composite", "a VARCHAR(9) CHARACTER SET latin1 COLLATE latin1_swedish_ci, b BIGINT UNSIGNED, c DATE", "a, b, c",
		[]string{"'a', 1, '2024-01-01'", "'A', 1, '2024-01-02'", "'a', 18446744073709551615, '2024-01-01'", "'b', 0, '0000-00-00'"}, "'z', 0, '2024-01-01'"},
	{"ignorecase", "k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", "k", []string{"''", "'Anna'", "'anna b'", "'ANNA C'", "'Zoë'", "'zoo'"}, "'zz'"},
	{"unicode", "k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci", "k", []string{"'_'", "'1'", "'a'", "'Ä b'", "'b'", "'Łódź'"}, "'日本'"},
	{"binarytext", "k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "k", []string{"'A'", "'B'", "'a'", "'b'", "'é'"}, "'日本'"},
	{"casesensitive", "k VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_general_cs", "k", []string{"'A'", "'a'", "'B'", "'b'"}, "'z'"},
	{"rawbytes", "k VARBINARY(9)", "k", []string{"x''", "x'00'", "x'0000'", "x'27'", "x'5c'", "x'ff'"}, "x'ffff'"},
	{"fixedbytes", "k BINARY(3)", "k", []string{"x'000000'", "x'0000ff'", "x'ff0000'"}, "x'ffffff'"},
	{"label", "k ENUM('z','a','m')", "k", []string{"'z'", "'a'"}, "'m'"},
	{"amount", "k DECIMAL(20,4)", "k", []string{"-99.5", "-1", "0", "0.0001", "10"}, "1234567890123456.7890"},
	{"moment", "k DATETIME(6)", "k", []string{"'0000-00-00'", "'1999-12-31 23:59:59.999999'", "'2024-01-01'"}, "'9999-12-31'"},
	{"clock", "k TIME", "k", []string{"'-10:00:00'", "'-01:00:00'", "'00:00:00'", "'10:00:00'"}, "'800:00:00'"},
}

// Whatever the key is made of and however the server orders it: each row is entered once, in pieces of a few rows, those that come
// behind the last while the reading goes on included, and a process that ends in the middle takes it up where it was.
func TestBaseline_ReadsTablesWithEveryKindOfKey(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB} {
		t.Run(string(kind), func(t *testing.T) {
			r := newRegions(t, 2, kind)
			a := r.list[0]
			a.cfg.FlushEntries, a.cfg.BaselineRows = 5, 20 // ten rows a piece, two pieces a second
			var names []string
			rows := 0
			for _, k := range keyKinds {
				names = append(names, k.name)
				a.exec("CREATE TABLE " + k.name + " (" + k.columns + ", n INT DEFAULT 1, PRIMARY KEY (" + k.primary + "))")
				for _, row := range k.rows {
					a.execLax("INSERT INTO " + k.name + " (" + k.primary + ") VALUES (" + row + ")")
					rows++
				}
			}
			a.exec("CREATE TABLE zlast (id INT PRIMARY KEY)")
			var ids []string
			for i := range 45 {
				ids = append(ids, fmt.Sprintf("(%d)", i*1000))
			}
			a.exec("INSERT INTO zlast VALUES " + strings.Join(ids, ","))
			r.start()
			read := func(atLeast uint64) func() error {
				return func() error {
					for _, p := range a.syncer.Status().Baseline {
						if p.Table == r.schema+".zlast" && (p.Rows >= atLeast || p.Done) {
							return nil
						}
					}
					return fmt.Errorf("%+v", a.syncer.Status().Baseline)
				}
			}
			eventually(t, "the last table is begun", read(10))
			for _, k := range keyKinds {
				a.execLax("INSERT INTO " + k.name + " (" + k.primary + ") VALUES (" + k.past + ")")
			}
			a.exec("INSERT INTO zlast VALUES (1000000)")
			a.exec("DELETE FROM zlast WHERE id IN (0, 44000)")
			eventually(t, "more of it is read", read(20))
			if err := a.end(); err != nil {
				t.Fatal(err)
			}
			a.start()
			a.waitReady()
			a.waitScanned(append(names, "zlast")...)
			r.waitSettled()
			if n, want := a.syncer.Status().LedgerRows, uint64(rows+len(keyKinds)+45+1-2); n != want {
				t.Errorf("the ledger has %d live rows, of %d", n, want)
			}
			c := a.scrubber()
			for _, name := range append(names, "zlast") { // every row has its entry, and every entry its row
				s, err := c.StartScrub(t.Context(), inspect.ScrubRequest{Table: r.schema + "." + name, RowsPerSecond: 1_000_000})
				if err != nil {
					t.Fatal(err)
				}
				if s = waitOver(t, c, s.ID); s.State != inspect.ScrubDone || len(s.Found) > 0 {
					t.Errorf("%s: %+v", name, s)
				}
			}
		})
	}
}
