package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"meridian/internal/inspect"
	"meridian/internal/row"
)

// Explainers are the processes that can be asked about single rows, by region.
type Explainers map[string][]inspect.Explainer

// Explanation is what all regions know of one row. Its JSON is what `verifier explain --json` prints.
type Explanation struct {
	Table string   `json:"table"`
	Key   []string `json:"key"`
	// Equal is nil when nobody knows, as a region could not be asked.
	Equal     *bool                 `json:"equal"`
	Different []string              `json:"different_columns"` // in which two regions differ, of those that both have
	Regions   map[string]RowInPlace `json:"regions"`
	History   []Past                `json:"history"` // conflicts, the newest first

	KeyColumns []string `json:"-"`
	key        row.Key
	Columns    []string `json:"-"` // of the rows, in the table's order, as far as the regions agree on one
}

// RowInPlace is a row as one region has it.
type RowInPlace struct {
	Error   string             `json:"error,omitempty"` // why nothing is known of it; "": all below is
	Exists  bool               `json:"exists"`
	Row     map[string]*string `json:"row"`     // by column; a nil value is NULL; nil: there is no row
	Version string             `json:"version"` // the ledger's; "" without an entry
	Origin  string             `json:"origin"`
	Written string             `json:"written_at"`
	Digest  string             `json:"digest"`
	Agrees  bool               `json:"ledger_agrees"`
	Suspect bool               `json:"suspect,omitempty"` // it was changed past the binlog
	Moved   bool               `json:"moved,omitempty"`   // it was written all the time while it was read
	Hidden  bool               `json:"hidden,omitempty"`
	Parked  []Held             `json:"parked"`

	digests map[string]uint64 // by column
}

// Held is a parked change to the row.
type Held struct {
	ID       uint64 `json:"id"`
	State    string `json:"state"`
	Reason   string `json:"reason"`
	Detail   string `json:"detail"`
	Source   string `json:"source"`
	Version  string `json:"version"`
	Attempts int    `json:"attempts"`
	Since    string `json:"since"`
	Change   *Lost  `json:"change"`
}

// Past is a conflict that the row was in.
type Past struct {
	ID      inspect.ConflictID   `json:"id"`      // by which what was lost can be brought back
	Others  []inspect.ConflictID `json:"also_in"` // the same conflict, as other regions kept it
	At      string               `json:"at"`
	Winner  string               `json:"winner"` // versions
	Loser   string               `json:"loser"`
	Lost    *Lost                `json:"lost"` // nil: it was not kept
	Omitted string               `json:"omitted,omitempty"`
}

// Lost is what lost a conflict, or what waits.
type Lost struct {
	Deleted bool               `json:"deleted,omitempty"`
	Row     map[string]*string `json:"row,omitempty"`
	Columns []string           `json:"-"` // of Row, in the table's order
}

// Known tells whether any region knows anything of the row: that it is there, that it was, or that a change to it waits.
func (x *Explanation) Known() bool {
	for _, r := range x.Regions {
		if r.Error != "" || r.Exists || r.Version != "" || len(r.Parked) > 0 {
			return true
		}
	}
	return len(x.History) > 0
}

// Unreachable gives the regions that could not be asked.
func (x *Explanation) Unreachable() []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(x.Regions)) {
		if x.Regions[name].Error != "" {
			list = append(list, name)
		}
	}
	return list
}

// Explain asks every region about a row. A region that cannot be asked is told of as such, the others are shown. The error is
// that the question makes no sense (*inspect.QuestionError), as every region says that can be asked, or the context's.
func Explain(ctx context.Context, regions Explainers, table, key string) (*Explanation, error) {
	answers, failed := map[string]*inspect.Explained{}, map[string]error{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for region, processes := range regions {
		all.Go(func() {
			a, err := askOwner(ctx, region, processes, table, key)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed[region] = err
			} else {
				answers[region] = a
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if len(answers) == 0 {
		for _, region := range slices.Sorted(maps.Keys(failed)) {
			var question *inspect.QuestionError
			if errors.As(failed[region], &question) {
				return nil, question
			}
		}
	}
	return explanation(table, key, answers, failed), nil
}

// askOwner asks a region's processes until the one that owns the row's shard answers.
func askOwner(ctx context.Context, region string, processes []inspect.Explainer, table, key string) (*inspect.Explained, error) {
	var failed []error
	for _, process := range processes {
		a, err := process.Explain(ctx, table, key)
		var question *inspect.QuestionError
		switch {
		case err == nil && a.Region != region:
			return nil, fmt.Errorf("the process that should be %s says that it is %s: look at admin.url", region, a.Region) //nolint:err113 // it is only told
		case err == nil || errors.As(err, &question):
			return a, err
		case !errors.Is(err, inspect.ErrNotOwned):
			failed = append(failed, err)
		}
	}
	if len(failed) == 0 {
		return nil, fmt.Errorf("none of its %d processes owns the row's shard", len(processes)) //nolint:err113 // as above
	}
	return nil, errors.Join(failed...)
}

func explanation(table, key string, answers map[string]*inspect.Explained, failed map[string]error) *Explanation {
	x := &Explanation{Table: table, Key: []string{key}, Different: []string{}, Regions: map[string]RowInPlace{}, History: []Past{}}
	for region, err := range failed {
		x.Regions[region] = RowInPlace{Error: err.Error(), Parked: []Held{}}
	}
	for _, region := range slices.Sorted(maps.Keys(answers)) {
		a := answers[region]
		if len(x.KeyColumns) == 0 || a.Exists {
			x.Table, x.Key, x.KeyColumns = a.Table, a.Key, a.Columns
		}
		x.Regions[region], x.key = inPlace(a), row.Key(a.Ref.Key)
		for _, v := range a.Values {
			if !slices.Contains(x.Columns, v.Column) {
				x.Columns = append(x.Columns, v.Column)
			}
		}
		for i := range a.Conflicts {
			x.remember(&a.Conflicts[i])
		}
	}
	slices.SortStableFunc(x.History, func(a, b Past) int { return cmp.Compare(b.At, a.At) })
	x.compare(slices.Sorted(maps.Keys(answers)))
	if *x.Equal && len(failed) > 0 {
		x.Equal = nil
	}
	return x
}

func inPlace(a *inspect.Explained) RowInPlace {
	r := RowInPlace{
		Exists: a.Exists, Version: a.Version, Origin: a.Origin, Written: a.WrittenAt, Digest: strconv.FormatUint(a.Digest, 16), Agrees: a.Agrees,
		Suspect: a.Entry != nil && a.Entry.Suspect, Moved: a.Moved, Hidden: a.Hidden, Parked: []Held{}, digests: map[string]uint64{},
	}
	if a.Exists {
		r.Row = byColumn(a.Values)
	}
	for _, v := range a.Values {
		r.digests[v.Column] = v.Digest
	}
	for _, p := range a.Parked {
		r.Parked = append(r.Parked, Held{ID: p.ID, State: p.State, Reason: p.Reason, Detail: p.Detail, Source: p.Source, Version: p.Version,
			Attempts: p.Attempts, Since: p.Since, Change: lost(p.Change)})
	}
	return r
}

func byColumn(values []inspect.Value) map[string]*string {
	m := make(map[string]*string, len(values))
	for _, v := range values {
		m[v.Column] = v.Text
	}
	return m
}

func lost(i *inspect.Image) *Lost {
	if i == nil {
		return nil
	}
	l := &Lost{Deleted: i.Deleted}
	if !i.Deleted {
		l.Row = byColumn(i.Values)
	}
	for _, v := range i.Values {
		l.Columns = append(l.Columns, v.Column)
	}
	return l
}

// remember adds a conflict to the history. Each of the two regions that met has kept it: it is told once, by the one that has
// what was lost.
func (x *Explanation) remember(c *inspect.Conflict) {
	for i := range x.History {
		h := &x.History[i]
		if h.Winner != c.Winner || h.Loser != c.Loser {
			continue
		}
		if h.Lost == nil && c.Lost != nil {
			h.ID, c.ID = c.ID, h.ID
			h.Lost, h.Omitted = lost(c.Lost), ""
		}
		h.At = min(h.At, c.At)
		h.Others = append(h.Others, c.ID)
		return
	}
	x.History = append(x.History, Past{ID: c.ID, Others: []inspect.ConflictID{}, At: c.At, Winner: c.Winner, Loser: c.Loser, Lost: lost(c.Lost), Omitted: c.Omitted})
}

// compare finds in what the regions differ. Columns that not all have say nothing.
func (x *Explanation) compare(regions []string) {
	x.Equal = verdict(true)
	if len(regions) == 0 {
		return
	}
	first := x.Regions[regions[0]]
	for _, region := range regions[1:] {
		if x.Regions[region].Exists != first.Exists {
			x.Equal = verdict(false)
		}
	}
	for _, column := range x.Columns {
		var digests []uint64
		for _, region := range regions {
			if d, ok := x.Regions[region].digests[column]; ok {
				digests = append(digests, d)
			}
		}
		if slices.ContainsFunc(digests, func(d uint64) bool { return d != digests[0] }) {
			x.Different = append(x.Different, column)
			x.Equal = verdict(false)
		}
	}
}

// Newest gives the regions that have the newest version: what a person compares the others with. Those in which the row is not
// what the ledger says count only if there are no others.
func (x *Explanation) Newest() []string {
	var newest row.Version
	var list []string
	sound := false
	for _, region := range slices.Sorted(maps.Keys(x.Regions)) {
		r := x.Regions[region]
		v, err := row.ParseVersion(r.Version)
		if r.Error != "" || r.Version == "" || err != nil {
			continue
		}
		switch better := v.Newer(newest) || v == newest && r.Agrees && !sound; {
		case len(list) == 0 || better:
			newest, list, sound = v, []string{region}, r.Agrees
		case v == newest && r.Agrees == sound:
			list = append(list, region)
		}
	}
	return list
}

// Differs tells in which columns a region's row differs from another's, and whether only one of them has one.
func (x *Explanation) Differs(region, from string) (columns []string, presence bool) {
	a, b := x.Regions[region], x.Regions[from]
	if a.Exists != b.Exists {
		return nil, true
	}
	for _, column := range x.Columns {
		da, inA := a.digests[column]
		db, inB := b.digests[column]
		if inA && inB && da != db {
			columns = append(columns, column)
		}
	}
	return columns, false
}
