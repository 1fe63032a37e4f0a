package checksum

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"meridian/internal/row"
)

// What only a rebuild needs. A ledger that is being rebuilt has no checkpoint until it is finished: if the process ends
// before, the next one finds none and begins again.

// SetFloors makes new stamps of these rows stay above the given times (microseconds): the region's own topic has versions
// up to there which the database, after a fail-over, no longer knows. They are kept in the file.
func (l *Ledger) SetFloors(floors map[Place]int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.db.Update(func(tx *bbolt.Tx) error {
		for p, floor := range floors {
			if _, err := l.place(p.Table, p.Key); err != nil {
				return err
			}
			// The row's table is named, not numbered: its number may not be in the file yet.
			k := append(append([]byte(p.Table), 0), p.Key...)
			if err := tx.Bucket(bucketFloors).Put(k, binary.BigEndian.AppendUint64(nil, uint64(floor))); err != nil {
				return err
			}
			l.floors[string(l.scratch)] = floor
		}
		return nil
	})
}

func (l *Ledger) loadFloors(tx *bbolt.Tx) error {
	return tx.Bucket(bucketFloors).ForEach(func(k, v []byte) error {
		table, key, ok := cutZero(k)
		if !ok || len(v) != 8 {
			return fmt.Errorf("%w: floors", ErrDamaged)
		}
		if _, err := l.place(table, row.Key(key)); err != nil {
			return err
		}
		l.floors[string(l.scratch)] = int64(binary.BigEndian.Uint64(v))
		return nil
	})
}

func cutZero(k []byte) (table string, rest []byte, ok bool) {
	for i, b := range k {
		if b == 0 {
			return string(k[:i]), k[i+1:], true
		}
	}
	return "", nil, false
}

// Forget removes entries, as if nothing had ever been known of these rows. Nothing may be set aside by Freeze.
func (l *Ledger) Forget(places []Place) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketEntries)
		for _, p := range places {
			at, err := l.place(p.Table, p.Key)
			if err != nil {
				return err
			}
			old, found, err := l.get(b, l.scratch)
			if err != nil {
				return err
			}
			if !found {
				continue
			}
			if old.live() {
				l.sums[at].remove([]byte(p.Key), old.digest)
				l.rows--
			}
			delete(l.active, string(l.scratch))
			if err := b.Delete(l.scratch); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forgetting rows: %w", err)
	}
	return nil
}
