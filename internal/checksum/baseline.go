package checksum

import (
	"bytes"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"meridian/internal/row"
)

// ErrCollected is returned by Baseline when tombstones have gone since its rows were read: one of the rows may have been
// deleted since, and nothing would tell. Read them again.
var ErrCollected = errors.New("tombstones were collected while the rows were read")

// ErrAltered is returned by Baseline when the table was altered since its rows were read: they may be others now. Read them
// again.
var ErrAltered = errors.New("the table was altered while its rows were read")

// Base is a row that was there before anything was known of it.
type Base struct {
	Place
	Digest  uint64
	Columns uint64
	Label   string // see Entry
}

// Baseline enters rows that were read from the database, with the version that is older than all others, and returns how
// many. All are of one table. The writer has passed a place in the binlog behind the reading; collected and generation are what
// Collected and Generation gave before it.
//
// A row that has an entry is left alone: whatever touched it has passed the tailer. One that has none was not touched up
// to where the tailer is now, so it is as it was read.
func (l *Ledger) Baseline(rows []Base, collected uint64, generation uint32) (entered int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err = l.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketEntries)
		// Counted before the tombstones are removed: whoever does not see one sees the count.
		if l.collected.Load() != collected {
			return ErrCollected
		}
		last := map[tableShard][]byte{} // the greatest place of each shard in the file; nil: it has none
		for i := range rows {
			r := &rows[i]
			if i == 0 && l.generation(r.Table) != generation {
				return ErrAltered
			}
			at, failed := l.place(r.Table, r.Key)
			if failed != nil {
				return failed
			}
			if _, known := last[at]; !known {
				last[at] = lastOf(b, l.scratch[:entryKeyPrefixBytes])
			}
			file := b
			if bytes.Compare(l.scratch, last[at]) > 0 {
				file = nil // beyond all that the file has, as most rows of a scan are
			}
			old, found, failed := l.get(file, l.scratch)
			if failed != nil {
				return fmt.Errorf("table %s: %w", r.Table, failed)
			}
			var version row.Version
			if found {
				was := l.entry(old)
				if !was.swept() {
					continue
				}
				version = was.Version
			}
			if failed = l.put(at, r.Key, old, found, Entry{Version: version, Digest: r.Digest, Columns: r.Columns, Label: r.Label}); failed != nil {
				return failed
			}
			entered++
		}
		return nil
	})
	return entered, err
}

// lastOf gives the greatest key with a prefix of a table and shard, valid as long as the transaction; nil if there is none.
func lastOf(b *bbolt.Bucket, prefix []byte) []byte {
	behind := bytes.Clone(prefix)
	for i := len(behind) - 1; i >= 0; i-- { // the next prefix
		if behind[i]++; behind[i] != 0 {
			break
		}
	}
	cur := b.Cursor()
	k, _ := cur.Seek(behind)
	if k == nil {
		k, _ = cur.Last()
	} else {
		k, _ = cur.Prev()
	}
	if !bytes.HasPrefix(k, prefix) {
		return nil
	}
	return k
}

// Collected counts the times that tombstones have gone.
func (l *Ledger) Collected() uint64 { return l.collected.Load() }
