package syncer_test

import (
	"fmt"
	"testing"
	"time"

	"meridian/internal/testenv"
)

// A database that was restored has forgotten the epochs that stand in its topic. What the region writes from then on is heard
// all the same.
func TestEpoch_ARestoredDatabaseIsHeard(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(ordersDDL)
	r.start()
	a := r.list[0]
	a.exec("INSERT INTO orders VALUES (1, 'x', 1)")
	r.waitSettled()
	for range 4 {
		if err := a.end(); err != nil {
			t.Fatal(err)
		}
		a.start()
		a.waitReady()
	}
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	// What a backup from before the restarts, or a replica that was behind, has.
	a.exec("UPDATE meridian.owner SET epoch = 1")
	a.exec("UPDATE meridian.provenance SET epoch = 1")
	a.exec("RESET BINARY LOGS AND GTIDS")
	a.start()
	a.waitReady()
	a.exec("INSERT INTO orders VALUES (3, 'after the restore', 1)")
	r.waitRows("SELECT id FROM orders WHERE id = 3", "\"3\" \n")
}

// Readers ignore what an older owner publishes after its successor's marker. It does not count as published either: the
// successor publishes it itself.
func TestEpoch_WhatAnOlderOwnerPublishedIsPublishedAgain(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(ordersDDL)
	a, b := r.list[0], r.list[1]
	older := &region{t: t, all: r, name: a.name, db: a.db, cfg: a.cfg}
	older.cfg.Directory = t.TempDir()
	older.cfg.TailerID += 1000
	older.cfg.PulseInterval = time.Hour // it has nothing to apply, and does not look whether it still is the owner
	b.start()
	older.start()
	older.waitReady()
	a.start()
	a.waitReady()
	a.exec("INSERT INTO orders VALUES (1, 'x', 1)")
	r.waitRows("SELECT id FROM orders", "\"1\" \n")
	a.waitFlushes(3)
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	a.exec("INSERT INTO orders VALUES (5, 'while the successor is away', 1)")
	eventually(t, "the older owner has published it", func() error {
		for _, m := range r.published(a) {
			if id := m.Change.After[0].Int64(); id == 5 {
				return nil
			}
		}
		return fmt.Errorf("not yet")
	})
	a.start()
	a.waitReady()
	a.exec("INSERT INTO orders VALUES (6, 'after', 1)")
	r.waitRows("SELECT id FROM orders", "\"1\" \n\"5\" \n\"6\" \n")
}

// A process that has nothing to apply finds out, too, that its shards have another owner, and ends.
func TestEpoch_AnIdleOwnerNoticesItsSuccessor(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL)
	r.exec(ordersDDL)
	r.start()
	a := r.list[0]
	twin := &region{t: t, all: r, name: a.name, db: a.db, cfg: a.cfg}
	twin.cfg.Directory = t.TempDir()
	twin.cfg.TailerID += 1000
	twin.start()
	a.waitFenced()
}

// The ledger of a process knows its own shards only. When it gets others back, what happened to them meanwhile is not forgotten.
func TestReplicas_ThereAndBackKeepsTheNewerRows(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(ordersDDL)
	r.start()
	a, b := r.list[0], r.list[1]
	for i := range 10 {
		a.exec("INSERT INTO orders VALUES (?, 'one process', 1)", i)
	}
	r.waitSettled()
	if err := b.end(); err != nil {
		t.Fatal(err)
	}
	halves := make([]*region, 2)
	for i := range halves {
		h := &region{t: t, all: r, name: b.name, db: b.db, cfg: b.cfg}
		h.cfg.Replica, h.cfg.Replicas = i, 2
		if i > 0 {
			h.cfg.Directory = t.TempDir()
			h.cfg.TailerID += 1000
		}
		halves[i] = h
		h.start()
	}
	for _, h := range halves {
		h.waitReady()
	}
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	a.exec("UPDATE orders SET item = 'older', n = 2")
	b.exec("UPDATE orders SET item = 'newer', n = 3")
	eventually(t, "both halves have published their rows", func() error {
		n := 0
		for _, m := range r.published(b) {
			if len(m.Change.After) > 1 && string(m.Change.After[1].Bytes) == "newer" {
				n++
			}
		}
		if n < 10 {
			return fmt.Errorf("%d of 10", n)
		}
		return nil
	})
	for _, h := range halves {
		h.waitFlushes(3)
		if err := h.end(); err != nil {
			t.Fatal(err)
		}
	}
	b.start()
	a.start()
	a.waitReady()
	b.waitReady()
	r.waitSettled()
	r.waitRows("SELECT COUNT(*) FROM orders WHERE item = 'newer'", "\"10\" \n")
}
