package syncer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"meridian/internal/inspect"
	"meridian/internal/testenv"
	"meridian/internal/verify"
)

func (r *regions) seed(v *verify.Verifier, into, from string) *verify.Seeded {
	r.t.Helper()
	done, err := v.Seed(r.t.Context(), verify.SeedOptions{Into: into, From: from, Match: func(table string) bool { return strings.HasPrefix(table, r.schema+".") }})
	if err != nil {
		r.t.Fatal(err)
	}
	return done
}

// An empty region is filled from another one while all of them are written to, and the ledgers are equal afterwards: rows from
// before Meridian came, rows that were written since, and none that has been deleted.
func TestSeed_FillsAnEmptyRegionWhileAllAreWrittenTo(t *testing.T) {
	for _, kinds := range [][]testenv.Kind{
		{testenv.KindMySQL, testenv.KindMySQL, testenv.KindMySQL}, {testenv.KindMySQL, testenv.KindMySQL, testenv.KindMariaDB},
	} {
		t.Run(string(kinds[2]), func(t *testing.T) {
			r := newRegions(t, 2, kinds...)
			r.exec(ordersDDL)
			r.exec(namesDDL)
			a, b := r.list[0], r.list[1]
			for _, g := range []*region{a, b} { // the third has never had them
				g.insertMany(0, 3000)
				g.exec("INSERT INTO names VALUES ('Zoë', 1), ('anna', 2)")
			}
			r.start()
			for _, g := range r.list {
				g.waitScanned("orders", "names")
			}
			a.exec("UPDATE orders SET n = 8 WHERE id < 20")
			b.exec("DELETE FROM orders WHERE id BETWEEN 15 AND 25")
			stop := r.writeOn()
			v := r.verifier()
			done := r.seed(v, "c", "a")
			stop()
			if done.Sent < 1500 || len(done.Left) != 0 {
				t.Errorf("%+v", done)
			}
			r.waitSettled()
			r.waitEqual(all)
			r.waitEqual("SELECT * FROM names ORDER BY name")
			if result := r.compare(v); result.Equal == nil || !*result.Equal {
				t.Errorf("afterwards: %+v", result)
			}
			// Tombstones go at different times: one that has gone is sent again.
			if again := r.seed(v, "c", "a"); again.Sent > done.Sent/10 {
				t.Errorf("a second one sends %d rows in %d passes", again.Sent, again.Passed)
			}
		})
	}
}

// A seed that was broken off is begun again, and sends the rest.
func TestSeed_BrokenOffSendsTheRest(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(ordersDDL)
	a, b := r.list[0], r.list[1]
	a.insertMany(0, 12_000)
	r.start()
	a.waitScanned("orders")
	b.waitScanned("orders")
	v := r.verifier()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := v.Seed(ctx, verify.SeedOptions{Into: "b", From: "a", Match: func(string) bool { return true }, Progress: func(p verify.SeedProgress) {
		if p.Sent > 0 {
			cancel()
		}
	}})
	if err == nil {
		t.Fatal("it was not broken off")
	}
	if done := r.seed(v, "b", "a"); done.Sent == 0 || done.Sent > 11_900 {
		t.Errorf("the second one sent %d rows", done.Sent)
	}
	r.waitSettled()
	r.waitEqual(all)
}

// A region that lacks rows for a reason that nobody knows is not filled by itself: it may be the others that have deleted them.
func TestRepair_LeavesRowsThatNobodyElseKnowsOf(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(ordersDDL)
	r.list[0].exec("INSERT INTO orders VALUES (1, 'x', 1)")
	r.start()
	for _, g := range r.list {
		g.waitScanned("orders")
	}
	plan := verify.MakePlan(r.waitDrift(r.verifier(), 1), verify.PlanOptions{MaxRows: 10, Confirmed: true})
	if len(plan.Rows) != 0 || len(plan.Left) != 1 || !strings.Contains(plan.Left[0].Why, "verifier seed --from a") {
		t.Errorf("%+v", plan)
	}
	// A person who names the region that is right is not told to do so.
	plan = verify.MakePlan(r.waitDrift(r.verifier(), 1), verify.PlanOptions{From: "a", Confirmed: true})
	if len(plan.Rows) != 1 || len(plan.Left) != 0 {
		t.Fatalf("%+v", plan)
	}
	r.repair(r.verifier(), plan, verify.Mended)
	r.waitEqual(all)
}

// While a region has lost something, nobody forgets what was deleted: it may have missed the delete.
func TestTombstones_StayWhileARegionHasAWarning(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(ordersDDL)
	a, b := r.list[0], r.list[1]
	r.start()
	if err := b.end(); err != nil {
		t.Fatal(err)
	}
	b.exec("INSERT INTO orders VALUES (2, 'lost', 1)")
	b.purge()
	b.start()
	b.waitReady()
	if n := len(b.syncer.Status().Warnings); n != 1 {
		t.Fatalf("%d warnings", n)
	}
	collected := func() float64 {
		a.exec("UPDATE orders SET n = n + 1 WHERE id = 100") // a commit later than the delete
		return value(t, a, "tombstones_collected_total", nil)
	}
	a.exec("INSERT INTO orders VALUES (1, 'x', 1), (100, 'y', 1)")
	a.exec("DELETE FROM orders WHERE id = 1")
	for range 5 {
		collected()
		r.waitSettled()
		a.waitFlushes(2)
	}
	if n := collected(); n != 0 {
		t.Errorf("%v tombstones went", n)
	}
	if err := b.end(); err != nil {
		t.Fatal(err)
	}
	b.cfg.AcknowledgeWarnings = true
	b.start()
	b.waitReady()
	eventually(t, "the tombstone goes once the warning is acknowledged", func() error {
		b.exec("UPDATE orders SET n = n + 1 WHERE id = 2")
		if n := collected(); n != 1 {
			return fmt.Errorf("%v went", n)
		}
		return nil
	})
}

// A region that was away for longer than the bus keeps has a gap. A person goes on behind it, which stays shown; nobody forgets what
// was deleted meanwhile; and a seed brings the region what it missed, deletes included, so that nothing that was deleted comes back.
func TestGap_IsMendedByASeed(t *testing.T) {
	a, b, _, r := two(t, ordersDDL)
	a.insertMany(0, 20)
	r.waitSettled()
	b.mustEnd()
	a.exec("DELETE FROM orders WHERE id < 5")
	a.exec("UPDATE orders SET item = 'while b was away' WHERE id = 6")
	a.exec("INSERT INTO orders VALUES (30, 'new', 1)")
	b.exec("UPDATE orders SET item = 'of b' WHERE id = 7")
	a.waitFlushes(3)
	a.mustEnd()
	r.makeAnew(a.cfg.Topic)
	a.start()
	b.start()
	b.waitGap()
	b.mustEnd()
	b.acceptGap("a")
	b.start()
	b.waitReady()
	a.waitReady()
	warned := func() bool {
		w := b.syncer.Status().Warnings
		return len(w) == 1 && strings.Contains(w[0], "--acknowledge-warnings") && strings.Contains(w[0], "topic of a, shard 0")
	}
	eventually(t, "the gap is a warning", func() error {
		if !warned() {
			return fmt.Errorf("the warnings are %q", b.syncer.Status().Warnings)
		}
		return nil
	})
	for range 5 { // commits later than the deletes, which let tombstones go
		a.exec("UPDATE orders SET n = n + 1 WHERE id = 10")
		r.waitRows("SELECT (SELECT n FROM orders WHERE id = 10) > 0", "\"1\" \n")
		a.waitFlushes(2)
	}
	v := r.verifier()
	if result := r.compare(v); result.Equal == nil || *result.Equal {
		t.Errorf("before the seed: %+v", result)
	}
	r.seed(v, "b", "a")
	r.waitSettled()
	r.waitEqual(all)
	if got := b.rows("SELECT COUNT(*) FROM orders WHERE id < 5 OR item IN ('while b was away', 'of b', 'new')"); got != "\"3\" \n" {
		t.Errorf("b has %s of these rows", got)
	}
	if result := r.compare(v); result.Equal == nil || !*result.Equal {
		t.Errorf("after the seed: %+v", result)
	}
	if !warned() {
		t.Error("the warning has gone by itself")
	}
}

// A tombstone of a row that was gone before its region heard of it has no label: its key of text cannot be read, and it keeps
// nothing else from being sent.
func TestSeed_IsNotStoppedByATombstoneWithoutALabel(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(namesDDL)
	a, b := r.list[0], r.list[1]
	b.exec("INSERT INTO names VALUES ('Zoë', 1), ('anna', 2)")
	r.start()
	for _, g := range r.list {
		g.waitScanned("names")
	}
	tx, err := a.open().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{"INSERT INTO names VALUES ('ghost', 1)", "DELETE FROM names WHERE name = 'ghost'"} {
		if _, err = tx.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	if err = tx.Commit(); err != nil {
		t.Fatal(err)
	}
	r.waitSettled()
	entries, err := b.syncer.Inspector().Entries(t.Context(), inspect.EntriesQuestion{Table: r.schema + ".names", Buckets: allBuckets()})
	if err != nil {
		t.Fatal(err)
	}
	order := inspect.Order{Table: r.schema + ".names", As: inspect.AsSeed}
	for _, e := range entries.Entries {
		order.Rows = append(order.Rows, inspect.Wanted{KeyRef: e.KeyRef, Version: e.Version, Deleted: e.Deleted})
	}
	done, err := b.syncer.Mender().Republish(t.Context(), order)
	if err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]int{}
	for _, row := range done.Rows {
		outcomes[row.Outcome]++
	}
	if outcomes[inspect.Published] != 2 || outcomes[inspect.InDoubt] != 1 {
		t.Errorf("%+v", done)
	}
}

func allBuckets() []int {
	list := make([]int, inspect.MaxBuckets)
	for b := range list {
		list[b] = b
	}
	return list
}
