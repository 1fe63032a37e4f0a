package syncer

import (
	"errors"
	"strconv"
	"time"

	"go.uber.org/zap"

	"meridian/internal/checksum"
	"meridian/internal/envelope"
	"meridian/internal/mysqldb"
	"meridian/internal/propagate"
)

// observer turns what the applier does into metrics, logs and health. It implements propagate.Observer.
type observer struct {
	s *Syncer
	p *parts
}

// Committed implements propagate.Observer.
func (o *observer) Committed(r propagate.Report) {
	m, here := o.s.cfg.Metrics, o.s.cfg.Region
	c := r.Counts
	m.read.WithLabelValues(r.Source).Add(float64(c.Read))
	m.rejected.WithLabelValues(r.Source).Add(float64(c.Rejected))
	for result, n := range map[string]uint64{
		"applied": c.Applied, "duplicate": c.Duplicate, "lost": c.Lost, "coalesced": c.Coalesced, "superseded": c.Superseded, "discarded": c.Discarded,
	} {
		if n > 0 {
			m.applied.WithLabelValues(r.Source, result).Add(float64(n))
		}
	}
	o.s.countEnded(r.Ended)
	now := o.s.cfg.Clock.Now()
	reach := m.reach.WithLabelValues(r.Source, here)
	for _, it := range r.Applied {
		if it.Message.Kind != envelope.Change {
			continue // it was written long ago, and is only now published again
		}
		reach.Observe(now.Sub(time.UnixMicro(it.Message.Source.CommitTime)).Seconds())
	}
	for _, cf := range r.Conflicts {
		// No log holds values of a row, and its key is made of some: the offset says which it is.
		winner, outcome := cf.Winner.Region, "conflict: two regions wrote a row without seeing each other; the newer write stands"
		if cf.Waits {
			winner, outcome = nobody, "conflict: two regions wrote a row without seeing each other; each keeps its own until a person decides (verifier review list)"
		}
		m.conflicts.WithLabelValues(cf.Table, winner).Inc()
		o.s.cfg.Log.Info(outcome, zap.String("table", cf.Table), zap.Stringer("winner", cf.Winner), zap.Stringer("loser", cf.Loser), zap.Bool("waits", cf.Waits),
			zap.String("source", r.Source), zap.Int("shard", r.Shard), zap.Uint64("offset", cf.Offset))
	}
	for i := range r.Parks {
		p := &r.Parks[i]
		o.s.cfg.Log.Warn("set aside: it does not stop the others, and is kept with its key and all details (SELECT * FROM meridian.parked)",
			zap.String("source", r.Source), zap.Int("shard", r.Shard), zap.Uint64("offset", p.Offset), zap.String("table", p.Table),
			zap.Stringer("version", p.Version), zap.String("state", string(p.State)), zap.String("reason", p.Reason))
	}
	o.s.health.trouble(applyTrouble(r.Shard), nil)
	o.s.health.count(&r)
}

// nobody is the winner of a conflict on which a person decides, in metrics.
const nobody = "none"

// countEnded counts what was in review and is superseded.
func (s *Syncer) countEnded(bySource map[string]uint64) {
	for source, n := range bySource {
		s.cfg.Metrics.applied.WithLabelValues(source, "superseded").Add(float64(n))
	}
}

// Retried implements propagate.Observer.
func (o *observer) Retried(source string, shard int, reason string, err error) {
	if errors.Is(err, checksum.ErrDamaged) {
		return // it ends this worker and all others, and is cured by a new start
	}
	o.s.cfg.Metrics.retries.WithLabelValues("apply", reason).Inc()
	o.s.cfg.Log.Debug("an apply transaction is tried again", zap.String("source", source), zap.Int("shard", shard), zap.String("reason", reason), zap.Error(err))
	var row *propagate.RefusedError // which is set aside
	if class := mysqldb.Classify(err); reason == mysqldb.Reason(err) && class != mysqldb.Transient && !errors.As(err, &row) {
		o.s.health.trouble(applyTrouble(shard), err)
		o.s.cfg.Log.Warn("the database does not let changes be applied, and a person has to look; trying again", zap.String("source", source), zap.Int("shard", shard), zap.Error(err))
	}
}

func applyTrouble(shard int) string { return "apply of shard " + strconv.Itoa(shard) }

// Heard implements propagate.Observer: a region's word about itself, with everything before it in the ledger.
func (o *observer) Heard(w *envelope.WatermarkMark) {
	o.s.health.setHeard(w.Region, w.Shard, time.UnixMicro(w.Time))
	o.p.collector.Heard(checksum.Word{Region: w.Region, Shard: w.Shard, Applied: w.Applied})
}

// answered hears of each request to the bus.
func (s *Syncer) answered(shard int, err error) {
	s.health.setPublishing(shard, err)
	if err != nil {
		s.cfg.Metrics.retries.WithLabelValues("publish", "bus").Inc()
	}
}

// acknowledged hears of each message that the bus has. How far capture has come is what a watermark says when it is there,
// not when it is sent: while the bus is away nothing that is captured gets out.
func (s *Syncer) acknowledged(m *envelope.Message) {
	switch {
	case m.Kind == envelope.Change:
		s.cfg.Metrics.delay.Observe(s.cfg.Clock.Now().Sub(time.UnixMicro(m.Source.CommitTime)).Seconds())
	case m.Watermark != nil:
		s.health.setCaptured(m.Watermark.Shard, time.UnixMicro(m.Watermark.Time))
	}
}
