package checksum

import (
	"fmt"

	"go.etcd.io/bbolt"

	"meridian/internal/row"
)

// Local is one change that a local transaction made, to be stamped.
type Local struct {
	Change *row.Change
	// Time is the commit's time in microseconds since 1970, or what the table's version column says.
	Time int64
	// FromColumn: Time is of the version column.
	FromColumn bool
	// Known is the version under which this very write already stands in the region's own topic (after a restart); the
	// zero version if it does not. A version is given once.
	Known row.Version
	// Sequence numbers the change among all that this process publishes, from 1.
	Sequence uint64
}

// Stamp gives each change its version and what it overwrote, and enters it. Changes come in binlog order.
//
// A change's time is above the time of what it overwrites, whichever region wrote that: a write that overwrites another
// always beats it, and two regions' versions of a key never tie.
func (l *Ledger) Stamp(locals []Local) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketEntries)
		for i := range locals {
			if err := l.stamp(b, &locals[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (l *Ledger) stamp(file *bbolt.Bucket, w *Local) error {
	c := w.Change
	at, err := l.place(c.Table.String(), c.Key)
	if err != nil {
		return err
	}
	old, found, err := l.get(file, l.scratch)
	if err != nil {
		return fmt.Errorf("table %s: %w", c.Table, err)
	}
	v := row.Version{Time: w.Time, Region: l.opts.Region}
	if found {
		c.Overwrote = l.entry(old).Version
	}
	if !c.Overwrote.IsBaseline() {
		v.Time = max(v.Time, old.time+1)
	} else if !w.FromColumn {
		// Its tombstone may have gone, since a later commit than the delete has passed. A clock that goes back after that would put
		// the row below a tombstone that another region still has.
		v.Time = max(v.Time, l.latest.Load())
	}
	if len(l.floors) > 0 {
		if floor, ok := l.floors[string(l.scratch)]; ok {
			v.Time = max(v.Time, floor+1)
		}
	}
	if w.Known != (row.Version{}) {
		v = w.Known
	}
	c.Version = v
	return l.put(at, c.Key, old, found, Entry{
		Version: v, Digest: c.Digest, Columns: c.Table.ColumnsID(), Deleted: c.Op == row.Delete, Sequence: w.Sequence,
		Label: string(c.Table.KeyLabel(c.Row())),
	})
}

// Replayed is one change that an apply transaction made, or found to be so already: what its provenance says.
type Replayed struct {
	Place
	Version row.Version
	Digest  uint64 // of the row as the binlog shows it
	Columns uint64
	Deleted bool
	Suspect bool   // the binlog shows another row than the provenance
	Label   string // see Entry
}

// Replay enters what an apply transaction did. It returns how many entries were newer than what replaced them: always
// 0 while the fence holds.
func (l *Ledger) Replay(replayed []Replayed) (wentBack int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err = l.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketEntries)
		for i := range replayed {
			back, failed := l.replay(b, &replayed[i])
			if failed != nil {
				return failed
			}
			if back {
				wentBack++
			}
		}
		return nil
	})
	return wentBack, err
}

func (l *Ledger) replay(file *bbolt.Bucket, r *Replayed) (wentBack bool, err error) {
	at, err := l.place(r.Table, r.Key)
	if err != nil {
		return false, err
	}
	old, found, err := l.get(file, l.scratch)
	if err != nil {
		return false, fmt.Errorf("table %s: %w", r.Table, err)
	}
	e := Entry{Version: r.Version, Digest: r.Digest, Columns: r.Columns, Deleted: r.Deleted, Suspect: r.Suspect, Label: r.Label}
	return found && l.entry(old).Version.Newer(r.Version), l.put(at, r.Key, old, found, e)
}

// place numbers the table, leaves the row's place in l.scratch and the table's generation in l.current, and gives its table
// and shard.
func (l *Ledger) place(table string, key row.Key) (tableShard, error) {
	id, err := l.tables.number(table)
	if err != nil {
		return tableShard{}, err
	}
	shard := row.Shard(table, key, l.opts.Shards)
	l.current = l.generation(table)
	l.scratch = entryKey(l.scratch[:0], id, shard, key)
	return tableShard{id, uint16(shard)}, nil
}

// put enters e at the place in l.scratch and keeps the checksums. mu is held.
func (l *Ledger) put(at tableShard, key row.Key, old slot, found bool, e Entry) error {
	s, err := l.slot(e)
	if err != nil {
		return err
	}
	if s.label == "" {
		s.label = old.label
	}
	total := l.sums[at]
	if total == nil {
		total = &sums{}
		l.sums[at] = total
	}
	if found && old.live() {
		total.remove([]byte(key), old.digest)
		l.rows--
	}
	if s.live() {
		total.add([]byte(key), s.digest)
		l.rows++
	}
	l.active[string(l.scratch)] = s
	return nil
}

// slot makes one of the generation that place has found.
func (l *Ledger) slot(e Entry) (slot, error) {
	s := slot{time: e.Version.Time, digest: e.Digest, sequence: e.Sequence, label: e.Label}
	region, err := l.regions.number(e.Version.Region)
	if err != nil {
		return slot{}, err
	}
	if s.columns, err = l.columnsAs(e.Columns, l.current); err != nil {
		return slot{}, err
	}
	s.region = uint16(region)
	if e.Deleted {
		s.flags |= flagDeleted
	}
	if e.Suspect {
		s.flags |= flagSuspect
	}
	if e.ByDDL {
		s.flags |= flagByDDL
	}
	if e.Version.IsBaseline() {
		s.flags |= flagBaseline
	}
	return s, nil
}

// Recent gives how many entries wait in memory since the last freeze.
func (l *Ledger) Recent() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.active)
}
