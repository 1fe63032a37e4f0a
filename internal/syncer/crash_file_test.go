package syncer_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"meridian/internal/binlog"
	"meridian/internal/syncer"
	"meridian/internal/testenv"
)

// A crash leaves the ledger's file as it was after some flush. These tests take the file away at that moment, look into
// it, or put it back and start again.

func (g *region) ledgerPath() string { return filepath.Join(g.cfg.Directory, "ledger.db") }

// saveLedger gives the file's bytes; nobody may be writing it.
func (g *region) saveLedger() []byte {
	g.t.Helper()
	b, err := os.ReadFile(g.ledgerPath())
	if err != nil {
		g.t.Fatal(err)
	}
	return b
}

// crashBackTo makes the region's file what it was: as if the process, which must have ended, had died then.
func (g *region) crashBackTo(file []byte) {
	g.t.Helper()
	if err := os.WriteFile(g.ledgerPath(), file, 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// cut is what a ledger file says: its checkpoint, and how many rows it has.
func cut(t *testing.T, file []byte) (at binlog.Position, rows uint64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		rows = uint64(tx.Bucket([]byte("entries")).Stats().KeyN)
		var checkpoint struct{ Position binlog.Position }
		failed := json.Unmarshal(tx.Bucket([]byte("meta")).Get([]byte("checkpoint")), &checkpoint)
		at = checkpoint.Position
		return failed
	})
	if err != nil {
		t.Fatal(err)
	}
	return at, rows
}

// transactionsSince counts the transactions of a GTID set that another one, which it includes, does not have.
func (g *region) transactionsSince(set, base string) (n uint64) {
	g.t.Helper()
	left := strings.Trim(g.rows("SELECT GTID_SUBTRACT('"+set+"', '"+base+"')"), "\" \n")
	for _, part := range strings.Split(left, ":")[min(1, strings.Count(left, ":")):] {
		first, last, ok := strings.Cut(part, "-")
		if !ok {
			last = first
		}
		from, err := strconv.ParseUint(first, 10, 64)
		if left == "" {
			return 0
		}
		to, err2 := strconv.ParseUint(last, 10, 64)
		if err != nil || err2 != nil {
			g.t.Fatalf("GTIDs %q", left)
		}
		n += to - from + 1
	}
	return n
}

func (g *region) executed() string {
	g.t.Helper()
	return strings.Trim(g.rows("SELECT REPLACE(@@GLOBAL.gtid_executed, '\n', '')"), "\" \n")
}

// Whatever flush a process dies after, its file has the rows of exactly the transactions that its checkpoint names.
func TestCheckpoint_NamesExactlyTheTransactionsWhoseRowsTheFileHas(t *testing.T) {
	for _, tc := range []struct {
		name     string
		entries  int
		interval time.Duration
	}{
		{"as soon as there is an entry", 1, time.Hour},
		{"at every commit", 10_000, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, b, g, _ := two(t, ordersDDL, func(c *syncer.Config) { c.FlushEntries, c.FlushInterval = tc.entries, tc.interval })
			base := b.executed()
			for i, rows := 0, uint64(0); rows < 10; i++ {
				flushed := g.arm("flush.committed")
				var inserts strings.Builder // one behind the other: cuts are made at commits, and while an earlier one is being written
				for k := range 5 {
					fmt.Fprintf(&inserts, "INSERT INTO orders VALUES (%d, 'x', 1);", 5*i+k)
				}
				b.exec(inserts.String())
				flushed.wait()
				var at binlog.Position
				at, rows = cut(t, b.saveLedger())
				if n := b.transactionsSince(at.GTIDs, base); n != rows || at.Partial != "" {
					t.Errorf("the file has %d rows, its checkpoint %d transactions of one row each: %+v", rows, n, at)
				}
				flushed.release()
			}
		})
	}
}

// Within a giant transaction the checkpoint names how many of its changes the file has.
func TestCheckpoint_NamesExactlyTheChangesOfAGiantTransactionThatTheFileHas(t *testing.T) {
	_, b, g, _ := two(t, ordersDDL, func(c *syncer.Config) { c.FlushEntries, c.FlushInterval = 10, time.Hour })
	flushed := g.arm("flush.committed")
	tx, err := b.open().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if _, err := tx.ExecContext(t.Context(), "INSERT INTO orders VALUES (?, 'x', 1)", i); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	flushed.wait()
	at, rows := cut(t, b.saveLedger())
	if at.Partial == "" || at.Changes != rows || rows == 0 || rows == 100 {
		t.Errorf("the file has %d rows, its checkpoint is %+v", rows, at)
	}
	flushed.release()
}

// publishedOnce checks that each change of a region stands in its topic once, and gives their versions.
func (r *regions) publishedOnce(g *region) map[string]int64 {
	r.t.Helper()
	versions := map[string]int64{}
	for _, m := range r.published(g) {
		change := fmt.Sprintf("change %d of transaction %s", m.Source.Ordinal, m.Source.GTID)
		if was, again := versions[change]; again {
			r.t.Errorf("%s was published as %d and again as %d", change, was, m.Change.Version.Time)
		}
		versions[change] = m.Change.Version.Time
	}
	return versions
}

var stampKinds = []testenv.Kind{testenv.KindMariaDB1011, testenv.KindMySQL}

// A version is given once: what was published before a crash keeps its stamp, and does not beat what has overwritten it
// elsewhere since.
func TestStamps_OfWhatIsPublishedAreReadBackAfterACrash(t *testing.T) {
	for _, kind := range stampKinds {
		t.Run(string(kind), func(t *testing.T) {
			r := newRegions(t, 1, kind, testenv.KindMySQL)
			r.exec(ordersDDL)
			r.start()
			a, b := r.list[0], r.list[1]
			a.exec("INSERT INTO orders VALUES (1, 'first', 1)")
			r.waitSettled()
			a.mustEnd()
			file := a.saveLedger()
			a.start()
			a.exec("UPDATE orders SET item = 'older', n = 2")
			r.waitRows(all, "\"1\" \"older\" \"2\" \n")
			r.waitSettled()
			a.mustEnd()
			before := r.publishedOnce(a)
			b.exec("UPDATE orders SET item = 'newer', n = 3")
			a.crashBackTo(file)
			a.start()
			r.waitRows(all, "\"1\" \"newer\" \"3\" \n")
			r.waitSettled()
			if after := r.publishedOnce(a); !maps.Equal(before, after) {
				t.Errorf("before the crash the topic had %v, now %v", before, after)
			}
			r.checkLedgers()
		})
	}
}

// A process that dies again while it catches up finds the stamps again that it had not come to.
func TestStamps_AreReadBackAgainAfterACrashWhileCatchingUp(t *testing.T) {
	for _, kind := range stampKinds {
		t.Run(string(kind), func(t *testing.T) {
			r := newRegions(t, 1, testenv.KindMySQL, kind)
			g := newGates(t)
			a, b := r.list[0], r.list[1]
			b.cfg.Reached, b.cfg.FlushEntries, b.cfg.FlushInterval = g.reached, 1, time.Hour
			r.exec(ordersDDL)
			r.start()
			b.mustEnd()
			file := b.saveLedger()
			b.start()
			for i := range 3 {
				b.exec("INSERT INTO orders VALUES (?, 'x', 1)", i)
			}
			r.waitRows("SELECT COUNT(*) FROM orders", "\"3\" \n")
			r.waitSettled()
			b.mustEnd()
			before := r.publishedOnce(b)
			b.crashBackTo(file)

			flushed := g.arm("flush.committed")
			b.start()
			flushed.wait() // the first with a row in it: capture has only begun to catch up
			file = b.saveLedger()
			if _, rows := cut(t, file); rows == 0 || rows == 3 {
				t.Errorf("the file has %d rows of 3, want some", rows)
			}
			flushed.release()
			b.waitReady()
			b.mustEnd()
			b.crashBackTo(file)
			b.start()
			b.waitReady()
			a.exec("UPDATE orders SET n = 2")
			r.waitRows("SELECT DISTINCT n FROM orders", "\"2\" \n")
			r.waitSettled()
			if after := r.publishedOnce(b); !maps.Equal(before, after) {
				t.Errorf("before the crashes the topic had %v, now %v", before, after)
			}
			r.checkLedgers()
		})
	}
}

// MariaDB: a stamp that the bus has not acknowledged may come out otherwise after a crash. Nothing is decided against it.
func TestStamps_OnMariaDBNothingIsDecidedAgainstOneThatTheBusDoesNotHave(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMariaDB1011)
	g := newGates(t)
	a, b := r.list[0], r.list[1]
	b.cfg.Reached = g.reached
	r.exec(ordersDDL)
	r.start()
	a.exec("INSERT INTO orders VALUES (1, 'x', 1)")
	r.waitRows(all, "\"1\" \"x\" \"1\" \n")
	r.waitSettled()
	publisher, captured := g.arm("publish.begin"), value(t, b, "capture_transactions_total", nil)
	publisher.wait()
	b.exec("UPDATE orders SET n = 2")
	b.waitCount("capture_transactions_total", nil, captured+1) // its stamp is in the ledger, and not on the bus
	decided := g.arm("apply.decided")
	a.exec("UPDATE orders SET n = 3")
	eventually(t, "the worker waits for the acknowledgement", func() error {
		select {
		case <-decided.arrived:
			t.Fatal("it was decided against a stamp that the bus has not acknowledged")
		default:
		}
		if !waitsIn("propagate.(*Worker).decide", "WaitAcknowledged") {
			return fmt.Errorf("nobody waits")
		}
		return nil
	})
	publisher.release()
	decided.wait()
	decided.release()
	r.waitRows(all, "\"1\" \"x\" \"3\" \n")
}

// waitsIn tells whether a goroutine is within all of these functions.
func waitsIn(functions ...string) bool {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		within := true
		for _, f := range functions {
			within = within && strings.Contains(stack, f)
		}
		if within {
			return true
		}
	}
	return false
}

func (g *region) mustEnd() {
	g.t.Helper()
	if err := g.end(); err != nil {
		g.t.Fatal(err)
	}
}
