package checksum

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"meridian/internal/row"
)

// Snapshot is what the ledger said of one table's shard at one moment. It is for one goroutine, and must be closed soon:
// while it is open the file's free pages are not used again.
type Snapshot struct {
	ledger *Ledger
	tx     *bbolt.Tx
	prefix []byte
	keys   []string // of recent, sorted
	recent map[string]slot
	next   map[string]uint64
	// The names as of the snapshot: the lists only grow, so that these stay what they are.
	regions, columns []string
}

// Snapshot takes one. Entries and offsets are of one moment; whoever needs that moment to lie between two transactions
// keeps the writer from going on meanwhile.
func (l *Ledger) Snapshot(table string, shard int) (*Snapshot, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	tx, err := l.db.Begin(false)
	if err != nil {
		return nil, fmt.Errorf("reading the ledger %s: %w", l.opts.Path, err)
	}
	s := &Snapshot{ledger: l, tx: tx, recent: map[string]slot{}, next: map[string]uint64{}, regions: l.regions.names, columns: l.columns.names}
	for at, next := range l.frontier.copyApplied() {
		if at.Shard == shard {
			s.next[at.Source] = next
		}
	}
	id, ok := l.tables.numbers[table]
	if !ok {
		return s, nil
	}
	s.prefix = entryKey(nil, id, shard, "")
	if l.frozen != nil {
		s.take(l.frozen.entries)
	}
	s.take(l.active)
	slices.Sort(s.keys)
	return s, nil
}

func (s *Snapshot) take(entries map[string]slot) {
	for k, v := range entries {
		if strings.HasPrefix(k, string(s.prefix)) {
			if _, ok := s.recent[k]; !ok {
				s.keys = append(s.keys, k)
			}
			s.recent[k] = v
		}
	}
}

// Applied gives up to where the snapshot includes the other regions' topics: the next offset by source.
func (s *Snapshot) Applied() map[string]uint64 { return s.next }

// Close ends it.
func (s *Snapshot) Close() error { return s.tx.Rollback() }

// Each gives the entries from a key on, in the order of the keys, until f returns false.
func (s *Snapshot) Each(from row.Key, f func(key row.Key, e Entry) bool) error {
	if s.prefix == nil {
		return nil
	}
	return s.ledger.db.guard(func() error { return s.each(from, f) })
}

func (s *Snapshot) each(from row.Key, f func(key row.Key, e Entry) bool) error {
	start := append(bytes.Clone(s.prefix), from...)
	at, _ := slices.BinarySearch(s.keys, string(start))
	cur := s.tx.Bucket(bucketEntries).Cursor()
	k, v := cur.Seek(start)
	for {
		inFile := k != nil && bytes.HasPrefix(k, s.prefix)
		inMemory := at < len(s.keys)
		if !inFile && !inMemory {
			return nil
		}
		var key string
		var e slot
		if inMemory && (!inFile || s.keys[at] <= string(k)) {
			key = s.keys[at]
			e = s.recent[key]
			if inFile && key == string(k) {
				k, v = cur.Next()
			}
			at++
		} else {
			var err error
			if e, err = readSlot(v); err != nil {
				return err
			}
			if int(e.region) >= len(s.regions) || int(e.columns) >= len(s.columns) {
				return errBadEntry
			}
			key = string(k)
			k, v = cur.Next()
		}
		if !f(row.Key(key[entryKeyPrefixBytes:]), entryOf(e, s.regions, s.columns)) {
			return nil
		}
	}
}
