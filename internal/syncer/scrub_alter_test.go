package syncer_test

import (
	"fmt"
	"testing"

	"meridian/internal/testenv"
)

// Tables are altered and dropped while they are read again. That ends nobody, and the reading goes on with what they are then.
func TestScrub_OutlivesWhatIsDoneToTables(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL)
	r.exec(ordersDDL)
	r.exec("CREATE TABLE other (id INT PRIMARY KEY, x INT)")
	a := r.list[0]
	a.cfg.ScrubRows = 20_000
	a.insertMany(0, 3000)
	r.start()
	a.waitScanned("orders", "other")
	for i, ddl := range []string{
		"ALTER TABLE orders DROP COLUMN n", "ALTER TABLE orders ADD COLUMN n INT", "ALTER TABLE orders DROP PRIMARY KEY, ADD PRIMARY KEY (id, item)",
		"DROP TABLE other", "ALTER TABLE orders DROP PRIMARY KEY, ADD PRIMARY KEY (id)",
	} {
		a.exec(ddl)
		a.exec("INSERT INTO orders (id, item) VALUES (?, 'after it')", 10_000+i)
	}
	last := ""
	for range 3 {
		eventually(t, "the table has been read again as a whole", func() error {
			for _, p := range a.syncer.Status().Scrub {
				if p.Table == r.schema+".orders" && p.Covered != nil && p.Covered.String() != last {
					last = p.Covered.String()
					return nil
				}
			}
			return fmt.Errorf("not yet: %+v", a.syncer.Status().Scrub)
		})
	}
	a.waitReady()
}
