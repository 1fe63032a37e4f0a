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

func (l *Ledger) loadWarnings(tx *bbolt.Tx) error {
	body := tx.Bucket(bucketMeta).Get(metaWarnings)
	if body == nil {
		return nil
	}
	if err := json.Unmarshal(body, &l.warnings); err != nil {
		return fmt.Errorf("%w: warnings: %w", ErrDamaged, err)
	}
	return nil
}
