package syncer_test

import (
	"testing"

	"meridian/internal/testenv"
)

// While an ALTER TABLE goes through the regions, a column that is in one of them only is no drift, whatever is written meanwhile;
// what differs in the columns that both have is. When the last region has it, all are equal.
func TestCompare_AnAlterThatGoesThroughTheRegionsIsNoDrift(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL, testenv.KindMariaDB)
	r.exec(ordersDDL)
	for _, g := range r.list {
		g.insertMany(0, 50)
	}
	r.list[1].exec("UPDATE orders SET item = 'other' WHERE id = 7")
	r.start()
	for _, g := range r.list {
		g.waitScanned("orders")
	}
	v := r.verifier()
	r.list[0].exec("ALTER TABLE orders ADD COLUMN note VARCHAR(20) NOT NULL DEFAULT 'new'")
	r.list[1].exec("UPDATE orders SET n = 100 WHERE id < 5") // applied where the column is: its default stands in the row
	r.waitRows("SELECT COUNT(*) FROM orders WHERE n = 100", "\"5\" \n")
	result := r.compare(v)
	if len(result.Drift) != 1 || result.Drift[0].Key[0] != "7" || len(result.Unproven) != 0 {
		t.Errorf("one region has the column: %+v", result)
	}
	r.list[1].exec("UPDATE orders SET item = 'agreed' WHERE id = 7")
	r.waitRows("SELECT COUNT(*) FROM orders WHERE item = 'agreed'", "\"1\" \n")
	if result = r.compare(v); result.Equal == nil || !*result.Equal {
		t.Errorf("one region has the column: %+v", result)
	}
	r.list[1].exec("ALTER TABLE orders ADD COLUMN note VARCHAR(20) NOT NULL DEFAULT 'new'")
	r.list[0].exec("UPDATE orders SET n = 200 WHERE id < 5")
	r.waitRows("SELECT COUNT(*) FROM orders WHERE n = 200", "\"5\" \n")
	if result = r.compare(v); result.Equal == nil || !*result.Equal {
		t.Errorf("both have it: %+v", result)
	}
}
