package syncer

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the region's, as PRODUCT names them. They carry the region as a constant label.
type Metrics struct {
	capture captureMetrics
	scrub   scrubMetrics

	delay        prometheus.Histogram     // capture_delay_seconds
	read         *prometheus.CounterVec   // bus_changes_read_total{source}
	applied      *prometheus.CounterVec   // apply_changes_total{source,result}
	rejected     *prometheus.CounterVec   // rejected_records_total{source}
	schema       *prometheus.CounterVec   // schema_events_total{table,kind}
	reach        *prometheus.HistogramVec // replication_delay_seconds{source,target}
	lag          *prometheus.GaugeVec     // replication_lag_seconds{source,target}
	conflicts    *prometheus.CounterVec   // conflicts_total{table,winner}
	parked       *prometheus.GaugeVec     // parked_changes{table,reason}
	dead         *prometheus.GaugeVec     // dead_changes{table,reason}
	skew         *prometheus.GaugeVec     // clock_skew_seconds{source}
	headroom     prometheus.Gauge         // binlog_headroom_seconds
	rows         prometheus.Gauge         // ledger_rows
	bytes        prometheus.Gauge         // ledger_bytes
	flush        prometheus.Histogram     // ledger_flush_seconds
	collected    prometheus.Counter       // tombstones_collected_total
	purged       prometheus.Counter       // conflict_history_purged_total
	retries      *prometheus.CounterVec   // retries_total{component,reason}
	baseline     *prometheus.GaugeVec     // baseline_rows{table}
	baselineLeft *prometheus.GaugeVec     // baseline_seconds_left{table}
	warnings     prometheus.Gauge         // warnings
	up           *prometheus.GaugeVec     // loop_up{loop}
}

type scrubMetrics struct {
	found   *prometheus.CounterVec // altered_past_binlog_rows_total{table,kind,cause}
	covered *prometheus.GaugeVec   // scrub_covered_timestamp_seconds{table}
	rows    *prometheus.GaugeVec   // scrub_pass_rows{table}
}

type captureMetrics struct {
	transactions prometheus.Counter
	changes      prometheus.Counter
	bytes        prometheus.Counter
	skipped      prometheus.Counter
	altered      *prometheus.CounterVec
	wentBack     prometheus.Counter
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(region string, registry prometheus.Registerer) *Metrics {
	f := factory{prometheus.WrapRegistererWith(prometheus.Labels{"region": region}, registry)}
	return &Metrics{
		scrub: scrubMetrics{
			found:   f.counterVec("altered_past_binlog_rows_total", "Rows found to be otherwise than the ledger says; cause: ddl where a DDL statement was seen that explains it, else unknown.", "table", "kind", "cause"),
			covered: f.gaugeVec("scrub_covered_timestamp_seconds", "When the table was last read again as a whole.", "table"),
			rows:    f.gaugeVec("scrub_pass_rows", "Rows read again in the pass that is under way.", "table"),
		},
		capture: captureMetrics{
			transactions: f.counter("capture_transactions_total", "Transactions read from the binlog that touch replicated tables."),
			changes:      f.counter("capture_changes_total", "Row changes of replicated tables read from the binlog."),
			bytes:        f.counter("capture_bytes_total", "About how many bytes of local row changes were read from the binlog."),
			skipped:      f.counter("capture_skipped_transactions_total", "Transactions passed over and not published, as --skip-transaction asked."),
			altered:      f.counterVec("altered_rows_total", "Replayed rows that the database wrote otherwise than asked.", "table"),
			wentBack:     f.counter("versions_went_back_total", "Newer rows overwritten by older versions. Always 0: anything else is a fault in Meridian."),
		},
		delay:        f.histogram("capture_delay_seconds", "Commit at the source to acknowledged by Kafka."),
		read:         f.counterVec("bus_changes_read_total", "Changes read from the other regions' topics.", "source"),
		applied:      f.counterVec("apply_changes_total", "What became of the changes that were read.", "source", "result"),
		rejected:     f.counterVec("rejected_records_total", "Records on the bus that are no change of ours.", "source"),
		schema:       f.counterVec("schema_events_total", "DDL statements seen on replicated tables.", "table", "kind"),
		reach:        f.histogramVec("replication_delay_seconds", "Commit at the source to visible at the target.", "source", "target"),
		lag:          f.gaugeVec("replication_lag_seconds", "Age of the oldest change that is not applied yet, by heartbeat.", "source", "target"),
		conflicts:    f.counterVec("conflicts_total", "Concurrent writes that met, one of them made here.", "table", "winner"),
		parked:       f.gaugeVec("parked_changes", "Changes that the database refused and that are tried again.", "table", "reason"),
		dead:         f.gaugeVec("dead_changes", "Changes that wait for a person.", "table", "reason"),
		skew:         f.gaugeVec("clock_skew_seconds", "How far the other region's clock is ahead of this one's.", "source"),
		headroom:     f.gauge("binlog_headroom_seconds", "Time until the binlog that is still needed is purged."),
		rows:         f.gauge("ledger_rows", "Live rows in the ledger."),
		bytes:        f.gauge("ledger_bytes", "Size of the ledger file."),
		flush:        f.histogram("ledger_flush_seconds", "Duration of a write of the ledger file."),
		purged:       f.counter("conflict_history_purged_total", "Lost sides of conflicts that are not kept any longer: too old, or too many."),
		collected:    f.counter("tombstones_collected_total", "Tombstones that every region has passed, removed from the ledger."),
		retries:      f.counterVec("retries_total", "Every retry.", "component", "reason"),
		baseline:     f.gaugeVec("baseline_rows", "Rows that were there before, read so far.", "table"),
		baselineLeft: f.gaugeVec("baseline_seconds_left", "About how long reading the rows that were there before still takes.", "table"),
		warnings:     f.gauge("warnings", "What was lost and nobody has acknowledged yet; /v1/status says what (syncer run --acknowledge-warnings)."),
		up:           f.gaugeVec("loop_up", "1 while the loop runs.", "loop"),
	}
}

type factory struct{ prometheus.Registerer }

func (f factory) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "meridian", Name: name, Help: help})
	f.MustRegister(c)
	return c
}

func (f factory) counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "meridian", Name: name, Help: help}, labels)
	f.MustRegister(c)
	return c
}

func (f factory) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "meridian", Name: name, Help: help})
	f.MustRegister(g)
	return g
}

func (f factory) gaugeVec(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "meridian", Name: name, Help: help}, labels)
	f.MustRegister(g)
	return g
}

// secondsBuckets serve everything that is measured in seconds, from a millisecond to a minute.
var secondsBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

func histogramOpts(name, help string) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Namespace: "meridian", Name: name, Help: help, Buckets: secondsBuckets, NativeHistogramBucketFactor: 1.1}
}

func (f factory) histogram(name, help string) prometheus.Histogram {
	h := prometheus.NewHistogram(histogramOpts(name, help))
	f.MustRegister(h)
	return h
}

func (f factory) histogramVec(name, help string, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(histogramOpts(name, help), labels)
	f.MustRegister(h)
	return h
}
