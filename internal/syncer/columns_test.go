package syncer_test

import (
	"testing"

	"meridian/internal/inspect"
	"meridian/internal/testenv"
)

// What the binlog and the information schema say of a column comes out as the same columns, for every type: else no row could be
// told from one that an ALTER TABLE has rewritten.
func TestColumns_AreTheSameFromTheBinlogAndTheSchema(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB} {
		t.Run(string(kind), func(t *testing.T) {
			r := newRegions(t, 1, kind)
			a := r.list[0]
			for _, c := range everyType { // with others behind it, whose descriptions must not move
				if c.only == "" || c.only == kind {
					a.exec("CREATE TABLE `" + c.name + "` (id INT PRIMARY KEY, c " + c.ddl + ", t TEXT CHARACTER SET latin1, b BLOB, u INT UNSIGNED, e ENUM('x'), v VARCHAR(9))")
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
				if c.only != "" && c.only != kind {
					continue
				}
				e, err := a.syncer.Inspector().Entries(t.Context(), inspect.EntriesQuestion{Table: r.schema + "." + c.name, Buckets: every})
				if err != nil || len(e.Entries) != 1 {
					t.Fatalf("%s: %+v, %v", c.name, e, err)
				}
				rows, err := a.syncer.Inspector().Rows(t.Context(), r.schema+"."+c.name, []inspect.KeyRef{e.Entries[0].KeyRef})
				if err != nil {
					t.Fatal(err)
				}
				if row := rows.Rows[0]; row.Columns != e.Entries[0].Columns || row.Digest != e.Entries[0].Digest {
					t.Errorf("%s (%s): the entry is of columns %x, the row of %x (%v)", c.name, c.ddl, e.Entries[0].Columns, row.Columns, row.Values[1].Type)
				}
			}
		})
	}
}
