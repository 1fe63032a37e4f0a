package checksum

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"go.etcd.io/bbolt"

	"meridian/internal/row"
)

// Word is what a region says of itself in its own topic, in order with its changes: up to where its ledger file
// includes each region's topic for one shard.
type Word struct {
	Region  string
	Shard   int
	Applied map[string]int64 // next offset by source, as its file has it; for itself what the bus has acknowledged
}

// Collector decides which tombstones may go.
//
// A tombstone may go when every region's file has passed the delete, as that region says in its own change topic and
// this ledger has passed (a word on another channel can overtake the changes before it); when this region's tailer has
// passed a commit later than the tombstone's time (new stamps of rows without an entry are not below it: else the row,
// inserted again under a slow clock, would be stamped below the delete); and when nothing holds it: an older change to
// the key is parked, or the table takes its versions from a column, whose values keep to no order. Any less lets a deleted
// row come back, or an inserted one be lost.
//
// It works by cuts: a cut notes, when a flush has committed, up to where the flushed ledger includes each topic. Every
// tombstone in it is below these offsets, so once all regions' words are at or above them, all its tombstones have been
// passed everywhere. No tombstone needs to know its own offset.
type Collector struct {
	ledger  *Ledger
	members []string // all regions, this one included

	mu    sync.Mutex
	cuts  []tombstoneCut
	due   uint64                           // the tombstones up to this flush may go
	words map[SourceShard]map[string]int64 // by the region that said it
}

type tombstoneCut struct {
	flush  uint64
	shards map[int]map[string]int64 // by shard: next offset by source
}

// mostCuts bounds what is remembered while regions are away; a later cut stands for the ones left out.
const mostCuts = 64

// NewCollector makes the collector of a ledger. members are all regions, the ledger's own included.
func NewCollector(l *Ledger, members []string) *Collector {
	return &Collector{ledger: l, members: members, words: map[SourceShard]map[string]int64{}}
}

// Flushed notes the cut of the flush that has just committed: for each of the owned shards the next offset by source,
// for this region itself what of its topic the bus had acknowledged when everything in the flush was.
func (c *Collector) Flushed(shards map[int]map[string]int64) {
	c.ledger.mu.RLock()
	n := c.ledger.flushes
	c.ledger.mu.RUnlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.cuts) == mostCuts { // keep the oldest, thin out the rest
		kept := c.cuts[:1]
		for i := 1; i < mostCuts; i += 2 {
			kept = append(kept, c.cuts[i])
		}
		c.cuts = kept
	}
	c.cuts = append(c.cuts, tombstoneCut{flush: n, shards: shards})
}

// Heard takes a region's word once this ledger includes everything before it in that region's topic; for the region
// itself, once its own flush has committed.
func (c *Collector) Heard(w Word) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.words[SourceShard{w.Region, w.Shard}] = w.Applied
}

// passed gives the greatest flush whose tombstones every region has passed and that have not been collected; 0 if there is none.
// It forgets the cuts up to it.
func (c *Collector) passed() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.cuts) > 0 && c.cutPassed(&c.cuts[0]) {
		c.due = c.cuts[0].flush
		c.cuts = c.cuts[1:]
	}
	return c.due
}

func (c *Collector) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due = 0
}

func (c *Collector) cutPassed(cut *tombstoneCut) bool {
	for shard, offsets := range cut.shards {
		for _, region := range c.members {
			said := c.words[SourceShard{region, shard}]
			for source, next := range offsets {
				if said[source] < next {
					return false
				}
			}
		}
	}
	return true
}

// Collect removes the tombstones that may go and returns how many; after a failure it may be called again. held tells whether
// something holds one. Called by the flusher.
func (c *Collector) Collect(ctx context.Context, held func(table string, key row.Key) bool) (int, error) {
	upTo := c.passed()
	if upTo == 0 || ctx.Err() != nil {
		return 0, ctx.Err()
	}
	n, err := c.ledger.collect(upTo, held)
	if err != nil {
		return 0, fmt.Errorf("collecting tombstones: %w", err)
	}
	c.done()
	return n, nil
}

func (l *Ledger) collect(upTo uint64, held func(string, row.Key) bool) (int, error) {
	removed := 0
	err := l.db.Update(func(tx *bbolt.Tx) error {
		removed = 0
		entries, index := tx.Bucket(bucketEntries), tx.Bucket(bucketTombstones)
		var again, done [][]byte
		cur := index.Cursor()
		for k, v := cur.First(); k != nil && binary.BigEndian.Uint64(k) <= upTo; k, v = cur.Next() {
			place := k[8:]
			e := entries.Get(place)
			if e == nil {
				done = append(done, append([]byte{}, k...))
				continue
			}
			s, err := readSlot(e)
			if err != nil {
				return err
			}
			if s.live() || uint64(s.time) != binary.BigEndian.Uint64(v) {
				done = append(done, append([]byte{}, k...)) // another write has replaced it
				continue
			}
			if !l.mayGo(place, s, held) {
				again = append(again, append([]byte{}, k...))
				continue
			}
			done = append(done, append([]byte{}, k...))
			if removed == 0 {
				l.collected.Add(1)
			}
			if err := entries.Delete(place); err != nil {
				return err
			}
			removed++
		}
		for _, k := range done {
			if err := index.Delete(k); err != nil {
				return err
			}
		}
		return l.postpone(index, again)
	})
	return removed, err
}

// postpone moves tombstones that all regions have passed, but that may not go yet, behind the next cut.
func (l *Ledger) postpone(index *bbolt.Bucket, keys [][]byte) error {
	for _, k := range keys {
		v := append([]byte{}, index.Get(k)...)
		if err := index.Delete(k); err != nil {
			return err
		}
		n := binary.BigEndian.AppendUint64(nil, l.flushes+1)
		if err := index.Put(append(n, k[8:]...), v); err != nil {
			return err
		}
	}
	return nil
}

// mayGo checks what is this region's own affair: no newer entry waits in memory, the tailer has passed a later commit,
// nothing holds it. And that a row is gone which nobody deleted, as far as the binlog knows, is a finding, no tombstone: without it
// nobody would know that the row was here.
func (l *Ledger) mayGo(place []byte, s slot, held func(string, row.Key) bool) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if _, ok := l.active[string(place)]; ok {
		return false
	}
	if l.frozen != nil {
		if _, ok := l.frozen.entries[string(place)]; ok {
			return false
		}
	}
	if l.latest.Load() <= s.time || s.flags&(flagSuspect|flagByDDL) != 0 {
		return false
	}
	table := l.tables.names[binary.BigEndian.Uint32(place)]
	return !held(table, row.Key(place[entryKeyPrefixBytes:]))
}
