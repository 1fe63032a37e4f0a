package syncer_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"meridian/internal/testenv"
)

// Tombstones go when every region's file has passed the delete, and not before.
func TestTombstones_GoWhenEveryRegionHasPassedThem(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(ordersDDL)
	r.start()
	a, b := r.list[0], r.list[1]
	for i := range 10 {
		a.exec("INSERT INTO orders VALUES (?, 'x', 1)", i)
	}
	r.waitSettled()
	if err := b.end(); err != nil {
		t.Fatal(err)
	}
	a.exec("DELETE FROM orders WHERE id < 5")
	a.waitFlushes(3)
	a.exec("INSERT INTO orders VALUES (100, 'later', 1)")
	a.waitFlushes(3)
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	if n := a.tombstones(); n != 5 {
		t.Fatalf("%d tombstones are left while a region is away, want 5", n)
	}
	a.start()
	b.start()
	r.waitSettled()
	a.exec("UPDATE orders SET n = 2 WHERE id = 100") // a commit later than the deletes, seen by both
	r.waitSettled()
	for _, g := range r.list {
		eventually(t, g.name+" has collected its tombstones", func() error {
			g.exec("UPDATE orders SET n = n + 1 WHERE id = 100")
			if n := value(t, g, "tombstones_collected_total", nil); n < 5 {
				return fmt.Errorf("%v collected", n)
			}
			return nil
		})
	}
	r.waitSettled()
	r.waitEqual(all)
	r.checkLedgers()
	for _, g := range r.list {
		if n := g.tombstones(); n != 0 {
			t.Errorf("%s: %d tombstones are left", g.name, n)
		}
	}
}

// waitFlushes waits for some more writes of the ledger.
func (g *region) waitFlushes(n uint64) {
	g.t.Helper()
	start := g.flushes()
	eventually(g.t, "the ledger is written", func() error {
		g.exec("CREATE DATABASE IF NOT EXISTS unrelated")
		g.exec("DROP DATABASE unrelated") // moves the binlog
		if got := g.flushes() - start; got < n {
			return fmt.Errorf("%d times", got)
		}
		return nil
	})
}

func (g *region) flushes() uint64 {
	families, err := g.metrics.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "meridian_ledger_flush_seconds" {
			return f.GetMetric()[0].GetHistogram().GetSampleCount()
		}
	}
	return 0
}

// tombstones counts those in the region's ledger file, whose syncer must have ended.
func (g *region) tombstones() int {
	g.t.Helper()
	db, err := bbolt.Open(filepath.Join(g.cfg.Directory, "ledger.db"), 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		g.t.Fatal(err)
	}
	defer db.Close()
	n := 0
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("entries")).ForEach(func(_, v []byte) error {
			n += int(v[0] & 1) // the deleted flag
			return nil
		})
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return n
}
