package syncer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"meridian/internal/propagate"
	"meridian/internal/syncer"
)

// What an apply transaction says of itself and what it writes are one transaction: others see all of it or nothing.

// rowsAt is rows as a connection with the isolation level sees them: READ UNCOMMITTED looks into open transactions.
func (g *region) rowsAt(isolation, query string) string {
	g.t.Helper()
	pool := g.db.Open(g.all.schema)
	pool.SetMaxOpenConns(1) // the level is the connection's
	if _, err := pool.ExecContext(g.t.Context(), "SET SESSION TRANSACTION ISOLATION LEVEL "+isolation); err != nil {
		g.t.Fatal(err)
	}
	looking := &region{t: g.t, all: g.all, name: g.name, pool: pool}
	return looking.rows(query)
}

// insideOnly checks what a transaction that is still open has done, and that nobody else sees any of it.
func (g *region) insideOnly(query, inside, outside string) {
	g.t.Helper()
	if got := g.rowsAt("READ UNCOMMITTED", query); got != inside {
		g.t.Errorf("%s: within the transaction it is %swant %s", query, got, inside)
	}
	if got := g.rowsAt("READ COMMITTED", query); got != outside {
		g.t.Errorf("%s: outside of the transaction it is %swant %s", query, got, outside)
	}
}

// standing counts the rows, the parked changes, and whether the place in a's topic has moved from where it was.
const standing = "SELECT (SELECT COUNT(*) FROM orders), (SELECT COUNT(*) FROM meridian.parked), next_offset > %s FROM meridian.provenance WHERE source = 'a'"

func (g *region) nextOffset() string {
	return strings.Trim(g.rows("SELECT next_offset FROM meridian.provenance WHERE source = 'a'"), "\" \n")
}

func TestOffsets_MoveInTheTransactionThatWritesTheRows(t *testing.T) {
	a, b, g, r := two(t, ordersDDL)
	written := g.arm("apply.written")
	query := fmt.Sprintf(standing, b.nextOffset())
	a.exec("INSERT INTO orders VALUES (1, 'x', 1), (2, 'y', 2)")
	written.wait()
	b.insideOnly(query, "\"2\" \"0\" \"1\" \n", "\"0\" \"0\" \"0\" \n")
	written.release()
	r.waitEqual(all)
}

func TestParked_IsSetAsideInTheTransactionThatMovesTheOffset(t *testing.T) {
	a, b, g, r := two(t, "CREATE TABLE orders (id INT PRIMARY KEY, code VARCHAR(10), UNIQUE KEY code (code))",
		func(c *syncer.Config) { c.RetryDelay = 0 })
	b.execOutOfBand("INSERT INTO orders VALUES (900, 'taken')")
	written := g.arm("apply.written") // where a transaction comes that the database has refused nothing of
	query := fmt.Sprintf(standing, b.nextOffset())
	a.exec("INSERT INTO orders VALUES (1, 'one'), (2, 'taken')")
	written.wait()
	b.insideOnly(query, "\"2\" \"1\" \"1\" \n", "\"1\" \"0\" \"0\" \n")
	again := g.arm("apply.written")
	written.release()
	eventually(t, "the change is parked", func() error {
		if got := b.rows(query); got != "\"2\" \"1\" \"1\" \n" {
			return errors.New(got)
		}
		return nil
	})
	b.execOutOfBand("DELETE FROM orders WHERE id = 900")
	again.wait()
	b.insideOnly(query, "\"2\" \"0\" \"1\" \n", "\"1\" \"1\" \"1\" \n")
	again.release()
	r.waitRows("SELECT * FROM orders ORDER BY id", "\"1\" \"one\" \n\"2\" \"taken\" \n")
}

// Whoever finds the place in the topic moved by somebody else ends: what he decided is of no use any more.
func TestOffsets_MovedBySomebodyElseAreNotWrittenOver(t *testing.T) {
	a, b, g, _ := two(t, ordersDDL)
	decided, committed := g.arm("apply.decided"), g.arm("apply.committed")
	a.exec("INSERT INTO orders VALUES (1, 'x', 1)")
	decided.wait()
	b.exec("UPDATE meridian.provenance SET next_offset = next_offset + 1000")
	decided.release()
	b.endsWith(propagate.ErrMoved, committed)
	if got := b.rows(all); got != "" {
		t.Errorf("it wrote %s", got)
	}
}

// A process that had decided before its successor claimed the shard commits nothing after it.
func TestEpoch_WhatWasDecidedBeforeASuccessorsClaimIsNotCommitted(t *testing.T) {
	a, b, g, r := two(t, ordersDDL)
	decided, committed := g.arm("apply.decided"), g.arm("apply.committed")
	a.exec("INSERT INTO orders VALUES (1, 'x', 1)")
	decided.wait()

	twin := &region{t: t, all: r, name: b.name, db: b.db, cfg: b.cfg}
	twin.cfg.Directory = t.TempDir()
	twin.cfg.TailerID += 1000
	successor := newGates(t)
	twin.cfg.Reached = successor.reached
	claimed := successor.arm("apply.decided") // so that the offset stays where the old process left it
	twin.start()
	claimed.wait()
	decided.release()
	b.endsWith(propagate.ErrFenced, committed)
	if got := b.rows(all); got != "" {
		t.Errorf("the old process wrote %s", got)
	}
	claimed.release()
	r.waitRows(all, "\"1\" \"x\" \"1\" \n")
}

// endsWith waits until the syncer ends with the error, and fails the test when it comes to the gate instead.
func (g *region) endsWith(want error, instead *gate) {
	g.t.Helper()
	select {
	case err := <-g.done:
		if !errors.Is(err, want) {
			g.t.Errorf("the syncer of %s ended with %v, want %v", g.name, err, want)
		}
		g.done <- nil
	case <-instead.arrived:
		g.t.Errorf("the syncer of %s came to %s, where it had to end with %v", g.name, instead.name, want)
	case <-time.After(time.Minute):
		g.t.Fatalf("the syncer of %s runs on", g.name)
	}
}
