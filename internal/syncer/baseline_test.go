package syncer_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"meridian/internal/checksum"
	"meridian/internal/testenv"
)

// Rows that were there before Meridian came are in the ledger in the end, also when they are changed while they are read, and
// when the process ends and begins again in the middle of it.
func TestBaseline_EntersWhatWasThereBefore(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB} {
		t.Run(string(kind), func(t *testing.T) {
			r := newRegions(t, 2, kind, kind)
			r.exec(ordersDDL)
			r.exec("CREATE TABLE names (name VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, kind INT, PRIMARY KEY (name, kind))")
			r.exec("CREATE TABLE nothing (id INT PRIMARY KEY)")
			const rows = 3000
			for _, g := range r.list {
				g.insertMany(0, rows)
				g.exec("INSERT INTO names SELECT CONCAT('Name ', id), id % 7 FROM orders")
				g.cfg.FlushEntries = 300
			}
			a, b := r.list[0], r.list[1]
			r.start()
			for i := range 40 {
				a.execAgain("UPDATE orders SET n = n + 1 WHERE id % 100 = ?", i)
				b.execAgain("DELETE FROM orders WHERE id % 100 = ?", 50+i)
				if i == 10 {
					if err := a.end(); err != nil {
						t.Fatal(err)
					}
					a.start()
					a.waitReady()
				}
			}
			for _, g := range r.list {
				g.waitScanned("orders", "names", "nothing")
			}
			r.waitSettled()
			r.waitEqual(all)
			if n := a.syncer.Status().LedgerRows; n != uint64(rows+rows-40*rows/100) {
				t.Errorf("the ledger has %d live rows", n)
			}
			r.checkLedgers()
		})
	}
}

// A scan that was finished is not begun again, and its rows are in the file.
func TestBaseline_IsDoneOnce(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL)
	r.exec(ordersDDL)
	a := r.list[0]
	a.insertMany(0, 100)
	r.start()
	a.waitScanned("orders")
	a.waitFlushes(2)
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	a.execOutOfBand("INSERT INTO orders VALUES (1000, 'unseen', 1)")
	a.start()
	a.waitScanned("orders")
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	l, err := checksum.Open(checksum.Options{Path: filepath.Join(a.cfg.Directory, "ledger.db"), Region: "a", Shards: 1, Share: "replica 0 of 1"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if rows, _, _ := l.Size(); rows != 100 {
		t.Errorf("%d rows, want those of the first scan", rows)
	}
}

// insertMany inserts orders with the ids from, from+1, ….
func (g *region) insertMany(from, n int) {
	g.t.Helper()
	for ; n > 0; from, n = from+500, n-500 {
		var values []string
		for i := from; i < from+min(n, 500); i++ {
			values = append(values, fmt.Sprintf("(%d, 'item %d', %d)", i, i, i%5))
		}
		g.exec("INSERT INTO orders VALUES " + strings.Join(values, ","))
	}
}

// execAgain executes a statement again until it is no deadlock's victim.
func (g *region) execAgain(query string, args ...any) {
	g.t.Helper()
	eventually(g.t, query, func() error {
		_, err := g.open().ExecContext(g.t.Context(), query, args...)
		return err
	})
}

// waitScanned waits until the first reading of the tables is over.
func (g *region) waitScanned(tables ...string) {
	g.t.Helper()
	eventually(g.t, g.name+" has read what was there before", func() error {
		done := map[string]bool{}
		list := g.syncer.Status().Baseline
		for _, p := range list {
			done[p.Table] = p.Done
		}
		for _, name := range tables {
			if !done[g.all.schema+"."+name] {
				return fmt.Errorf("%s is not done: %+v", name, list)
			}
		}
		return nil
	})
}
