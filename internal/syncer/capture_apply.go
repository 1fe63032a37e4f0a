package syncer

import (
	"fmt"

	"go.uber.org/zap"

	"meridian/internal/binlog"
	"meridian/internal/checksum"
	"meridian/internal/propagate"
	"meridian/internal/row"
)

// How capture takes an apply transaction: it is known by its provenance, entered, and never published.

// applying is what an apply transaction's provenance says.
type applying struct {
	foreign bool // its shard is another replica's: its rows are not for this ledger
	written map[propagate.Place]*propagate.Written
	order   []propagate.Place
	done    map[propagate.Place]bool
}

// own takes the rows of Meridian's own tables. The provenance as the first row event makes the transaction an apply.
func (c *Capture) own(t *transaction, rows *binlog.Rows) error {
	first := !t.began
	t.began = true
	switch rows.Table.Name {
	case propagate.TableProvenance:
	case propagate.TableOwner:
		return c.adopted(t, rows, first)
	default:
		return nil
	}
	for i := range rows.Changes {
		p, err := propagate.ReadProvenance(&rows.Changes[i])
		if err != nil {
			return fmt.Errorf("transaction %s: %w", t.begin.GTID, err)
		}
		if p == nil {
			continue
		}
		owned := c.cfg.Owned(p.Shard)
		if owned && p.ByHand {
			if err := c.placeSet(t, &rows.Changes[i], p); err != nil {
				return err
			}
		}
		if owned {
			t.applied[checksum.SourceShard{Source: p.Source, Shard: p.Shard}] = p.Next
		}
		if first && len(p.Written) > 0 && t.apply == nil {
			t.apply = newApplying(p.Written, !owned)
		}
	}
	return nil
}

// placeSet warns where a person has set the place in a source's topic: on from a gap, or back. Until the rows have been compared this
// region may lack changes, and deletes above all, that its offsets say it has.
func (c *Capture) placeSet(t *transaction, change *row.Change, p *propagate.Provenance) error {
	at, before, err := provenanceBefore(change)
	if err != nil || at.Source == "" || change.Before == nil || before == p.Next {
		return err
	}
	err = c.ledger.Warn(fmt.Sprintf("the place in the topic of %s, shard %d, was set from offset %d to %d by transaction %s: what stood between is missing here. "+
		"Until this is acknowledged no region forgets what was deleted. Run `verifier compare`, repair or seed this region, then start `syncer run --acknowledge-warnings` once",
		p.Source, p.Shard, before, p.Next, t.begin.GTID))
	if err != nil {
		return err
	}
	c.log.Warn("the place in a source's topic was set by hand: compare the regions and repair this one, then start `syncer run --acknowledge-warnings` once",
		zap.String("source", p.Source), zap.Int("shard", p.Shard), zap.Uint64("from", before), zap.Uint64("to", p.Next))
	return nil
}

// adopted takes an adoption (see Adopt): like an apply transaction it says which rows have which version from here on. It writes
// none, so that all are entered at its end.
func (c *Capture) adopted(t *transaction, rows *binlog.Rows, first bool) error {
	for i := range rows.Changes {
		shard, written, err := propagate.ReadAdoption(&rows.Changes[i])
		if err != nil {
			return fmt.Errorf("transaction %s: %w", t.begin.GTID, err)
		}
		if first && len(written) > 0 && t.apply == nil {
			t.apply = newApplying(written, !c.cfg.Owned(shard))
		}
	}
	return nil
}

func newApplying(written []propagate.Written, foreign bool) *applying {
	a := &applying{foreign: foreign, written: map[propagate.Place]*propagate.Written{}, done: map[propagate.Place]bool{}}
	for i := range written {
		w := &written[i]
		at := propagate.Place{Table: w.Table, Key: w.Key}
		a.written[at] = w
		a.order = append(a.order, at)
	}
	return a
}

// replay enters a row that an apply transaction wrote. The binlog shows what was really written: a trigger, a truncation
// or a character set that altered it is drift, seen the moment it happens.
func (c *Capture) replay(change *row.Change, w *propagate.Written) error {
	deleted := change.Op == row.Delete
	r := checksum.Replayed{
		Place:   checksum.Place{Table: w.Table, Key: w.Key},
		Version: w.Version, Digest: change.Digest, Columns: change.Table.ColumnsID(), Deleted: deleted,
		Label: string(change.Table.KeyLabel(change.Row())),
	}
	if deleted != (w.Op == row.Delete) || !deleted && r.Columns == w.Columns && r.Digest != w.Digest {
		r.Suspect = true
		c.metrics.altered.WithLabelValues(w.Table).Inc()
		c.log.Warn("a replayed row was altered as it was written (a trigger, a truncation, a character set?): it differs from the other regions'",
			zap.String("table", w.Table), zap.Stringer("version", w.Version))
	}
	return c.enter(r)
}

func (c *Capture) enter(r checksum.Replayed) error {
	back, err := c.ledger.Replay([]checksum.Replayed{r})
	if back > 0 {
		c.metrics.wentBack.Inc()
		c.log.Error("a newer row was overwritten by an older version: this must not happen, please report it",
			zap.String("table", r.Table), zap.Stringer("version", r.Version))
	}
	return err
}

// finishApply enters what left no row event: the delete of a row that was not there, a write that changed nothing.
func (c *Capture) finishApply(a *applying) error {
	for _, at := range a.order {
		if a.done[at] {
			continue
		}
		w := a.written[at]
		err := c.enter(checksum.Replayed{
			Place:   checksum.Place{Table: w.Table, Key: w.Key},
			Version: w.Version, Digest: w.Digest, Columns: w.Columns, Deleted: w.Op == row.Delete,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
