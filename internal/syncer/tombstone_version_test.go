package syncer_test

import (
	"fmt"
	"testing"

	"meridian/internal/testenv"
)

// The values of a version column keep to no order: a row that is inserted again may be older than its delete. While any
// region could still have the tombstone, all must, or the row would live in one region and be lost in another.
func TestTombstones_StayWhereVersionsComeFromAColumn(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL, testenv.KindMySQL)
	for _, g := range r.list {
		g.cfg.Tables = tables{schema: r.schema, versions: map[string]string{r.schema + ".dated": "changed"}}
	}
	r.exec(ordersDDL)
	r.exec("CREATE TABLE dated (id INT PRIMARY KEY, changed DATETIME(6))")
	r.start()
	a, b := r.list[0], r.list[1]
	a.exec("INSERT INTO dated VALUES (1, '2024-01-01')")
	a.exec("INSERT INTO orders VALUES (1, 'x', 1), (100, 'x', 1)")
	r.waitSettled()
	a.exec("DELETE FROM dated")
	a.exec("DELETE FROM orders WHERE id = 1")
	eventually(t, "a has collected the other table's tombstone", func() error {
		a.exec("UPDATE orders SET n = n + 1 WHERE id = 100")
		b.exec("UPDATE orders SET n = n + 1 WHERE id = 100")
		if n := value(t, a, "tombstones_collected_total", nil); n < 1 {
			return fmt.Errorf("%v collected", n)
		}
		return nil
	})
	a.exec("INSERT INTO dated VALUES (1, '2023-01-01')") // before the delete, by its column
	r.waitSettled()
	r.waitRows("SELECT id FROM dated", "\"1\" \n")
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	if n := a.tombstones(); n != 0 {
		t.Errorf("%d tombstones, want none but the one that the insert replaced", n)
	}
}
