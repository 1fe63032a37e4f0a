package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"meridian/internal/inspect"
)

// Repaired says what a repair did.
type Repaired struct {
	Rows []RepairedRow `json:"rows"`
}

// RepairedRow is one row's outcome.
type RepairedRow struct {
	PlannedRow
	Outcome string `json:"outcome"`
	Detail  string `json:"detail,omitempty"`

	published string // the version
}

// The outcomes of a repair.
const (
	Mended  = "repaired" // all regions hold the same row again
	Newer   = "changed"  // somebody has written the row meanwhile: that write counts, the repair did nothing or lost against it
	Pending = "pending"  // it is on the bus, and has not arrived everywhere in time
	Refused = "refused"  // it could not be done; nothing was changed
)

// errNoMender is returned where a cluster's processes can only be asked.
var errNoMender = errors.New("this process cannot be told to repair")

// Repair carries a plan out: the rows travel over the bus, and are applied like any other change, so that a newer write always
// beats them. It returns when all regions hold the same rows, or when the window is over. An error means that nothing more was
// done than the result says.
func (v *Verifier) Repair(ctx context.Context, plan *Plan) (*Repaired, error) {
	done := &Repaired{Rows: make([]RepairedRow, len(plan.Rows))}
	for i := range plan.Rows {
		done.Rows[i] = RepairedRow{PlannedRow: plan.Rows[i]}
	}
	if len(done.Rows) == 0 {
		return done, nil
	}
	view, err := v.Cluster.look(ctx)
	if err != nil {
		return done, err
	}
	done.refuseReadOnly(ctx, view)
	for _, batch := range done.batches() {
		if err := v.order(ctx, view, batch); err != nil {
			return done, err
		}
	}
	return done, v.await(ctx, done)
}

// refuseReadOnly leaves rows alone that a region which is to get them could not take: its applier would wait, and with it all that
// comes behind.
func (r *Repaired) refuseReadOnly(ctx context.Context, view *view) {
	why := map[string]string{} // by region
	for i := range r.Rows {
		for _, region := range r.Rows[i].Wrong {
			if region == r.Rows[i].Source && !r.Rows[i].Adopt {
				continue
			}
			if _, known := why[region]; !known {
				why[region] = notWritable(ctx, view, region)
			}
			if why[region] != "" {
				r.Rows[i].Outcome, r.Rows[i].Detail = Refused, why[region]
			}
		}
	}
}

func notWritable(ctx context.Context, view *view, region string) string {
	for _, process := range view.owner[region] {
		m, ok := process.(inspect.Mender)
		if !ok {
			return errNoMender.Error()
		}
		w, err := m.Writable(ctx)
		if err != nil {
			return fmt.Sprintf("%s cannot be asked: %v", region, err)
		}
		return w.WhyNot // one of a region's processes knows its database
	}
	return region + " cannot be asked"
}

// batches gives the rows that go in one order: of one table, shard, source, and way.
func (r *Repaired) batches() [][]*RepairedRow {
	type kind struct {
		spot
		source string
		adopt  bool
	}
	by := map[kind][]*RepairedRow{}
	var order []kind
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Outcome != "" {
			continue
		}
		k := kind{spot{row.place.table, row.place.shard}, row.Source, row.Adopt}
		if by[k] == nil {
			order = append(order, k)
		}
		by[k] = append(by[k], row)
	}
	var list [][]*RepairedRow
	for _, k := range order {
		list = slices.AppendSeq(list, slices.Chunk(by[k], inspect.MaxOrder))
	}
	return list
}

// order gives one order. What its region says of it stands in the rows; the error is the context's.
func (v *Verifier) order(ctx context.Context, view *view, batch []*RepairedRow) error {
	first := batch[0]
	o := inspect.Order{Table: first.place.table, As: inspect.AsRepair}
	for _, r := range batch {
		o.Rows = append(o.Rows, r.order())
	}
	answer, err := give(ctx, view.owner[first.Source][first.place.shard], o, first.Adopt)
	if err == nil && len(answer.Rows) != len(batch) {
		err = fmt.Errorf("%s answers for %d rows of %d", first.Source, len(answer.Rows), len(batch)) //nolint:err113 // it is only told
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for i, r := range batch {
		switch {
		case err != nil:
			r.Outcome, r.Detail = Refused, err.Error()
		case answer.Rows[i].Outcome == inspect.Published:
			r.Outcome, r.published = Pending, answer.Rows[i].Version
		case answer.Rows[i].Outcome == inspect.Changed:
			r.Outcome, r.Detail = Newer, answer.Rows[i].Detail
		default:
			r.Outcome, r.Detail = Refused, first.Source+": "+answer.Rows[i].Detail
		}
	}
	return nil
}

func give(ctx context.Context, process inspect.Region, o inspect.Order, adopt bool) (*inspect.Mended, error) {
	m, ok := process.(inspect.Mender)
	if !ok {
		return nil, errNoMender
	}
	if adopt {
		return m.Adopt(ctx, o)
	}
	return m.Republish(ctx, o)
}

// await waits until what was published has arrived everywhere.
func (v *Verifier) await(ctx context.Context, done *Repaired) error {
	began := v.Clock.Now()
	for {
		waiting := map[place]*RepairedRow{}
		for i := range done.Rows {
			if done.Rows[i].Outcome == Pending {
				waiting[done.Rows[i].place] = &done.Rows[i]
			}
		}
		if len(waiting) == 0 {
			return nil
		}
		result, err := v.recheck(ctx, waiting)
		if err != nil {
			return err
		}
		for i := range result.Drift {
			f := &result.Drift[i]
			waiting[f.place].Detail = "it is on the bus, and has not been applied everywhere yet"
			switch f.Parked {
			case "":
			case inReview:
				waiting[f.place].Detail = "it is on the bus, and has not been applied everywhere yet; or the row was written again meanwhile, and is in review"
			default:
				waiting[f.place].Detail = "a region's database does not take it: the change is " + f.Parked + " there"
			}
			delete(waiting, f.place)
		}
		for i := range result.Unproven {
			waiting[result.Unproven[i].place].Detail = result.Unproven[i].Reason
			delete(waiting, result.Unproven[i].place)
		}
		for _, r := range waiting {
			r.Outcome, r.Detail = Mended, ""
		}
		if v.Clock.Now().Sub(began) >= v.Window {
			return nil
		}
		if err := v.Clock.Sleep(ctx, v.Pause); err != nil {
			return err
		}
	}
}

// inReview is the state of a parked change that waits for a person.
const inReview = "review"

// recheck compares some rows again, once. What is neither in Drift nor in Unproven is equal by now.
func (v *Verifier) recheck(ctx context.Context, rows map[place]*RepairedRow) (*Result, error) {
	view, err := v.Cluster.look(ctx)
	if err != nil {
		return nil, err
	}
	c := &comparison{Verifier: v, view: view, result: &Result{}, pending: map[place]*difference{}}
	for at, r := range rows {
		c.pending[at] = &difference{place: at, label: r.label, wanted: versionOf(r.published), reason: "it could not be looked at"}
	}
	c.look(ctx)
	for at, d := range c.pending {
		c.result.Unproven = append(c.result.Unproven, Unproven{Table: at.table, Reason: d.reason, place: at})
	}
	return c.result, ctx.Err()
}
