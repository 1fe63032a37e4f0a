package syncer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"meridian/internal/binlog"
	"meridian/internal/checksum"
	"meridian/internal/mysqldb"
	"meridian/internal/retry"
)

func newCapture(s *Syncer, p *parts, known map[stampKey]stamp) *Capture {
	c := &s.cfg
	return &Capture{
		cfg: CaptureConfig{
			Region: c.Region, Shards: c.Shards, Owned: c.owned, Epochs: p.epochs,
			FlushInterval: c.FlushInterval, FlushEntries: c.FlushEntries, Reached: c.Reached,
			Ahead: func() time.Duration { return time.Duration(s.ahead.Load()) },
		},
		ledger: p.ledger, publisher: p.publisher, versions: c.Tables, clock: c.Clock, log: c.Log, metrics: &c.Metrics.capture,
		schema:   func(e *binlog.SchemaEvent) error { return s.schemaChanged(p, e) },
		flushing: p.flushing, turn: make(chan struct{}, 1), described: map[uint64]bool{}, known: known, tip: p.tip, frozenAt: c.Clock.Now(),
	}
}

func (s *Syncer) newTailer(p *parts) (*binlog.Tailer, error) { return binlog.New(s.tailerConfig(p)) }

func (s *Syncer) tailerConfig(p *parts) binlog.Config {
	return binlog.Config{
		Address: s.cfg.MySQL.Address, User: s.cfg.MySQL.User, Password: s.cfg.MySQL.Password, TLS: s.cfg.MySQL.TLS,
		ServerID: s.cfg.TailerID, Tables: decideTables(s.cfg.Tables), Hints: hints{p.target.Schema()}, Skip: s.cfg.SkipTransactions, Logger: s.cfg.Log,
	}
}

// tail reads the binlog, for as long as it takes: a lost connection is made again, behind what has been handed over.
func (s *Syncer) tail(ctx context.Context, p *parts) error {
	config := s.tailerConfig(p)
	config.Skipped = func(ctx context.Context, left *binlog.Skipped) error { return s.skipped(ctx, p.ledger, left) }
	tailer, err := binlog.New(config)
	if err != nil {
		return err
	}
	from := p.start.Position
	if err = s.announceSkips(from, p.server.Flavor == mysqldb.MariaDB); err != nil {
		return err
	}
	backoff := retry.NewBackoff(s.cfg.Retry, s.cfg.Clock)
	for {
		backoff.Begin()
		err := tailer.Run(ctx, from, p.capture)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.Is(err, binlog.ErrConnection) {
			return s.tailEnded(err)
		}
		s.health.trouble("capture", err)
		s.cfg.Metrics.retries.WithLabelValues("capture", "connection").Inc()
		s.cfg.Log.Warn("the binlog connection failed; connecting again", zap.String("region", s.cfg.Region), zap.Error(err))
		from = p.capture.Interrupted(from)
		if err = backoff.Failed(ctx, err); err != nil {
			return err
		}
	}
}

// tailEnded judges what ended the tailer for good.
func (s *Syncer) tailEnded(err error) error {
	var position *binlog.PositionError
	if errors.As(err, &position) {
		return s.ledgerLost(position)
	}
	var another *mysqldb.AnotherServerError
	if errors.As(err, &another) {
		return &againError{err}
	}
	return err
}

// schemaChanged announces a DDL statement, which is never replayed by itself, and notes in the ledger what it may have done to
// rows: entries from before it are judged accordingly (scrub).
func (s *Syncer) schemaChanged(p *parts, e *binlog.SchemaEvent) error {
	table := fmt.Sprintf("%s.%s", e.Schema, e.Table)
	p.target.Forget(e.Schema, e.Table)
	a := checksum.Alteration{Kind: e.Kind.String(), Seen: s.cfg.Clock.Now().UTC(), Rewrites: e.RewritesRows}
	if e.RemovesRows {
		whole := e.Kind == binlog.Truncate || e.Kind == binlog.Drop || e.Kind == binlog.DropSchema || e.Kind == binlog.Create
		a.Removes, a.Brings, a.Rewrites = true, !whole, a.Rewrites || !whole
	}
	if a.Removes || a.Rewrites {
		if err := p.ledger.Alter(e.Schema, e.Table, a); err != nil {
			return err
		}
	}
	if e.Kind == binlog.Rename {
		p.target.Forget(e.ToSchema, e.ToTable)
		if err := p.ledger.Alter(e.ToSchema, e.ToTable, a); err != nil {
			return err
		}
	}
	select {
	case p.altered <- struct{}{}:
	default: // it is known already
	}
	s.cfg.Metrics.schema.WithLabelValues(table, e.Kind.String()).Inc()
	log := s.cfg.Log.Info
	if e.RemovesRows {
		log = s.cfg.Log.Warn
	}
	log("a DDL statement on a replicated table: it is not replayed in other regions", zap.String("region", s.cfg.Region), zap.String("table", table), zap.Stringer("kind", e.Kind))
	return nil
}
