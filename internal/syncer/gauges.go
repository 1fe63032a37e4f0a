package syncer

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/internal/binlog"
	"meridian/internal/bus"
	"meridian/internal/checksum"
	"meridian/internal/envelope"
	"meridian/internal/mysqldb"
	"meridian/internal/propagate"
)

// levels are gauges with two labels that are all set at once. Each goes straight from its old value to its new one: a
// scrape in between never finds it missing.
type levels struct {
	gauges *prometheus.GaugeVec
	shown  map[[2]string]float64
}

func (l *levels) set(values map[[2]string]float64) {
	for labels, v := range values {
		l.gauges.WithLabelValues(labels[0], labels[1]).Set(v)
	}
	for labels := range l.shown {
		if _, ok := values[labels]; !ok {
			l.gauges.DeleteLabelValues(labels[0], labels[1])
		}
	}
	l.shown = values
}

// showParked shows how many changes the database has refused.
func (s *Syncer) showParked(counts []propagate.ParkedCount) {
	parked, dead := map[[2]string]float64{}, map[[2]string]float64{}
	for _, c := range counts {
		switch labels := [2]string{c.Table, c.Reason}; c.State {
		case propagate.Dead:
			dead[labels] += float64(c.Count)
		case propagate.Parked, propagate.Waiting, propagate.Review:
			parked[labels] += float64(c.Count)
		case propagate.Rejected:
		}
	}
	s.parked.set(parked)
	s.dead.set(dead)
}

// consumed hears how far a consumer has read, and of each of its failures.
func (s *Syncer) consumed(p propagate.Progress) {
	var gap *bus.GapError
	if errors.As(p.Err, &gap) {
		p.Err = fmt.Errorf("%w; syncer gap show --region %s --source %s says how to go on", p.Err, s.cfg.Region, p.Source)
	}
	s.health.setProgress(p)
	if p.Err == nil {
		return
	}
	reason := "bus"
	var newer *envelope.NewerFormatError
	switch {
	case errors.As(p.Err, &gap):
		reason = "gap"
	case errors.As(p.Err, &newer):
		reason = "newer_format"
	}
	s.cfg.Metrics.retries.WithLabelValues("consume", reason).Inc()
}

// startReason gives the word by which a new start is counted.
func startReason(err error) string {
	var position *binlog.PositionError
	var transient *bus.TransientError
	switch {
	case errors.Is(err, checksum.ErrDamaged), errors.As(err, &position):
		return "ledger"
	case errors.Is(err, binlog.ErrConnection):
		return "connection"
	case errors.As(err, &transient):
		return "bus"
	default:
		return mysqldb.Reason(err)
	}
}
