package checksum

import (
	"encoding/json"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
)

var metaWarnings = []byte("warnings")

// Warn keeps texts in the file, beside those that are there, until somebody acknowledges them: what has been lost, and what
// has to be done about it.
func (l *Ledger) Warn(texts ...string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Clone(l.warnings)
	for _, text := range texts {
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return l.keepWarnings(all)
}

// Warnings gives what has not been acknowledged, the oldest first.
func (l *Ledger) Warnings() []string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Clone(l.warnings)
}

// Acknowledge forgets all warnings.
func (l *Ledger) Acknowledge() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.keepWarnings(nil)
}

func (l *Ledger) keepWarnings(texts []string) error {
	if slices.Equal(texts, l.warnings) {
		return nil
	}
	body, err := json.Marshal(texts)
	if err == nil {
		err = l.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Put(metaWarnings, body) })
	}
	if err != nil {
		return fmt.Errorf("keeping warnings in the ledger %s: %w", l.opts.Path, err)
	}
	l.warnings = texts
	return nil
}

func (l *Ledger) loadWarnings(tx *bbolt.Tx) (err error) {
	l.warnings, err = readWarnings(tx)
	return err
}

func readWarnings(tx *bbolt.Tx) (texts []string, err error) {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return nil, nil
	}
	if body := meta.Get(metaWarnings); body != nil {
		if err = json.Unmarshal(body, &texts); err != nil {
			return nil, fmt.Errorf("%w: warnings: %w", ErrDamaged, err)
		}
	}
	return texts, nil
}

// WarningsIn gives the warnings in a closed ledger's file, as far as they can be read: the file may be damaged, or of other
// shards than it is opened for.
func WarningsIn(path string) []string {
	f, err := openFile(path)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }() // it was only read
	var texts []string
	_ = f.View(func(tx *bbolt.Tx) error { // what cannot be read is lost
		texts, err = readWarnings(tx)
		return err
	})
	return texts
}
