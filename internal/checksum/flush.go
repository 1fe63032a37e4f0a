package checksum

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
)

// Cut is where a freeze stands.
type Cut struct {
	// Checkpoint tells the tailer where to resume. The ledger does not read it.
	Checkpoint []byte
	// Own gives, for each shard, an offset of the region's own topic before which everything is older than the cut.
	Own []uint64
	// Settled: the bus had acknowledged everything in the cut when it was made, so all of it lies before Own.
	Settled bool
	// Sequence is the last local change in the cut: the flush waits until the bus has acknowledged it.
	Sequence uint64
}

// frozen is the part of the recent entries that is being written, with what belongs to the same moment.
type frozen struct {
	cut     Cut
	entries map[string]slot
	sums    map[tableShard][]byte
	applied map[SourceShard]uint64
	latest  int64
	names   [3][]string
	notes   map[string][]byte
}

// Freeze sets aside everything up to now, to be written by Flush. It returns false, and does nothing, while an earlier
// part is still being written. Called by the writer, between two changes.
func (l *Ledger) Freeze(cut Cut) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frozen != nil {
		return false
	}
	f := &frozen{
		cut: cut, entries: l.active, sums: map[tableShard][]byte{}, applied: l.frontier.copyApplied(), latest: l.latest.Load(),
		names: [3][]string{l.tables.names, l.regions.names, l.columns.names}, notes: l.takeNotes(),
	}
	for at, s := range l.sums {
		if s.dirty {
			f.sums[at] = s.append(make([]byte, 0, sumsBytes))
			s.dirty = false
		}
	}
	l.active = make(map[string]slot, len(f.entries)/2)
	l.frozen = f
	return true
}

// Frozen gives the cut that waits to be written; false when there is none.
func (l *Ledger) Frozen() (Cut, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.frozen == nil {
		return Cut{}, false
	}
	return l.frozen.cut, true
}

// Flush writes what Freeze set aside, in one transaction. The bus must have acknowledged the cut's Sequence before. On
// an error nothing of it is in the file, it stays set aside, and Flush may be called again. It returns up to where the
// file now includes the other regions' topics (next offsets).
func (l *Ledger) Flush(ctx context.Context) (map[SourceShard]uint64, error) {
	l.mu.RLock()
	f := l.frozen
	l.mu.RUnlock()
	if f == nil {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	keys := make([]string, 0, len(f.entries))
	for k := range f.entries {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	l.opts.Reached("flush.begin")
	err := l.db.Update(func(tx *bbolt.Tx) error {
		if err := l.writeEntries(tx, f, keys); err != nil {
			return err
		}
		if err := l.writeMeta(tx, f); err != nil {
			return err
		}
		l.opts.Reached("flush.written")
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("writing the ledger %s: %w", l.opts.Path, err)
	}
	l.opts.Reached("flush.committed")
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, n := range []*numbered{l.tables, l.regions, l.columns} {
		n.saved = len(f.names[i])
	}
	l.flushes++
	l.frozen = nil
	return f.applied, nil
}

func (l *Ledger) writeEntries(tx *bbolt.Tx, f *frozen, keys []string) error {
	entries, tombstones := tx.Bucket(bucketEntries), tx.Bucket(bucketTombstones)
	entries.FillPercent = 0.8
	number := binary.BigEndian.AppendUint64(nil, l.flushes+1)
	values := make([]byte, 0, len(keys)*24) // bbolt keeps values until commit
	for _, k := range keys {
		s := f.entries[k]
		from := len(values)
		values = appendSlot(values, s)
		if err := entries.Put([]byte(k), values[from:len(values):len(values)]); err != nil {
			return err
		}
		if !s.live() {
			if err := tombstones.Put(append(number[:8:8], k...), binary.BigEndian.AppendUint64(nil, uint64(s.time))); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Ledger) writeMeta(tx *bbolt.Tx, f *frozen) error {
	for i, n := range []*numbered{l.tables, l.regions, l.columns} {
		if err := n.save(tx, f.names[i], n.saved); err != nil {
			return err
		}
	}
	for at, s := range f.sums {
		k := binary.BigEndian.AppendUint32(nil, at.table)
		if err := tx.Bucket(bucketSums).Put(binary.BigEndian.AppendUint16(k, at.shard), s); err != nil {
			return err
		}
	}
	for at, next := range f.applied {
		k := append(binary.BigEndian.AppendUint16(nil, uint16(at.Shard)), at.Source...)
		if err := tx.Bucket(bucketApplied).Put(k, binary.BigEndian.AppendUint64(nil, next)); err != nil {
			return err
		}
	}
	if err := writeNotes(tx, f.notes); err != nil {
		return err
	}
	meta := tx.Bucket(bucketMeta)
	if err := meta.Put(metaCheckpoint, f.cut.Checkpoint); err != nil {
		return err
	}
	var own []byte
	for _, o := range f.cut.Own {
		own = binary.BigEndian.AppendUint64(own, o)
	}
	if err := meta.Put(metaOwn, own); err != nil {
		return err
	}
	numbers := binary.BigEndian.AppendUint64(nil, l.flushes+1)
	return meta.Put(metaFlushes, binary.BigEndian.AppendUint64(numbers, uint64(f.latest)))
}
