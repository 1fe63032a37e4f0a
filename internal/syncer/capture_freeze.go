package syncer

import (
	"context"
	"encoding/json"
	"fmt"

	"meridian/internal/binlog"
	"meridian/internal/checksum"
)

// How capture sets cuts of the ledger aside for the flusher.

func (c *Capture) maybeFreeze(ctx context.Context, end *binlog.End) error {
	full := c.ledger.Recent() >= c.cfg.FlushEntries
	if !full {
		now := c.clock.Now()
		if now.Sub(c.frozenAt) < c.cfg.FlushInterval || !c.moved(end) {
			return nil
		}
	}
	return c.freeze(ctx, end.Position())
}

// moved tells whether there is anything to write since the last freeze: entries, a place in the binlog, or the bus's
// acknowledgement of all that was in it (by which the other regions know that tombstones may go).
func (c *Capture) moved(end *binlog.End) bool {
	if c.ledger.Recent() > 0 || end.Coordinates.String() != c.frozenSeen {
		return true
	}
	return !c.settled && c.publisher.Acknowledged() >= c.sequence
}

// freeze sets a cut aside for the flusher. It waits for the one before only when memory is full.
func (c *Capture) freeze(ctx context.Context, at binlog.Position) error {
	// In this order: what is acknowledged then lies before the ends. The other way round a delete that is acknowledged in
	// between would count as passed by regions that have not seen it, and its tombstone would go too early.
	// Until the tailer has caught up with what an older process has published, the cut's own offsets are those of an older cut, and
	// tombstones lie behind them.
	settled := c.caughtUp() && c.publisher.Acknowledged() >= c.sequence
	ends := c.publisher.Ends()
	own, epochs, err := c.ownOffsets(ends)
	if err != nil {
		return err
	}
	body, err := json.Marshal(checkpoint{Position: at, Epochs: epochs})
	if err != nil {
		return fmt.Errorf("writing down the checkpoint: %w", err)
	}
	cut := checksum.Cut{Checkpoint: body, Own: own, Sequence: c.sequence, Settled: settled}
	for {
		done := c.flushing.done()
		if c.ledger.Freeze(cut) {
			break
		}
		if c.ledger.Recent() < 2*c.cfg.FlushEntries {
			return nil
		}
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c.frozenAt, c.settled = c.clock.Now(), settled
	if c.last != nil {
		c.frozenSeen = c.last.Coordinates.String()
	}
	c.flushing.start()
	return nil
}

// ownOffsets gives, for each shard, an offset of the own topic before which nothing is newer than what has been read, and the
// epochs in force there. Until the tailer has passed all that an older process has published, that is what the last cut
// had: a process that dies before that must find these stamps again.
func (c *Capture) ownOffsets(ends map[int]int64) (own []uint64, epochs map[int]uint64, err error) {
	own = make([]uint64, c.cfg.Shards)
	if !c.caughtUp() {
		body, last, err := c.ledger.Checkpoint()
		if err != nil {
			return nil, nil, err
		}
		copy(own, last)
		var old checkpoint
		if len(body) > 0 {
			if err = json.Unmarshal(body, &old); err != nil {
				return nil, nil, fmt.Errorf("the last checkpoint cannot be read: %w", err)
			}
		}
		return own, old.Epochs, nil
	}
	c.known = nil
	for s, n := range ends {
		own[s] = uint64(max(n, 0))
	}
	return own, c.cfg.Epochs, nil
}

// caughtUp tells whether the tailer has passed all that an older process has published.
func (c *Capture) caughtUp() bool {
	at, ok := c.ledger.Passed()
	return ok && at.Server == c.tip.Server && at.Compare(c.tip) >= 0
}

// finish writes the ledger once more, when the tailer has ended.
func (c *Capture) finish(ctx context.Context, start binlog.Position) error {
	if c.last == nil && c.tx == nil {
		return nil
	}
	at := c.Interrupted(start)
	for frozen := false; !frozen; {
		done := c.flushing.done()
		if _, busy := c.ledger.Frozen(); !busy { // else the flush under way comes first
			if err := c.freeze(ctx, at); err != nil {
				return err
			}
			frozen = true
		}
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
