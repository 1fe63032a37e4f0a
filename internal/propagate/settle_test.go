package propagate

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"meridian/internal/envelope"
	"meridian/internal/mysqldb"
	"meridian/internal/retry"
	"meridian/internal/row"
)

// database is a Target with its parked changes, and the ledger of it, of one source and shard. COMMITs get no answer as
// often as it is told, and the questions after them fail as often as it is told.
type database struct {
	state  State
	parked map[uint64]bool
	row    Known // the one row that there is

	unanswered int  // COMMITs
	lost       bool // those are not carried out
	failing    int  // questions

	reports []Report
}

var errAway = errors.New("the database is away")

func (d *database) Begin(context.Context, bool) (Transaction, error) { return &operation{on: d}, nil }

func (d *database) Coordinates(context.Context) (at mysqldb.Coordinates, err error) { return at, nil }

func (d *database) State(context.Context, string, int) (State, error) { return d.state, d.fail() }

func (d *database) IsParked(_ context.Context, id uint64) (bool, error) {
	return d.parked[id], d.fail()
}

func (d *database) fail() error {
	if d.failing == 0 {
		return nil
	}
	d.failing--
	return errAway
}

func (d *database) Due(context.Context, int, time.Time, int) ([]ParkedChange, error) { return nil, nil }

func (d *database) Refused(context.Context, uint64, ParkState, int, string, string) error { return nil }

func (d *database) InReview(context.Context, []Place) (map[Place]bool, error) { return nil, nil }

func (d *database) Lookup(places []Place) ([]Known, error) {
	known := make([]Known, len(places))
	for i := range known {
		known[i] = d.row
	}
	return known, nil
}

func (d *database) WaitPassed(context.Context, mysqldb.Coordinates) error { return nil }

func (d *database) WaitApplied(context.Context, string, int, uint64) error { return nil }

func (d *database) PassControl(string, int, uint64, uint64) {}

func (d *database) Committed(r Report) { d.reports = append(d.reports, r) }

func (d *database) Retried(string, int, string, error) {}

func (d *database) Heard(*envelope.WatermarkMark) {}

type operation struct {
	on   *database
	plan *Plan
}

func (o *operation) Run(_ context.Context, p *Plan) (at mysqldb.Coordinates, err error) {
	o.plan = p
	switch {
	case p.From != o.on.state.Next:
		return at, ErrMoved
	case p.Unpark != 0 && !o.on.parked[p.Unpark]:
		return at, ErrNotParked
	}
	return at, nil
}

func (o *operation) Commit(context.Context) error {
	d := o.on
	if d.unanswered > 0 {
		d.unanswered--
		if !d.lost {
			o.carryOut()
		}
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, errAway)
	}
	o.carryOut()
	return nil
}

func (o *operation) carryOut() {
	d := o.on
	d.state.Next = o.plan.To
	d.state.Counts.Add(o.plan.Counts)
	delete(d.parked, o.plan.Unpark)
	for i := range o.plan.Writes {
		d.row = Known{Found: true, Version: o.plan.Writes[i].Change.Version}
	}
}

func (o *operation) Rollback(context.Context) {}

func (d *database) worker() *Worker {
	return NewWorker(ApplierConfig{Region: "a", BatchRows: 10, Match: func(string, string) bool { return true }, FenceTimeout: time.Second, Retry: retry.Policy{Base: time.Millisecond, Max: time.Second}}, 0, 1,
		map[string]State{"b": d.state}, WorkerDeps{Target: d, Parking: d, Reviews: d, Ledger: d, Rules: newest{}, Observer: d, Clock: retry.System{}, Log: zap.NewNop()})
}

// A COMMIT without an answer is carried out once, and what it did is counted and reported once, for what it was: whether
// it went through or not, whether the database answers the question after it at once or not, and also where the place in
// the topic does not tell, as with a parked change that is tried again.
func TestSettle_CountsWhatAnUnansweredCommitDidOnce(t *testing.T) {
	for _, parked := range []bool{false, true} {
		for _, lost := range []bool{false, true} {
			for _, failing := range []int{0, 1, 5} {
				t.Run(fmt.Sprintf("parked %t, lost %t, failing %d", parked, lost, failing), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						d := &database{state: State{Next: 7, Epoch: 1}, parked: map[uint64]bool{3: true, 4: true}, unanswered: 1, lost: lost, failing: failing}
						w := d.worker()
						ctx, stop := context.WithTimeout(t.Context(), time.Hour)
						defer stop()
						change := inbound(7, "k", row.Version{Time: 5, Region: "b"}, 1)
						want := Counts{Applied: 1}
						var err error
						if parked {
							change = aParked(t)
							err = w.retryOne(ctx, &ParkedChange{ID: 3, Source: "b", Record: change.Record.Marshal()})
						} else {
							want.Read = 1
							err = w.process(ctx, "b", []Inbound{change})
						}
						if err != nil {
							t.Fatal(err)
						}
						if d.state.Counts != want || d.parked[3] == parked || !d.parked[4] {
							t.Errorf("the database counts %+v, want %+v; parked are %v", d.state.Counts, want, d.parked)
						}
						if len(d.reports) != 1 || d.reports[0].Counts != want {
							t.Errorf("reported was %+v, want %+v, once", d.reports, want)
						}
					})
				})
			}
		}
	}
}

// aParked is a change as it comes out of meridian.parked.
func aParked(t *testing.T) Inbound {
	t.Helper()
	m := note(t, 1, "x:1", true, false).Message
	m.Source.Region = "b"
	r, err := envelope.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return Inbound{Message: m, Record: r}
}

// A person may take a parked change away while it is tried again: nothing is written then, and the worker goes on.
func TestRetryParked_LeavesAloneWhatIsNotParkedAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{state: State{Next: 7, Epoch: 1}, parked: map[uint64]bool{}}
		record := aParked(t).Record
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		if err := d.worker().retryOne(ctx, &ParkedChange{ID: 3, Source: "b", Record: record.Marshal()}); err != nil {
			t.Fatal(err)
		}
		if ctx.Err() != nil || d.state.Counts != (Counts{}) || len(d.reports) != 0 || d.row.Found {
			t.Errorf("it was applied, or tried for ever (%v): %+v", ctx.Err(), d)
		}
	})
}
