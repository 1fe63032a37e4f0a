package syncer_test

import (
	"fmt"
	"testing"

	"meridian/internal/testenv"
)

// With one shard transactions are kept whole: what a region reads waits for the end of its transaction, which must
// always come. These are the transactions whose last row is not published.

func TestWhole_ATriggersWriteInAReplayedTransactionIsOver(t *testing.T) {
	a, b, _, r := two(t, ordersDDL)
	r.exec("CREATE TABLE audit (id BIGINT PRIMARY KEY)")
	b.exec("CREATE TRIGGER note BEFORE INSERT ON orders FOR EACH ROW INSERT INTO audit VALUES (NEW.id)")
	a.exec("INSERT INTO orders VALUES (1, 'x', 1)")
	r.waitRows("SELECT * FROM audit", "\"1\" \n")
}

func TestWhole_ATransactionWhoseLastRowIsTooLargeIsOver(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	r.exec("CREATE TABLE orders (id BIGINT PRIMARY KEY, item LONGTEXT)")
	for _, g := range r.list {
		g.cfg.MaxRecordBytes = 64 << 10
	}
	r.start()
	r.list[0].exec("INSERT INTO orders VALUES (1, 'x'), (2, REPEAT('x', 200000))")
	eventually(t, "the small row has come", func() error {
		if got := r.list[1].rows("SELECT id FROM orders"); got != "\"1\" \n" {
			return fmt.Errorf("b has %s", got)
		}
		return nil
	})
}
