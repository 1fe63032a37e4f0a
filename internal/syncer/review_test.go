package syncer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"meridian/internal/inspect"
	"meridian/internal/propagate"
	"meridian/internal/row"
	"meridian/internal/testenv"
	"meridian/internal/verify"
)

// underReview makes three regions in which conflicts in orders wait for a person, and those in names do not.
func underReview(t *testing.T, kind testenv.Kind, change ...func(r *regions)) (r *regions, by map[string]*gates) {
	t.Helper()
	r = newRegions(t, 1, kind, kind, kind)
	by = map[string]*gates{}
	for _, g := range r.list {
		by[g.name] = newGates(t)
		g.cfg.Reached = by[g.name].reached
		g.cfg.Tables = tables{schema: r.schema, review: []string{r.schema + ".orders"}}
	}
	for _, f := range change {
		f(r)
	}
	r.exec(ordersDDL)
	r.exec(namesDDL)
	r.start()
	for _, g := range r.list {
		g.waitScanned("orders", "names")
	}
	r.list[0].exec("INSERT INTO orders VALUES (1, 'first', 1), (2, 'first', 2)")
	r.list[0].exec("INSERT INTO names VALUES ('x', 0)")
	r.waitRows("SELECT item FROM orders", "\"first\" \n\"first\" \n")
	r.waitRows("SELECT * FROM names", "\"x\" \"0\" \n")
	r.waitSettled()
	return r, by
}

// write is some statements in one region.
type write struct {
	in      *region
	queries []string
}

// apart lets two regions write without seeing each other, the first an older version: nothing of either is on the bus before both
// have written.
func (r *regions) apart(by map[string]*gates, writes ...write) {
	r.t.Helper()
	var held []*gate
	for _, w := range writes {
		h := by[w.in.name].arm("publish.begin")
		h.wait()
		held = append(held, h)
	}
	for _, w := range writes {
		before := value(r.t, w.in, "capture_transactions_total", nil)
		for _, q := range w.queries {
			w.in.exec(q)
		}
		w.in.waitCount("capture_transactions_total", nil, before+float64(len(w.queries))) // it has its version
	}
	for _, h := range held {
		h.release()
	}
}

func (g *region) inReview() string {
	g.t.Helper()
	return g.rows("SELECT COUNT(*) FROM meridian.parked WHERE state = 'review'")
}

func (g *region) waitInReview(n int) {
	g.t.Helper()
	eventually(g.t, fmt.Sprintf("%d changes are in review in %s", n, g.name), func() error {
		if got := g.inReview(); got != fmt.Sprintf("\"%d\" \n", n) {
			return errors.New(got)
		}
		return nil
	})
}

func (g *region) want(query, want string) {
	g.t.Helper()
	if got := g.rows(query); got != want {
		g.t.Errorf("%s: %s gives\n%swant\n%s", g.name, query, got, want)
	}
}

func (r *regions) reviewers() verify.Reviewers {
	all := verify.Reviewers{}
	for _, g := range r.list {
		mux := http.NewServeMux()
		inspect.MountReviews(mux.Handle, g.syncer.Reviewer(), true)
		server := httptest.NewServer(mux)
		r.t.Cleanup(server.Close)
		all[g.name] = []inspect.Reviewer{inspect.NewClient(server.URL, server.Client(), nil)}
	}
	return all
}

func (r *regions) reviews(v *verify.Verifier) *verify.ReviewList {
	r.t.Helper()
	list, err := v.Reviews(r.t.Context(), r.reviewers(), func(string) bool { return true })
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// resolve takes a region's rows, and wants each row's outcome.
func (r *regions) resolve(v *verify.Verifier, take, outcome string) *verify.Repaired {
	r.t.Helper()
	plan, err := r.reviews(v).Plan(take)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.carryOut(v, plan, outcome)
}

func (r *regions) carryOut(v *verify.Verifier, plan *verify.Plan, outcome string) *verify.Repaired {
	r.t.Helper()
	done, err := v.Resolve(r.t.Context(), r.reviewers(), plan)
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

// ended wants that nothing is in review any more, and that all regions hold the same.
func (r *regions) ended(v *verify.Verifier, want string) {
	r.t.Helper()
	r.waitRows(all, want)
	for _, g := range r.list {
		g.waitInReview(0)
	}
	r.waitSettled()
	r.conserved()
	if result := r.compare(v); result.Equal == nil || !*result.Equal {
		r.t.Errorf("afterwards: %+v", result)
	}
}

func imageText(l *verify.Lost) string {
	switch {
	case l == nil:
		return "nothing"
	case l.Deleted:
		return "deleted"
	default:
		return *l.Row["item"]
	}
}

// Two regions that write a row without seeing each other keep each its own, and what comes for it behind, through restarts, until a
// person takes one of them; then it is everywhere. A third region, through which both only pass, has the newest meanwhile. A table
// without the rule is not affected.
func TestReview_EachRegionKeepsItsOwnUntilAPersonDecides(t *testing.T) {
	for _, tc := range []struct {
		kind testenv.Kind
		take string
		want string
	}{
		{testenv.KindMySQL, "a", "from a again"}, {testenv.KindMySQL, "b", "from b"}, {testenv.KindMariaDB, "b", "from b"}, {testenv.KindMySQL, "c", "newest"},
	} {
		t.Run(string(tc.kind)+" "+tc.take, func(t *testing.T) {
			r, by := underReview(t, tc.kind)
			a, b, c := r.list[0], r.list[1], r.list[2]
			r.apart(by, write{a, []string{"UPDATE orders SET item = 'from a' WHERE id = 1", "UPDATE names SET n = 1"}}, write{b, []string{"UPDATE orders SET item = 'from b' WHERE id = 1", "UPDATE names SET n = 2"}})
			a.waitInReview(1)
			b.waitInReview(1)
			r.waitRows("SELECT * FROM names", "\"x\" \"2\" \n")
			r.waitSettled()
			a.want(all, "\"1\" \"from a\" \"1\" \n\"2\" \"first\" \"2\" \n")
			b.want(all, "\"1\" \"from b\" \"1\" \n\"2\" \"first\" \"2\" \n")
			c.want(all, "\"1\" \"from b\" \"1\" \n\"2\" \"first\" \"2\" \n")
			c.waitInReview(0)
			if n := value(t, a, "conflicts_total", map[string]string{"winner": "none"}); n != 1 {
				t.Errorf("%v conflicts without a winner are counted", n)
			}
			r.conserved()
			// What was written with one of them seen waits behind them, too, though it looks like a chain; local writes go on.
			c.exec("UPDATE orders SET item = 'newer' WHERE id = 1")
			a.waitInReview(2)
			b.waitInReview(2)
			if err := b.end(); err != nil {
				t.Fatal(err)
			}
			b.start()
			b.waitReady()
			a.exec("UPDATE orders SET item = 'from a again' WHERE id = 1")
			b.waitInReview(3)
			c.waitInReview(1) // c had written the row itself, without having seen this
			r.waitSettled()
			c.exec("UPDATE orders SET item = 'newest' WHERE id = 1")
			a.waitInReview(3)
			b.waitInReview(4)
			r.waitSettled()
			a.want(all, "\"1\" \"from a again\" \"1\" \n\"2\" \"first\" \"2\" \n")
			b.want(all, "\"1\" \"from b\" \"1\" \n\"2\" \"first\" \"2\" \n")
			c.want(all, "\"1\" \"newest\" \"1\" \n\"2\" \"first\" \"2\" \n")
			r.conserved()
			v := r.verifier()
			if result := r.compare(v); len(result.Drift) != 0 || result.Equal == nil || *result.Equal || len(result.Tables) != 2 || result.Tables[1].Parked != 1 {
				t.Errorf("a row in review is parked, and no drift: %+v", result)
			}
			list := r.reviews(v)
			if len(list.Rows) != 1 || list.Rows[0].Why != verify.ByConflict || len(list.Rows[0].Pending) != 8 || list.Rows[0].Key[0] != "1" {
				t.Fatalf("the list: %+v", list)
			}
			row := list.Rows[0]
			for region, want := range map[string]string{"a": "from a again", "b": "from b", "c": "newest"} {
				if got := *row.Regions[region].Row["item"]; got != want {
					t.Errorf("%s has %q, not %q", region, got, want)
				}
			}
			if p := row.Pending[0]; p.Region != "a" || p.Source != "b" || imageText(p.Remote) != "from b" || imageText(p.Local) != "from a" {
				t.Errorf("the first of a: %s over %s: %+v", imageText(p.Remote), imageText(p.Local), p)
			}
			r.resolve(v, tc.take, verify.Mended)
			r.ended(v, fmt.Sprintf("\"1\" %q \"1\" \n\"2\" \"first\" \"2\" \n", tc.want))
			c.exec("UPDATE orders SET item = 'after' WHERE id = 1")
			b.exec("UPDATE orders SET item = 'after' WHERE id = 2")
			r.ended(v, "\"1\" \"after\" \"1\" \n\"2\" \"after\" \"2\" \n")
		})
	}
}

// A row that was deleted in one region and written in the other: either may be taken.
func TestReview_TakesADeletedRow(t *testing.T) {
	for take, want := range map[string]string{"a": "\"2\" \"first\" \"2\" \n", "b": "\"1\" \"kept\" \"1\" \n\"2\" \"first\" \"2\" \n"} {
		t.Run(take, func(t *testing.T) {
			r, by := underReview(t, testenv.KindMySQL)
			a, b := r.list[0], r.list[1]
			r.apart(by, write{a, []string{"DELETE FROM orders WHERE id = 1"}}, write{b, []string{"UPDATE orders SET item = 'kept' WHERE id = 1"}})
			a.waitInReview(1)
			b.waitInReview(1)
			r.waitSettled()
			a.want(all, "\"2\" \"first\" \"2\" \n")
			v := r.verifier()
			if p := r.reviews(v).Rows[0].Pending; imageText(p[0].Local) != "deleted" || imageText(p[0].Remote) != "kept" || imageText(p[1].Local) != "kept" || imageText(p[1].Remote) != "deleted" {
				t.Errorf("the images: %+v", p)
			}
			r.resolve(v, take, verify.Mended)
			r.ended(v, want)
		})
	}
}

// line is a region's way to another's topic, which can be cut.
type line struct {
	mu    sync.Mutex
	isCut bool
	conns []net.Conn
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut {
		return nil, syscall.ECONNREFUSED
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		l.conns = append(l.conns, conn)
	}
	return conn, err
}

func (l *line) set(isCut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = isCut
	for _, conn := range l.conns {
		conn.Close()
	}
	l.conns = nil
}

// What was written over a decision, and comes before it, waits behind what was decided on only until the decision comes: it is
// newer, and does not end with it.
func TestReview_WhatWasWrittenOverTheDecisionIsNotEndedByIt(t *testing.T) {
	var fromA line
	r, by := underReview(t, testenv.KindMySQL, func(r *regions) {
		for i, s := range r.list[1].cfg.Sources {
			if s.Region == "a" {
				r.list[1].cfg.Sources[i].Bus.Dial = fromA.dial
			}
		}
	})
	a, b, c := r.list[0], r.list[1], r.list[2]
	r.apart(by, write{a, []string{"UPDATE orders SET item = 'from a' WHERE id = 1"}}, write{b, []string{"UPDATE orders SET item = 'from b' WHERE id = 1"}})
	a.waitInReview(1)
	b.waitInReview(1)
	r.waitSettled()
	v := r.verifier()
	plan, err := r.reviews(v).Plan("a")
	if err != nil {
		t.Fatal(err)
	}
	fromA.set(true)
	done := make(chan *verify.Repaired, 1)
	go func() { done <- r.carryOut(v, plan, verify.Mended) }()
	eventually(t, "c has it", func() error {
		if c.rows("SELECT item FROM orders WHERE id = 1") != "\"from a\" \n" {
			return errors.New("it has not")
		}
		return nil
	})
	c.exec("UPDATE orders SET item = 'over it' WHERE id = 1")
	b.waitInReview(2)
	fromA.set(false)
	<-done
	r.ended(v, "\"1\" \"over it\" \"1\" \n\"2\" \"first\" \"2\" \n")
}

// A local write that comes between a decision and its arrival is newer: it stays, and the row is in review again.
func TestReview_ALocalWriteBesideTheDecisionIsInReviewAgain(t *testing.T) {
	r, by := underReview(t, testenv.KindMySQL)
	a, b := r.list[0], r.list[1]
	r.apart(by, write{a, []string{"UPDATE orders SET item = 'from a' WHERE id = 1"}}, write{b, []string{"UPDATE orders SET item = 'from b' WHERE id = 1"}})
	a.waitInReview(1)
	b.waitInReview(1)
	r.waitSettled()
	v := r.verifier()
	plan, err := r.reviews(v).Plan("a")
	if err != nil {
		t.Fatal(err)
	}
	decided := by["b"].arm("apply.decided")
	done := make(chan *verify.Repaired, 1)
	go func() { done <- r.carryOut(v, plan, verify.Newer) }()
	decided.wait()
	b.exec("UPDATE orders SET item = 'from b again' WHERE id = 1")
	decided.release()
	a.waitInReview(1)
	<-done
	r.waitSettled()
	a.want(all, "\"1\" \"from a\" \"1\" \n\"2\" \"first\" \"2\" \n")
	b.want(all, "\"1\" \"from b again\" \"1\" \n\"2\" \"first\" \"2\" \n")
	r.conserved()
	r.resolve(v, "b", verify.Mended)
	r.ended(v, "\"1\" \"from b again\" \"1\" \n\"2\" \"first\" \"2\" \n")
}

// Rows of which no rule says who is right are in the list, and end in the same way.
func TestReview_ListsRowsWithoutAWinner(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(ordersDDL)
	for _, g := range r.list {
		g.exec("INSERT INTO orders VALUES (1, ?, 1)", "baseline of "+g.name)
	}
	r.start()
	for _, g := range r.list {
		g.waitScanned("orders")
	}
	v := r.verifier()
	r.waitDrift(v, 1)
	list := r.reviews(v)
	if len(list.Rows) != 1 || list.Rows[0].Why != verify.ByBaseline || !slices.Equal(slices.Sorted(maps.Keys(list.Rows[0].Regions)), []string{"a", "b"}) {
		t.Fatalf("the list: %+v", list)
	}
	r.resolve(v, "b", verify.Mended)
	r.ended(v, "\"1\" \"baseline of b\" \"1\" \n")
	if list = r.reviews(v); len(list.Rows)+len(list.Unreachable) != 0 {
		t.Errorf("afterwards: %+v", list)
	}
}

// Seeding overwrites no row that is in review, and does not send it for ever: it is left for the person who decides.
func TestReview_SeedingLeavesTheRow(t *testing.T) {
	r, by := underReview(t, testenv.KindMySQL)
	a, b := r.list[0], r.list[1]
	r.apart(by, write{a, []string{"UPDATE orders SET item = 'from a' WHERE id = 1"}}, write{b, []string{"UPDATE orders SET item = 'from b' WHERE id = 1"}})
	a.waitInReview(1)
	b.waitInReview(1)
	r.waitSettled()
	v := r.verifier()
	done, err := v.Seed(t.Context(), verify.SeedOptions{Into: "a", From: "b", Match: func(string) bool { return true }})
	if err != nil || len(done.Left) != 1 || !strings.Contains(done.Left[0].Reason, "in review") {
		t.Errorf("it ends with %+v, %v", done, err)
	}
	a.want(all, "\"1\" \"from a\" \"1\" \n\"2\" \"first\" \"2\" \n")
	r.conserved()
	r.resolve(v, "a", verify.Mended)
	r.ended(v, "\"1\" \"from a\" \"1\" \n\"2\" \"first\" \"2\" \n")
}

// While a region is down, or takes no writes, nothing is decided.
func TestReview_NothingIsChangedWhileARegionIsAway(t *testing.T) {
	r, by := underReview(t, testenv.KindMySQL)
	a, b, c := r.list[0], r.list[1], r.list[2]
	r.apart(by, write{a, []string{"UPDATE orders SET item = 'from a' WHERE id = 1"}}, write{b, []string{"UPDATE orders SET item = 'from b' WHERE id = 1"}})
	a.waitInReview(1)
	b.waitInReview(1)
	r.waitSettled()
	v := r.verifier()
	c.exec("SET GLOBAL read_only = ON")
	done := r.resolve(v, "a", verify.Refused)
	c.exec("SET GLOBAL read_only = OFF")
	if want := "the database of c is read-only (read_only is ON): nothing can be written there"; done.Rows[0].Detail != want {
		t.Errorf("it says %q", done.Rows[0].Detail)
	}
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.reviews(v).Plan("a"); err == nil {
		t.Error("it was planned without c")
	}
	a.waitInReview(1)
	b.waitInReview(1)
	a.want(all, "\"1\" \"from a\" \"1\" \n\"2\" \"first\" \"2\" \n")
}

// What was refused and is tried again may be in review from there on, at its place in the topic; what ends in review is counted where
// it came from, what is newer is tried again, and only then is the row's tombstone free.
func TestReview_EndsInTheTransactionOfTheDecision(t *testing.T) {
	d := newDirectly(t)
	nothing := func() {}
	at := propagate.Place{Table: aPark.Table, Key: aPark.Key}
	review := aPark
	review.State = propagate.Review
	newer := review
	newer.Offset, newer.Version.Time = 5, 9
	inReview := func(want bool) {
		t.Helper()
		if got, err := d.InReview(t.Context(), []propagate.Place{at, {Table: "shop.orders", Key: "other"}}); err != nil || got[at] != want || len(got) > 1 {
			t.Errorf("in review: %v, %v; want %t", got, err, want)
		}
	}
	for _, p := range []propagate.Plan{
		{To: 1, Counts: propagate.Counts{Read: 1}, Parks: []propagate.Park{aPark}},
		{From: 1, To: 1, Unpark: 1, Parks: []propagate.Park{review}},
		{From: 1, To: 6, Counts: propagate.Counts{Read: 1}, Parks: []propagate.Park{newer}},
	} {
		if err := d.run(p, nothing); err != nil {
			t.Fatal(err)
		}
		d.g.all.conserved()
	}
	inReview(true)
	ends := propagate.Plan{From: 6, To: 7, Counts: propagate.Counts{Read: 1, Applied: 1}, Ends: []propagate.Decided{{Place: at, Version: row.Version{Time: 5, Region: "c"}}}}
	if err := d.run(ends, func() { inReview(true) }); err != nil {
		t.Fatal(err)
	}
	inReview(false)
	d.g.all.conserved()
	d.g.want("SELECT state, version_time FROM meridian.parked", "\"parked\" \"9\" \n")
	d.g.want("SELECT superseded FROM meridian.provenance", "\"1\" \n")
	if !d.Holds(at.Table, at.Key) {
		t.Error("the row's tombstone may go, and a change to it is parked")
	}
}
