package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"meridian/internal/inspect"
	"meridian/internal/row"
)

// Reviewers are the processes that can be asked what is in review, by region.
type Reviewers map[string][]inspect.Reviewer

// ReviewList is what waits for a person to say which region is right. Its JSON is what `verifier review list --json` prints.
type ReviewList struct {
	Rows        []ReviewRow   `json:"rows"`
	Unreachable []Unreachable `json:"unreachable"`
}

// Why a row is in review.
const (
	ByConflict = "conflict"  // two regions wrote it without seeing each other, and the table's rule is review
	ByBaseline = "no_winner" // the regions differ, and no rule says which is right: as where rows from before Meridian came do
)

// ReviewRow is a row of which no rule says what it should be.
type ReviewRow struct {
	Table   string                `json:"table"`
	Key     []string              `json:"key"`
	Why     string                `json:"why"`
	Regions map[string]ReviewSide `json:"regions"` // as it stands in each
	Pending []PendingReview       `json:"pending"` // the changes that wait
	Columns []string              `json:"-"`       // of the rows, in the table's order

	place place
	label []byte
	above row.Version // the newest of all versions that any region has, or that wait
}

// ReviewSide is the row as it stands in one region.
type ReviewSide struct {
	Exists  bool               `json:"exists"`
	Row     map[string]*string `json:"row"`     // by column; nil: there is no row, or its values are hidden
	Version string             `json:"version"` // "" without a ledger entry
	Hidden  bool               `json:"hidden,omitempty"`
}

// PendingReview is a change that waits in a region.
type PendingReview struct {
	Region       string `json:"region"`
	ID           uint64 `json:"id"`
	Source       string `json:"source"`
	Version      string `json:"version"`
	Since        string `json:"since"`
	Remote       *Lost  `json:"remote"` // what the change makes of the row
	Local        *Lost  `json:"local"`  // the row as it stood in the region
	LocalVersion string `json:"local_version,omitempty"`
}

// reviewWindow is how long a list waits for what is in flight: rows without a winner do not move.
const reviewWindow = 5 * time.Second

// Reviews lists what waits for a person in all regions: changes that are kept back there, and rows that a comparison finds
// without a winner. A region that cannot be asked is told of as such.
func (v *Verifier) Reviews(ctx context.Context, reviewers Reviewers, match func(table string) bool) (*ReviewList, error) {
	brief := &Verifier{Cluster: v.Cluster, Window: min(v.Window, reviewWindow), Pause: v.Pause, Clock: v.Clock, MaxDifferences: v.MaxDifferences}
	result, err := brief.Compare(ctx, match)
	if err != nil {
		return nil, err
	}
	view, err := v.Cluster.look(ctx)
	if err != nil {
		return nil, err
	}
	rows := map[place]*ReviewRow{}
	pending, missing := reviewers.all(ctx)
	for region, list := range pending {
		for i := range list {
			if r := &list[i]; match(r.Table) {
				at := place{r.Table, r.Shard, row.Key(r.Key)}
				if rows[at] == nil {
					rows[at] = &ReviewRow{Table: r.Table, Key: r.Text, Why: ByConflict, Pending: []PendingReview{}, place: at, label: r.Label}
				}
				rows[at].wait(region, r)
			}
		}
	}
	for i := range result.Drift {
		if f := &result.Drift[i]; f.Winner == "" && rows[f.place] == nil {
			rows[f.place] = &ReviewRow{Table: f.Table, Key: f.Key, Why: ByBaseline, Pending: []PendingReview{}, place: f.place, label: f.label}
		}
	}
	if err := v.fill(ctx, view, rows); err != nil {
		return nil, err
	}
	for _, u := range append(view.missing, missing...) {
		result.note(u)
	}
	l := &ReviewList{Rows: make([]ReviewRow, 0, len(rows)), Unreachable: result.Unreachable}
	for _, r := range rows {
		slices.SortFunc(r.Pending, func(a, b PendingReview) int { return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.ID, b.ID)) })
		l.Rows = append(l.Rows, *r)
	}
	slices.SortFunc(l.Rows, func(a, b ReviewRow) int { return cmp.Or(cmp.Compare(a.Table, b.Table), slices.Compare(a.Key, b.Key)) })
	return l, nil
}

// note adds a region that could not be asked; once a region is enough.
func (r *Result) note(u Unreachable) {
	if !slices.ContainsFunc(r.Unreachable, func(have Unreachable) bool { return have.Region == u.Region }) {
		r.Unreachable = append(r.Unreachable, u)
	}
}

func (r *ReviewRow) wait(region string, i *inspect.Review) {
	r.Pending = append(r.Pending, PendingReview{
		Region: region, ID: i.ID, Source: i.Source, Version: i.Version, Since: i.Since, Remote: lost(i.Remote), Local: lost(i.Local), LocalVersion: i.LocalVersion,
	})
	r.see(i.Version)
	r.see(i.LocalVersion)
}

func (r *ReviewRow) see(version string) {
	if v := versionOf(version); v.Newer(r.above) {
		r.above = v
	}
}

// all asks every process of every region.
func (r Reviewers) all(ctx context.Context) (pending map[string][]inspect.Review, missing []Unreachable) {
	pending = map[string][]inspect.Review{}
	var mu sync.Mutex
	var asked sync.WaitGroup
	for region, processes := range r {
		for _, process := range processes {
			asked.Go(func() {
				list, err := allOf(ctx, region, process)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					missing = append(missing, Unreachable{Region: region, Reason: err.Error()})
				}
				pending[region] = append(pending[region], list...)
			})
		}
	}
	asked.Wait()
	return pending, missing
}

func allOf(ctx context.Context, region string, process inspect.Reviewer) (list []inspect.Review, err error) {
	for after := uint64(0); ; {
		a, err := process.Reviews(ctx, after)
		switch {
		case err != nil:
			return list, err
		case a.Region != region:
			return nil, fmt.Errorf("the process that should be %s says that it is %s: look at admin.url", region, a.Region) //nolint:err113 // it is only told
		}
		list = append(list, a.Reviews...)
		if a.Next <= after {
			return list, nil
		}
		after = a.Next
	}
}

// fill reads the rows as they stand in all regions.
func (v *Verifier) fill(ctx context.Context, view *view, rows map[place]*ReviewRow) error {
	by := map[spot][]*difference{}
	for at, r := range rows {
		r.Regions = map[string]ReviewSide{}
		by[spot{at.table, at.shard}] = append(by[spot{at.table, at.shard}], &difference{place: at, label: r.label})
	}
	c := &comparison{Verifier: v, view: view}
	for at, list := range by {
		for some := range slices.Chunk(list, inspect.MaxKeys) {
			for region, answer := range c.rows(ctx, at, some) {
				for i := range answer.Rows[:min(len(some), len(answer.Rows))] {
					rows[some[i].place].stand(region, &answer.Rows[i], answer.Hidden)
				}
			}
		}
	}
	return ctx.Err()
}

func (r *ReviewRow) stand(region string, i *inspect.Row, hidden bool) {
	side := ReviewSide{Exists: i.Exists, Hidden: hidden}
	if i.Exists && !hidden {
		side.Row = byColumn(i.Values)
	}
	for _, v := range i.Values {
		if !slices.Contains(r.Columns, v.Column) {
			r.Columns = append(r.Columns, v.Column)
		}
	}
	if i.Entry != nil {
		side.Version = i.Entry.Version
		r.see(side.Version)
	}
	r.Regions[region] = side
}

// Differs tells whether the regions have other values in a column; where values are hidden nobody can tell.
func (r *ReviewRow) Differs(column string) bool {
	values := map[string]bool{}
	for _, s := range r.Regions {
		switch text, ok := s.Row[column]; {
		case s.Hidden:
			return false
		case !s.Exists:
			values["no row"] = true
		case ok && text != nil:
			values["="+*text] = true
		case ok:
			values["NULL"] = true
		}
	}
	return len(values) > 1
}

// Of gives the row that is explained; nil when it is not in review.
func (l *ReviewList) Of(x *Explanation) *ReviewRow {
	for i := range l.Rows {
		if r := &l.Rows[i]; r.Table == x.Table && r.place.key == x.key {
			return r
		}
	}
	return nil
}

var errUnasked = errors.New("nothing was changed: all regions must say what they have, so that what is decided is newer than any of it")

// Plan says how the rows end up as they stand in the region that is taken: they become the newest write there, newer than all
// that any region has or keeps back, and go to the others as a repair, which ends what waits.
func (l *ReviewList) Plan(take string) (*Plan, error) {
	if len(l.Unreachable) > 0 {
		u := l.Unreachable[0]
		return nil, fmt.Errorf("%w; %s cannot be asked: %s", errUnasked, u.Region, u.Reason)
	}
	p := &Plan{Rows: make([]PlannedRow, 0, len(l.Rows)), Left: []LeftRow{}, Held: []HeldTable{}}
	for i := range l.Rows {
		r := &l.Rows[i]
		f := Finding{Table: r.Table, Key: r.Key, Kind: Different, Regions: map[string]RegionView{}, Wrong: slices.Sorted(maps.Keys(r.Regions)), place: r.place, label: r.label}
		for region, side := range r.Regions {
			f.Regions[region] = RegionView{Version: side.Version, Deleted: !side.Exists}
		}
		if _, ok := r.Regions[take]; !ok {
			return nil, fmt.Errorf("%w; %s could not be asked for a row of %s", errUnasked, take, r.Table)
		}
		p.Rows = append(p.Rows, PlannedRow{Finding: f, Source: take, Adopt: true, Why: "a person takes the row of " + take, above: r.above})
	}
	return p, nil
}

// Resolve carries a plan of a ReviewList out, as Repair does. A row that was written meanwhile may be in review again: it is told of
// as changed.
func (v *Verifier) Resolve(ctx context.Context, reviewers Reviewers, plan *Plan) (*Repaired, error) {
	done, err := v.Repair(ctx, plan)
	if err != nil {
		return done, err
	}
	left := map[place]string{}
	pending, _ := reviewers.all(ctx) // who does not answer any more says nothing against it
	for region, list := range pending {
		for i := range list {
			left[place{list[i].Table, list[i].Shard, row.Key(list[i].Key)}] = region
		}
	}
	for i := range done.Rows {
		r := &done.Rows[i]
		if region, ok := left[r.place]; ok && (r.Outcome == Mended || r.Outcome == Pending) {
			r.Outcome, r.Detail = Newer, fmt.Sprintf("it was written again meanwhile, and is in review in %s: `verifier review list` shows it", region)
		}
	}
	return done, ctx.Err()
}
