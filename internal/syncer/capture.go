package syncer

import (
	"context"
	"time"

	"github.com/cespare/xxhash/v2"
	"go.uber.org/zap"

	"meridian/internal/binlog"
	"meridian/internal/checksum"
	"meridian/internal/envelope"
	"meridian/internal/mysqldb"
	"meridian/internal/propagate"
	"meridian/internal/retry"
	"meridian/internal/row"
)

// Capture takes what the tailer reads, in commit order, and tells the ledger and the publisher of it: a local change is
// stamped and published, an apply transaction is recognised by its provenance and only entered. It is a binlog.Handler,
// and the ledger's one writer.
//
// Invariants:
//   - No echo: a change that an apply transaction's provenance names is never published.
//   - The ledger's coordinates move (Pass) only at a transaction's end, after all its entries.
//   - A change is processed when the next one has come, or the commit: so that the last of a transaction is known as
//     such. What is held back is in no cut, and is delivered again after a lost connection.
type Capture struct {
	cfg       CaptureConfig
	ledger    *checksum.Ledger
	publisher *propagate.Publisher
	versions  VersionColumns
	clock     retry.Clock
	log       *zap.Logger
	metrics   *captureMetrics
	schema    func(*binlog.SchemaEvent) error
	described map[uint64]bool // the ColumnsIDs whose columns the ledger has been told
	flushing  *flushing
	turn      chan struct{} // capacity 1; held from a transaction's beginning to its end: see between

	sequence uint64
	known    map[stampKey]stamp
	tip      mysqldb.Coordinates // where the binlog ended after the claim: known is from before it
	tx       *transaction
	resumed  *transaction // interrupted by a lost connection; taken up again if the same comes first
	last     *binlog.End

	frozenAt   time.Time
	frozenSeen string // coordinates at the last freeze
	settled    bool   // at the last freeze the bus had everything: another one would write the same

}

// CaptureConfig sets the bounds of a Capture.
type CaptureConfig struct {
	Region        string
	Shards        int
	Owned         func(shard int) bool
	Epochs        map[int]uint64 // of the owned shards
	FlushInterval time.Duration
	FlushEntries  int                  // so many recent entries are written at the latest
	Ahead         func() time.Duration // how far the database's clock is ahead of ours, as last measured
	Reached       func(step string)
}

// VersionColumns finds the column that a table's versions are taken from; "" for none.
type VersionColumns interface {
	VersionColumn(table string) string
}

// stampKey names one change for ever: its transaction and its number in it.
type stampKey struct {
	gtid    string
	ordinal uint64
}

// stamp is the version under which a change stands in the region's own topic. print tells the change from another one
// with the same name: a server whose binlog was reset gives its GTIDs anew.
type stamp struct {
	version row.Version
	print   uint64
}

func fingerprint(c *row.Change) uint64 {
	return xxhash.Sum64String(c.Table.String()+"\x00"+string(c.Key)) ^ c.Digest
}

// transaction is the one being read.
type transaction struct {
	begin     *binlog.Transaction
	time      int64 // microseconds
	processed uint64
	held      numbered // see Capture's invariants
	began     bool     // a row event has been seen
	apply     *applying
	applied   map[checksum.SourceShard]uint64
}

// checkpoint is what the ledger keeps for us.
type checkpoint struct {
	Position binlog.Position `json:"position"`
	// Epochs are those in force at the cut's offsets in the own topic, by shard.
	Epochs map[int]uint64 `json:"epochs,omitempty"`
}

// Begin implements binlog.Handler.
func (c *Capture) Begin(ctx context.Context, tx *binlog.Transaction) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	t := &transaction{begin: tx, time: tx.CommitTime.UnixMicro(), applied: map[checksum.SourceShard]uint64{}}
	if tx.WholeSecond {
		t.time = withinSecond(c.clock.Now(), tx.CommitTime, c.cfg.Ahead())
	}
	if r := c.resumed; r != nil && r.begin.GTID == tx.GTID {
		t.time, t.processed, t.apply, t.began = r.time, r.processed, r.apply, r.began
	}
	c.resumed = nil
	c.tx = t
	c.cfg.Reached("capture.begin")
	return nil
}

// withinSecond is now by the database's clock, held inside the second that the binlog gives: MariaDB knows no fractions. ahead is
// how far that clock is ahead of now's. A second that is yet to come is none that a clock gave (SET timestamp): it would put the
// row, and what is stamped after it, above everything that is written until then.
func withinSecond(now, second time.Time, ahead time.Duration) int64 {
	now = now.Add(ahead)
	if second.After(now.Add(time.Second)) {
		return now.UnixMicro()
	}
	return min(max(now.UnixMicro(), second.UnixMicro()), second.UnixMicro()+999_999)
}

// Change implements binlog.Handler.
func (c *Capture) Change(ctx context.Context, rows *binlog.Rows) error {
	t := c.tx
	if rows.Own {
		return c.own(t, rows)
	}
	t.began = true
	if id := rows.Table.ColumnsID(); !c.described[id] {
		c.described[id] = true
		c.ledger.Describe(id, rows.Table.DigestedColumns())
	}
	if err := c.process(ctx, t.take(rows), false); err != nil {
		return err
	}
	c.metrics.changes.Add(float64(len(rows.Changes)))
	if t.apply == nil && c.ledger.Recent() >= c.cfg.FlushEntries {
		return c.freeze(ctx, t.begin.After(t.processed))
	}
	return nil
}

// numbered is a change and its number among its transaction's changes.
type numbered struct {
	change  *row.Change
	ordinal uint64
}

// take gives the changes to be processed now: what was held back, and the new ones but the last, which is held.
func (t *transaction) take(rows *binlog.Rows) []numbered {
	list := make([]numbered, 0, len(rows.Changes)+1)
	if t.held.change != nil {
		list = append(list, t.held)
	}
	for i := range rows.Changes {
		list = append(list, numbered{&rows.Changes[i], rows.First + uint64(i)})
	}
	t.held = list[len(list)-1]
	return list[:len(list)-1]
}

// process enters changes; last tells that they end their transaction.
func (c *Capture) process(ctx context.Context, list []numbered, last bool) error {
	t := c.tx
	if t.apply == nil {
		return c.local(ctx, list, last)
	}
	for i, n := range list {
		w := t.apply.written[propagate.Place{Table: n.change.Table.String(), Key: n.change.Key}]
		var err error
		switch {
		case w == nil: // a trigger's write: one of this region's own. It is told as the last, since those behind it may all be replayed ones
			err = c.local(ctx, list[i:i+1], true)
		case !t.apply.foreign:
			err = c.replay(n.change, w)
		}
		if err != nil {
			return err
		}
		if w != nil {
			t.apply.done[propagate.Place{Table: w.Table, Key: w.Key}] = true
			t.processed = n.ordinal
		}
	}
	return nil
}

// processHeld enters the change that was held back, which ends its transaction.
func (c *Capture) processHeld(ctx context.Context) error {
	held := c.tx.held
	if held.change == nil {
		return nil
	}
	c.tx.held = numbered{}
	return c.process(ctx, []numbered{held}, true)
}

// local stamps changes that were made here, and publishes those that do not stand in the topic already.
func (c *Capture) local(ctx context.Context, list []numbered, last bool) error {
	if len(list) == 0 {
		return nil
	}
	t := c.tx
	locals := make([]checksum.Local, 0, len(list))
	out := make([]propagate.Outbound, 0, len(list))
	messages := make([]envelope.Message, len(list)) // one slab: they live and die together
	now := c.clock.Now().UnixMilli()
	for i, n := range list {
		shard := row.Shard(n.change.Table.String(), n.change.Key, c.cfg.Shards)
		if !c.cfg.Owned(shard) {
			continue
		}
		w := checksum.Local{Change: n.change}
		w.Time, w.FromColumn = c.timeOf(n.change, t.time)
		if version, ok := c.alreadyPublished(t.begin.GTID, n); ok {
			w.Known = version
			locals = append(locals, w)
			continue
		}
		c.sequence++
		w.Sequence = c.sequence
		locals = append(locals, w)
		m := &messages[i]
		*m = envelope.Message{
			Kind: envelope.Change, Epoch: c.cfg.Epochs[shard], Time: now, Change: n.change,
			Source: envelope.Source{
				Region: c.cfg.Region, GTID: t.begin.GTID, Ordinal: n.ordinal, Last: last && i == len(list)-1, ServerID: t.begin.ServerID,
				File: t.begin.File, Position: t.begin.Start, CommitTime: t.time,
			},
		}
		out = append(out, propagate.Outbound{Shard: shard, Message: m, Sequence: w.Sequence, Bytes: sizeOf(n.change)})
	}
	if err := c.ledger.Stamp(locals); err != nil {
		return err
	}
	t.processed = list[len(list)-1].ordinal
	bytes := 0
	for i := range out {
		bytes += out[i].Bytes
	}
	c.metrics.bytes.Add(float64(bytes))
	return c.publisher.Put(ctx, out...)
}

// alreadyPublished gives the version under which the change stands in the own topic.
func (c *Capture) alreadyPublished(gtid string, n numbered) (row.Version, bool) {
	if len(c.known) == 0 {
		return row.Version{}, false
	}
	id := stampKey{gtid, n.ordinal}
	known, ok := c.known[id]
	if !ok || known.print != fingerprint(n.change) {
		return row.Version{}, false
	}
	delete(c.known, id)
	return known.version, true
}

// timeOf is the change's time: the table's version column if it has one, else the commit's. A deleted row has no new
// value in its version column: the commit's time counts.
func (c *Capture) timeOf(change *row.Change, commit int64) (micros int64, fromColumn bool) {
	name := c.versions.VersionColumn(change.Table.String())
	if name == "" || change.After == nil {
		return commit, false
	}
	i := change.Table.Column(name)
	if i < 0 {
		return commit, false
	}
	if t, ok := change.After[i].Instant(); ok {
		return t, true
	}
	return commit, false
}

// sizeOf is about what a change takes, in memory and on the bus.
func sizeOf(c *row.Change) int {
	n := 256 + len(c.Key)
	for _, image := range [][]row.Value{c.Before, c.After} {
		n += 64 * len(image)
		for i := range image {
			n += len(image[i].Bytes)
		}
	}
	return n
}

// Commit implements binlog.Handler.
func (c *Capture) Commit(ctx context.Context, end *binlog.End) error {
	t := c.tx
	if err := c.processHeld(ctx); err != nil {
		return err
	}
	if t.apply != nil && !t.apply.foreign {
		if err := c.finishApply(t.apply); err != nil {
			return err
		}
	}
	c.tx = nil
	defer c.give()
	c.metrics.transactions.Inc()
	c.pass(end, t.applied, t.time)
	return c.maybeFreeze(ctx, end)
}

// Progress implements binlog.Handler.
func (c *Capture) Progress(ctx context.Context, end *binlog.End) error {
	return c.between(ctx, func() error {
		c.pass(end, nil, 0)
		if c.resumed != nil {
			return nil // the ledger has a part of the transaction that comes next
		}
		return c.maybeFreeze(ctx, end)
	})
}

func (c *Capture) pass(end *binlog.End, applied map[checksum.SourceShard]uint64, committed int64) {
	c.last = end
	c.ledger.Pass(end.Coordinates, applied, committed)
}

// Schema implements binlog.Handler.
func (c *Capture) Schema(_ context.Context, e *binlog.SchemaEvent) error {
	return c.schema(e)
}

// Interrupted is called when the tailer's connection was lost: it says where to read on. What was held back is
// delivered again.
func (c *Capture) Interrupted(start binlog.Position) binlog.Position {
	switch t := c.tx; {
	case t != nil:
		t.held = numbered{}
		c.resumed, c.tx = t, nil
		c.give()
		return t.begin.After(t.processed)
	case c.resumed != nil: // interrupted again, before it was taken up
		return c.resumed.begin.After(c.resumed.processed)
	case c.last != nil:
		return c.last.Position()
	default:
		return start
	}
}
