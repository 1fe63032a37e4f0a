package syncer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"meridian/internal/bus"
	"meridian/internal/checksum"
	"meridian/internal/mysqldb"
	"meridian/internal/propagate"
	"meridian/internal/retry"
)

// Syncer is one region's process, ready to run. It is used once.
type Syncer struct {
	cfg    Config
	health *Health
	words  Words
	skew   *Skew
	ahead  atomic.Int64 // nanoseconds that the database's clock is ahead of ours

	view view  // what Status reads
	lost error // why the ledger has to be rebuilt; nil: it need not

	forgotten    bool // the warnings that were there at the start, as the configuration asked
	began        time.Time
	parked, dead levels
}

// New makes a Syncer.
func New(cfg Config) *Syncer {
	if cfg.Reached == nil {
		cfg.Reached = func(string) {}
	}
	return &Syncer{
		cfg: cfg, health: newHealth(cfg.sourceNames()), skew: NewSkew(cfg.Region, cfg.MaxSkew), began: cfg.Clock.Now(),
		parked: levels{gauges: cfg.Metrics.parked}, dead: levels{gauges: cfg.Metrics.dead},
	}
}

// Run runs until the context ends, which is no error: what is in memory is then written down. Any other end is one.
//
// It starts over by itself where that is the cure: when the address leads to another server, when the ledger has to be
// rebuilt.
func (s *Syncer) Run(ctx context.Context) error {
	if err := os.MkdirAll(s.cfg.Directory, 0o750); err != nil {
		return fmt.Errorf("making the folder of the ledger: %w", err)
	}
	backoff := retry.NewBackoff(s.cfg.Retry, s.cfg.Clock)
	for {
		backoff.Begin()
		err := s.again(s.once(ctx))
		var again *againError
		if ctx.Err() != nil || !errors.As(err, &again) {
			if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
				return nil
			}
			return err
		}
		if errors.Is(err, checksum.ErrDamaged) {
			s.lost = err
		}
		s.cfg.Metrics.retries.WithLabelValues("start", startReason(err)).Inc()
		s.cfg.Log.Warn("starting over", zap.String("region", s.cfg.Region), zap.Error(err))
		s.health.trouble("start", err)
		if err = backoff.Failed(ctx, err); err != nil {
			return nil //nolint:nilerr // the context has ended while waiting
		}
	}
}

// againError is an error after which a new start helps.
type againError struct{ err error }

func (e *againError) Error() string { return e.err.Error() }
func (e *againError) Unwrap() error { return e.err }

// parts is what one start makes and one end closes.
type parts struct {
	server    *mysqldb.Server
	target    *propagate.MySQLTarget
	home      *bus.Client
	abroad    map[string]*bus.Client // by source
	ledger    *checksum.Ledger
	publisher *propagate.Publisher
	workers   map[int]*propagate.Worker
	capture   *Capture
	collector *checksum.Collector
	baseline  *baseline
	scrub     *scrub
	load      *load
	altered   chan struct{} // has one when a DDL statement has passed that nobody has looked at yet
	flushing  *flushing
	epochs    map[int]uint64
	start     checkpoint
	tip       mysqldb.Coordinates // where the binlog ended after the claim
}

// once opens everything, runs it, and closes it.
func (s *Syncer) once(ctx context.Context) (err error) {
	p := &parts{abroad: map[string]*bus.Client{}, workers: map[int]*propagate.Worker{}, flushing: newFlushing(), altered: make(chan struct{}, 1)}
	defer func() { err = errors.Join(err, s.close(p)) }()
	if err := s.open(ctx, p); err != nil {
		if ctx.Err() != nil {
			return ctx.Err() // told to end before anything had begun: whatever that broke off is no failure
		}
		return err
	}
	s.health.trouble("start", nil)
	s.view.set(p)
	defer s.view.set(nil)
	return s.group(ctx, p)
}

// group runs the actors, in two crews. The first to end stops all. What brings new work (capture, apply, consume) ends
// first; then what has been captured is given a moment to be acknowledged and written, so that the next start has little
// to read again; then the publisher and the flusher end.
func (s *Syncer) group(ctx context.Context, p *parts) error {
	late, lateCtx := errgroup.WithContext(context.WithoutCancel(ctx))
	lateCtx, endLate := context.WithCancel(lateCtx)
	defer endLate()
	earlyCtx, endEarly := context.WithCancel(ctx)
	defer endEarly()
	defer context.AfterFunc(lateCtx, endEarly)()
	early, earlyCtx := errgroup.WithContext(earlyCtx)

	s.actor(lateCtx, late, "publish", p.publisher.Run)
	s.actor(lateCtx, late, "flush", s.flusher(p).run)
	s.actor(earlyCtx, early, "capture", func(ctx context.Context) error { return s.tail(ctx, p) })
	s.actor(earlyCtx, early, "pulse", s.pulse(p).run)
	s.actor(earlyCtx, early, "baseline", p.baseline.run)
	s.actor(earlyCtx, early, "scrub", p.scrub.run)
	s.actor(earlyCtx, early, "history", func(ctx context.Context) error { return s.purgeHistory(ctx, p) })
	for _, w := range p.workers {
		s.actor(earlyCtx, early, "apply", w.Run)
	}
	for _, c := range s.consumers(p) {
		s.actor(earlyCtx, early, "consume", c.Run)
	}
	s.actor(earlyCtx, early, "heartbeat", func(ctx context.Context) error { return s.heartbeats(ctx, p) })
	for region, c := range p.abroad {
		s.actor(earlyCtx, early, "listen", func(ctx context.Context) error { return s.listen(ctx, c, region) })
	}
	s.actor(earlyCtx, early, "ledger", func(ctx context.Context) error { return s.watchLedger(ctx, p.ledger) })
	s.actor(earlyCtx, early, "housekeeping", func(ctx context.Context) error { return s.housekeeping(ctx, p) })

	err := early.Wait()
	s.drain(lateCtx, p)
	endLate()
	if lateErr := late.Wait(); lateErr != nil && !errors.Is(lateErr, context.Canceled) {
		err = lateErr // it ended the others, or failed after them
	}
	return err
}

func (s *Syncer) actor(ctx context.Context, g *errgroup.Group, name string, f func(context.Context) error) {
	up := s.cfg.Metrics.up.WithLabelValues(name)
	g.Go(func() error {
		up.Inc()
		defer up.Dec()
		if err := f(ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

// drainTime is how long a process that is told to end may take to write down what it has.
const drainTime = 5 * time.Second

// drain writes the ledger once more. Where that is not possible in time nothing is lost: it is read from the binlog again.
func (s *Syncer) drain(ctx context.Context, p *parts) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	if err := p.capture.finish(ctx, p.start.Position); err != nil {
		s.cfg.Log.Info("ended before the ledger was written once more; the next start reads a little more", zap.Error(err))
	}
}

func (s *Syncer) close(p *parts) error {
	var errs []error
	if p.ledger != nil {
		errs = append(errs, p.ledger.Close())
	}
	for _, c := range p.abroad {
		errs = append(errs, c.Close())
	}
	if p.home != nil {
		errs = append(errs, p.home.Close())
	}
	if p.target != nil {
		errs = append(errs, p.target.Close())
	}
	if p.load != nil {
		errs = append(errs, p.load.close())
	}
	if p.server != nil {
		errs = append(errs, p.server.Close())
	}
	return errors.Join(errs...)
}

func (s *Syncer) ledgerPath() string { return filepath.Join(s.cfg.Directory, "ledger.db") }
