package syncer_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/go-sql-driver/mysql"
	dto "github.com/prometheus/client_model/go"

	"meridian/internal/syncer"
	"meridian/internal/testenv"
)

const all = "SELECT * FROM orders ORDER BY id"

// two starts two regions with one shard, so that steps come one after the other; gates hold the second.
func two(t *testing.T, ddl string, change ...func(*syncer.Config)) (a, b *region, g *gates, r *regions) {
	t.Helper()
	r = newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	g = newGates(t)
	r.list[1].cfg.Reached = g.reached
	for _, f := range change {
		f(&r.list[1].cfg)
	}
	r.exec(ddl)
	r.start()
	return r.list[0], r.list[1], g, r
}

func value(t *testing.T, g *region, name string, labels map[string]string) float64 {
	t.Helper()
	families, err := g.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != "meridian_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			if matches(m, labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// waitCount waits until a metric has counted that far.
func (g *region) waitCount(name string, labels map[string]string, least float64) {
	g.t.Helper()
	eventually(g.t, fmt.Sprintf("%s of %s is at least %v", name, g.name, least), func() error {
		if n := value(g.t, g, name, labels); n < least {
			return fmt.Errorf("it is %v; %+v", n, g.syncer.Status().Sources)
		}
		return nil
	})
}

func matches(m *dto.Metric, labels map[string]string) bool {
	found := 0
	for _, l := range m.GetLabel() {
		if v, ok := labels[l.GetName()]; ok && v == l.GetValue() {
			found++
		}
	}
	return found == len(labels)
}

// The fence: a local write that was committed after the decision, and that the tailer has not seen yet, is not
// overwritten by an older change.
func TestFence_KeepsALocalCommitBetweenDecideAndCommit(t *testing.T) {
	a, b, g, r := two(t, ordersDDL)
	a.exec("INSERT INTO orders VALUES (1, 'first', 1)")
	r.waitRows(all, "\"1\" \"first\" \"1\" \n")

	decided, written := g.arm("apply.decided"), g.arm("apply.written")
	a.exec("UPDATE orders SET item = 'older', n = 2")
	decided.wait()
	tailer := g.arm("capture.begin")
	b.exec("UPDATE orders SET item = 'newer', n = 3")
	tailer.wait() // committed, and not in the ledger
	fenced := g.arm("apply.fenced")
	decided.release()
	written.wait() // over the newer row, in a transaction that must not commit
	written.release()
	fenced.empty("the tailer has not passed the local commit")
	tailer.release()
	fenced.release()
	r.waitRows(all, "\"1\" \"newer\" \"3\" \n")
	if n := value(t, b, "versions_went_back_total", nil); n != 0 {
		t.Errorf("%v newer rows were overwritten", n)
	}
	b.waitCount("retries_total", map[string]string{"reason": "changed"}, 1) // else the test did not force what it is for
}

// The gap lock: beside a replayed delete of a row that is not there, no local insert slips in before the commit.
func TestGapLock_KeepsALocalInsertOutBesideADeleteOfAnAbsentRow(t *testing.T) {
	a, b, g, r := two(t, ordersDDL)
	a.exec("INSERT INTO orders VALUES (1, 'x', 1), (5, 'y', 5)")
	r.waitRows(all, "\"1\" \"x\" \"1\" \n\"5\" \"y\" \"5\" \n")
	b.execOutOfBand("DELETE FROM orders WHERE id = 5")
	written := g.arm("apply.written")
	a.exec("DELETE FROM orders WHERE id = 5")
	written.wait() // after a first attempt that found no row to delete
	b.locked("INSERT INTO orders VALUES (5, 'again', 6)")
	written.release()
	b.exec("INSERT INTO orders VALUES (5, 'again', 6)")
	r.waitRows(all, "\"1\" \"x\" \"1\" \n\"5\" \"again\" \"6\" \n")
}

// The same where the ledger knows that the row is gone: a delete that is newer than its tombstone keeps the key, too.
func TestGapLock_KeepsALocalInsertOutBesideADeleteThatIsNewerThanTheTombstone(t *testing.T) {
	a, b, g, r := two(t, ordersDDL)
	a.exec("INSERT INTO orders VALUES (1, 'x', 1), (5, 'y', 5)")
	r.waitEqual(all)
	r.waitSettled()
	publisher, captured := g.arm("publish.begin"), value(t, b, "capture_transactions_total", nil)
	publisher.wait() // so that a's delete does not know of b's
	b.exec("DELETE FROM orders WHERE id = 5")
	b.waitCount("capture_transactions_total", nil, captured+1)
	written := g.arm("apply.written")
	a.exec("DELETE FROM orders WHERE id = 5")
	written.wait()
	b.locked("INSERT INTO orders VALUES (5, 'again', 6)")
	written.release()
	publisher.release()
	b.exec("INSERT INTO orders VALUES (5, 'again', 6)")
	r.waitRows(all, "\"1\" \"x\" \"1\" \n\"5\" \"again\" \"6\" \n")
}

// locked checks that a statement cannot be executed now because of somebody's lock.
func (g *region) locked(query string) {
	g.t.Helper()
	conn, err := g.open().Conn(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	if _, err = conn.ExecContext(g.t.Context(), "SET innodb_lock_wait_timeout = 1"); err != nil {
		g.t.Fatal(err)
	}
	_, err = conn.ExecContext(g.t.Context(), query)
	var e *mysql.MySQLError
	if !errors.As(err, &e) || e.Number != 1205 {
		g.t.Errorf("%s: %s ended with %v, want a lock timeout", g.name, query, err)
	}
}

// A row count that is not what the ledger expected means that a local write is ahead of the tailer.
func TestRowCount_ALocalInsertAheadOfTheTailerIsNeitherParkedNorOverwritten(t *testing.T) {
	a, b, g, r := two(t, ordersDDL)
	decided := g.arm("apply.decided")
	a.exec("INSERT INTO orders VALUES (1, 'older', 1)")
	decided.wait()
	tailer := g.arm("capture.begin")
	b.exec("INSERT INTO orders VALUES (1, 'newer', 2)")
	tailer.wait()
	decided.release()
	b.waitCount("retries_total", map[string]string{"reason": "unexpected_rows"}, 1)
	tailer.release()
	r.waitRows(all, "\"1\" \"newer\" \"2\" \n")
	for _, g := range r.list { // it is counted after the commit that shows the row
		g.waitCount("conflicts_total", map[string]string{"winner": "b"}, 1)
	}
	if n := value(t, b, "conflicts_total", map[string]string{"winner": "b"}) + value(t, a, "conflicts_total", map[string]string{"winner": "b"}); n != 2 {
		t.Errorf("the conflict was counted %v times, want once in each of the two regions", n)
	}
}

func TestRowCount_ALocalDeleteAheadOfTheTailerWins(t *testing.T) {
	a, b, g, r := two(t, ordersDDL)
	a.exec("INSERT INTO orders VALUES (1, 'x', 1)")
	r.waitEqual(all)
	decided := g.arm("apply.decided")
	a.exec("UPDATE orders SET n = 2")
	decided.wait()
	tailer := g.arm("capture.begin")
	b.exec("DELETE FROM orders")
	tailer.wait()
	decided.release()
	tailer.release()
	r.waitRows(all, "")
}

// No echo: what was applied is not published again.
func TestEcho_WhatWasAppliedIsNotPublishedAgain(t *testing.T) {
	a, b, _, r := two(t, ordersDDL)
	for i := range 20 {
		a.exec("INSERT INTO orders VALUES (?, 'a', ?)", i, i)
	}
	a.exec("UPDATE orders SET n = n + 1")
	a.exec("DELETE FROM orders WHERE id < 10")
	r.waitEqual(all)
	if n := len(r.published(b)); n != 0 {
		t.Errorf("%d changes were published again", n)
	}
	if n := len(r.published(a)); n != 50 {
		t.Errorf("%d changes were published, want 50", n)
	}
}

// A trigger that alters a replayed row is seen the moment it happens.
func TestProvenance_TellsThatARowWasAlteredAsItWasWritten(t *testing.T) {
	a, b, _, _ := two(t, ordersDDL)
	b.exec("CREATE TRIGGER alter_n BEFORE INSERT ON orders FOR EACH ROW SET NEW.n = NEW.n + 100")
	a.exec("INSERT INTO orders VALUES (1, 'x', 1)")
	b.waitCount("altered_rows_total", nil, 1)
}

// What leaves no row event (the delete of an absent row, a write that changes nothing) is in the ledger all the same.
func TestProvenance_EntersWhatLeavesNoRowEvent(t *testing.T) {
	a, b, g, r := two(t, ordersDDL)
	a.exec("INSERT INTO orders VALUES (1, 'x', 1), (2, 'y', 2)")
	r.waitEqual(all)
	decided := g.arm("apply.decided")
	a.exec("DELETE FROM orders WHERE id = 1")
	decided.wait()
	b.exec("DELETE FROM orders WHERE id = 1")
	b.exec("UPDATE orders SET n = 7 WHERE id = 2")
	decided.release()
	eventually(t, "b's update has reached a", func() error {
		if got := a.rows(all); got != "\"2\" \"y\" \"7\" \n" {
			return errors.New(got)
		}
		return nil
	})
	a.exec("UPDATE orders SET n = 8 WHERE id = 2")
	a.exec("UPDATE orders SET n = 7 WHERE id = 2")
	r.waitSettled()
	r.checkLedgers()
}
