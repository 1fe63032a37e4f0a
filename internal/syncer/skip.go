package syncer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"meridian/internal/binlog"
	"meridian/internal/checksum"
	"meridian/internal/retry"
)

// What a person lets capture pass over (Config.SkipTransactions), and what is kept of it.

// announceSkips says of each transaction that is to be passed over whether it can still be met.
func (s *Syncer) announceSkips(from binlog.Position, isMaria bool) error {
	behind, err := binlog.ParseHistory(from.GTIDs, isMaria)
	if err != nil {
		return err
	}
	for _, gtid := range s.cfg.SkipTransactions {
		log := s.cfg.Log.With(zap.String("region", s.cfg.Region), zap.String("gtid", gtid))
		if behind.Contains(gtid) {
			log.Warn("--skip-transaction has no effect: capture goes on behind this transaction already; leave the flag out")
		} else {
			log.Warn("this transaction will be passed over when it is met, and not published (--skip-transaction)")
		}
	}
	return nil
}

// skipped hears of a transaction that capture passes over, before anything says that it has been passed: that the regions may
// differ since then stands in the ledger, until a person has dealt with it.
func (s *Syncer) skipped(ctx context.Context, l *checksum.Ledger, left *binlog.Skipped) error {
	if !left.Unfinished && len(left.Kinds) > 0 {
		if err := s.keepWarning(ctx, l, skipWarning(left)); err != nil {
			return err
		}
	}
	s.cfg.Metrics.capture.skipped.Inc()
	s.cfg.Log.Warn("a transaction is passed over (--skip-transaction): what it wrote here is not published, and the regions differ in those "+
		"rows until they are compared and repaired", zap.String("region", s.cfg.Region), zap.String("gtid", left.GTID), zap.String("file", left.File),
		zap.Uint64("position", left.Start), zap.Strings("tables", left.Tables), zap.Strings("kinds", left.Kinds), zap.Int("row_events", left.RowEvents))
	return nil
}

// skipWarning is the same text as often as the transaction is met: it is kept once.
func skipWarning(left *binlog.Skipped) string {
	tables := strings.Join(left.Tables, ", ")
	if tables == "" {
		tables = "tables that cannot be told"
	}
	return fmt.Sprintf("%s: the transaction %s (%s, %d row events in %s) was passed over by --skip-transaction: what it wrote is in this region's "+
		"database, and was not published: the other regions lack it, or keep what is older. Compare %s with the other regions by hand, and write the "+
		"rows that differ again in the region that is right (an UPDATE that changes something): that replicates. Then start `syncer run "+
		"--acknowledge-warnings` once, without that --skip-transaction",
		left.CommitTime.UTC().Format(time.RFC3339), left.GTID, strings.Join(left.Kinds, ", "), left.RowEvents, tables, tables)
}

// keepWarning writes a warning into the ledger's file, for as long as it takes: a full disk may become free. Until then capture
// stands still.
func (s *Syncer) keepWarning(ctx context.Context, l *checksum.Ledger, text string) error {
	backoff := retry.NewBackoff(s.cfg.Retry, s.cfg.Clock)
	for {
		err := l.Warn(text)
		if err == nil || errors.Is(err, checksum.ErrDamaged) {
			return err
		}
		s.health.trouble("ledger", err)
		s.cfg.Log.Error("a warning cannot be kept in the ledger; capture waits until it can", zap.String("region", s.cfg.Region), zap.Error(err))
		if err = backoff.Failed(ctx, err); err != nil {
			return err
		}
	}
}
