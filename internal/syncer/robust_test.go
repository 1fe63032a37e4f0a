package syncer_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"meridian/internal/bus"
	"meridian/internal/mysqldb"
	"meridian/internal/propagate"
	"meridian/internal/syncer"
	"meridian/internal/testenv"
)

// conserved checks in every provenance row that no change was dropped.
func (r *regions) conserved() {
	r.t.Helper()
	for _, g := range r.list {
		got := g.rows("SELECT source, shard FROM meridian.provenance p WHERE changes_read <> applied + duplicate + lost + coalesced + superseded + discarded + " +
			"(SELECT COUNT(*) FROM meridian.parked k WHERE k.source = p.source AND k.shard = p.shard AND k.state <> 'rejected')")
		if got != "" {
			r.t.Errorf("%s: changes are missing in the provenance of %s", g.name, got)
		}
	}
}

// A row that the database refuses is parked, does not stop the others, and goes in when what stood in its way is gone.
func TestParked_ARefusedRowDoesNotStopTheOthersAndIsTriedAgain(t *testing.T) {
	a, b, _, r := two(t, "CREATE TABLE orders (id INT PRIMARY KEY, code VARCHAR(10), UNIQUE KEY code (code))")
	b.execOutOfBand("INSERT INTO orders VALUES (900, 'taken')")
	a.exec("INSERT INTO orders VALUES (1, 'one'), (2, 'taken'), (3, 'three')")
	eventually(t, "the others are there and one is parked", func() error {
		rows, parked := b.rows("SELECT id FROM orders ORDER BY id"), b.rows("SELECT state, reason, table_name FROM meridian.parked")
		if rows != "\"1\" \n\"3\" \n\"900\" \n" || !strings.Contains(parked, "\"parked\" \"duplicate_key\"") {
			return errors.New(rows + parked)
		}
		return nil
	})
	r.waitSettled()
	r.conserved()
	b.execOutOfBand("DELETE FROM orders WHERE id = 900")
	r.waitRows("SELECT * FROM orders ORDER BY id", "\"1\" \"one\" \n\"2\" \"taken\" \n\"3\" \"three\" \n")
	eventually(t, "nothing is parked any more", func() error {
		if got := b.rows("SELECT * FROM meridian.parked"); got != "" {
			return errors.New(got)
		}
		return nil
	})
	r.conserved()
}

func TestParked_ADeadChangeIsKept(t *testing.T) {
	a, b, _, r := two(t, ordersDDL, func(c *syncer.Config) { c.MaxAttempts = 3 })
	b.exec("ALTER TABLE orders MODIFY item VARCHAR(3)")
	a.exec("INSERT INTO orders VALUES (1, 'far too long', 1), (2, 'ok', 2)")
	eventually(t, "the change is dead", func() error {
		if got := b.rows("SELECT state, reason, attempts FROM meridian.parked"); got != "\"dead\" \"too_long\" \"3\" \n" {
			return errors.New(got)
		}
		return nil
	})
	a.exec("UPDATE orders SET item = 'sh' WHERE id = 1") // a newer write to the row goes in
	r.waitRows(all, "\"1\" \"sh\" \"1\" \n\"2\" \"ok\" \"2\" \n")
	r.waitSettled()
	r.conserved()
}

// A change with a column that the target lacks waits for the target's own ALTER TABLE; that is no failed attempt.
func TestParked_AMissingColumnIsWaitedFor(t *testing.T) {
	a, b, _, r := two(t, ordersDDL)
	a.exec("ALTER TABLE orders ADD note VARCHAR(20)")
	a.exec("INSERT INTO orders VALUES (1, 'x', 1, 'noted')")
	eventually(t, "the change waits", func() error {
		if got := b.rows("SELECT state, reason FROM meridian.parked"); got != "\"waiting\" \"missing_column\" \n" {
			return errors.New(got)
		}
		return nil
	})
	b.exec("ALTER TABLE orders ADD note VARCHAR(20)")
	r.waitRows(all, "\"1\" \"x\" \"1\" \"noted\" \n")
	r.waitSettled()
	r.conserved()
}

// Records that are no change of ours are set aside with their offset, and the shard goes on.
func TestRejected_GarbageOnTheBusIsSetAside(t *testing.T) {
	a, b, _, r := two(t, ordersDDL)
	c, err := bus.Dial(r.broker.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	garbage := []bus.Record{
		{Value: []byte("not JSON at all")}, {}, {Key: []byte(`{"table":"x"}`), Value: []byte(`{"op":"c"}`)},
		{Value: []byte("{}"), Headers: []bus.Header{{Key: "meridian-kind", Value: []byte("change")}, {Key: "meridian-meta", Value: []byte{1, 2, 3}}}},
	}
	if _, err := c.Produce(t.Context(), a.cfg.Topic, 0, garbage); err != nil {
		t.Fatal(err)
	}
	a.exec("INSERT INTO orders VALUES (1, 'x', 1)")
	r.waitRows(all, "\"1\" \"x\" \"1\" \n")
	if got := b.rows("SELECT COUNT(*), COUNT(DISTINCT bus_offset) FROM meridian.parked WHERE state = 'rejected' AND reason = 'malformed'"); got != "\"4\" \"4\" \n" {
		t.Errorf("set aside: %s", got)
	}
	b.waitCount("rejected_records_total", map[string]string{"source": "a"}, 4)
	r.conserved()
}

// A row that is larger than the bus accepts becomes a dead change where it was written; the rest goes on.
func TestTooLarge_StaysWhereItWasWritten(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	for _, g := range r.list {
		g.cfg.MaxRecordBytes = 64 << 10
	}
	r.exec("CREATE TABLE orders (id INT PRIMARY KEY, body MEDIUMTEXT)")
	r.start()
	a := r.list[0]
	a.exec("INSERT INTO orders VALUES (1, 'small')")
	a.exec("INSERT INTO orders VALUES (2, REPEAT('x', 200000))")
	a.exec("INSERT INTO orders VALUES (3, 'small too')")
	eventually(t, "the others arrive", func() error {
		if got := r.list[1].rows("SELECT id FROM orders"); got != "\"1\" \n\"3\" \n" {
			return errors.New(got)
		}
		return nil
	})
	if got := a.rows("SELECT state, reason, source FROM meridian.parked"); got != "\"dead\" \"too_large\" \"a\" \n" {
		t.Errorf("dead changes: %s", got)
	}
}

// A topic may take less than the configuration allows: what its broker alone refuses is a dead change as well.
func TestTooLarge_ForTheTopicAloneStaysWhereItWasWritten(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	a, b := r.list[0], r.list[1]
	c, err := bus.Dial(r.broker.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.EnsureTopic(t.Context(), bus.Topic{Name: a.cfg.Topic, Partitions: 1, ReplicationFactor: 1, MaxRecordBytes: 64 << 10}); err != nil {
		t.Fatal(err)
	}
	r.exec("CREATE TABLE orders (id INT PRIMARY KEY, body MEDIUMBLOB)")
	r.start()
	large := make([]byte, 300<<10)
	if _, err := rand.NewChaCha8([32]byte{}).Read(large); err != nil { // does not compress
		t.Fatal(err)
	}
	a.exec("INSERT INTO orders VALUES (1, 'small')")
	a.exec("INSERT INTO orders VALUES (2, 'small'), (3, ?), (4, 'small')", large)
	a.exec("INSERT INTO orders VALUES (5, ?)", large)
	a.exec("INSERT INTO orders VALUES (6, 'small')")
	eventually(t, "the others arrive", func() error {
		if got := b.rows("SELECT id FROM orders"); got != "\"1\" \n\"2\" \n\"4\" \n\"6\" \n" {
			return errors.New(got)
		}
		return nil
	})
	if got := a.rows("SELECT state, reason, detail LIKE '%max.message.bytes%' FROM meridian.parked"); got != strings.Repeat("\"dead\" \"too_large\" \"1\" \n", 2) {
		t.Errorf("dead changes: %s", got)
	}
	r.waitSettled()
}

// With one shard the other regions see whole transactions, however small their batches are.
func TestWhole_OneShardNeverSplitsATransaction(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	for _, g := range r.list {
		g.cfg.BatchRows = 3
	}
	r.exec(ordersDDL)
	r.start()
	a, b := r.list[0], r.list[1]
	var insert strings.Builder
	insert.WriteString("INSERT INTO orders VALUES (0, 'x', 0)")
	for i := 1; i < 40; i++ {
		fmt.Fprintf(&insert, ", (%d, 'x', 0)", i)
	}
	a.exec(insert.String())
	r.waitEqual(all)
	for n := 1; n <= 30; n++ {
		a.exec("UPDATE orders SET n = ?", n)
		if got := strings.Count(b.rows("SELECT DISTINCT n FROM orders"), "\n"); got != 1 {
			t.Fatalf("%d different values of one transaction's column are seen at once", got)
		}
	}
	r.waitEqual(all)
}

// A table may take its versions from a column.
func TestVersionColumn_DecidesInsteadOfTheCommitsTime(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL, testenv.KindMySQL)
	table := r.schema + ".orders"
	for _, g := range r.list {
		g.cfg.Tables = tables{schema: r.schema, versions: map[string]string{table: "changed"}}
	}
	r.exec("CREATE TABLE orders (id INT PRIMARY KEY, item VARCHAR(20), changed DATETIME(6))")
	r.start()
	r.list[0].exec("INSERT INTO orders VALUES (1, 'future', '2040-01-01 00:00:00')")
	r.list[1].exec("INSERT IGNORE INTO orders VALUES (1, 'past', '2020-01-01 00:00:00')")
	r.waitSettled()
	r.waitRows("SELECT item FROM orders", "\"future\" \n")
}

// A successor takes the shards over: the old process stops, and commits nothing any more.
func TestEpoch_ASuccessorEndsTheOldProcess(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(ordersDDL)
	r.start()
	a, b := r.list[0], r.list[1]
	twin := &region{t: t, all: r, name: b.name, db: b.db, cfg: b.cfg}
	twin.cfg.Directory = t.TempDir()
	twin.cfg.TailerID += 1000
	twin.start()
	twin.waitReady()
	for i := range 20 {
		a.exec("INSERT INTO orders VALUES (?, 'x', 1)", i)
	}
	r.waitEqual(all)
	b.waitFenced()
}

// waitFenced waits until the process has ended because another one owns its shards.
func (g *region) waitFenced() {
	g.t.Helper()
	select {
	case err := <-g.done:
		if !errors.Is(err, propagate.ErrFenced) {
			g.t.Errorf("the old process ended with %v", err)
		}
		g.done <- nil
	case <-time.After(time.Minute):
		g.t.Error("the old process runs on")
	}
}

func TestMariaDB_BringsEveryRowToEveryRegion(t *testing.T) {
	r := newRegions(t, 4, testenv.KindMariaDB1011, testenv.KindMySQL)
	r.exec("CREATE TABLE orders (id INT PRIMARY KEY, item VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, n INT)")
	r.start()
	a, b := r.list[0], r.list[1]
	for i := range 30 {
		a.exec("INSERT INTO orders VALUES (?, 'maria', ?)", i, i)
		b.exec("INSERT INTO orders VALUES (?, 'mysql', ?)", 100+i, i)
	}
	r.waitSettled()
	r.waitEqual(all)
	a.exec("UPDATE orders SET n = n + 1 WHERE id >= 100")
	b.exec("DELETE FROM orders WHERE id < 10")
	r.waitSettled()
	r.waitEqual(all)
	r.checkLedgers()
}

func TestRun_SaysWhatIsWrongWithCredentials(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL)
	g := r.list[0]
	g.cfg.MySQL.Password = func() (string, error) { return "wrong", nil }
	g.cfg.MySQL.User = "nobody"
	g.start()
	err := <-g.done
	g.done <- nil
	if err == nil || mysqldb.Classify(err) != mysqldb.Denied {
		t.Errorf("it ended with %v", err)
	}
}
