package verify

import (
	"cmp"
	"context"
	"slices"
	"time"

	"meridian/internal/inspect"
	"meridian/internal/retry"
	"meridian/internal/row"
)

// Verifier compares the regions of a cluster. It is safe for concurrent use.
type Verifier struct {
	Cluster Cluster
	Window  time.Duration // how long a difference may be unproven in one comparison
	Pause   time.Duration // between two looks at what is unproven
	Clock   retry.Clock
}

// place names a row, and where it is looked for.
type place struct {
	table string
	shard int
	key   row.Key
}

// spot is a table's shard.
type spot struct {
	table string
	shard int
}

// difference is a row that the regions do not agree on, as far as is known.
type difference struct {
	place
	label  []byte
	wanted row.Version // the newest that was seen when it was found
	reason string      // why it is not proven
}

// comparison is one Compare.
type comparison struct {
	*Verifier
	view    *view
	result  *Result
	pending map[place]*difference
}

// Compare compares all ledgers. The error is the context's, or that the configuration makes no sense; what could not be
// asked is in the result.
func (v *Verifier) Compare(ctx context.Context, match func(table string) bool) (*Result, error) {
	began := v.Clock.Now()
	view, err := v.Cluster.look(ctx)
	if err != nil {
		return nil, err
	}
	c := &comparison{Verifier: v, view: view, result: &Result{Began: began.UTC(), Tables: []TableResult{}}, pending: map[place]*difference{}}
	for table, regions := range view.tables {
		if match(table) {
			c.table(ctx, table, regions)
		}
	}
	slices.SortFunc(c.result.Tables, func(a, b TableResult) int { return cmp.Compare(a.Table, b.Table) })
	for len(c.pending) > 0 && ctx.Err() == nil {
		c.look(ctx)
		if len(c.pending) == 0 || v.Clock.Now().Sub(began) >= v.Window {
			break
		}
		if err := v.Clock.Sleep(ctx, v.Pause); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	c.giveUp(ctx)
	c.result.Unreachable = append([]Unreachable{}, view.missing...)
	c.result.sum()
	c.result.Took = v.Clock.Now().Sub(began)
	return c.result, nil
}

// table compares a table's checksums, and notes the rows in the buckets that differ.
func (c *comparison) table(ctx context.Context, table string, regions map[string]*tableView) {
	t := TableResult{Table: table, Rows: map[string]uint64{}}
	for _, name := range c.view.regions {
		v := regions[name]
		if v == nil {
			if len(c.view.owner[name]) == c.view.shards {
				t.Reasons = append(t.Reasons, name+" does not know the table yet")
			}
			continue
		}
		if !v.scanned {
			t.Reasons = append(t.Reasons, name+" has not read all rows that were there before")
		}
		for _, s := range v.sums {
			t.Rows[name] += s.Rows
		}
	}
	c.result.Tables = append(c.result.Tables, t)
	if len(t.Reasons) > 0 {
		return
	}
	for shard := range c.view.shards {
		if !c.differs(regions, shard) {
			continue
		}
		at := spot{table, shard}
		if buckets := c.buckets(ctx, at); len(buckets) > 0 {
			c.find(at, c.entries(ctx, at, buckets))
		}
	}
}

// differs tells whether a shard's totals are different ones.
func (c *comparison) differs(regions map[string]*tableView, shard int) bool {
	asked := c.view.asked(shard)
	for i := 1; i < len(asked); i++ {
		if a, b := regions[asked[0]].sums[shard], regions[asked[i]].sums[shard]; a.Rows != b.Rows || a.Sum != b.Sum {
			return true
		}
	}
	return false
}

// buckets gives those of a shard that differ.
func (c *comparison) buckets(ctx context.Context, at spot) []int {
	answers := each(ctx, c.view, at.shard, func(ctx context.Context, r inspect.Region) (*inspect.Buckets, error) {
		return r.Buckets(ctx, at.table, at.shard)
	})
	different := map[int]bool{}
	var first *inspect.Buckets
	for _, b := range answers {
		if first == nil {
			first = b
			continue
		}
		for n := range min(len(b.Rows), len(first.Rows)) {
			if b.Rows[n] != first.Rows[n] || b.Digests[n] != first.Digests[n] {
				different[n] = true
			}
		}
	}
	list := make([]int, 0, len(different))
	for n := range different {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}

// answers are what the regions said of some buckets, by region.
type answers map[string]*answered

// answered is one region's answer.
type answered struct {
	at      inspect.At
	entries map[row.Key]*inspect.Entry
}

func (c *comparison) entries(ctx context.Context, at spot, buckets []int) answers {
	all := answers{}
	for region, e := range each(ctx, c.view, at.shard, func(ctx context.Context, r inspect.Region) (*inspect.Entries, error) {
		return r.Entries(ctx, at.table, at.shard, buckets)
	}) {
		a := &answered{at: e.At, entries: make(map[row.Key]*inspect.Entry, len(e.Entries))}
		for i := range e.Entries {
			a.entries[row.Key(e.Entries[i].Key)] = &e.Entries[i]
		}
		all[region] = a
	}
	return all
}

// find notes what differs between the answers.
func (c *comparison) find(at spot, all answers) {
	for _, a := range all {
		for key := range a.entries {
			p := place{at.table, at.shard, key}
			if _, known := c.pending[p]; known {
				continue
			}
			if s := all.of(key); !s.agree() {
				d := &difference{place: p, label: s.label(), wanted: s.newest(), reason: "it has just been found"}
				c.pending[p] = d
			}
		}
	}
}

// look asks again about what is pending, and judges it.
func (c *comparison) look(ctx context.Context) {
	by := map[spot][]*difference{}
	for p, d := range c.pending {
		by[spot{p.table, p.shard}] = append(by[spot{p.table, p.shard}], d)
	}
	for at, list := range by {
		wanted := map[int]bool{}
		for _, d := range list {
			wanted[inspect.BucketOf(d.key)] = true
		}
		buckets := make([]int, 0, len(wanted))
		for b := range wanted {
			buckets = append(buckets, b)
		}
		slices.Sort(buckets)
		all := c.entries(ctx, at, buckets)
		if len(all) < 2 {
			continue // a region cannot be asked: nothing is known, nothing is proven
		}
		var proven []*difference
		for _, d := range list {
			switch c.judge(d, all) {
			case gone:
				delete(c.pending, d.place)
			case proved:
				proven = append(proven, d)
			case open:
			}
		}
		c.confirm(ctx, at, proven, all)
	}
}

// giveUp tells of what has not been proven in time.
func (c *comparison) giveUp(ctx context.Context) {
	for p, d := range c.pending {
		u := Unproven{Table: p.table, Reason: d.reason, place: p}
		rows := c.rows(ctx, spot{p.table, p.shard}, []*difference{d})
		for _, r := range rows {
			if len(r.Rows) > 0 {
				u.Key = r.Rows[0].Text
			}
		}
		c.result.Unproven = append(c.result.Unproven, u)
	}
	slices.SortFunc(c.result.Unproven, func(a, b Unproven) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), slices.Compare(a.Key, b.Key))
	})
}
