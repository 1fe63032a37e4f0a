package syncer_test

import (
	"fmt"
	"testing"

	"meridian/internal/testenv"
	"meridian/internal/verify"
)

// waitDrift waits until a comparison finds so many rows, and returns it.
func (r *regions) waitDrift(v *verify.Verifier, rows int) *verify.Result {
	r.t.Helper()
	var result *verify.Result
	eventually(r.t, fmt.Sprintf("%d rows are found", rows), func() error {
		result = r.compare(v)
		if len(result.Drift) != rows {
			return fmt.Errorf("%d rows: %+v", len(result.Drift), result)
		}
		return nil
	})
	return result
}

// repair carries a plan out, and wants each row's outcome.
func (r *regions) repair(v *verify.Verifier, plan *verify.Plan, outcome string) *verify.Repaired {
	r.t.Helper()
	done, err := v.Repair(r.t.Context(), plan)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, row := range done.Rows {
		if row.Outcome != outcome {
			r.t.Errorf("%s %v: %s (%s), want %s", row.Table, row.Key, row.Outcome, row.Detail, outcome)
		}
	}
	return done
}

// scrubbed makes regions that read their rows again all the time, with rows in two tables that all of them have.
func scrubbed(t *testing.T, kinds ...testenv.Kind) *regions {
	t.Helper()
	r := newRegions(t, 2, kinds...)
	r.exec(ordersDDL)
	r.exec(namesDDL)
	for _, g := range r.list {
		g.cfg.ScrubRows = 100_000
		g.insertMany(0, 30)
		g.exec("INSERT INTO names VALUES ('before', 1)")
	}
	r.start()
	for _, g := range r.list {
		g.waitScanned("orders", "names")
	}
	return r
}

// What was changed past the binlog in some regions is as it was in the others after a repair, and the ledgers agree.
func TestRepair_BringsBackWhatWasChangedPastTheBinlog(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB} {
		t.Run(string(kind), func(t *testing.T) {
			r := scrubbed(t, kind, kind, kind)
			a, b, c := r.list[0], r.list[1], r.list[2]
			a.exec("INSERT INTO names VALUES ('Zoë', 1), ('anna', 2)")
			b.exec("UPDATE orders SET n = 8 WHERE id = 3")
			a.exec("DELETE FROM orders WHERE id = 4")
			r.waitSettled()
			want := a.rows("SELECT * FROM orders ORDER BY id") + a.rows("SELECT * FROM names ORDER BY name")
			for _, query := range []string{
				"UPDATE orders SET item = 'bit rot' WHERE id = 0", "UPDATE orders SET item = NULL WHERE id = 3", "DELETE FROM orders WHERE id = 29",
				"INSERT INTO orders VALUES (-5, 'never', 1)", "INSERT INTO orders VALUES (4, 'back', 1)", "DELETE FROM names WHERE name = 'zoe'",
				"INSERT INTO names VALUES ('ANNA B', 1)", "UPDATE names SET name = 'BEFORE' WHERE name = 'before'",
			} {
				b.execOutOfBand(query)
			}
			b.execOutOfBand("UPDATE orders SET item = 'the same in two' WHERE id = 7")
			c.execOutOfBand("UPDATE orders SET item = 'the same in two' WHERE id = 7")
			v := r.verifier()
			plan := verify.MakePlan(r.waitDrift(v, 9), verify.PlanOptions{MaxRows: 1000})
			if len(plan.Rows) != 9 || len(plan.Left)+len(plan.Held) > 0 {
				t.Fatalf("the plan: %+v", plan)
			}
			r.repair(v, plan, verify.Mended)
			for _, g := range r.list {
				if got := g.rows("SELECT * FROM orders ORDER BY id") + g.rows("SELECT * FROM names ORDER BY name"); got != want {
					t.Errorf("%s has\n%s, want\n%s", g.name, got, want)
				}
			}
			if result := r.compare(v); result.Equal == nil || !*result.Equal {
				t.Errorf("afterwards: %+v", result)
			}
			// They go on as before.
			c.exec("UPDATE orders SET item = 'after' WHERE id IN (0, 3, 7, 29)")
			c.exec("INSERT INTO orders VALUES (4, 'after', 2), (-5, 'after', 2)")
			r.waitRows("SELECT COUNT(*) FROM orders WHERE item = 'after'", "\"6\" \n")
		})
	}
}

// A row that is written between the plan and the repair stays as it was written: wherever the write is, and however far the repair.
func TestRepair_NeverBeatsANewerWrite(t *testing.T) {
	for _, at := range []struct{ name, step, outcome string }{
		{"before the row is read again", "", verify.Newer},
		{"while it is read", "republish.read", verify.Newer},
		{"when it is on the bus", "republish.put", verify.Mended},
	} {
		t.Run(at.name, func(t *testing.T) {
			r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
			r.exec(ordersDDL)
			g := newGates(t)
			a, b := r.list[0], r.list[1]
			a.cfg.Reached = g.reached
			b.cfg.ScrubRows = 100_000
			r.start()
			a.waitScanned("orders")
			b.waitScanned("orders")
			a.exec("INSERT INTO orders VALUES (1, 'x', 1)")
			r.waitSettled()
			b.execOutOfBand("UPDATE orders SET item = 'bit rot' WHERE id = 1")
			v := r.verifier()
			plan := verify.MakePlan(r.waitDrift(v, 1), verify.PlanOptions{MaxRows: 10})
			done := make(chan struct{})
			if at.step == "" {
				a.exec("UPDATE orders SET item = 'newer' WHERE id = 1")
				r.waitSettled()
				r.repair(v, plan, at.outcome)
			} else {
				held := g.arm(at.step)
				go func() {
					defer close(done)
					r.repair(v, plan, at.outcome)
				}()
				held.wait()
				a.exec("UPDATE orders SET item = 'newer' WHERE id = 1")
				if at.step == "republish.read" {
					r.waitRows("SELECT item FROM orders", "\"newer\" \n")
				}
				held.release()
				<-done
			}
			r.waitRows("SELECT item FROM orders", "\"newer\" \n")
			r.waitSettled()
			if result := r.compare(v); result.Equal == nil || !*result.Equal {
				t.Errorf("afterwards: %+v", result)
			}
		})
	}
}

// A local write in the region that is repaired, which comes between the repair's decision and its commit, stays.
func TestRepair_NeverBeatsALocalWriteWhereItArrives(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(ordersDDL)
	g := newGates(t)
	a, b := r.list[0], r.list[1]
	b.cfg.Reached, b.cfg.ScrubRows = g.reached, 100_000
	r.start()
	a.waitScanned("orders")
	b.waitScanned("orders")
	a.exec("INSERT INTO orders VALUES (1, 'x', 1)")
	r.waitSettled()
	b.execOutOfBand("UPDATE orders SET item = 'bit rot' WHERE id = 1")
	v := r.verifier()
	plan := verify.MakePlan(r.waitDrift(v, 1), verify.PlanOptions{MaxRows: 10})
	held := g.arm("apply.decided")
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.repair(v, plan, verify.Mended)
	}()
	held.wait()
	b.exec("UPDATE orders SET item = 'newer' WHERE id = 1")
	held.release()
	<-done
	r.waitRows("SELECT item FROM orders", "\"newer\" \n")
}

// With a region named, its rows are the truth everywhere, whoever has the newest version: also a row that it does not have.
func TestRepair_FromARegionMakesItsRowsTheTruth(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB} {
		t.Run(string(kind), func(t *testing.T) {
			r := newRegions(t, 2, kind, kind, kind)
			r.exec(ordersDDL)
			r.exec(namesDDL)
			for i, g := range r.list {
				g.cfg.ScrubRows = 100_000
				g.exec("INSERT INTO orders VALUES (1, ?, 1), (2, 'same', 2)", fmt.Sprint("baseline ", i)) // nobody knows who is right
				g.exec("INSERT INTO names VALUES ('x', ?)", i)
			}
			r.start()
			b := r.list[1]
			for _, g := range r.list {
				g.waitScanned("orders", "names")
			}
			r.list[0].exec("INSERT INTO orders VALUES (3, 'everywhere', 1)")
			r.waitSettled()
			b.execOutOfBand("UPDATE orders SET item = 'by hand' WHERE id = 2")
			b.execOutOfBand("DELETE FROM orders WHERE id = 3")
			v := r.verifier()
			result := r.waitDrift(v, 4)
			if plan := verify.MakePlan(result, verify.PlanOptions{MaxRows: 10}); len(plan.Left) != 2 {
				t.Fatalf("two rows have no winner: %+v", plan.Left)
			}
			plan := verify.MakePlan(result, verify.PlanOptions{MaxRows: 10, From: "b"})
			r.repair(v, plan, verify.Mended)
			r.waitRows("SELECT id, item FROM orders ORDER BY id", "\"1\" \"baseline 1\" \n\"2\" \"by hand\" \n")
			r.waitRows("SELECT * FROM names", "\"x\" \"1\" \n")
			if result := r.compare(v); result.Equal == nil || !*result.Equal {
				t.Errorf("afterwards: %+v", result)
			}
			r.list[2].exec("UPDATE orders SET item = 'after' WHERE id IN (1, 2)")
			r.list[2].exec("INSERT INTO orders VALUES (3, 'after', 1)")
			r.waitRows("SELECT COUNT(*) FROM orders WHERE item = 'after'", "\"3\" \n")
		})
	}
}

// A local write that the tailer has not passed yet keeps an adoption from being committed: its row would get a version that is not
// above that write's.
func TestAdopt_SeesALocalWriteAheadOfTheTailer(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	g := newGates(t)
	a := r.list[0]
	a.cfg.Reached = g.reached
	r.exec(ordersDDL)
	a.exec("INSERT INTO orders VALUES (1, 'of a', 1)")
	r.list[1].exec("INSERT INTO orders VALUES (1, 'of b', 1)")
	r.start()
	for _, g := range r.list {
		g.waitScanned("orders")
	}
	v := r.verifier()
	plan := verify.MakePlan(r.waitDrift(v, 1), verify.PlanOptions{MaxRows: 10, From: "a"})
	read, capture := g.arm("adopt.read"), g.arm("capture.begin")
	a.exec("UPDATE orders SET item = 'newer' WHERE id = 1") // in the binlog, and not in the ledger
	capture.wait()
	done := make(chan *verify.Repaired, 1)
	go func() { done <- r.repair(v, plan, verify.Refused) }()
	read.wait()
	capture.release()
	read.release()
	<-done
	r.waitRows("SELECT item FROM orders", "\"newer\" \n")
}

// Where the database of a region takes no writes nothing is done, and it is said why.
func TestRepair_LeavesARegionAloneThatIsReadOnly(t *testing.T) {
	r := scrubbed(t, testenv.KindMySQL, testenv.KindMySQL)
	b := r.list[1]
	b.execOutOfBand("DELETE FROM orders WHERE id = 1")
	v := r.verifier()
	plan := verify.MakePlan(r.waitDrift(v, 1), verify.PlanOptions{MaxRows: 10})
	b.exec("SET GLOBAL read_only = ON")
	defer b.exec("SET GLOBAL read_only = OFF")
	done := r.repair(v, plan, verify.Refused)
	if want := "the database of b is read-only (read_only is ON): nothing can be written there"; done.Rows[0].Detail != want {
		t.Errorf("it says %q", done.Rows[0].Detail)
	}
	if n := len(r.waitDrift(v, 1).Drift); n != 1 {
		t.Errorf("%d rows", n)
	}
}

// A region whose database takes no writes can be asked about its rows all the same: that others differ is proven and repaired
// where it can be.
func TestCompare_ProvesWhatDiffersWhileARegionIsReadOnly(t *testing.T) {
	r := scrubbed(t, testenv.KindMySQL, testenv.KindMySQL)
	a, b := r.list[0], r.list[1]
	b.exec("SET GLOBAL super_read_only = ON")
	defer func() { b.exec("SET GLOBAL super_read_only = OFF"); b.exec("SET GLOBAL read_only = OFF") }()
	a.execOutOfBand("DELETE FROM orders WHERE id = 1")
	v := r.verifier()
	plan := verify.MakePlan(r.waitDrift(v, 1), verify.PlanOptions{MaxRows: 10})
	if len(plan.Rows) != 1 || plan.Rows[0].Source != "b" {
		t.Fatalf("%+v", plan)
	}
}
