package syncer

import (
	"context"
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
// table again and again (scrubPass), within its rate and not while the database is busy, and carries on where it was after a
// restart. Somebody may ask for a table now (scrub_request.go): its own pass waits meanwhile.
//
// Invariant: a row counts as altered only when it was read under its lock, the tailer has passed the place that the binlog had
// then, and its entry is the one from before the reading (checksum.Suspect). Any less takes a change that is on its way for one
// that never passed.
type scrub struct {
	cfg   *Config
	parts *parts
	rows  inspector

	asked *requests

	mu       sync.Mutex
	progress map[string]*ScrubProgress // by table
	told     map[string]bool           // tables of which it was said that they cannot be read
}

// ScrubProgress is how far the re-reading of a table has come.
type ScrubProgress struct {
	Table         string            `json:"table"`
	Rows          uint64            `json:"rows"`           // read in this pass
	EstimatedRows uint64            `json:"estimated_rows"` // that the table has
	RowsPerSecond float64           `json:"rows_per_second"`
	SecondsLeft   float64           `json:"seconds_left"`
	Paused        string            `json:"paused,omitempty"` // why it waits
	Found         map[string]uint64 `json:"found"`            // rows that were not what the ledger says, by kind, since the process began
	// Covered is when the table was last covered whole, CoveredFrom when that pass began: everything that was altered past the
	// binlog before that has been found.
	Covered     *time.Time `json:"covered,omitempty"`
	CoveredFrom *time.Time `json:"covered_from,omitempty"`
}

func newScrub(s *Syncer, p *parts) *scrub {
	return &scrub{cfg: &s.cfg, parts: p, rows: inspector{s}, progress: map[string]*ScrubProgress{}, told: map[string]bool{}, asked: newRequests()}
}

// run goes over all tables again and again, and over what is asked for.
func (s *scrub) run(ctx context.Context) error {
	defer s.asked.end()
	if s.cfg.ScrubRows <= 0 {
		return s.serve(ctx)
	}
	served := make(chan error, 1)
	ctx, stop := context.WithCancel(ctx)
	go func() { defer stop(); served <- s.serve(ctx) }()
	err := s.goOn(ctx)
	stop()
	if failed := <-served; !errors.Is(failed, context.Canceled) {
		return failed // it ended the other
	}
	return err
}

func (s *scrub) goOn(ctx context.Context) error {
	backoff := retry.NewBackoff(s.cfg.Retry, s.cfg.Clock)
	for {
		err := s.all(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
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

// all goes once over all tables, or over the rest of a pass that was begun.
func (s *scrub) all(ctx context.Context) error {
	for _, table := range s.tables() {
		p, err := s.resume(table)
		if err != nil {
			return err
		}
		if err = s.over(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// over reads a table to its end. What is the table's own fault ends its pass and nothing else.
func (s *scrub) over(ctx context.Context, p *scrubPass) error {
	err := p.run(ctx)
	switch {
	case err == nil:
		s.mu.Lock()
		delete(s.told, p.table)
		s.mu.Unlock()
	case ctx.Err() != nil, ends(err), passes(err):
		return fmt.Errorf("reading the rows of %s again: %w", p.table, err)
	default: // altered meanwhile, most likely: the next pass begins anew, with the table as it is then
		s.parts.target.Forget(tableNames(p.table))
		p.abandon()
		s.mu.Lock()
		told := s.told[p.table]
		s.told[p.table] = true
		s.mu.Unlock()
		if !told && !errors.Is(err, mysqldb.ErrDefinitionChanged) {
			s.cfg.Log.Warn("a table could not be read again as a whole; it is begun anew", zap.String("table", p.table), zap.Error(err))
		}
	}
	return nil
}

// tables gives those to be read again: those whose first reading is over, and those that are gone.
func (s *scrub) tables() []string {
	var list []string
	there := map[string]bool{}
	for _, t := range s.parts.baseline.Progress() {
		there[t.Table] = true
		if t.Done {
			list = append(list, t.Table)
		}
	}
	if !s.parts.baseline.lookedAround() {
		return list
	}
	for _, table := range s.parts.ledger.Tables() {
		if schema, name := tableNames(table); !there[table] && s.cfg.Tables.Match(schema, name) {
			list = append(list, table)
		}
	}
	return list
}

func tableNames(table string) (schema, name string) {
	schema, name, _ = strings.Cut(table, ".")
	return schema, name
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
	if p.Covered != nil {
		s.cfg.Metrics.scrub.covered.WithLabelValues(table).Set(float64(p.Covered.Unix()))
	}
	s.cfg.Metrics.scrub.rows.WithLabelValues(table).Set(float64(p.Rows))
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
