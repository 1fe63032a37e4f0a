package syncer_test

import "testing"

// What a trigger writes while a change is replayed is this region's own, and goes to the others at once: also where
// transactions are kept whole, and the last row of this one is a replayed one.
func TestTrigger_ItsWritesReachTheOthersWithoutAnotherTransaction(t *testing.T) {
	a, b, _, r := two(t, ordersDDL)
	r.exec("CREATE TABLE audit (id BIGINT PRIMARY KEY)")
	b.exec("CREATE TRIGGER note BEFORE INSERT ON orders FOR EACH ROW INSERT INTO audit VALUES (NEW.id)")
	a.exec("INSERT INTO orders VALUES (1, 'x', 1)")
	r.waitRows("SELECT * FROM audit", "\"1\" \n")
}
