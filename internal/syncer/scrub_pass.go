package syncer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"go.uber.org/zap"

	"meridian/internal/checksum"
	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

// scrubPass is one reading of one table: over the rows, in the order of their key, for those that are otherwise or should not
// be there; then over the ledger's entries, for rows that are gone. A table that is gone has only the latter.
type scrubPass struct {
	*scrub
	table string
	rate  int // rows a second
	at    scrubbed
	asker *scrubRun // who asked for it; nil: the scrub that goes on by itself, whose place is kept

	size     int    // rows of the next piece
	estimate uint64 // rows that the table has
	had      uint64 // rows read before began
	began    time.Time
	// seen tells of each bucket how many live entries the rows have met, and the sum of their keys' hashes: where the ledger has
	// the same none of its entries lacks its row. Not kept through a restart: then all entries are looked at.
	seen  map[int]*[checksum.Buckets]checksum.Sum
	skip  map[int]bool // buckets of the shard whose entries are being looked at that need not be
	looks look
}

// look is what is known of a table's alterations, from before a reading.
type look struct {
	generation  uint32
	alterations []checksum.Alteration
}

// scrubbed is the note about a table's pass.
type scrubbed struct {
	Rows    uint64            `json:"rows"`
	After   []byte            `json:"after,omitempty"`   // the last row's key, see keyBytes
	Entries bool              `json:"entries,omitempty"` // the rows are done: it goes over the entries
	Shard   int               `json:"shard,omitempty"`   // of these
	Key     []byte            `json:"key,omitempty"`     // behind this one
	Began   time.Time         `json:"began,omitzero"`
	Found   map[string]uint64 `json:"found,omitempty"` // in this pass, by kind
	Adopted uint64            `json:"adopted,omitempty"`
	DDL     string            `json:"ddl,omitempty"` // the kinds of those found that a DDL statement explains
	// Of the last pass that came to its end.
	Done     time.Time `json:"done,omitzero"`
	DoneFrom time.Time `json:"done_from,omitzero"`
	// Generation is the table's at the beginning of that pass: rows that a later DDL statement brought have not been seen.
	Generation uint32 `json:"generation,omitempty"`
	Next       uint32 `json:"next,omitempty"` // Generation of this pass
}

func scrubNote(table string) string { return "scrub/" + table }

// resume takes up a table's pass where it was.
func (s *scrub) resume(table string) (*scrubPass, error) {
	p := &scrubPass{scrub: s, table: table, rate: max(s.cfg.ScrubRows/s.cfg.Replicas, 1), size: firstPiece}
	if note := s.parts.ledger.Note(scrubNote(table)); note != nil {
		if err := json.Unmarshal(note, &p.at); err != nil {
			return nil, fmt.Errorf("the note about the pass over %s cannot be read: %w", table, err)
		}
	}
	return p, nil
}

func (p *scrubPass) begin() {
	p.began, p.had = p.cfg.Clock.Now(), p.at.Rows
	if p.at.Began.IsZero() {
		p.at.Began, p.at.Next = p.began.UTC(), p.parts.ledger.Generation(p.table)
		p.seen = map[int]*[checksum.Buckets]checksum.Sum{}
	}
}

// run reads until the table has been covered.
func (p *scrubPass) run(ctx context.Context) error {
	p.begin()
	for {
		from := p.cfg.Clock.Now()
		n, err := p.step(ctx)
		if err != nil {
			return err
		}
		took := p.cfg.Clock.Now().Sub(from)
		p.size = min(nextPiece(p.size, took), max(p.rate/piecesPerSecond, smallestPiece))
		over := p.at.Entries && p.at.Shard >= p.cfg.Shards
		if over {
			p.finish()
		}
		if err = p.keep(); err != nil || over {
			return err
		}
		if err = p.parts.room(ctx, p.cfg); err != nil {
			return err
		}
		if err = p.throttle(ctx, n, took); err != nil {
			return err
		}
	}
}

// piecesPerSecond keeps a slow scrub from reading its rows in bursts.
const piecesPerSecond = 5

// step reads the next piece, and tells how many rows or entries it looked at.
func (p *scrubPass) step(ctx context.Context) (int, error) {
	p.looks = look{p.parts.ledger.Generation(p.table), p.parts.ledger.Alterations(p.table)}
	schema, name := tableNames(p.table)
	info, err := p.parts.target.Schema().Table(ctx, schema, name) // each time: it may be altered meanwhile
	switch {
	case errors.Is(err, mysqldb.ErrNoTable):
		p.at.Entries = true
		return p.gone(ctx)
	case err != nil:
		return 0, err
	case !p.parts.baseline.covers(p.table, info.KeyID()):
		return 0, fmt.Errorf("%s is being read from the start: %w", p.table, mysqldb.ErrDefinitionChanged)
	case p.at.Entries:
		return p.entries(ctx, info)
	default:
		return p.piece(ctx, info)
	}
}

// finish ends a pass that has covered the table, and says what it found: once, however many rows it was.
func (p *scrubPass) finish() {
	p.report()
	p.asker.show(func(r *progressOfRun) { r.rows, r.found = p.at.Rows, maps.Clone(p.at.Found) })
	p.at = scrubbed{Done: p.cfg.Clock.Now().UTC(), DoneFrom: p.at.Began, Generation: p.at.Next}
}

// abandon ends a pass that cannot go on.
func (p *scrubPass) abandon() {
	p.report()
	p.at = scrubbed{Done: p.at.Done, DoneFrom: p.at.DoneFrom, Generation: p.at.Generation}
	if err := p.keep(); err != nil {
		p.cfg.Log.Warn("the end of a pass could not be noted", zap.String("table", p.table), zap.Error(err))
	}
}

func (p *scrubPass) report() {
	total := uint64(0)
	for _, n := range p.at.Found {
		total += n
	}
	log := p.cfg.Log.With(zap.String("region", p.cfg.Region), zap.String("table", p.table))
	switch {
	case total > 0 && p.at.DDL != "":
		log.Warn("rows are not what the ledger says: a DDL statement was run here, which is not replayed elsewhere; the regions differ in these rows",
			zap.Uint64("rows", total), zap.Any("kinds", p.at.Found), zap.String("ddl", p.at.DDL))
	case total > 0:
		log.Warn("rows were changed past the binlog (sql_log_bin=0, a restore, a damaged page?): they are compared with the other regions'",
			zap.Uint64("rows", total), zap.Any("kinds", p.at.Found))
	}
	if p.at.Adopted > 0 {
		log.Info("the ledger has the rows as an ALTER TABLE has left them", zap.Uint64("rows", p.at.Adopted))
	}
}

// keep notes how far the pass has come, and shows it.
func (p *scrubPass) keep() error {
	if p.asker == nil || !p.at.Done.IsZero() && p.at.Began.IsZero() {
		note, err := json.Marshal(p.at)
		if err != nil {
			return fmt.Errorf("noting how far the pass has come: %w", err)
		}
		p.parts.ledger.SetNote(scrubNote(p.table), note)
	}
	rate := 0.0
	if took := p.cfg.Clock.Now().Sub(p.began).Seconds(); took > 0 && p.at.Rows > p.had {
		rate = float64(p.at.Rows-p.had) / took
	}
	p.asker.show(func(r *progressOfRun) {
		if !p.at.Began.IsZero() {
			r.rows, r.estimate, r.rate, r.found = p.at.Rows, p.estimate, rate, maps.Clone(p.at.Found)
		}
	})
	p.show(p.table, func(s *ScrubProgress) {
		if p.at.Began.IsZero() { // it has ended
			s.Rows, s.RowsPerSecond, s.SecondsLeft, s.Paused = 0, 0, 0, ""
		} else {
			s.Rows, s.EstimatedRows, s.RowsPerSecond, s.Paused = p.at.Rows, max(p.estimate, p.at.Rows), rate, ""
			s.SecondsLeft = float64(s.EstimatedRows-s.Rows) / max(rate, 1)
		}
		if !p.at.Done.IsZero() {
			done, from := p.at.Done, p.at.DoneFrom
			s.Covered, s.CoveredFrom = &done, &from
		}
	})
	return nil
}

// throttle keeps to the rate, and lets a busy database alone, and who has been asked for go first.
func (p *scrubPass) throttle(ctx context.Context, rows int, took time.Duration) error {
	wait := time.Duration(float64(rows)/float64(p.rate)*float64(time.Second)) - took
	if wait > 0 {
		if err := p.cfg.Clock.Sleep(ctx, wait); err != nil {
			return err
		}
	}
	if p.asker == nil {
		if err := p.asked.idle(ctx); err != nil {
			return err
		}
		other, err := p.resume(p.table) // a pass that was asked for has covered the table meanwhile
		if err != nil {
			return err
		}
		if other.at.Done.After(p.at.Done) {
			p.at.Done, p.at.DoneFrom, p.at.Generation = other.at.Done, other.at.DoneFrom, other.at.Generation
		}
	}
	for {
		reason, err := p.parts.load.busy(ctx)
		p.show(p.table, func(s *ScrubProgress) { s.Paused = reason })
		p.asker.show(func(r *progressOfRun) { r.paused = reason })
		if err != nil || reason == "" {
			return err
		}
		if err := p.cfg.Clock.Sleep(ctx, p.cfg.ScrubPause); err != nil {
			return err
		}
	}
}

// meet notes that a live entry's row is there.
func (p *scrubPass) meet(at checksum.Place) {
	if p.seen == nil {
		return
	}
	shard := row.Shard(at.Table, at.Key, p.cfg.Shards)
	sums := p.seen[shard]
	if sums == nil {
		sums = &[checksum.Buckets]checksum.Sum{}
		p.seen[shard] = sums
	}
	addKey(sums, at.Key)
}
