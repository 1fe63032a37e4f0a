package checksum

import (
	"bytes"

	"go.etcd.io/bbolt"
)

// Notes are what others keep in the ledger because it must belong to the same cut as the entries: how far a scan of the rows
// has come, for instance.

// SetNote keeps a value under a name, from the next cut on; nil removes it.
func (l *Ledger) SetNote(name string, value []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(name, bytes.Clone(value))
}

// note keeps a value that nobody else writes to. mu is held.
func (l *Ledger) note(name string, value []byte) {
	l.notes[name] = value
	l.noted[name] = true
}

// Note gives what is kept under a name; nil: nothing.
func (l *Ledger) Note(name string) []byte {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return bytes.Clone(l.notes[name])
}

func (l *Ledger) loadNotes(tx *bbolt.Tx) error {
	return tx.Bucket(bucketNotes).ForEach(func(k, v []byte) error {
		l.notes[string(k)] = bytes.Clone(v)
		return nil
	})
}

// takeNotes gives those that have changed since the last cut, for it. mu is held.
func (l *Ledger) takeNotes() map[string][]byte {
	changed := make(map[string][]byte, len(l.noted))
	for name := range l.noted {
		changed[name] = l.notes[name]
	}
	clear(l.noted)
	return changed
}

func writeNotes(tx *bbolt.Tx, changed map[string][]byte) error {
	b := tx.Bucket(bucketNotes)
	for name, value := range changed {
		var err error
		if value == nil {
			err = b.Delete([]byte(name))
		} else {
			err = b.Put([]byte(name), value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
