package checksum

import "go.etcd.io/bbolt"

// Found is a row as it was read from the database.
type Found struct {
	Exists  bool
	Digest  uint64
	Columns uint64
	Label   string // see Entry
}

// Suspect notes that a row is not what its entry says, although nothing is on its way that would explain it: it was changed past
// the binlog. The entry keeps its version, is marked, and counts as the row that was found; without an entry it gets the
// version that is older than all others. The next write to the row ends that.
//
// was and had are what Lookup gave before the row was read under its lock; the writer has passed the binlog's place of that
// moment. It returns false, and does nothing, when the entry is another one by now.
func (l *Ledger) Suspect(p Place, was Entry, had bool, row Found) (marked bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err = l.db.View(func(tx *bbolt.Tx) error {
		at, failed := l.place(p.Table, p.Key)
		if failed != nil {
			return failed
		}
		old, found, failed := l.get(tx.Bucket(bucketEntries), l.scratch)
		if failed != nil {
			return failed
		}
		now := Entry{}
		if found {
			now = l.entry(old)
		}
		was.Sequence, now.Sequence = 0, 0 // a write that was acknowledged meanwhile is the same write
		if found != had || found && now != was {
			return nil
		}
		e := Entry{Version: was.Version, Digest: row.Digest, Columns: row.Columns, Deleted: !row.Exists, Suspect: true, Label: row.Label}
		if found {
			e.Sequence = l.entry(old).Sequence
		}
		if e.Deleted {
			e.Digest = 0
		}
		marked = true
		return l.put(at, p.Key, old, found, e)
	})
	return marked, err
}
