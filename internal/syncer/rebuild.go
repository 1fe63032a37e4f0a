package syncer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"meridian/internal/binlog"
	"meridian/internal/checksum"
	"meridian/internal/envelope"
	"meridian/internal/mysqldb"
	"meridian/internal/propagate"
	"meridian/internal/row"
)

// ledgerLost follows when the server cannot continue from the checkpoint: it has lost transactions that the ledger knows
// of, or purged some that the ledger lacks. The ledger counts as lost, and is rebuilt at the next start.
func (s *Syncer) ledgerLost(err *binlog.PositionError) error {
	s.lost = err
	return &againError{err}
}

// rebuild makes the ledger anew. Until it is done nothing is captured or applied, and the region is not ready.
//
//  1. The resume point: the last checkpoint that this region's own topic tells of (a watermark), as far as the database
//     still has it. Everything before it has been acknowledged by the bus.
//  2. Up to where each other topic was applied as of that point: the first provenance behind it in the binlog says so.
//  3. The newest version of each row, from all topics, up to there.
//  4. Only where the row of that point has the change's digest is it taken: the rows are read, and what the binlog changed
//     behind the resume point is judged by its before-images. What remains has no entry: it is as a baseline row.
//  5. What the own topic has of transactions that the database no longer knows sets a floor: new stamps stay above it.
type rebuild struct {
	s      *Syncer
	p      *parts
	ends   map[int]int64 // of the own topic's partitions
	resume binlog.History
	asOf   map[checksum.SourceShard]uint64
	own    []uint64       // offsets in the own topic behind which there are stamps newer than the resume point
	epochs map[int]uint64 // in force there
	floors map[checksum.Place]int64
	wrong  map[checksum.Place]bool // rows that are not, as of the resume point, what the topics say
}

func (s *Syncer) rebuild(ctx context.Context, p *parts, ends map[int]int64, executed string, states map[int]map[string]propagate.State) error {
	err := errors.New("the ledger is being rebuilt from the topics and the database")
	s.health.trouble("ledger", err)
	s.cfg.Log.Warn("the ledger is rebuilt from the topics and the database; until it is done nothing is applied", zap.String("region", s.cfg.Region), zap.Error(s.lost))
	began := s.cfg.Clock.Now()
	r := &rebuild{
		s: s, p: p, ends: ends, asOf: map[checksum.SourceShard]uint64{}, own: make([]uint64, s.cfg.Shards), epochs: map[int]uint64{},
		floors: map[checksum.Place]int64{}, wrong: map[checksum.Place]bool{},
	}
	for shard, sources := range states {
		for source, st := range sources {
			r.asOf[checksum.SourceShard{Source: source, Shard: shard}] = st.Next
		}
	}
	for _, step := range []func(context.Context, string) error{r.findResume, r.findOffsets, r.collect, r.verify, r.finish} {
		if err := step(ctx, executed); err != nil {
			return s.again(fmt.Errorf("rebuilding the ledger: %w", err))
		}
	}
	rows, _, _ := p.ledger.Size()
	s.lost = nil
	s.health.trouble("ledger", nil)
	s.cfg.Log.Warn("the ledger is rebuilt", zap.String("region", s.cfg.Region), zap.Uint64("rows", rows), zap.Int("unknown", len(r.wrong)),
		zap.Duration("took", s.cfg.Clock.Now().Sub(began)), zap.Stringer("resumes_behind", r.resume))
	return nil
}

func (r *rebuild) isMaria() bool { return r.p.server.Flavor == mysqldb.MariaDB }

// findResume reads the own topic's watermarks. Each shard's last one counts, and what is in all of them: shards that had
// different owners until now were not equally far.
func (r *rebuild) findResume(ctx context.Context, executed string) error {
	has, err := binlog.ParseHistory(executed, r.isMaria())
	if err != nil {
		return err
	}
	r.resume = has
	for shard, end := range r.ends {
		last := ""
		err = r.s.eachOwn(ctx, r.p.home, shard, -1, end, 0, func(_ int64, m *envelope.Message) error {
			if m.Watermark != nil && m.Watermark.Checkpoint != "" {
				last = m.Watermark.Checkpoint
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("reading this region's own topic: %w", err)
		}
		if last == "" {
			continue // nothing was ever captured for it
		}
		told, failed := binlog.ParseHistory(last, r.isMaria())
		if failed != nil {
			return failed
		}
		r.resume = r.resume.Common(told)
	}
	var purged *binlog.PositionError
	if err = r.tail(ctx, &historian{}); errors.As(err, &purged) {
		return r.skipHole(ctx, has, purged)
	}
	return nil
}

// skipHole moves the resume point behind what the binlog does not have any more. What the hole held never leaves the region,
// which is told; what is behind it is captured.
func (r *rebuild) skipHole(ctx context.Context, has binlog.History, purged *binlog.PositionError) error {
	text, err := r.p.server.PurgedGTIDs(ctx)
	if err != nil {
		return err
	}
	gone, err := binlog.ParseHistory(text, r.isMaria())
	if err != nil {
		return err
	}
	behind := r.resume.Plus(gone).Common(has)
	if err = r.warnOfHole(behind, purged); err != nil {
		return err
	}
	r.resume = behind
	return nil
}

// tail reads the binlog from the resume point up to what is committed now.
func (r *rebuild) tail(ctx context.Context, h *historian) error {
	until, err := r.p.server.Coordinates(ctx, r.p.server.DB)
	if err != nil {
		return err
	}
	h.until = until
	t, err := r.s.newTailer(r.p)
	if err != nil {
		return err
	}
	err = t.Run(ctx, binlog.Position{GTIDs: r.resume.String()}, h)
	if errors.Is(err, errReached) {
		return nil
	}
	return err
}

// findOffsets finds up to where the other topics were applied as of the resume point.
func (r *rebuild) findOffsets(ctx context.Context, _ string) error {
	seen := map[checksum.SourceShard]bool{}
	return r.tail(ctx, &historian{change: func(c *row.Change, own bool) error {
		if !own || c.Table.Name != propagate.TableProvenance {
			return nil
		}
		at, next, err := provenanceBefore(c)
		if err != nil || at.Source == "" {
			return err
		}
		if _, known := r.asOf[at]; known && !seen[at] {
			seen[at], r.asOf[at] = true, next
		}
		return nil
	}})
}

// provenanceBefore gives where a provenance row stood before the change: at 0 when it was made by it.
func provenanceBefore(c *row.Change) (at checksum.SourceShard, next uint64, err error) {
	if c.After == nil {
		return at, 0, nil
	}
	after, err := propagate.ReadProvenance(c)
	if err != nil {
		return at, 0, err
	}
	at = checksum.SourceShard{Source: after.Source, Shard: after.Shard}
	if c.Before == nil {
		return at, 0, nil
	}
	was := *c
	was.After = c.Before
	before, err := propagate.ReadProvenance(&was)
	if err != nil {
		return at, 0, err
	}
	return at, before.Next, nil
}

// each reads all changes of all topics that this region had as of the resume point.
func (r *rebuild) each(ctx context.Context, f func(m *envelope.Message) error) error {
	for shard, end := range r.ends {
		err := r.s.eachOwn(ctx, r.p.home, shard, -1, end, 0, func(offset int64, m *envelope.Message) error {
			if m.Kind == envelope.Change && r.resume.Contains(m.Source.GTID) {
				r.own[shard], r.epochs[shard] = max(r.own[shard], uint64(offset)+1), m.Epoch
				return f(m)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, source := range r.s.cfg.Sources {
			until := int64(r.asOf[checksum.SourceShard{Source: source.Region, Shard: shard}])
			err := r.s.eachOf(ctx, r.p.abroad[source.Region], source.Topic, shard, -1, until, 0, func(_ int64, m *envelope.Message) error {
				if m.Change == nil {
					return nil
				}
				return f(m)
			})
			if err != nil {
				return fmt.Errorf("reading the topic of %s: %w", source.Region, err)
			}
		}
	}
	return nil
}

// collect enters the newest version of each row, and the floors.
func (r *rebuild) collect(ctx context.Context, executed string) error {
	has, err := binlog.ParseHistory(executed, r.isMaria())
	if err != nil {
		return err
	}
	for shard, end := range r.ends {
		err := r.s.eachOwn(ctx, r.p.home, shard, -1, end, 0, func(_ int64, m *envelope.Message) error {
			// A row that was published again carries no transaction: its version may be one that this region adopted.
			again := m.Change != nil && m.Kind != envelope.Change && m.Change.Version.Region == r.s.cfg.Region
			if m.Kind == envelope.Change && !has.Contains(m.Source.GTID) || again {
				at := placeOf(m.Change)
				r.floors[at] = max(r.floors[at], m.Change.Version.Time)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return r.each(ctx, func(m *envelope.Message) error {
		c := m.Change
		known, found, err := r.p.ledger.Lookup([]checksum.Place{placeOf(c)})
		if err != nil || found[0] && known[0].Version.Compare(c.Version) >= 0 {
			return err
		}
		_, err = r.p.ledger.Replay([]checksum.Replayed{{
			Place: placeOf(c), Version: c.Version, Digest: c.Digest, Columns: c.Table.ColumnsID(), Deleted: c.Op == row.Delete,
			Label: string(c.Table.KeyLabel(c.Row())),
		}})
		if err == nil && r.p.ledger.Recent() >= r.s.cfg.FlushEntries {
			err = r.flush(ctx, checksum.Cut{})
		}
		return err
	})
}

func placeOf(c *row.Change) checksum.Place {
	return checksum.Place{Table: c.Table.String(), Key: c.Key}
}

// flush writes what is there; without a checkpoint the file stays unfinished.
func (r *rebuild) flush(ctx context.Context, cut checksum.Cut) error {
	r.p.ledger.Freeze(cut)
	_, err := r.p.ledger.Flush(ctx)
	return err
}

// finish makes the ledger a finished one, as of the resume point.
func (r *rebuild) finish(ctx context.Context, _ string) error {
	places := make([]checksum.Place, 0, len(r.wrong))
	for at := range r.wrong {
		places = append(places, at)
	}
	if err := r.p.ledger.Forget(places); err != nil {
		return err
	}
	if err := r.p.ledger.SetFloors(r.floors); err != nil {
		return err
	}
	r.p.start = checkpoint{Position: binlog.Position{GTIDs: r.resume.String()}, Epochs: r.epochs}
	body, err := json.Marshal(r.p.start)
	if err != nil {
		return fmt.Errorf("writing down the checkpoint: %w", err)
	}
	r.p.ledger.Pass(mysqldb.Coordinates{}, r.asOf, 0)
	return r.flush(ctx, checksum.Cut{Checkpoint: body, Own: r.own})
}
