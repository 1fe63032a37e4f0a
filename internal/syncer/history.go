package syncer

import (
	"context"

	"go.uber.org/zap"

	"meridian/internal/mysqldb"
)

// purgeHistory keeps the history of conflicts within its bounds. What does not work now is left for the next time: nothing
// waits for it. Each replica of a region does it, so that it is done while any of them is there.
func (s *Syncer) purgeHistory(ctx context.Context, p *parts) error {
	pause := func(ctx context.Context) error { return s.cfg.Clock.Sleep(ctx, s.cfg.HistoryPause/100) }
	for {
		n, err := p.target.PurgeConflicts(ctx, s.cfg.History, pause)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			s.cfg.Metrics.retries.WithLabelValues("history", mysqldb.Reason(err)).Inc()
			s.cfg.Log.Debug("the history of conflicts was not purged; trying again later", zap.Error(err))
		}
		if n > 0 {
			s.cfg.Metrics.purged.Add(float64(n))
		}
		if err := s.cfg.Clock.Sleep(ctx, s.cfg.HistoryPause); err != nil {
			return err
		}
	}
}
