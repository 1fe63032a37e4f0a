package syncer

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"meridian/internal/checksum"
	"meridian/internal/envelope"
	"meridian/internal/inspect"
	"meridian/internal/mysqldb"
	"meridian/internal/propagate"
	"meridian/internal/row"
)

// Adopt implements inspect.Mender. It is decide, record, fence, validate, commit, as for an apply transaction: the rows are locked
// from their reading on, and no local write may come in between. A crash before they are published leaves rows that are newer
// than the other regions'; the next comparison finds them, with this region as the winner.
func (i inspector) Adopt(ctx context.Context, o inspect.Order) (*inspect.Mended, error) {
	p, err := i.parts()
	if err != nil {
		return nil, err
	}
	u, err := i.understand(ctx, p, o)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(u.unread...); err != nil {
		return nil, fmt.Errorf("a key of the order is none of table %s: %w", u.info, err)
	}
	u.kind = envelope.Repair
	for shard, part := range u.byShard(i.s.cfg.Shards) {
		if err := i.adopt(ctx, p, shard, part); err != nil {
			return nil, fmt.Errorf("making rows of %s the newest in %s: %w", u.info, i.s.cfg.Region, asBusy(err))
		}
		for n, from := range part.index {
			u.wanted[from], u.rows[from] = part.wanted[n], part.rows[n]
		}
	}
	return i.republish(ctx, p, u)
}

// errAdopted is what an adoption is refused for.
var errAdopted = errors.New("the row was written while it was adopted")

// asBusy marks what may be tried again.
func asBusy(err error) error {
	if errors.Is(err, errAdopted) || errors.Is(err, context.DeadlineExceeded) || mysqldb.Classify(err) == mysqldb.Transient {
		return fmt.Errorf("%w: %w", inspect.ErrBusy, err)
	}
	return err
}

// part is what of an order is one shard's.
type part struct {
	order
	index []int // where the rows are in the order
}

func (u *order) byShard(shards int) map[int]*part {
	by := map[int]*part{}
	for n, at := range u.places {
		shard := row.Shard(at.Table, at.Key, shards)
		s := by[shard]
		if s == nil {
			s = &part{order: order{info: u.info, kind: u.kind}}
			by[shard] = s
		}
		s.index = append(s.index, n)
		s.rows, s.places = append(s.rows, u.rows[n]), append(s.places, at)
		s.images, s.wanted = append(s.images, u.images[n]), append(s.wanted, u.wanted[n])
	}
	return by
}

// adopt gives the rows, as they stand, versions above those that are wanted, and leaves these in the part.
func (i inspector) adopt(ctx context.Context, p *parts, shard int, u *part) error {
	before, had, err := p.ledger.Lookup(u.places)
	if err != nil {
		return err
	}
	// On MariaDB a stamp that the bus does not have yet would come out otherwise after a crash, above the version given here.
	if err = p.publisher.WaitAcknowledged(ctx, newestSequence(before)); err != nil {
		return err
	}
	tx, err := p.target.Adopt(ctx, shard, i.s.cfg.sourceNames())
	if err != nil {
		return err
	}
	defer tx.Rollback()
	found, err := i.readRows(ctx, p, tx.Queryer(), u.info, u.images, readForUpdate)
	if err != nil {
		return err
	}
	written := i.newVersions(u, before, found)
	i.s.cfg.Reached("adopt.read")
	at, err := tx.Record(ctx, p.epochs[shard], written)
	if err != nil {
		return err
	}
	// The fence, as in propagate's attempt: the rows' locks are held, and the binlog's coordinates move before locks are released.
	fence, cancel := context.WithTimeout(ctx, i.s.cfg.FenceTimeout)
	err = p.ledger.WaitPassed(fence, at)
	cancel()
	if err != nil {
		return err
	}
	now, has, err := p.ledger.Lookup(u.places)
	if err != nil {
		return err
	}
	for n := range now {
		before[n].Sequence, now[n].Sequence = 0, 0
		if had[n] != has[n] || before[n] != now[n] {
			return errAdopted
		}
	}
	if err = tx.Commit(); err != nil {
		return err
	}
	i.s.cfg.Reached("adopt.committed")
	i.s.countEnded(tx.Superseded())
	i.s.cfg.Log.Info("rows that stand here were made the newest, as a person ordered", zap.Stringer("table", u.info), zap.Int("rows", len(written)))
	if at, err = p.server.Coordinates(ctx, p.server.DB); err != nil {
		return err
	}
	return p.ledger.WaitPassed(ctx, at)
}

// newVersions says what the rows become. A version is above the entry's, above what is wanted, and not in the past: a write that
// overwrites another always beats it.
func (i inspector) newVersions(u *part, entries []checksum.Entry, found map[row.Key][]row.Value) []propagate.Written {
	now := i.s.cfg.Clock.Now().UnixMicro() + i.s.ahead.Load()/1000
	written := make([]propagate.Written, len(u.rows))
	for n, at := range u.places {
		v := row.Version{Time: max(now, entries[n].Version.Time+1, u.wanted[n].Time+1), Region: i.s.cfg.Region}
		w := propagate.Written{Table: at.Table, Key: at.Key, Op: row.Delete, Version: v, Columns: u.info.ColumnsID()}
		if image, there := found[at.Key]; there {
			w.Op, w.Digest = row.Update, u.info.Digest(at.Key, image)
		}
		u.wanted[n], u.rows[n].Deleted = v, w.Op == row.Delete
		written[n] = w
	}
	return written
}
