package syncer

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"meridian/internal/inspect"
	"meridian/internal/mysqldb"
)

// requests are the scrubs that somebody has asked for. One is run at a time, and the scrub that goes on by itself waits
// meanwhile: together they would exceed both rates.
type requests struct {
	mu      sync.Mutex
	list    []*scrubRun   // the last of them, the oldest first
	number  int           // of the last
	changed chan struct{} // closed and made anew when a state changes
	ended   bool
}

// keptRuns is how many are remembered.
const keptRuns = 100

// scrubRun is one of them.
type scrubRun struct {
	all   *requests
	id    string
	table string
	rate  int
	done  progressOfRun
}

// progressOfRun is how far it is; guarded by requests.mu.
type progressOfRun struct {
	state, paused, failed string
	rows, estimate        uint64
	rate                  float64
	found                 map[string]uint64
	began, ended          time.Time
}

func newRequests() *requests { return &requests{changed: make(chan struct{})} }

// show changes how far the run is; a nil run is nobody's.
func (r *scrubRun) show(change func(p *progressOfRun)) {
	if r == nil {
		return
	}
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	was := r.done.state
	change(&r.done)
	if r.done.state != was {
		r.all.signal()
	}
}

// signal wakes those who wait; mu is held.
func (r *requests) signal() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// pending gives the first run that is not over, nil if there is none, and what tells of a change.
func (r *requests) pending() (*scrubRun, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, run := range r.list {
		if run.done.state == inspect.ScrubWaiting || run.done.state == inspect.ScrubRunning {
			return run, r.changed
		}
	}
	return nil, r.changed
}

// idle waits until nothing is asked for.
func (r *requests) idle(ctx context.Context) error {
	for {
		run, changed := r.pending()
		if run == nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// add takes a request up; one for the same table that is not over is that one.
func (r *requests) add(table string, rate int, began time.Time) (*scrubRun, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return nil, inspect.ErrNotReady
	}
	for _, run := range r.list {
		if run.table == table && (run.done.state == inspect.ScrubWaiting || run.done.state == inspect.ScrubRunning) {
			return run, nil
		}
	}
	r.number++
	run := &scrubRun{all: r, id: fmt.Sprintf("%x-%d", began.UnixMicro(), r.number), table: table, rate: rate,
		done: progressOfRun{state: inspect.ScrubWaiting, began: began}}
	r.list = append(r.list, run)
	if len(r.list) > keptRuns {
		r.list = r.list[1:]
	}
	r.signal()
	return run, nil
}

func (r *requests) find(id string) *scrubRun {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, run := range r.list {
		if run.id == id {
			return run
		}
	}
	return nil
}

// end ends those that are not over: the process ends, or starts over.
func (r *requests) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	for _, run := range r.list {
		if run.done.state == inspect.ScrubWaiting || run.done.state == inspect.ScrubRunning {
			run.done.state, run.done.failed = inspect.ScrubFailed, "the process ends or starts over: ask again"
		}
	}
	r.signal()
}

// view is the run as it is told.
func (r *scrubRun) view() *inspect.Scrub {
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	d := &r.done
	s := &inspect.Scrub{
		ID: r.id, Table: r.table, State: d.state, Error: d.failed, Rows: d.rows, EstimatedRows: max(d.estimate, d.rows), RowsPerSecond: d.rate,
		Paused: d.paused, Found: maps.Clone(d.found), Began: d.began.UTC(), Ended: d.ended,
	}
	if s.Found == nil {
		s.Found = map[string]uint64{}
	}
	if !s.Over() && d.rate > 0 {
		s.SecondsLeft = float64(s.EstimatedRows-s.Rows) / d.rate
	}
	return s
}

// serve runs what is asked for.
func (s *scrub) serve(ctx context.Context) error {
	for {
		run, changed := s.asked.pending()
		if run == nil {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		run.show(func(p *progressOfRun) { p.state = inspect.ScrubRunning })
		err := s.answer(ctx, run)
		if ctx.Err() != nil || ends(err) {
			return err // end says so
		}
		run.show(func(p *progressOfRun) {
			p.state, p.ended, p.paused = inspect.ScrubDone, s.cfg.Clock.Now().UTC(), ""
			if err != nil {
				p.state, p.failed = inspect.ScrubFailed, err.Error()
			}
		})
	}
}

// answer makes one pass over a table, from its beginning. It is begun anew when the table is altered meanwhile.
func (s *scrub) answer(ctx context.Context, run *scrubRun) error {
	const attempts = 5
	for n := 1; ; n++ {
		p, err := s.resume(run.table)
		if err != nil {
			return err
		}
		p.asker, p.rate = run, run.rate
		p.at = scrubbed{Done: p.at.Done, DoneFrom: p.at.DoneFrom, Generation: p.at.Generation}
		err = p.run(ctx)
		if err == nil || ctx.Err() != nil || n == attempts || !altered(err) && mysqldb.Classify(err) != mysqldb.Transient {
			return err
		}
		s.parts.target.Forget(tableNames(run.table))
		if err = s.cfg.Clock.Sleep(ctx, s.cfg.Retry.Base); err != nil {
			return err
		}
	}
}

// StartScrub implements inspect.Scrubber.
func (i inspector) StartScrub(_ context.Context, q inspect.ScrubRequest) (*inspect.Scrub, error) {
	p, err := i.parts()
	if err != nil {
		return nil, err
	}
	known := false
	for _, t := range p.baseline.Progress() {
		if t.Table == q.Table {
			known = true
			if !t.Done {
				return nil, fmt.Errorf("%s has not read all rows of %s that were there before (%d so far): %w", i.s.cfg.Region, q.Table, t.Rows, inspect.ErrNotReady)
			}
		}
	}
	if !known {
		return nil, fmt.Errorf("%s does not replicate a table %q: %w", i.s.cfg.Region, q.Table, inspect.ErrUnknownTable)
	}
	rate := q.RowsPerSecond
	if rate == 0 {
		rate = i.s.cfg.ScrubRows / i.s.cfg.Replicas
	}
	run, err := p.scrub.asked.add(q.Table, max(rate, 1), i.s.cfg.Clock.Now())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", i.s.cfg.Region, err)
	}
	return run.view(), nil
}

// ScrubProgress implements inspect.Scrubber.
func (i inspector) ScrubProgress(_ context.Context, id string) (*inspect.Scrub, error) {
	p, err := i.parts()
	if err != nil {
		return nil, err
	}
	run := p.scrub.asked.find(id)
	if run == nil {
		return nil, fmt.Errorf("scrub %q of %s: %w", id, i.s.cfg.Region, inspect.ErrNoScrub)
	}
	return run.view(), nil
}

// Scrubber answers requests for scrubs. It is safe for concurrent use, and answers inspect.ErrNotReady between two starts.
func (s *Syncer) Scrubber() inspect.Scrubber { return inspector{s} }
