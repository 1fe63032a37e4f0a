package syncer

import (
	"context"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"meridian/internal/checksum"
	"meridian/internal/propagate"
	"meridian/internal/retry"
	"meridian/internal/row"
)

// parkedNow gives what a scrape would find.
func parkedNow(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]float64{}
	for _, f := range families {
		if name := f.GetName(); name == "meridian_parked_changes" || name == "meridian_dead_changes" {
			for _, m := range f.GetMetric() {
				key := name
				for _, l := range m.GetLabel() {
					if l.GetName() != "region" {
						key += " " + l.GetValue()
					}
				}
				shown[key] = m.GetGauge().GetValue()
			}
		}
	}
	return shown
}

// What is parked is always shown: not for a moment does a scrape find nothing, or a part of it.
func TestParkedChanges_AreNeverMissingFromAScrape(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := New(Config{Clock: retry.System{}, Metrics: NewMetrics("a", registry)})
	counts := []propagate.ParkedCount{
		{State: propagate.Parked, Table: "shop.orders", Reason: "duplicate_key", Count: 2},
		{State: propagate.Waiting, Table: "shop.orders", Reason: "duplicate_key", Count: 3},
		{State: propagate.Dead, Table: "shop.orders", Reason: "too_long", Count: 4},
		{State: propagate.Rejected, Table: "shop.orders", Reason: "malformed", Count: 5},
	}
	s.showParked(counts)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 2000 {
			s.showParked(counts)
		}
	}()
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		shown := parkedNow(t, registry)
		if len(shown) != 2 || shown["meridian_parked_changes duplicate_key shop.orders"] != 5 || shown["meridian_dead_changes too_long shop.orders"] != 4 {
			t.Fatalf("shown are %v", shown)
		}
	}
	s.showParked(counts[2:])
	if shown := parkedNow(t, registry); len(shown) != 1 {
		t.Errorf("what is no longer parked is still shown: %v", shown)
	}
}

// fullDisk refuses to collect a few times.
type fullDisk struct {
	collector
	refusals int
	collects int
}

func (f *fullDisk) Collect(ctx context.Context, held func(string, row.Key) bool) (int, error) {
	f.collects++
	if f.collects <= f.refusals {
		return 0, syscall.ENOSPC
	}
	return f.collector.Collect(ctx, held)
}

// A disk that is full when tombstones are collected may become free, as when the ledger is written: the process goes on.
func TestFlush_OutlastsADiskThatIsFullWhenTombstonesAreCollected(t *testing.T) {
	f, disk, troubles := diskFlusher(t, 3)
	if err := f.flush(t.Context()); err != nil {
		t.Fatalf("the flusher ended with %v", err)
	}
	if disk.collects != 4 {
		t.Errorf("it was tried %d times, want 4", disk.collects)
	}
	if n := len(*troubles); n == 0 || (*troubles)[n-1] != nil || n < 2 || (*troubles)[n-2] == nil {
		t.Errorf("told were %v, want trouble and then its end", *troubles)
	}
}

func diskFlusher(t *testing.T, refusals int) (*flusher, *fullDisk, *[]error) {
	t.Helper()
	l, err := checksum.Open(checksum.Options{Path: filepath.Join(t.TempDir(), "ledger.db"), Region: "a", Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	l.Freeze(checksum.Cut{Checkpoint: []byte("{}"), Own: make([]uint64, 1)})
	var troubles []error
	disk := &fullDisk{collector: checksum.NewCollector(l, []string{"a"}), refusals: refusals}
	publisher := propagate.NewPublisher(propagate.PublisherConfig{Shards: []int{0}}, map[int]int64{0: 1}, propagate.PublisherDeps{Clock: retry.System{}, Log: zap.NewNop()})
	return &flusher{
		region: "a", ledger: l, publisher: publisher, collector: disk, flushing: newFlushing(), words: &Words{},
		policy: retry.Policy{Base: time.Millisecond, Max: time.Millisecond}, clock: retry.System{}, log: zap.NewNop(), observe: func(time.Duration) {},
		held: func(string, row.Key) bool { return false }, collected: func(int) {}, trouble: func(err error) { troubles = append(troubles, err) }, retried: func() {},
	}, disk, &troubles
}
