package syncer

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"meridian/internal/checksum"
	"meridian/internal/envelope"
	"meridian/internal/inspect"
	"meridian/internal/mysqldb"
	"meridian/internal/propagate"
	"meridian/internal/row"
)

// Mender does what a verifier orders for this process's shards. It is safe for concurrent use.
func (s *Syncer) Mender() inspect.Mender { return inspector{s} }

// order is an inspect.Order that has been understood.
type order struct {
	info   *mysqldb.TableInfo
	kind   envelope.Kind
	rows   []inspect.Wanted
	places []checksum.Place
	images [][]row.Value // of the keys alone; nil: unread tells why
	unread []error       // by row; see understand
	wanted []row.Version

	generation uint32 // the table's, from before the reading
}

func (i inspector) understand(ctx context.Context, p *parts, o inspect.Order) (*order, error) {
	info, err := i.table(ctx, p, o.Table)
	if err != nil {
		return nil, err
	}
	u := &order{info: info, kind: envelope.Repair, rows: o.Rows}
	if o.As == inspect.AsSeed {
		u.kind = envelope.Seed
	}
	for _, w := range o.Rows {
		at := checksum.Place{Table: info.String(), Key: row.Key(w.Key)}
		if err := i.owned(row.Shard(at.Table, at.Key, i.s.cfg.Shards)); err != nil {
			return nil, err
		}
		// A key of text is known by its label, and a row that was gone before this region heard of it has none: one such row keeps
		// nothing from the others.
		image, unread := info.KeyValues(at.Key, w.Label)
		version, err := row.ParseVersion(w.Version)
		if err != nil {
			return nil, fmt.Errorf("a row of the order for table %s: %w", info, err)
		}
		u.places, u.images, u.wanted = append(u.places, at), append(u.images, image), append(u.wanted, version)
		u.unread = append(u.unread, unread)
	}
	return u, nil
}

// Republish implements inspect.Mender.
//
// Invariant: a version is never published with another moment's row. The row is read under its lock, the tailer has passed the
// place that the binlog had then, its entry is the same before and after, and it has the entry's digest. And it is put behind
// everything that this region has published of the row, between two transactions: who reads this topic in order never meets it
// behind a word that says this region has gone beyond it, by which tombstones may go.
func (i inspector) Republish(ctx context.Context, o inspect.Order) (*inspect.Mended, error) {
	p, err := i.parts()
	if err != nil {
		return nil, err
	}
	u, err := i.understand(ctx, p, o)
	if err != nil {
		return nil, err
	}
	return i.republish(ctx, p, u)
}

func (i inspector) republish(ctx context.Context, p *parts, u *order) (*inspect.Mended, error) {
	before, had, err := p.ledger.Lookup(u.places)
	if err != nil {
		return nil, err
	}
	// On MariaDB a stamp that the bus does not have yet would come out otherwise after a crash, and this version would be nobody's.
	if err = p.publisher.WaitAcknowledged(ctx, newestSequence(before)); err != nil {
		return nil, err
	}
	u.generation = p.ledger.Generation(u.info.String())
	found, err := i.lockedRows(ctx, p, u.info, u.readable())
	if err != nil {
		return nil, err
	}
	i.s.cfg.Reached("republish.read")
	answer := &inspect.Mended{Rows: make([]inspect.MendedRow, len(u.rows))}
	sequence := uint64(0)
	err = p.capture.between(ctx, func() error {
		if p.capture.resumed != nil {
			return fmt.Errorf("the binlog connection of %s was lost within a transaction: %w", i.s.cfg.Region, inspect.ErrNotReady)
		}
		now, has, failed := p.ledger.Lookup(u.places)
		if failed != nil {
			return failed
		}
		var changes []*row.Change
		for n := range u.rows {
			if outcome, why := u.otherwise(n, before[n], now[n], had[n], has[n], found[u.places[n].Key]); why != "" {
				answer.Rows[n] = inspect.MendedRow{Outcome: outcome, Detail: why}
				continue
			}
			c := u.change(n, found[u.places[n].Key])
			changes = append(changes, c)
			answer.Rows[n] = inspect.MendedRow{Outcome: inspect.Published, Version: c.Version.String()}
		}
		sequence, err = p.capture.republish(ctx, u.kind, changes)
		return err
	})
	if err != nil {
		return nil, err
	}
	i.s.cfg.Reached("republish.put")
	return answer, p.publisher.WaitAcknowledged(ctx, sequence)
}

// readable gives the keys that rows can be looked for by.
func (u *order) readable() [][]row.Value {
	var list [][]row.Value
	for n := range u.images {
		if u.unread[n] == nil {
			list = append(list, u.images[n])
		}
	}
	return list
}

func newestSequence(entries []checksum.Entry) uint64 {
	newest := uint64(0)
	for _, e := range entries {
		newest = max(newest, e.Sequence)
	}
	return newest
}

// otherwise tells why a row must not be published under the wanted version, and what that is called; "": it may.
func (u *order) otherwise(n int, before, now checksum.Entry, had, has bool, image []row.Value) (outcome, why string) {
	before.Sequence, now.Sequence = 0, 0 // a write that was acknowledged meanwhile is the same write
	if had && !has && before.Deleted && !before.Suspect {
		now, has = before, true // a tombstone that has gone meanwhile, since everybody has passed it
	}
	live := has && !now.Deleted
	switch {
	case u.unread[n] != nil:
		return inspect.InDoubt, "the ledger does not know how the key is spelled: " + u.unread[n].Error()
	case had != has || before != now:
		return inspect.Changed, "the row was written while it was read"
	case now.Version != u.wanted[n]: // without an entry it is the baseline's
		return inspect.Changed, fmt.Sprintf("the row has version %s by now", now.Version)
	case now.Suspect:
		return inspect.InDoubt, "the row itself is in doubt here: it was changed past the binlog"
	case live == u.rows[n].Deleted, live != (image != nil):
		return inspect.InDoubt, "the row is not what the ledger says: it was changed past the binlog"
	case !live:
		return "", ""
	case now.Columns != u.info.ColumnsID(), now.Generation != u.generation:
		return inspect.InDoubt, "the ledger knows the row by other columns than the table has now, until it has been read again (verifier scrub)"
	case now.Digest != u.info.Digest(u.places[n].Key, image):
		return inspect.InDoubt, "the row is not what the ledger says: it was changed past the binlog"
	default:
		return "", ""
	}
}

func (u *order) change(n int, image []row.Value) *row.Change {
	c := &row.Change{Table: u.info.Table, Op: row.Update, Key: u.places[n].Key, After: image, Version: u.wanted[n]}
	switch {
	case u.rows[n].Deleted:
		c.Op, c.After = row.Delete, nil
		c.Table, c.Before = u.info.KeyOnly(), u.images[n]
	case u.kind == envelope.Seed || c.Version.IsBaseline():
		c.Op = row.Insert
	}
	if c.After != nil {
		c.Digest = u.info.Digest(c.Key, image)
	}
	return c
}

// republish puts changes, which have their versions, behind what has been captured. Called between two transactions.
func (c *Capture) republish(ctx context.Context, kind envelope.Kind, changes []*row.Change) (sequence uint64, err error) {
	now := c.clock.Now()
	out := make([]propagate.Outbound, 0, len(changes))
	for _, change := range changes {
		shard := row.Shard(change.Table.String(), change.Key, c.cfg.Shards)
		c.sequence++
		out = append(out, propagate.Outbound{Shard: shard, Sequence: c.sequence, Bytes: sizeOf(change), Message: &envelope.Message{
			Kind: kind, Epoch: c.cfg.Epochs[shard], Time: now.UnixMilli(), Change: change,
			Source: envelope.Source{Region: c.cfg.Region, Last: true, CommitTime: change.Version.Time},
		}})
	}
	if len(out) > 0 {
		c.log.Info("rows are published again", zap.Stringer("as", kind), zap.Stringer("table", changes[0].Table), zap.Int("rows", len(out)))
	}
	if err = c.publisher.Put(ctx, out...); err != nil {
		c.sequence -= uint64(len(out)) // all or nothing was put: a number that nobody has would be waited for by every flush
	}
	return c.sequence, err
}

// Writable implements inspect.Mender.
func (i inspector) Writable(ctx context.Context) (*inspect.Writable, error) {
	p, err := i.parts()
	if err != nil {
		return nil, err
	}
	name, err := p.server.ReadOnly(ctx)
	if err != nil || name == "" {
		return &inspect.Writable{}, err
	}
	return &inspect.Writable{WhyNot: fmt.Sprintf("the database of %s is read-only (%s is ON): nothing can be written there", i.s.cfg.Region, name)}, nil
}
