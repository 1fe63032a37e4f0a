package syncer_test

import (
	"testing"

	"meridian/internal/inspect"
	"meridian/internal/testenv"
)

// What the binlog and the information schema say of a column comes out as the same columns, for every type: else no row could be
// told from one that an ALTER TABLE has rewritten. And a row has one digest, from the binlog (1), the first reading (2, 3) and a
// reading under its lock.
func TestColumns_AreTheSameFromTheBinlogAndTheSchema(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB} {
		t.Run(string(kind), func(t *testing.T) {
			r := newRegions(t, 1, kind)
			a := r.list[0]
			for _, c := range everyType { // with others behind it, whose descriptions must not move
				if c.only == "" || c.only == kind {
					a.exec("CREATE TABLE `" + c.name + "` (id INT PRIMARY KEY, c " + c.ddl + ", t TEXT CHARACTER SET latin1, b BLOB, u INT UNSIGNED, e ENUM('x'), v VARCHAR(9))")
					a.exec("INSERT INTO `" + c.name + "` VALUES (2, " + c.value + ", 'é', x'ff00', 1, 'x', 'é'), (3, " + c.other + ", NULL, NULL, NULL, NULL, NULL)")
				}
			}
			r.start()
			for _, c := range everyType {
				if c.only == "" || c.only == kind {
					a.exec("INSERT INTO `" + c.name + "` VALUES (1, " + c.value + ", 'é', x'ff00', 1, 'x', 'é')")
				}
			}
			r.waitSettled()
			for _, c := range everyType {
				if c.only == "" || c.only == kind {
					a.waitScanned(c.name)
				}
			}
			for _, c := range everyType {
				if c.only != "" && c.only != kind {
					continue
				}
				e, err := a.syncer.Inspector().Entries(t.Context(), inspect.EntriesQuestion{Table: r.schema + "." + c.name, Buckets: every})
				if err != nil || len(e.Entries) != 3 {
					t.Fatalf("%s: %+v, %v", c.name, e, err)
				}
				for _, e := range e.Entries {
					rows, err := a.syncer.Inspector().Rows(t.Context(), r.schema+"."+c.name, []inspect.KeyRef{e.KeyRef})
					if err != nil {
						t.Fatal(err)
					}
					if row := rows.Rows[0]; row.Columns != e.Columns || row.Digest != e.Digest {
						t.Errorf("%s (%s), %v: the entry is %x of columns %x, the row %x of %x (%v)", c.name, c.ddl, row.Text, e.Digest, e.Columns, row.Digest, row.Columns,
							row.Values[1].Type)
					}
				}
			}
		})
	}
}
