package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/internal/verify"
)

// metrics are the verifier's.
type metrics struct {
	drift    *prometheus.GaugeVec // table, kind
	unproven prometheus.Gauge
	equal    prometheus.Gauge
	repairs  *prometheus.CounterVec // table, result
	last     prometheus.Gauge
	duration prometheus.Histogram
}

func newMetrics(registry prometheus.Registerer) *metrics {
	const namespace = "meridian"
	m := &metrics{
		drift: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "drift_rows",
			Help: "Rows that differ for good, as the last comparison found them."}, []string{"table", "kind"}),
		unproven: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "unproven_rows",
			Help: "Rows of which the last comparison could not tell within verify.consistency_window whether they differ."}),
		equal: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "regions_equal",
			Help: "Whether all regions are equal: 1 they are, 0 rows differ, -1 nobody can tell."}),
		repairs: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "repairs_total",
			Help: "Rows that were to be repaired, by what became of it."}, []string{"table", "result"}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "last_compare_timestamp_seconds",
			Help: "When the last comparison ended."}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "compare_duration_seconds",
			Help: "How long comparisons took, with the time that what is in flight was waited for.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 14)}),
	}
	m.equal.Set(-1)
	registry.MustRegister(m.drift, m.unproven, m.equal, m.repairs, m.last, m.duration)
	return m
}

// compared shows a result.
func (m *metrics) compared(r *verify.Result, ended time.Time) {
	m.drift.Reset()
	for i := range r.Tables {
		for _, kind := range []string{verify.Missing, verify.Extra, verify.Different} {
			m.drift.WithLabelValues(r.Tables[i].Table, kind).Set(0)
		}
	}
	for i := range r.Drift {
		m.drift.WithLabelValues(r.Drift[i].Table, r.Drift[i].Kind).Inc()
	}
	m.unproven.Set(float64(len(r.Unproven)))
	switch {
	case r.Equal == nil:
		m.equal.Set(-1)
	case *r.Equal:
		m.equal.Set(1)
	default:
		m.equal.Set(0)
	}
	m.last.Set(float64(ended.UnixMilli()) / 1000)
	m.duration.Observe(r.Took.Seconds())
}
