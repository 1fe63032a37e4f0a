package syncer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"meridian/internal/mysqldb"
	"meridian/internal/retry"
)

// scrub reads the actual rows again and compares them with the ledger: it finds what never passed the binlog. It goes over each
// table twice: over the rows, in the order of their key, for those that are otherwise or should not be there; and over the
// ledger's entries, for rows that are gone. It keeps to its rate, and carries on where it was after a restart.
//
// Invariant: a row counts as altered only when it was read under its lock, the tailer has passed the place that the binlog had
// then, and its entry is the one from before the reading (checksum.Suspect). Any less takes a change that is on its way for one
// that never passed.
type scrub struct {
	cfg   *Config
	parts *parts
	rows  inspector
	busy  func(ctx context.Context) (bool, error)

	mu       sync.Mutex
	progress map[string]*ScrubProgress // by table
}

// ScrubProgress is how far the re-reading of a table has come.
type ScrubProgress struct {
	Table    string     `json:"table"`
	Rows     uint64     `json:"rows"`              // read in this pass
	Found    uint64     `json:"found"`             // rows that were not what the ledger says, since the process began
	LastDone *time.Time `json:"covered,omitempty"` // when the table was last covered whole
}

// scrubbed is the note about a table's pass.
type scrubbed struct {
	Rows    uint64    `json:"rows"`
	After   []byte    `json:"after,omitempty"`   // the last row's key, see keyBytes
	Entries bool      `json:"entries,omitempty"` // the rows are done: it goes over the entries
	Shard   int       `json:"shard,omitempty"`   // of these
	Key     []byte    `json:"key,omitempty"`     // behind this one
	Done    time.Time `json:"done,omitzero"`     // when the last pass ended
}

const (
	scrubPiece  = 500 // rows or entries at a time
	busyThreads = 32  // running threads from which on the database is busy
)

func newScrub(s *Syncer, p *parts) *scrub {
	c := &scrub{cfg: &s.cfg, parts: p, rows: inspector{s}, progress: map[string]*ScrubProgress{}}
	c.busy = c.isBusy
	return c
}

func scrubNote(table string) string { return "scrub/" + table }

// run goes over all tables again and again.
func (s *scrub) run(ctx context.Context) error {
	backoff := retry.NewBackoff(s.cfg.Retry, s.cfg.Clock)
	for {
		err := errNothing
		if s.cfg.ScrubRows > 0 {
			err = s.Pass(ctx, func(string) bool { return true }, s.cfg.ScrubRows)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil || errors.Is(err, errNothing):
			backoff.Succeeded()
			err = s.cfg.Clock.Sleep(ctx, s.cfg.ScrubPause)
		case ends(err):
			return err
		default:
			s.cfg.Metrics.retries.WithLabelValues("scrub", mysqldb.Reason(err)).Inc()
			err = backoff.Failed(ctx, err)
		}
		if err != nil {
			return err
		}
	}
}

var errNothing = errors.New("scrubbing is switched off")

// Pass goes once over the tables that match, or over the rest of a pass that was begun.
func (s *scrub) Pass(ctx context.Context, match func(table string) bool, rowsPerSecond int) error {
	for _, t := range s.parts.baseline.Progress() {
		if !t.Done || !match(t.Table) {
			continue
		}
		err := s.table(ctx, t.Table, rowsPerSecond)
		switch {
		case err == nil:
		case ctx.Err() != nil, ends(err), passes(err):
			return fmt.Errorf("reading the rows of %s again: %w", t.Table, err)
		default: // altered or dropped meanwhile, most likely: the next pass begins anew, with the table as it is then
			s.cfg.Log.Info("a table could not be read again as a whole; it is begun anew", zap.String("table", t.Table), zap.Error(err))
			schema, name, _ := strings.Cut(t.Table, ".")
			s.parts.target.Forget(schema, name)
			s.parts.ledger.SetNote(scrubNote(t.Table), nil)
		}
	}
	return nil
}

func (s *scrub) table(ctx context.Context, table string, rate int) error {
	var at scrubbed
	if note := s.parts.ledger.Note(scrubNote(table)); note != nil {
		if err := json.Unmarshal(note, &at); err != nil {
			return fmt.Errorf("the note about the pass cannot be read: %w", err)
		}
	}
	for {
		schema, name, _ := strings.Cut(table, ".")
		info, err := s.parts.target.Schema().Table(ctx, schema, name) // each time: it may be altered meanwhile
		if err != nil {
			return err
		}
		from := s.cfg.Clock.Now()
		var n int
		if at.Entries {
			n, err = s.entries(ctx, info, &at)
		} else {
			n, err = s.piece(ctx, info, &at)
		}
		if err != nil {
			return err
		}
		over := at.Entries && at.Shard >= s.cfg.Shards
		if over {
			at = scrubbed{Done: s.cfg.Clock.Now().UTC()}
		}
		if err = s.keep(table, at); err != nil || over {
			return err
		}
		if err = s.throttle(ctx, n, rate, s.cfg.Clock.Now().Sub(from)); err != nil {
			return err
		}
	}
}

// throttle keeps to the rate, and lets a busy database alone.
func (s *scrub) throttle(ctx context.Context, rows, rate int, took time.Duration) error {
	wait := time.Duration(float64(rows)/float64(rate)*float64(time.Second)) - took
	if wait > 0 {
		if err := s.cfg.Clock.Sleep(ctx, wait); err != nil {
			return err
		}
	}
	for {
		busy, err := s.busy(ctx)
		if err != nil || !busy {
			return err
		}
		if err := s.cfg.Clock.Sleep(ctx, s.cfg.ScrubPause); err != nil {
			return err
		}
	}
}

func (s *scrub) isBusy(ctx context.Context) (bool, error) {
	var name string
	var threads int
	err := s.parts.server.DB.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Threads_running'").Scan(&name, &threads)
	if err != nil {
		return false, fmt.Errorf("asking how busy the database is: %w", err)
	}
	return threads >= busyThreads, nil
}

func (s *scrub) keep(table string, at scrubbed) error {
	note, err := json.Marshal(at)
	if err != nil {
		return fmt.Errorf("noting how far the pass has come: %w", err)
	}
	s.parts.ledger.SetNote(scrubNote(table), note)
	s.show(table, func(p *ScrubProgress) {
		p.Rows = at.Rows
		if !at.Done.IsZero() {
			p.LastDone = &at.Done
		}
	})
	return nil
}

func (s *scrub) show(table string, change func(p *ScrubProgress)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.progress[table]
	if p == nil {
		p = &ScrubProgress{Table: table}
		s.progress[table] = p
	}
	change(p)
	if p.LastDone != nil {
		s.cfg.Metrics.scrub.covered.WithLabelValues(table).Set(float64(p.LastDone.Unix()))
	}
}

// Progress gives how far the passes have come, by table.
func (s *scrub) Progress() []ScrubProgress {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]ScrubProgress, 0, len(s.progress))
	for _, p := range s.progress {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b ScrubProgress) int { return strings.Compare(a.Table, b.Table) })
	return list
}
