package syncer_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"meridian/internal/testenv"
)

// A lost ledger is rebuilt from the topics and the database: versions come back, so that old changes do not win again.
func TestRebuild_ALostLedgerComesBack(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB1011} {
		t.Run(string(kind), func(t *testing.T) {
			r := newRegions(t, 4, testenv.KindMySQL, kind)
			r.exec(ordersDDL)
			r.start()
			a, b := r.list[0], r.list[1]
			for i := range 30 {
				a.exec("INSERT INTO orders VALUES (?, 'a', ?)", i, i)
				b.exec("INSERT INTO orders VALUES (?, 'b', ?)", 100+i, i)
			}
			r.waitSettled()
			r.waitEqual(all)
			b.exec("UPDATE orders SET n = n + 1000 WHERE id < 10")
			a.exec("DELETE FROM orders WHERE id BETWEEN 110 AND 115")
			r.waitSettled()
			if err := b.end(); err != nil {
				t.Fatal(err)
			}
			b.exec("UPDATE orders SET n = n + 5000 WHERE id IN (1, 2, 101)")
			b.exec("DELETE FROM orders WHERE id IN (3, 103)")
			b.exec("INSERT INTO orders VALUES (200, 'while down', 0)")
			a.exec("UPDATE orders SET item = 'meanwhile' WHERE id IN (4, 104, 110)")
			if err := os.Remove(filepath.Join(b.cfg.Directory, "ledger.db")); err != nil {
				t.Fatal(err)
			}
			b.start()
			b.waitReady()
			r.waitSettled()
			r.waitEqual(all)
			r.checkLedgers()
			for _, g := range r.list {
				if n := value(t, g, "versions_went_back_total", nil); n != 0 {
					t.Errorf("%s: %v versions went back", g.name, n)
				}
			}
		})
	}
}

// A database that does not know the checkpoint's transactions has lost some: the ledger is not believed any more.
func TestRebuild_FollowsADatabaseThatLostItsHistory(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(ordersDDL)
	r.start()
	a, b := r.list[0], r.list[1]
	for i := range 10 {
		b.exec("INSERT INTO orders VALUES (?, 'b', ?)", i, i)
	}
	r.waitSettled()
	if err := b.end(); err != nil {
		t.Fatal(err)
	}
	b.exec("RESET BINARY LOGS AND GTIDS")
	b.start()
	b.waitReady()
	a.exec("UPDATE orders SET n = n + 100 WHERE id < 5")
	b.exec("UPDATE orders SET n = n + 200 WHERE id >= 5")
	want := ""
	for i := range 10 {
		n := i + 100
		if i >= 5 {
			n = i + 200
		}
		want += fmt.Sprintf("\"%d\" \"b\" \"%d\" \n", i, n)
	}
	r.waitRows(all, want)
	r.waitSettled()
	r.checkLedgers()
}
