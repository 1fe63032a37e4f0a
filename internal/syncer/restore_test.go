package syncer_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"meridian/internal/inspect"
	"meridian/internal/testenv"
	"meridian/internal/verify"
)

// restorers asks the regions over HTTP, as the product does.
func (r *regions) restorers() verify.Restorers {
	r.t.Helper()
	list := verify.Restorers{}
	for _, g := range r.list {
		mux := http.NewServeMux()
		inspect.MountRestorer(mux.Handle, g.syncer.Restorer())
		server := httptest.NewServer(mux)
		r.t.Cleanup(server.Close)
		list[g.name] = []inspect.Restorer{inspect.NewClient(server.URL, server.Client(), nil)}
	}
	return list
}

// lostConflict makes a conflict that b's write wins, and gives the id under which b keeps a's.
func lostConflict(a, b *region, g *gates, older, newer string) inspect.ConflictID {
	a.t.Helper()
	conflict(a, b, g, older, newer)
	id := strings.Trim(b.rows("SELECT MAX(id) FROM meridian.conflicts"), "\" \n")
	return inspect.ConflictID{Region: "b", Number: number(a.t, id)}
}

func (r *regions) plan(id inspect.ConflictID) *inspect.Restore {
	r.t.Helper()
	plan, err := verify.PlanRestore(r.t.Context(), r.restorers(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return plan
}

func (r *regions) restore(plan *inspect.Restore) {
	r.t.Helper()
	done, err := verify.Restore(r.t.Context(), r.restorers(), plan)
	if err != nil || !done.Done {
		r.t.Fatalf("%+v, %v", done, err)
	}
}

// A lost update comes back in all regions, under a new version; the plan says before what will be, and changes nothing.
func TestRestore_BringsALostUpdateBackEverywhere(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			r := newRegions(t, 1, kind, kind)
			g := newGates(t)
			a, b := r.list[0], r.list[1]
			b.cfg.Reached = g.reached
			r.exec("CREATE TABLE orders (id VARCHAR(20) PRIMARY KEY, item VARCHAR(50), n INT)")
			r.start()
			a.exec("INSERT INTO orders VALUES ('k', 'first', 1), ('gone', 'first', 2)")
			r.waitEqual(all)
			r.waitSettled()
			id := lostConflict(a, b, g, "UPDATE orders SET item = 'from a' WHERE id = 'k'", "UPDATE orders SET item = 'from b', n = 5 WHERE id = 'k'")
			plan := r.plan(id)
			if plan.ID != id || plan.Key[0] != "k" || !slices.Equal(plan.Different, []string{"item", "n"}) || *plan.Now.Values[1].Text != "from b" || *plan.Then.Values[1].Text != "from a" || plan.Done || plan.Already {
				t.Errorf("%+v", plan)
			}
			if b.rows(all) != "\"gone\" \"first\" \"2\" \n\"k\" \"from b\" \"5\" \n" {
				t.Error("the plan changed something")
			}
			r.restore(plan)
			r.waitRows(all, "\"gone\" \"first\" \"2\" \n\"k\" \"from a\" \"1\" \n")
			r.waitSettled()
			if x := r.explain("orders", "k"); !*x.Equal || x.Regions["a"].Origin != "b" || x.Regions["a"].Version == plan.Conflict.Winner || len(x.History) != 1 {
				t.Errorf("%+v", x)
			}
			if again := r.plan(id); !again.Already {
				t.Errorf("brought back once more: %+v", again)
			}
			// A deleted row comes back, and so does a lost delete.
			id = lostConflict(a, b, g, "UPDATE orders SET item = 'back' WHERE id = 'gone'", "DELETE FROM orders WHERE id = 'gone'")
			if plan = r.plan(id); !plan.Now.Deleted || plan.Over != "none" {
				t.Errorf("%+v", plan)
			}
			r.restore(plan)
			r.waitRows("SELECT item FROM orders WHERE id = 'gone'", "\"back\" \n")
			r.waitSettled()
			id = lostConflict(a, b, g, "DELETE FROM orders WHERE id = 'gone'", "UPDATE orders SET n = 9 WHERE id = 'gone'")
			r.restore(r.plan(id))
			r.waitRows("SELECT COUNT(*) FROM orders WHERE id = 'gone'", "\"0\" \n")
		})
	}
}

// The delete that a region wrote itself and lost is kept by the key alone, and can be brought back.
func TestRestore_BringsADeleteBackOfWhichOnlyTheLedgerKnew(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	g := newGates(t)
	a, b := r.list[0], r.list[1]
	b.cfg.Reached = g.reached
	r.exec("CREATE TABLE orders (n INT, id VARCHAR(20) PRIMARY KEY, item VARCHAR(50))")
	r.start()
	a.exec("INSERT INTO orders VALUES (1, 'Key', 'first')")
	r.waitEqual(all)
	r.waitSettled()
	conflict(a, b, g, "DELETE FROM orders", "UPDATE orders SET item = 'stays'")
	id := inspect.ConflictID{Region: "a", Number: number(t, strings.Trim(a.rows("SELECT MAX(id) FROM meridian.conflicts"), "\" \n"))}
	plan := r.plan(id)
	if plan.Key[0] != "Key" || !plan.Then.Deleted || plan.Now.Deleted {
		t.Errorf("%+v", plan)
	}
	r.restore(plan)
	r.waitRows(all, "")
}

// What cannot be brought back is told in a sentence, and nothing is changed.
func TestRestore_SaysWhyItCannot(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	g := newGates(t)
	a, b := r.list[0], r.list[1]
	b.cfg.Reached = g.reached
	r.exec("CREATE TABLE parents (id INT PRIMARY KEY)")
	r.exec("CREATE TABLE orders (id BIGINT PRIMARY KEY, item VARCHAR(50), n INT, p INT, UNIQUE KEY (n), CONSTRAINT fk FOREIGN KEY (p) REFERENCES parents (id))")
	r.start()
	a.exec("INSERT INTO parents VALUES (1), (2)")
	a.exec("INSERT INTO orders VALUES (1, 'first', 1, 1)")
	r.waitEqual(all)
	r.waitSettled()
	id := lostConflict(a, b, g, "UPDATE orders SET n = 7, p = 2", "UPDATE orders SET item = 'from b'")
	now := b.rows(all)
	refuses := func(says string) {
		t.Helper()
		plan, err := verify.PlanRestore(t.Context(), r.restorers(), id)
		if err == nil {
			plan, err = verify.Restore(t.Context(), r.restorers(), plan)
		}
		var unrestorable *inspect.UnrestorableError
		if !errors.As(err, &unrestorable) || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v, %v; want %q", plan, err, says)
		}
		if got := b.rows("SELECT id, item, n, p FROM orders WHERE id = 1"); got != now {
			t.Errorf("%q: the row was changed to %s", says, got)
		}
	}
	b.exec("DELETE FROM parents WHERE id = 2")
	refuses("a foreign key forbids it")
	b.exec("INSERT INTO parents VALUES (2)")
	b.exec("INSERT INTO orders VALUES (2, 'in the way', 7, 1)")
	refuses("another row has its value in a unique key")
	b.exec("DELETE FROM orders WHERE id = 2")
	b.exec("ALTER TABLE orders MODIFY n TINYINT CHECK (n < 5)")
	refuses("the database does not accept the row")
	b.exec("ALTER TABLE orders RENAME COLUMN item TO thing")
	eventually(t, "the change of the table is known", func() error {
		_, err := verify.PlanRestore(t.Context(), r.restorers(), id)
		return whether(err != nil, "it is not")
	})
	now = b.rows("SELECT id, thing, n, p FROM orders")
	b.exec("ALTER TABLE orders ADD COLUMN item VARCHAR(50)")
	b.exec("UPDATE orders SET item = thing")
	b.exec("ALTER TABLE orders DROP COLUMN thing, DROP CHECK orders_chk_1")
	b.exec("ALTER TABLE orders ADD COLUMN later INT DEFAULT 3")
	eventually(t, "the new column is known", func() error {
		plan, err := verify.PlanRestore(t.Context(), r.restorers(), id)
		return errors.Join(err, whether(err == nil && slices.Equal(plan.Kept, []string{"later"}), "it is not"))
	})
	var question *inspect.QuestionError
	if _, err := verify.PlanRestore(t.Context(), r.restorers(), inspect.ConflictID{Region: "b", Number: 999}); !errors.As(err, &question) || !strings.Contains(err.Error(), "keeps no conflict 999") {
		t.Errorf("an id that is not there: %v", err)
	}
	if _, err := verify.PlanRestore(t.Context(), r.restorers(), inspect.ConflictID{Region: "mars", Number: 1}); !errors.As(err, &question) || !strings.Contains(err.Error(), `no region "mars"`) {
		t.Errorf("a region that is not there: %v", err)
	}
	b.exec("DROP TABLE orders")
	now = ""
	b.exec("CREATE TABLE orders (id BIGINT PRIMARY KEY, item VARCHAR(50), n INT, p INT)")
	b.exec("DROP TABLE orders")
	eventually(t, "the table is known to be gone", func() error {
		_, err := verify.PlanRestore(t.Context(), r.restorers(), id)
		return whether(err != nil && strings.Contains(err.Error(), "there is no table"), "it is not")
	})
}

func whether(is bool, otherwise string) error {
	if is {
		return nil
	}
	return errors.New(otherwise)
}

// A delete or an update that a foreign key would carry on to other rows is none that the binlog shows.
func TestRestore_RefusesWhatWouldCascadeBeneathTheBinlog(t *testing.T) {
	a, b, g, r := two(t, ordersDDL)
	r.exec("CREATE TABLE parts (id INT PRIMARY KEY, o BIGINT, CONSTRAINT parts_of FOREIGN KEY (o) REFERENCES orders (id) ON DELETE CASCADE)")
	a.exec("INSERT INTO orders VALUES (1, 'first', 1)")
	r.waitEqual(all)
	r.waitSettled()
	id := lostConflict(a, b, g, "DELETE FROM orders", "UPDATE orders SET item = 'from b'")
	_, err := verify.PlanRestore(t.Context(), r.restorers(), id)
	var unrestorable *inspect.UnrestorableError
	if !errors.As(err, &unrestorable) || !strings.Contains(err.Error(), "parts_of") {
		t.Errorf("%v", err)
	}
}

// A database that takes no writes says so, and nothing is changed.
func TestRestore_SaysThatTheDatabaseIsReadOnly(t *testing.T) {
	a, b, g, r := two(t, ordersDDL)
	a.exec("INSERT INTO orders VALUES (1, 'first', 1)")
	r.waitEqual(all)
	r.waitSettled()
	id := lostConflict(a, b, g, "UPDATE orders SET item = 'from a'", "UPDATE orders SET item = 'from b'")
	plan := r.plan(id)
	b.db.Exec("SET GLOBAL super_read_only = 1")
	_, err := verify.Restore(t.Context(), r.restorers(), plan)
	b.db.Exec("SET GLOBAL super_read_only = 0")
	b.db.Exec("SET GLOBAL read_only = 0")
	var unrestorable *inspect.UnrestorableError
	if !errors.As(err, &unrestorable) || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("%v", err)
	}
	r.waitRows(all, "\"1\" \"from b\" \"1\" \n")
}

func TestRestore_NothingIsDoneOverAnotherRowThanThePlans(t *testing.T) {
	a, b, g, r := two(t, ordersDDL)
	a.exec("INSERT INTO orders VALUES (1, 'first', 1)")
	r.waitEqual(all)
	r.waitSettled()
	id := lostConflict(a, b, g, "UPDATE orders SET item = 'from a'", "UPDATE orders SET item = 'from b'")
	plan := r.plan(id)
	b.exec("UPDATE orders SET n = 2")
	if _, err := verify.Restore(t.Context(), r.restorers(), plan); !errors.Is(err, inspect.ErrRowChanged) {
		t.Errorf("%v", err)
	}
	r.waitRows(all, "\"1\" \"from b\" \"2\" \n")
}
