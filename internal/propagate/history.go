package propagate

import (
	"context"
	"database/sql"
	"fmt"

	"go.uber.org/zap"

	"meridian/internal/bus"
	"meridian/internal/envelope"
	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

// Loser is the losing side of a conflict that a plan's transaction decides. Its row is kept in meridian.conflicts, in that
// very transaction: what it decides is in the history exactly once, and what is rolled back is not.
type Loser struct {
	Change  *row.Change // that came: it has lost, or has won over the row that is here
	Offset  uint64      // its place in the source's topic
	Winner  row.Version
	Version row.Version // of what has lost
	// Record is the change that came and lost. nil: the row here loses.
	Record *bus.Record
	// Gone: the row here that loses is a deleted one, as the ledger has it.
	Gone bool
}

// loser gives the losing side of a candidate's conflict with what the ledger says.
func (c *candidate) loser(k Known, wins bool) Loser {
	l := Loser{Change: c.item.Message.Change, Offset: c.item.Offset, Winner: k.Version, Version: c.item.Message.Change.Version, Record: &c.item.Record}
	if wins {
		l.Winner, l.Version, l.Record, l.Gone = l.Version, l.Winner, nil, k.Deleted
	}
	return l
}

// Why the history has no record of what has lost.
const (
	OmittedTooLarge   = "too_large"  // it would not fit into a statement
	OmittedNotThere   = "not_there"  // the ledger knew of a row, but there was none
	OmittedUnreadable = "unreadable" // no record can hold it
	OmittedInList     = "large"      // it is kept, and too large for a list: ask for it alone
)

// keptLoser is a row of meridian.conflicts before it has an id.
type keptLoser struct {
	*Loser
	record  []byte
	omitted string
}

// keepLosers writes the losing sides of the plan's conflicts into the history. It stands behind the provenance, whose row
// event has to be the first, and before the rows are written: what is overwritten is read as it is under its lock. That is a
// round trip; what is kept waits in the packet for the rows.
//
// Invariant: the row that is read is that of the entry on which was decided, though the ledger was asked before the row was
// locked. A local write that was committed in between is what is read here; it moved the binlog's coordinates before it gave
// up its lock, so they are asked for behind it, the fence waits for it, and the ledger has another entry when the plan is
// validated: all is rolled back, and with it what was kept. A write behind the lock waits for this transaction's end.
func (x *mysqlTransaction) keepLosers(ctx context.Context, p *Plan) error {
	if len(p.Losers) == 0 || !x.target.cfg.KeepConflicts {
		return nil
	}
	overwritten, err := x.overwritten(ctx, p.Losers)
	if err != nil {
		return err
	}
	kept := make([]keptLoser, len(p.Losers))
	for i := range p.Losers {
		kept[i] = x.keep(&p.Losers[i], overwritten)
	}
	return x.addLosers(ctx, p, kept)
}

// keep makes the record of what has lost.
func (x *mysqlTransaction) keep(l *Loser, overwritten map[Place]*row.Change) keptLoser {
	k := keptLoser{Loser: l}
	change := overwritten[Place{l.Change.Table.String(), l.Change.Key}]
	if change == nil && l.Gone {
		change = l.tombstone()
	}
	switch {
	case l.Record != nil:
		k.record = l.Record.Marshal()
	case change == nil:
		k.omitted = OmittedNotThere
	default:
		change.Version = l.Version
		r, err := envelope.Encode(&envelope.Message{
			Kind: envelope.Change, Time: l.Version.Time / 1000, Change: change,
			Source: envelope.Source{Region: l.Version.Region, CommitTime: l.Version.Time, Last: true},
		})
		if err != nil {
			x.target.cfg.Log.Warn("the losing side of a conflict cannot be kept: no record can hold it",
				zap.String("table", l.Change.Table.String()), zap.Stringer("version", l.Version), zap.Error(err))
			k.omitted = OmittedUnreadable
			return k
		}
		k.record = r.Marshal()
	}
	if len(k.record) > x.mostRecord() {
		k.record, k.omitted = nil, OmittedTooLarge
	}
	return k
}

// tombstone is the delete of which the ledger knows: a change of the key's columns alone, as nobody has an image of the row.
func (l *Loser) tombstone() *row.Change {
	from := l.Change.Table
	columns, order := make([]row.Column, len(from.PrimaryKey)), make([]int, len(from.PrimaryKey))
	for i, at := range from.PrimaryKey {
		columns[i], order[i] = from.Columns[at], i
	}
	c := &row.Change{Table: row.NewTable(from.Schema, from.Name, columns, order), Op: row.Delete, Key: l.Change.Key}
	if l.Change.Row() != nil {
		c.Before = l.Change.KeyValues()
	}
	return c
}

// mostRecord bounds a record: in a statement it can have twice its bytes, and others stand beside it.
func (x *mysqlTransaction) mostRecord() int { return x.target.server.MaxPacket() / 4 }

// overwritten reads the rows that lose, under their locks. A table that is not here, or into which the change cannot be
// written, is passed over: write says so, and nothing is committed.
func (x *mysqlTransaction) overwritten(ctx context.Context, losers []Loser) (map[Place]*row.Change, error) {
	images := map[*row.Table][][]row.Value{}
	for i := range losers {
		if l := &losers[i]; l.Record == nil && l.Change.Row() != nil {
			images[l.Change.Table] = append(images[l.Change.Table], l.Change.Row())
		}
	}
	found := map[Place]*row.Change{}
	for source, list := range images {
		g, err := x.group(ctx, source)
		switch {
		case err == nil:
			err = x.addOverwritten(ctx, g, list, found)
		case mysqldb.Classify(err) == mysqldb.Refused:
			err = nil
		}
		if err != nil {
			return nil, err
		}
	}
	if len(images) == 0 {
		return found, nil
	}
	return found, x.send(ctx)
}

func (x *mysqlTransaction) addOverwritten(ctx context.Context, g *group, images [][]row.Value, found map[Place]*row.Change) error {
	target, source := g.mapping.Target().Table, g.mapping.Source().String()
	columns := make([]int, len(target.Columns))
	for i := range columns {
		columns[i] = i
	}
	for len(images) > 0 {
		query, n, err := g.mapping.ReadRows(nil, images, true)
		if err != nil {
			return err
		}
		if err = x.makeRoom(ctx, len(query)); err != nil {
			return err
		}
		x.packet.Query(query, func(rows *sql.Rows) error {
			return mysqldb.ReadRows(rows, target, columns, func(values []row.Value) error {
				key, failed := target.Key(values)
				found[Place{source, key}] = &row.Change{Table: target, Op: row.Insert, Key: key, After: values, Digest: target.Digest(key, values)}
				return failed
			})
		}, func(err error) error {
			x.target.Forget(target.Schema, target.Name) // an ALTER TABLE may have come first; the next attempt knows
			return fmt.Errorf("reading what is overwritten of %s: %w", target, err)
		})
		images = images[n:]
	}
	return nil
}

// addLosers puts them into the packet, in as few statements as the server takes.
func (x *mysqlTransaction) addLosers(ctx context.Context, p *Plan, kept []keptLoser) error {
	for len(kept) > 0 {
		n, bytes := 0, 0
		b := []byte("INSERT INTO `meridian`.`conflicts` (`source`,`shard`,`bus_offset`,`table_name`,`row_key`,`winner_time`,`winner_region`," +
			"`loser_time`,`loser_region`,`bytes`,`omitted`,`record`) VALUES ")
		for ; n < len(kept) && n < mysqldb.DefaultStatementRows; n++ {
			if bytes += kept[n].size(); n > 0 && bytes > x.mostRecord() {
				break
			}
			if n > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = kept[n].appendTo(b, p); err != nil {
				return fmt.Errorf("keeping what lost a conflict: %w", err)
			}
		}
		if err := x.makeRoom(ctx, len(b)); err != nil {
			return err
		}
		x.packet.Exec(b, func(int64) error { return nil }, failing("keeping what lost a conflict"))
		kept = kept[n:]
	}
	return nil
}

// size is what the history's bound on bytes counts.
func (k *keptLoser) size() int { return len(k.record) + len(k.Change.Key) }

// appendTo appends it as a row of an INSERT.
func (k *keptLoser) appendTo(b []byte, p *Plan) ([]byte, error) {
	separator := byte('(')
	for _, v := range []row.Value{
		row.BytesValue(row.Text, []byte(p.Source)), row.IntValue(int64(p.Shard)), row.UintValue(k.Offset), row.BytesValue(row.Text, []byte(k.Change.Table.String())),
		row.BytesValue(row.Binary, []byte(k.Change.Key)), row.IntValue(k.Winner.Time), row.BytesValue(row.Text, []byte(k.Winner.Region)),
		row.IntValue(k.Version.Time), row.BytesValue(row.Text, []byte(k.Version.Region)), row.IntValue(int64(k.size())),
		row.BytesValue(row.Text, []byte(k.omitted)), row.BytesValue(row.Binary, k.record),
	} {
		var err error
		if b, err = mysqldb.AppendLiteral(append(b, separator), v, &row.Column{Name: TableConflicts}); err != nil {
			return nil, err
		}
		separator = ','
	}
	return append(b, ')'), nil
}
