package syncer_test

import (
	"testing"

	"meridian/internal/testenv"
)

const ordersDDL = "CREATE TABLE orders (id BIGINT PRIMARY KEY, item VARCHAR(50), n INT)"

func TestSyncer_BringsEveryRowToEveryRegion(t *testing.T) {
	r := newRegions(t, 4, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(ordersDDL)
	r.start()
	a, b := r.list[0], r.list[1]
	a.exec("INSERT INTO orders VALUES (1, 'apple', 1), (2, 'pear', 2)")
	r.waitRows("SELECT * FROM orders ORDER BY id", "\"1\" \"apple\" \"1\" \n\"2\" \"pear\" \"2\" \n")
	b.exec("UPDATE orders SET n = n + 10")
	b.exec("DELETE FROM orders WHERE id = 1")
	b.exec("INSERT INTO orders VALUES (3, NULL, -3)")
	r.waitRows("SELECT * FROM orders ORDER BY id", "\"2\" \"pear\" \"12\" \n\"3\" NULL \"-3\" \n")
}
