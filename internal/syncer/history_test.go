package syncer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"meridian/internal/propagate"
	"meridian/internal/row"
	"meridian/internal/syncer"
	"meridian/internal/testenv"
)

// conflicts gives what the region's history has, the oldest first: "WINNER>LOSER VALUES", versions by their regions.
func (g *region) conflicts() []string {
	g.t.Helper()
	target, err := propagate.NewMySQLTarget(g.t.Context(), propagate.MySQLTargetConfig{MySQL: g.cfg.MySQL, Log: zap.NewNop()})
	if err != nil {
		g.t.Fatal(err)
	}
	defer target.Close()
	var list []string
	for id := range strings.FieldsSeq(g.rows("SELECT id FROM meridian.conflicts ORDER BY id")) {
		c, err := target.Conflict(g.t.Context(), number(g.t, strings.Trim(id, `"`)))
		if err != nil {
			g.t.Fatal(err)
		}
		if !c.Winner.Newer(c.Loser) {
			g.t.Errorf("%s: %v did not win against %v", g.name, c.Winner, c.Loser)
		}
		list = append(list, fmt.Sprintf("%s>%s %s", c.Winner.Region, c.Loser.Region, lostText(g.t, c)))
	}
	return list
}

func number(t *testing.T, s string) (n uint64) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func lostText(t *testing.T, c *propagate.KeptConflict) string {
	t.Helper()
	change, err := c.Change()
	switch {
	case err != nil:
		t.Fatal(err)
	case change == nil:
		return c.Omitted
	case change.Op == row.Delete:
		return "deleted"
	}
	if change.Version != c.Loser || change.Key != c.Key || change.Table.String() != c.Table {
		t.Errorf("the record is of %v of %s, not of %v of %s", change.Version, change.Table, c.Loser, c.Table)
	}
	var b []byte
	for i, v := range change.After {
		b = append(row.AppendText(b, v, &change.Table.Columns[i]), ' ')
	}
	return strings.TrimSpace(string(b))
}

func (g *region) wantConflicts(want ...string) {
	g.t.Helper()
	if got := g.conflicts(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		g.t.Errorf("the history of %s has\n%s\nwant\n%s", g.name, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// conflict makes two writes that do not see each other: older in a, and while b has decided on it and not locked the row yet,
// newer in b.
func conflict(a, b *region, g *gates, older, newer string) {
	a.t.Helper()
	conflicts := value(a.t, a, "conflicts_total", nil)
	decided := g.arm("apply.decided")
	a.exec(older)
	decided.wait()
	b.exec(newer)
	a.waitCount("conflicts_total", nil, conflicts+1) // while b still waits: its own word is out
	decided.release()
	a.all.waitEqual(all)
	a.all.waitSettled()
}

// What loses is kept whole in each of the two regions, whether it is what came or what was there; and only once, though b's
// first transaction, which had read the other row under its lock, was rolled back.
func TestHistory_KeepsWhatLosesOnBothSides(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			r := newRegions(t, 1, kind, kind)
			g := newGates(t)
			a, b := r.list[0], r.list[1]
			b.cfg.Reached = g.reached
			r.exec(ordersDDL)
			r.start()
			a.exec("INSERT INTO orders VALUES (1, 'first', 1), (2, 'first', 2)")
			r.waitEqual(all)
			r.waitSettled()
			conflict(a, b, g, "UPDATE orders SET item = 'from a' WHERE id = 1", "UPDATE orders SET item = 'from b' WHERE id = 1")
			a.wantConflicts("b>a 1 from a 1")
			b.wantConflicts("b>a 1 from a 1")
			conflict(a, b, g, "DELETE FROM orders WHERE id = 2", "UPDATE orders SET item = 'kept' WHERE id = 2")
			a.wantConflicts("b>a 1 from a 1", "b>a deleted")
			b.wantConflicts("b>a 1 from a 1", "b>a deleted")
			conflict(a, b, g, "UPDATE orders SET item = 'lost' WHERE id = 2", "DELETE FROM orders WHERE id = 2")
			a.wantConflicts("b>a 1 from a 1", "b>a deleted", "b>a 2 lost 2")
			if n := value(t, b, "retries_total", map[string]string{"reason": "changed"}); n < 1 && b.cfg.Reached != nil {
				t.Log("no attempt was rolled back")
			}
		})
	}
}

// The row that is kept as the loser is that of the decision. A local write between the decision and the lock is read under
// it, in its place; the transaction is rolled back, and what it kept with it.
func TestHistory_KeepsTheRowOfTheDecisionOnly(t *testing.T) {
	a, b, g, r := two(t, ordersDDL)
	a.exec("INSERT INTO orders VALUES (1, 'first', 1)")
	r.waitEqual(all)
	r.waitSettled()
	publisher, captured := g.arm("publish.begin"), value(t, b, "capture_transactions_total", nil)
	publisher.wait() // so that a's write does not know of b's
	b.exec("UPDATE orders SET item = 'oldest'")
	b.waitCount("capture_transactions_total", nil, captured+1)
	decided, written := g.arm("apply.decided"), g.arm("apply.written")
	a.exec("UPDATE orders SET item = 'middle'")
	decided.wait() // to write over 'oldest'
	b.exec("UPDATE orders SET item = 'newest'")
	decided.release()
	written.wait() // with 'newest' under its lock
	if n := b.uncommitted("SELECT COUNT(*) FROM meridian.conflicts"); n != 1 {
		t.Errorf("the transaction has kept %d losers so far, not 1: the test does not force what it is for", n)
	}
	publisher.release()
	written.release()
	r.waitRows(all, "\"1\" \"newest\" \"1\" \n")
	b.waitCount("retries_total", map[string]string{"reason": "changed"}, 1)
	r.waitSettled()
	b.wantConflicts("b>a 1 middle 1")
}

// uncommitted counts what transactions that are still open have written, too.
func (g *region) uncommitted(query string) (n int) {
	g.t.Helper()
	conn, err := g.open().Conn(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(g.t.Context(), "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED"); err != nil {
		g.t.Fatal(err)
	}
	if err := conn.QueryRowContext(g.t.Context(), query).Scan(&n); err != nil {
		g.t.Fatal(err)
	}
	if _, err := conn.ExecContext(g.t.Context(), "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"); err != nil {
		g.t.Fatal(err)
	}
	return n
}

// A change that the database refuses overwrites nothing: what is there has not lost. Once it is written after all, it has.
func TestHistory_KeepsWhatAParkedChangeOverwritesWhenItIsWritten(t *testing.T) {
	a, b, g, r := two(t, "CREATE TABLE orders (id BIGINT PRIMARY KEY, item VARCHAR(50), n INT, UNIQUE KEY (n))")
	a.exec("INSERT INTO orders VALUES (1, 'first', 1)")
	r.waitEqual(all)
	r.waitSettled()
	b.execOutOfBand("INSERT INTO orders VALUES (9, 'in the way', 7)")
	publisher, captured := g.arm("publish.begin"), value(t, b, "capture_transactions_total", nil)
	publisher.wait()
	b.exec("UPDATE orders SET item = 'overwritten'")
	b.waitCount("capture_transactions_total", nil, captured+1)
	a.exec("UPDATE orders SET item = 'parked', n = 7")
	eventually(t, "the change is parked", func() error {
		if b.rows("SELECT COUNT(*) FROM meridian.parked") != "\"1\" \n" {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	publisher.release()
	b.wantConflicts()
	b.execOutOfBand("DELETE FROM orders WHERE id = 9")
	r.waitRows(all, "\"1\" \"parked\" \"7\" \n")
	r.waitSettled()
	b.wantConflicts("a>b 1 overwritten 1")
}

func TestHistory_IsNotKeptWhenItIsSwitchedOff(t *testing.T) {
	a, b, g, r := two(t, ordersDDL, func(c *syncer.Config) { c.History.Age = 0 })
	a.exec("INSERT INTO orders VALUES (1, 'first', 1)")
	r.waitEqual(all)
	r.waitSettled()
	conflict(a, b, g, "UPDATE orders SET item = 'from a'", "UPDATE orders SET item = 'from b'")
	a.wantConflicts("b>a 1 from a 1")
	b.wantConflicts()
}

// A row that is too large for a list is named in it, and given alone.
func TestHistory_ListsALargeRowWithoutItsValues(t *testing.T) {
	d := newDirectly(t)
	d.fillHistory(1, 600<<10, 0)
	list, err := d.Conflicts(t.Context(), "t", "k", 10)
	if err != nil || len(list) != 1 || list[0].Omitted != propagate.OmittedInList || len(list[0].Record) != 0 {
		t.Fatalf("%d in the list, %v", len(list), err)
	}
	if one, err := d.Conflict(t.Context(), list[0].ID); err != nil || one.Omitted != "" || len(one.Record) != 600<<10 {
		t.Errorf("alone: %v", err)
	}
}

// fillHistory puts entries into a history: of so many bytes each, the first `old` of them two hours old.
func (d *directly) fillHistory(rows, bytes, old int) {
	d.t.Helper()
	for i := range rows {
		age := 0
		if i < old {
			age = 2
		}
		d.g.exec("INSERT INTO meridian.conflicts (decided_at, source, shard, bus_offset, table_name, row_key, winner_time, winner_region, loser_time, loser_region, bytes, record) "+
			"VALUES (NOW(6) - INTERVAL ? HOUR, 'b', 0, ?, 't', 'k', 2, 'a', 1, 'b', ?, REPEAT('x', ?))", age, i, bytes, bytes)
	}
}

func TestHistory_StaysWithinItsBounds(t *testing.T) {
	for _, tc := range []struct {
		name   string
		bounds propagate.HistoryBounds
		want   string
	}{
		{"age", propagate.HistoryBounds{Age: time.Hour, Rows: 10_000, Bytes: 1 << 30}, "470"},
		{"rows", propagate.HistoryBounds{Age: 24 * time.Hour, Rows: 77, Bytes: 1 << 30}, "77"},
		{"bytes", propagate.HistoryBounds{Age: 24 * time.Hour, Rows: 10_000, Bytes: 5_050}, "50"},
		{"off", propagate.HistoryBounds{Rows: 10_000, Bytes: 1 << 30}, "0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDirectly(t)
			d.fillHistory(500, 100, 30)
			newest := d.g.rows("SELECT id FROM meridian.conflicts ORDER BY id DESC LIMIT 1")
			pieces := 0
			n, err := d.PurgeConflicts(t.Context(), tc.bounds, func(ctx context.Context) error { pieces++; return ctx.Err() })
			if err != nil {
				t.Fatal(err)
			}
			if got := d.g.rows("SELECT COUNT(*) FROM meridian.conflicts"); got != fmt.Sprintf("%q \n", tc.want) || fmt.Sprint(500-n) != tc.want {
				t.Errorf("%d deleted, %s are left, not %s", n, got, tc.want)
			}
			if int64(pieces) < n/200 {
				t.Errorf("%d rows in %d pieces", n, pieces)
			}
			if left := d.g.rows("SELECT id FROM meridian.conflicts ORDER BY id DESC LIMIT 1"); tc.want != "0" && left != newest {
				t.Errorf("the newest left is %s, not %s: the oldest are to go", left, newest)
			}
		})
	}
}

// A purge does not wait for what an apply transaction is adding, nor the other way round.
func TestHistory_PurgesBesideATransactionThatKeeps(t *testing.T) {
	d := newDirectly(t)
	d.fillHistory(10, 100, 10)
	table := row.NewTable(d.g.all.schema, "orders", []row.Column{{Name: "id", Type: row.TypeInt}}, []int{0})
	d.g.exec("CREATE TABLE orders (id INT PRIMARY KEY)")
	c := &row.Change{Table: table, Op: row.Insert, Key: "k", After: []row.Value{row.IntValue(1)}}
	loser := propagate.Loser{Change: c, Winner: row.Version{Time: 2, Region: "a"}, Version: row.Version{Time: 1, Region: "b"}, Gone: true}
	err := d.run(propagate.Plan{To: 1, Losers: []propagate.Loser{loser}}, func() {
		n, err := d.PurgeConflicts(t.Context(), propagate.HistoryBounds{Age: time.Hour, Rows: 1000, Bytes: 1 << 20}, func(ctx context.Context) error { return ctx.Err() })
		if n != 10 || err != nil {
			t.Errorf("%d are deleted, %v", n, err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := d.g.rows("SELECT COUNT(*) FROM meridian.conflicts"); got != "\"1\" \n" {
		t.Errorf("%s are left", got)
	}
}
