package verify

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
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
	// MaxDifferences bounds the rows of one table that are looked at one by one in a comparison; 0: DefaultMaxDifferences. Of those
	// beyond only the number is told: a table that was truncated somewhere must not take all memory.
	MaxDifferences int
	// Progress, if not nil, is told what is done now. It is called from several goroutines.
	Progress func(Progress)

	mu     sync.Mutex
	cursor map[string]cursor // by table: where the walk through rows that need to be read goes on
}

// Progress is how far a comparison is.
type Progress struct {
	Table   string // that is being walked through; "" while what is unproven is looked at again
	Shard   int    // of Shards, from 0
	Shards  int
	Pending int // rows that are not proven yet
}

// The bounds of one comparison.
const (
	DefaultMaxDifferences = 10_000
	maxRead               = 1_000 // rows of one table that are read because their columns differ
	parallel              = 4     // shards that are seen to at the same time: as many questions as a syncer answers at once
)

// cursor is a place in a table: the shard, and the key in it.
type cursor struct {
	shard int
	from  []byte
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
	view *view

	mu      sync.Mutex // guards what follows
	result  *Result
	pending map[place]*difference
	walks   map[string]*walk // by table
}

// Compare compares all ledgers. The error is the context's, or that the configuration makes no sense; what could not be
// asked is in the result.
func (v *Verifier) Compare(ctx context.Context, match func(table string) bool) (*Result, error) {
	began := v.Clock.Now()
	view, err := v.Cluster.look(ctx)
	if err != nil {
		return nil, err
	}
	c := &comparison{Verifier: v, view: view, result: &Result{Began: began.UTC(), Tables: []TableResult{}}, pending: map[place]*difference{}, walks: map[string]*walk{}}
	for table, regions := range view.tables {
		if match(table) {
			c.table(ctx, table, regions)
		}
	}
	slices.SortFunc(c.result.Tables, func(a, b TableResult) int { return cmp.Compare(a.Table, b.Table) })
	for len(c.pending) > 0 && ctx.Err() == nil {
		c.tell(Progress{Shards: view.shards, Pending: len(c.pending)})
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
	for i := range c.result.Tables {
		t := &c.result.Tables[i]
		if w := c.walks[t.Table]; w != nil {
			w.report(t)
		}
	}
	c.result.Unreachable = append([]Unreachable{}, view.missing...)
	c.result.sum()
	c.result.Took = v.Clock.Now().Sub(began)
	return c.result, nil
}

func (c *comparison) tell(p Progress) {
	if c.Progress != nil {
		c.Progress(p)
	}
}

// table compares a table's checksums, and notes the rows in the buckets that differ.
func (c *comparison) table(ctx context.Context, table string, regions map[string]*tableView) {
	t := TableResult{Table: table, Rows: map[string]uint64{}}
	key, of := "", ""
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
		if key != "" && v.key != "" && v.key != key {
			t.Reasons = append(t.Reasons, fmt.Sprintf("%s and %s have different primary keys: run the same ALTER TABLE in all regions", of, name))
		} else if v.key != "" {
			key, of = v.key, name
		}
		for _, s := range v.sums {
			t.Rows[name] += s.Rows
		}
	}
	c.result.Tables = append(c.result.Tables, t)
	if len(t.Reasons) == 0 {
		c.walkThrough(ctx, table, regions)
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

// buckets gives those of a shard that differ, and how many rows at least differ in them: those that are too many somewhere.
func (c *comparison) buckets(ctx context.Context, at spot) (list []int, rows uint64) {
	answers := each(ctx, c.view, at.shard, func(ctx context.Context, r inspect.Region) (*inspect.Buckets, error) {
		b, err := r.Buckets(ctx, at.table, at.shard)
		if err == nil && (len(b.Rows) != inspect.MaxBuckets || len(b.Digests) != inspect.MaxBuckets) {
			return nil, fmt.Errorf("it has %d buckets instead of %d", len(b.Rows), inspect.MaxBuckets) //nolint:err113 // it is only told
		}
		return b, err
	})
	for n := range inspect.MaxBuckets {
		var first *inspect.Buckets
		different := false
		var least, most uint64
		for _, b := range answers {
			if first == nil {
				first, least, most = b, b.Rows[n], b.Rows[n]
				continue
			}
			different = different || b.Rows[n] != first.Rows[n] || b.Digests[n] != first.Digests[n]
			least, most = min(least, b.Rows[n]), max(most, b.Rows[n])
		}
		if different {
			list = append(list, n)
			rows += max(1, most-least)
		}
	}
	return list, rows
}

// spots sees to several shards, so many at the same time.
func (c *comparison) spots(list []spot, atOnce int, do func(at spot)) {
	turns := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for _, at := range list {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			do(at)
		})
	}
	all.Wait()
}

// look asks again about what is pending, and judges it.
func (c *comparison) look(ctx context.Context) {
	by := map[spot][]*difference{}
	for p, d := range c.pending {
		by[spot{p.table, p.shard}] = append(by[spot{p.table, p.shard}], d)
	}
	list := make([]spot, 0, len(by))
	for at := range by {
		list = append(list, at)
	}
	c.spots(list, parallel, func(at spot) {
		for some := range slices.Chunk(by[at], inspect.MaxLookups) {
			if ctx.Err() == nil {
				c.lookAt(ctx, at, some)
			}
		}
	})
}

// lookAt judges some differences of a shard by one set of answers.
func (c *comparison) lookAt(ctx context.Context, at spot, list []*difference) {
	keys := make([][]byte, len(list))
	for i, d := range list {
		keys[i] = []byte(d.key)
	}
	all := c.entries(ctx, at, inspect.EntriesQuestion{Table: at.table, Shard: at.shard, Keys: keys})
	if len(all) < 2 {
		return // a region cannot be asked: nothing is known, nothing is proven
	}
	var proven []*difference
	for _, d := range list {
		switch c.judge(d, all) {
		case gone:
			c.end(d)
		case proved:
			proven = append(proven, d)
		case open:
		}
	}
	c.confirm(ctx, at, proven, all)
}

// end forgets a difference.
func (c *comparison) end(d *difference) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, d.place)
}

// giveUp tells of what has not been proven in time.
func (c *comparison) giveUp(ctx context.Context) {
	by := map[spot][]*difference{}
	for p, d := range c.pending {
		by[spot{p.table, p.shard}] = append(by[spot{p.table, p.shard}], d)
	}
	named := 0
	for at, list := range by {
		for some := range slices.Chunk(list, inspect.MaxKeys) {
			var read map[string]*inspect.Rows
			if named < maxRead { // reading rows is for the sake of their names only
				read, named = c.rows(ctx, at, some), named+len(some)
			}
			for i, d := range some {
				u := Unproven{Table: at.table, Key: []string{fmt.Sprintf("0x%x", string(d.key))}, Reason: d.reason, place: d.place}
				for _, r := range read {
					if i < len(r.Rows) && len(r.Rows[i].Text) > 0 {
						u.Key = r.Rows[i].Text
					}
				}
				c.result.Unproven = append(c.result.Unproven, u)
			}
		}
	}
	slices.SortFunc(c.result.Unproven, func(a, b Unproven) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), slices.Compare(a.Key, b.Key))
	})
}
