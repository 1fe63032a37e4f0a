package propagate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"meridian/internal/bus"
)

// How a person finds out that changes of another region were lost before they were read here, and goes on behind them.

// SourcePlace is where one shard of a source stands in a region's database.
type SourcePlace struct {
	Source string
	Shard  int
	Next   uint64 // the next offset to be applied
	Last   uint64 // the fingerprint of the record before it; 0: not known
	Parked uint64 // what is set aside of it
}

// SourcePlaces reads them, by source and shard. Nothing is locked.
func SourcePlaces(ctx context.Context, db *sql.DB) (list []SourcePlace, err error) {
	rows, err := db.QueryContext(ctx, "SELECT p.`source`, p.`shard`, p.`next_offset`, p.`last_record`, (SELECT COUNT(*) FROM `meridian`.`parked` a "+
		"WHERE a.`source` = p.`source` AND a.`shard` = p.`shard`) FROM `meridian`.`provenance` p ORDER BY p.`source`, p.`shard`")
	if err != nil {
		return nil, fmt.Errorf("reading where the sources stand: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var p SourcePlace
		if err := rows.Scan(&p.Source, &p.Shard, &p.Next, &p.Last, &p.Parked); err != nil {
			return nil, fmt.Errorf("reading where the sources stand: %w", err)
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

// Log is what is asked of another region's topic; *bus.Client is one.
type Log interface {
	Fetcher
	Offsets(ctx context.Context, topic string, partition int) (first, next int64, err error)
}

// Gap is what was lost of one shard of a source.
type Gap struct {
	SourcePlace
	Topic string
	First uint64 // the first offset that the partition has: from there on it is read once the gap is accepted
	End   uint64 // the offset behind its last record
	Lost  *bus.GapError
}

// FindGap looks whether the partition still has what is to be read next: as a consumer does that begins there. nil: it has.
func FindGap(ctx context.Context, log Log, topic string, at SourcePlace) (*Gap, error) {
	g := &Gap{SourcePlace: at, Topic: topic}
	first, end, err := log.Offsets(ctx, topic, at.Shard)
	if err != nil {
		return nil, err
	}
	g.First, g.End = uint64(first), uint64(end)
	const wait = time.Second
	c := NewConsumer(ConsumerConfig{Source: at.Source, Topic: topic, Shard: at.Shard, From: at.Next, Last: at.Last, Wait: wait}, log, nil, nil, zap.NewNop(), nil)
	sure, err := c.recognise(ctx)
	switch {
	case errors.As(err, &g.Lost):
		return g, nil
	case err != nil:
		return nil, err
	case at.Next < g.First || at.Next > g.End:
		g.Lost = &bus.GapError{Topic: topic, Partition: at.Shard, Want: int64(at.Next), First: first, Next: end}
		return g, nil
	case !sure:
		return nil, fmt.Errorf("%w: %s/%d", errNotSure, topic, at.Shard)
	}
	return nil, nil
}

// errNotSure is returned while a new leader does not say how far its log counts.
var errNotSure = errors.New("the partition's leader does not say yet how far its log counts: try again in a moment")

// ErrMovedMeanwhile is returned by AcceptGap when a source does not stand where it did when the gap was looked at.
var ErrMovedMeanwhile = errors.New("the place in the topic has moved since it was looked at: nothing was changed; look again")

// AcceptGap lets a region go on behind a gap: from the first record that the partition has. In one transaction it
//
//   - raises the shard's epoch, which fences a process off that is running: what that has read is not applied any more;
//   - where offsets come again, lets what is parked give up its places among them;
//   - sets the place.
//
// What was lost stays lost: the regions differ in it until they are compared and repaired.
func AcceptGap(ctx context.Context, db *sql.DB, holder string, g *Gap, now time.Time) (err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("accepting a gap: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing; before one the error that led here counts
	sources, err := sourcesOf(ctx, tx, g.Shard)
	if err != nil {
		return err
	}
	if _, err = claimShard(ctx, tx, holder, g.Shard, sources, uint64(max(now.UnixMilli(), 1))); err != nil {
		return fmt.Errorf("claiming shard %d: %w", g.Shard, err)
	}
	st, err := readState(ctx, tx, g.Source, g.Shard, " FOR UPDATE")
	if err != nil {
		return err
	}
	if st.Next != g.Next || st.Last != g.Last {
		return fmt.Errorf("%w (%s, shard %d: offset %d, not %d)", ErrMovedMeanwhile, g.Source, g.Shard, st.Next, g.Next)
	}
	if g.Lost.Truncated() {
		if _, err = tx.ExecContext(ctx, "UPDATE `meridian`.`parked` SET `own_change` = `id` WHERE `source` = ? AND `shard` = ?", g.Source, g.Shard); err != nil {
			return fmt.Errorf("taking parked changes out of the way: %w", err)
		}
	}
	_, err = tx.ExecContext(ctx, "UPDATE `meridian`.`provenance` SET `next_offset` = ?, `last_record` = 0, `batch` = '' WHERE `source` = ? AND `shard` = ?",
		g.First, g.Source, g.Shard)
	if err != nil {
		return fmt.Errorf("setting the place: %w", err)
	}
	if err = tx.Commit(); err != nil {
		return fmt.Errorf("accepting a gap: %w", err)
	}
	return nil
}

func sourcesOf(ctx context.Context, tx *sql.Tx, shard int) (list []string, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT `source` FROM `meridian`.`provenance` WHERE `shard` = ?", shard)
	if err != nil {
		return nil, fmt.Errorf("looking for the sources of shard %d: %w", shard, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var source string
		if err := rows.Scan(&source); err != nil {
			return nil, fmt.Errorf("looking for the sources of shard %d: %w", shard, err)
		}
		list = append(list, source)
	}
	return list, rows.Err()
}
