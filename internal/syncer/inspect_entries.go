package syncer

import (
	"context"
	"errors"
	"fmt"

	"meridian/internal/checksum"
	"meridian/internal/inspect"
	"meridian/internal/row"
)

// entryBytes is what an entry takes in an answer besides its key and label.
const entryBytes = 150

// Entries implements inspect.Region.
//
// Invariant: entries and offsets are of one place in the binlog, between two transactions. With offsets of another moment a
// change that is on its way could pass for one that is missing.
func (i inspector) Entries(ctx context.Context, q inspect.EntriesQuestion) (*inspect.Entries, error) {
	p, err := i.parts()
	if err = errors.Join(err, i.owned(q.Shard)); err != nil {
		return nil, err
	}
	answer := &inspect.Entries{At: inspect.At{Includes: map[string]uint64{}, Within: map[string]uint64{}}, Entries: []inspect.Entry{}}
	var snapshot *checksum.Snapshot
	var sequence uint64
	var generation uint32
	err = p.capture.between(ctx, func() (err error) {
		if p.capture.resumed != nil {
			return fmt.Errorf("the binlog connection of %s was lost within a transaction: %w", i.s.cfg.Region, inspect.ErrNotReady)
		}
		sequence = p.capture.sequence
		if answer.At.Includes[i.s.cfg.Region], err = p.capture.included(q.Shard); err != nil {
			return err
		}
		for _, source := range i.s.cfg.sourceNames() {
			next := p.ledger.Applied(source, q.Shard)
			answer.At.Includes[source], answer.At.Within[source] = next, next
		}
		generation = p.ledger.Generation(q.Table)
		if len(q.Keys) > 0 {
			answer.Entries, err = lookUp(p.ledger, q.Table, q.Keys, generation)
			return err
		}
		snapshot, err = p.ledger.Snapshot(q.Table, q.Shard)
		return err
	})
	if err != nil {
		return nil, err
	}
	if snapshot != nil {
		err = errors.Join(collect(ctx, snapshot, q, generation, answer), snapshot.Close())
	}
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, acknowledgeTime)
	defer cancel()
	if p.publisher.WaitAcknowledged(waiting, sequence) == nil {
		answer.At.Within[i.s.cfg.Region] = uint64(max(p.publisher.Ends()[q.Shard], 0))
	} // else the answer does not say: nothing of this region's own is proven by it
	answer.At.BehindSeconds = i.s.health.lags(i.s.cfg.sourceNames(), len(i.s.cfg.ownedShards()), i.s.cfg.Clock.Now())
	return answer, ctx.Err()
}

// lookUp finds some entries by their keys.
func lookUp(ledger *checksum.Ledger, table string, keys [][]byte, generation uint32) ([]inspect.Entry, error) {
	places := make([]checksum.Place, len(keys))
	for n, k := range keys {
		places[n] = checksum.Place{Table: table, Key: row.Key(k)}
	}
	entries, found, err := ledger.Lookup(places)
	list := make([]inspect.Entry, 0, len(keys))
	for n := range entries {
		if found[n] {
			list = append(list, entryOf(places[n].Key, entries[n], generation))
		}
	}
	return list, err
}

// collect takes the entries of some buckets until the answer is full.
func collect(ctx context.Context, snapshot *checksum.Snapshot, q inspect.EntriesQuestion, generation uint32, answer *inspect.Entries) error {
	var wanted [checksum.Buckets]bool
	for _, b := range q.Buckets {
		wanted[b] = true
	}
	const looks = 4096 // entries between two looks at whether anybody still waits for the answer
	size, seen := 0, 0
	err := snapshot.Each(row.Key(q.From), func(key row.Key, e checksum.Entry) bool {
		if seen++; seen%looks == 0 && ctx.Err() != nil {
			return false
		}
		if !wanted[checksum.BucketOf(key)] {
			return true
		}
		if size >= inspect.MaxEntries {
			answer.Next = []byte(key)
			return false
		}
		size += entryBytes + (len(key)+len(e.Label))*4/3
		answer.Entries = append(answer.Entries, entryOf(key, e, generation))
		return true
	})
	return errors.Join(err, ctx.Err())
}

// entryOf tells of an entry; generation is the table's.
func entryOf(key row.Key, e checksum.Entry, generation uint32) inspect.Entry {
	return inspect.Entry{
		KeyRef:  inspect.KeyRef{Key: []byte(key), Label: []byte(e.Label)},
		Version: e.Version.String(), Digest: e.Digest, Columns: e.Columns, Deleted: e.Deleted, Suspect: e.Suspect, ByDDL: e.ByDDL, Older: e.Generation != generation,
	}
}

// included gives an offset of the own topic before which every change is in the ledger. Called between two transactions.
func (c *Capture) included(shard int) (uint64, error) {
	if c.caughtUp() {
		return uint64(max(c.publisher.Ends()[shard], 0)), nil
	}
	_, own, err := c.ledger.Checkpoint()
	if err != nil || shard >= len(own) {
		return 0, err
	}
	return own[shard], nil
}
