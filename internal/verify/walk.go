package verify

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"meridian/internal/inspect"
	"meridian/internal/row"
)

// walk is the way through a table's entries in the buckets that differ.
type walk struct {
	found  int    // rows that differ, taken up
	read   int    // rows taken up to be read, since their columns differ
	unread int    // and not taken up
	beyond uint64 // rows that differ at least, and were not looked at
	full   bool
	resume *cursor // where the first row is that was not taken up to be read
}

// walkThrough notes the rows that differ in a table, page by page, until there are too many to be kept.
func (c *comparison) walkThrough(ctx context.Context, table string, regions map[string]*tableView) {
	w := &walk{}
	c.walks[table] = w
	c.Verifier.mu.Lock()
	start, goesOn := c.cursor[table]
	c.Verifier.mu.Unlock()
	atOnce := parallel
	if goesOn {
		atOnce = 1 // in their order, so that none is passed over
	}
	var list []spot
	for n := range c.view.shards {
		if shard := (start.shard + n) % c.view.shards; c.differs(regions, shard) {
			list = append(list, spot{table, shard})
		}
	}
	c.spots(list, atOnce, func(at spot) {
		if ctx.Err() != nil {
			return
		}
		c.tell(Progress{Table: table, Shard: at.shard, Shards: c.view.shards})
		from := []byte(nil)
		if at.shard == start.shard {
			from = start.from
		}
		buckets, rows := c.buckets(ctx, at)
		if len(buckets) > 0 && !c.isFull(w, at, rows, 0, from) {
			c.walkShard(ctx, w, at, buckets, rows, from)
		}
	})
	if w.unread == 0 && !w.full { // all was seen; the next walk begins at the beginning
		c.Verifier.mu.Lock()
		delete(c.cursor, table)
		c.Verifier.mu.Unlock()
	}
}

// walkShard goes through the entries of a shard in some buckets; rows is how many differ there at least.
//
// Each page is compared up to where all answers reach, and the next begins there: memory does not depend on the table's size.
func (c *comparison) walkShard(ctx context.Context, w *walk, at spot, buckets []int, rows uint64, from []byte) {
	here := uint64(0)
	for all, next := range c.pages(ctx, at, buckets, from) {
		if len(all) < len(c.view.asked(at.shard)) {
			return // a region cannot be asked any more, which is noted
		}
		here += c.find(w, at, all)
		if c.isFull(w, at, rows, here, next) {
			return
		}
	}
}

// pages gives the entries of a shard in some buckets from a key on, page by page: what all regions that could be asked have below
// the key at which the next page begins; none after the last.
func (c *comparison) pages(ctx context.Context, at spot, buckets []int, from []byte) iter.Seq2[answers, []byte] {
	return func(yield func(answers, []byte) bool) {
		for ctx.Err() == nil {
			all := c.entries(ctx, at, inspect.EntriesQuestion{Table: at.table, Shard: at.shard, Buckets: buckets, From: from})
			until := all.until()
			for _, a := range all {
				maps.DeleteFunc(a.entries, func(key row.Key, _ *inspect.Entry) bool { return until != "" && key >= until })
			}
			from = []byte(until)
			if !yield(all, from) || until == "" {
				return
			}
		}
	}
}

// isFull tells whether no more can be taken up, and then notes where to go on another time (at a key; none: the shard is at its
// end), and what was left out of the rows that differ in the shard.
func (c *comparison) isFull(w *walk, at spot, rows, here uint64, next []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.found < c.most() && w.read < maxRead {
		return false
	}
	if rows > here {
		w.beyond += rows - here
	}
	if !w.full {
		w.full = true
		c.Verifier.mu.Lock()
		if c.cursor == nil {
			c.cursor = map[string]cursor{}
		}
		switch {
		case w.resume != nil:
			c.cursor[at.table] = *w.resume
		case len(next) == 0:
			c.cursor[at.table] = cursor{(at.shard + 1) % c.view.shards, nil}
		default:
			c.cursor[at.table] = cursor{at.shard, next}
		}
		c.Verifier.mu.Unlock()
	}
	return true
}

// most is how many rows of a table are taken up.
func (v *Verifier) most() int {
	if v.MaxDifferences == 0 {
		return DefaultMaxDifferences
	}
	return v.MaxDifferences
}

// report says in a table's result what was not looked at.
func (w *walk) report(t *TableResult) {
	if w.full && w.beyond > 0 {
		t.Beyond = w.beyond
		t.Reasons = append(t.Reasons, fmt.Sprintf("only the first %d rows that differ were looked at; at least %d more differ", w.found+w.read, w.beyond))
	} else if w.full || w.unread > 0 {
		t.Reasons = append(t.Reasons, fmt.Sprintf("only the first %d rows that differ were looked at", w.found+w.read))
	}
}

// answers are what the regions said of some rows, by region.
type answers map[string]*answered

// answered is one region's answer.
type answered struct {
	at      inspect.At
	entries map[row.Key]*inspect.Entry
	next    row.Key // "": it has everything
}

// until gives the key up to where all answers reach; "": to the end.
func (a answers) until() row.Key {
	var until row.Key
	for _, answer := range a {
		if answer.next != "" && (until == "" || answer.next < until) {
			until = answer.next
		}
	}
	return until
}

func (c *comparison) entries(ctx context.Context, at spot, q inspect.EntriesQuestion) answers {
	all := answers{}
	for region, e := range each(ctx, c.view, at.shard, func(ctx context.Context, r inspect.Region) (*inspect.Entries, error) {
		return r.Entries(ctx, q)
	}) {
		a := &answered{at: e.At, entries: make(map[row.Key]*inspect.Entry, len(e.Entries)), next: row.Key(e.Next)}
		for i := range e.Entries {
			a.entries[row.Key(e.Entries[i].Key)] = &e.Entries[i]
		}
		all[region] = a
	}
	return all
}

// find takes up what differs between the answers, and tells how many rows that were.
func (c *comparison) find(w *walk, at spot, all answers) (found uint64) {
	keys := map[row.Key]bool{}
	for _, a := range all {
		for key := range a.entries {
			keys[key] = true
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		s := all.of(key)
		agreed := s.agreement()
		switch {
		case agreed == agree:
			continue
		case agreed == unclear && w.read >= maxRead:
			if w.unread++; w.resume == nil {
				w.resume = &cursor{at.shard, []byte(key)}
			}
			continue
		case agreed == unclear:
			w.read++
		case w.found >= c.most():
			continue // isFull counts them
		default:
			w.found++
		}
		found++
		p := place{at.table, at.shard, key}
		c.pending[p] = &difference{place: p, label: s.label(), wanted: s.newest(), reason: "it has just been found"}
	}
	return found
}
