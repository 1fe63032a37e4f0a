package checksum

import "go.etcd.io/bbolt"

// Found is a row as it was read from the database.
type Found struct {
	Exists  bool
	Digest  uint64
	Columns uint64
	Label   string // see Entry
	// Generation is the table's (Ledger.Generation) from before the reading.
	Generation uint32
}

// Sighting is a row that was read, and the entry from before the reading.
type Sighting struct {
	Place
	Was   Entry
	Had   bool // there was an entry
	Found Found
}

// Suspect notes that a row is not what its entry says, although nothing is on its way that would explain it: it was changed past
// the binlog, or, with byDDL, by a DDL statement that was seen. The entry keeps its version, is marked, and counts as the row
// that was found; without an entry it gets the version that is older than all others. The next write to the row ends that.
//
// What the sighting says of an entry is what Lookup gave before the row was read under its lock; the writer has passed the
// binlog's place of that moment. It returns false, and does nothing, when the entry is another one by now, or the table was
// altered.
func (l *Ledger) Suspect(s *Sighting, byDDL bool) (marked bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err = l.db.View(func(tx *bbolt.Tx) (failed error) {
		marked, failed = l.replace(tx.Bucket(bucketEntries), s, func(e *Entry) { e.Suspect, e.ByDDL = true, byDDL })
		return failed
	})
	return marked, err
}

// Adopt enters rows as they were read, without a doubt about them, under the versions that they have: of rows whose entries
// are from before an ALTER TABLE that may have rewritten them. A row that is not there becomes a tombstone. What the sightings
// say is under the same condition as Suspect's, except that a row whose digest is the entry's need not have been locked. It
// returns how many were entered; the others have another entry by now.
func (l *Ledger) Adopt(rows []Sighting) (adopted int, err error) {
	return l.replaceAll(rows, func(e, was *Entry) { e.Suspect, e.ByDDL = was.Suspect, was.ByDDL })
}

// Sweep ends entries whose keys no row can have any more, since the primary key was altered. They are tombstones of a kind that
// Baseline writes over: where the old primary key comes back, so do its rows.
func (l *Ledger) Sweep(rows []Sighting) (swept int, err error) {
	return l.replaceAll(rows, func(e, _ *Entry) { e.ByDDL = true })
}

// swept tells whether Sweep has made an entry.
func (e *Entry) swept() bool { return e.Deleted && e.ByDDL && !e.Suspect }

func (l *Ledger) replaceAll(rows []Sighting, mark func(e, was *Entry)) (replaced int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err = l.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketEntries)
		for i := range rows {
			done, failed := l.replace(b, &rows[i], func(e *Entry) { mark(e, &rows[i].Was) })
			if failed != nil {
				return failed
			}
			if done {
				replaced++
			}
		}
		return nil
	})
	return replaced, err
}

// replace lets an entry count as the row that was found, if it still is the one from before. mu is held.
func (l *Ledger) replace(file *bbolt.Bucket, s *Sighting, mark func(e *Entry)) (done bool, err error) {
	at, err := l.place(s.Table, s.Key)
	if err != nil {
		return false, err
	}
	old, found, err := l.get(file, l.scratch)
	if err != nil {
		return false, err
	}
	var now Entry
	if found {
		now = l.entry(old)
	}
	e := Entry{Version: s.Was.Version, Digest: s.Found.Digest, Columns: s.Found.Columns, Deleted: !s.Found.Exists, Sequence: now.Sequence, Label: s.Found.Label}
	was := s.Was
	was.Sequence, now.Sequence = 0, 0 // a write that was acknowledged meanwhile is the same write
	if found != s.Had || found && now != was || l.generation(s.Table) != s.Found.Generation {
		return false, nil
	}
	if e.Deleted {
		e.Digest = 0
	}
	mark(&e)
	return true, l.put(at, s.Key, old, found, e)
}
