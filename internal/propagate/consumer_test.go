package propagate

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"meridian/internal/bus"
	"meridian/internal/envelope"
	"meridian/internal/retry"
	"meridian/internal/row"
)

// partition is a log in memory that can do what a partition is not supposed to. It is a Fetcher.
type partition struct {
	mu      sync.Mutex
	records []bus.Record
	first   int64
	fail    error // of the next fetch
}

func (p *partition) Fetch(_ context.Context, topic string, shard int, offset int64, _ int, _ time.Duration) ([]bus.Record, int64, int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	end := p.first + int64(len(p.records))
	switch err := p.fail; {
	case err != nil:
		p.fail = nil
		return nil, offset, 0, err
	case offset < p.first, offset > end:
		return nil, offset, 0, &bus.GapError{Topic: topic, Partition: shard, Want: offset, First: p.first, Next: end}
	}
	return slices.Clone(p.records[offset-p.first:]), end, end, nil
}

func (p *partition) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// cut, within change, takes away what follows an offset, and appends that many other records of another leader.
func (p *partition) cut(t *testing.T, at int64, more int, term int32) {
	t.Helper()
	p.records = slices.Clone(p.records[:at-p.first])
	for range more {
		r := word(t, "a", 0, int64(term+1)*1000)
		r.Offset, r.LeaderEpoch = p.first+int64(len(p.records)), term
		p.records = append(p.records, r)
	}
}

// word is a record that a region may publish: a watermark.
func word(t *testing.T, region string, shard int, at int64) bus.Record {
	t.Helper()
	return encoded(t, &envelope.Message{
		Kind: envelope.Watermark, Epoch: 1, Source: envelope.Source{Region: region},
		Watermark: &envelope.WatermarkMark{Region: region, Shard: shard, Epoch: 1, Time: at},
	})
}

func encoded(t *testing.T, m *envelope.Message) bus.Record {
	t.Helper()
	r, err := envelope.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// newPartition has that many watermarks of region a.
func newPartition(t *testing.T, n int) *partition {
	t.Helper()
	p := &partition{}
	for i := range n {
		r := word(t, "a", 0, int64(i))
		r.Offset = int64(i)
		p.records = append(p.records, r)
	}
	return p
}

// reading is a consumer that runs, and what it has done.
type reading struct {
	t        *testing.T
	consumer *Consumer
	offsets  chan uint64
	progress chan Progress
	logs     *observer.ObservedLogs
}

func follow(t *testing.T, p *partition, from, last uint64) *reading {
	t.Helper()
	core, logs := observer.New(zap.WarnLevel)
	log := zap.New(core)
	r := &reading{t: t, offsets: make(chan uint64, 1000), progress: make(chan Progress), logs: logs}
	cfg := ConsumerConfig{
		Source: "a", Topic: "t", From: from, Last: last, Bytes: 1 << 20, Retry: retry.Policy{Base: time.Millisecond, Max: time.Millisecond},
		Admission: NewAdmission(func(schema, _ string) bool { return schema == "shop" }, 1, log),
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	r.consumer = NewConsumer(cfg, p, func(_ context.Context, _ string, items []Inbound) error {
		for i := range items {
			r.offsets <- items[i].Offset
		}
		return nil
	}, retry.System{}, log, func(p Progress) {
		select {
		case r.progress <- p:
		case <-ctx.Done():
		}
	})
	done := make(chan error, 1)
	go func() { done <- r.consumer.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the consumer ended with %v", err)
		}
	})
	return r
}

// until waits for a round of the consumer that is as wanted.
func (r *reading) until(what string, is func(Progress) bool) Progress {
	r.t.Helper()
	deadline := time.After(30 * time.Second)
	var last Progress
	for {
		select {
		case last = <-r.progress:
			if is(last) {
				return last
			}
		case <-deadline:
			r.t.Fatalf("waiting for %s: it stands at %+v", what, last)
		}
	}
}

// stays checks that the consumer is stuck, round by round, and hands over nothing.
func (r *reading) stays(next uint64) {
	r.t.Helper()
	for range 20 {
		if p := <-r.progress; !p.Stuck() || p.Next != next {
			r.t.Fatalf("it goes on: %+v", p)
		}
	}
	if len(r.offsets) > 0 {
		r.t.Fatalf("it has handed over offset %d", <-r.offsets)
	}
}

func (r *reading) take(n int) {
	r.t.Helper()
	deadline := time.After(30 * time.Second)
	var last Progress
	for n > 0 {
		select {
		case <-r.offsets:
			n--
		case last = <-r.progress:
		case <-deadline:
			r.t.Fatalf("waiting for %d more records: it stands at %+v", n, last)
		}
	}
}

func gapOf(p Progress) *bus.GapError {
	var gap *bus.GapError
	errors.As(p.Err, &gap)
	return gap
}

func isGap(p Progress) bool { return gapOf(p) != nil }

// A partition that ends before the place was truncated or made anew: that it grows past the place does not mend it.
func TestConsumer_AGapStaysWhenThePartitionGrowsPastIt(t *testing.T) {
	for name, last := range map[string]uint64{"with the record before it known": 77, "with nothing known": 0} {
		t.Run(name, func(t *testing.T) {
			p := newPartition(t, 5)
			r := follow(t, p, 10, last)
			r.until("a gap", isGap)
			p.change(func() { p.cut(t, 5, 20, 1) })
			r.stays(10)
			if n := r.logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n != 1 {
				t.Errorf("it was announced %d times", n)
			}
		})
	}
}

// After a start the partition is known by the record before the place alone.
func TestConsumer_NoticesAtTheStartThatThePartitionIsAnother(t *testing.T) {
	p := newPartition(t, 20)
	at := p.records[9].Fingerprint()
	r := follow(t, p, 10, at)
	r.take(10)
	r.until("no error", func(p Progress) bool { return p.Err == nil && p.Next == 20 })

	p = newPartition(t, 9)
	p.cut(t, 9, 20, 1)
	r = follow(t, p, 10, at)
	if gap := gapOf(r.until("a gap", isGap)); !gap.Replaced || gap.Want != 10 {
		t.Errorf("the gap is %+v", gap)
	}
	r.stays(10)
}

// A connection that was broken, or a leader that came after the one that took the last record, may hide a truncation.
func TestConsumer_NoticesWhileItRunsThatThePartitionIsAnother(t *testing.T) {
	for name, tc := range map[string]struct {
		fail error
		term int32
	}{
		"behind a broken connection": {fail: &bus.TransientError{Op: "fetch", Reason: "connection", Err: errors.New("reset")}},
		"behind a new leader":        {term: 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPartition(t, 10)
			r := follow(t, p, 0, 0)
			r.take(10)
			r.until("the end", func(p Progress) bool { return p.Next == 10 })
			p.change(func() {
				p.fail = tc.fail
				p.cut(t, 8, 10, tc.term)
			})
			r.until("a gap", isGap)
			r.stays(10)
		})
	}
}

// A leader that changes without a loss, and a partition whose own records come back, are no gap.
func TestConsumer_GoesOnWhereThePartitionIsTheSame(t *testing.T) {
	p := newPartition(t, 10)
	r := follow(t, p, 0, 0)
	r.take(10)
	r.until("the end", func(p Progress) bool { return p.Next == 10 })
	p.change(func() { p.cut(t, 10, 5, 1) })
	r.take(5)
	r.until("the end", func(p Progress) bool { return p.Next == 15 && p.Err == nil })
	var whole []bus.Record
	p.change(func() { whole, p.records = p.records, p.records[:3]; p.fail = errors.New("gone") })
	r.until("a gap", isGap)
	p.change(func() { p.records = whole })
	r.until("no error", func(p Progress) bool { return p.Err == nil })
	p.change(func() { p.cut(t, 15, 1, 2) })
	r.take(1)
}

// What retention has removed before it was read is lost, whatever else is known.
func TestConsumer_AGapThatRetentionMadeStays(t *testing.T) {
	p := newPartition(t, 20)
	p.records, p.first = p.records[15:], 15
	r := follow(t, p, 10, 1)
	if gap := gapOf(r.until("a gap", isGap)); gap.Truncated() || gap.First != 15 {
		t.Errorf("the gap is %+v", gap)
	}
	r.stays(10)
}

// What passes by itself is a warning; it does not keep the gap that follows it from being announced as the error it is.
func TestConsumer_AnnouncesAGapThatFollowsABrokenConnection(t *testing.T) {
	p := newPartition(t, 5)
	p.fail = &bus.TransientError{Op: "fetch", Reason: "connection", Err: errors.New("reset")}
	r := follow(t, p, 10, 0)
	r.until("a gap", isGap)
	r.stays(10)
	if warn, err := r.logs.FilterLevelExact(zapcore.WarnLevel).Len(), r.logs.FilterLevelExact(zapcore.ErrorLevel).Len(); warn != 1 || err != 1 {
		t.Errorf("%d warnings and %d errors", warn, err)
	}
}

// In a rolling upgrade regions write what others cannot read yet: it waits, with all that follows it.
func TestConsumer_ARecordOfANewerFormatWaitsForTheUpgrade(t *testing.T) {
	p := newPartition(t, 5)
	newer(&p.records[3], "a")
	r := follow(t, p, 0, 0)
	r.take(3)
	r.until("the record", func(p Progress) bool { return p.Next == 3 && p.Err != nil })
	r.stays(3)
	errs := r.logs.FilterLevelExact(zapcore.ErrorLevel).All()
	if len(errs) != 1 || !strings.Contains(errs[0].Message, "upgraded") {
		t.Errorf("announced: %+v", errs)
	}
}

// Only the topic's own region can make it wait.
func TestConsumer_ANewerRecordOfAnotherRegionIsSetAside(t *testing.T) {
	p := newPartition(t, 5)
	newer(&p.records[3], "elsewhere")
	r := follow(t, p, 0, 0)
	r.take(5)
}

func newer(r *bus.Record, origin string) {
	for i := range r.Headers {
		switch r.Headers[i].Key {
		case "meridian-meta":
			r.Headers[i].Value = []byte{200, 1, 2}
		case "meridian-origin":
			r.Headers[i].Value = []byte(origin)
		}
	}
}

func changeOf(region, schema, key string) *envelope.Message {
	table := row.NewTable(schema, "orders", []row.Column{{Name: "id", Type: row.TypeInt}}, []int{0})
	return &envelope.Message{Kind: envelope.Change, Epoch: 1, Source: envelope.Source{Region: region, Last: true}, Change: &row.Change{
		Table: table, Op: row.Insert, Key: row.Key(key), After: []row.Value{row.IntValue(1)}, Version: row.Version{Time: 1, Region: region},
	}}
}

func TestAdmission_TellsWhatIsNotForThisShardAndRegion(t *testing.T) {
	a := NewAdmission(func(schema, _ string) bool { return schema == "shop" }, 8, zap.NewNop())
	shard := row.Shard("shop.orders", "k", 8)
	marker := func(region string, shard int) *envelope.Message {
		return &envelope.Message{Kind: envelope.Epoch, Epoch: 9, Source: envelope.Source{Region: "a"}, Start: &envelope.EpochStart{Region: region, Shard: shard}}
	}
	mark := func(region string, shard int) *envelope.Message {
		return &envelope.Message{Kind: envelope.Watermark, Source: envelope.Source{Region: "a"}, Watermark: &envelope.WatermarkMark{Region: region, Shard: shard}}
	}
	for name, tc := range map[string]struct {
		m     *envelope.Message
		shard int
		want  string
	}{
		"a change":                        {changeOf("a", "shop", "k"), shard, ""},
		"a change of another region":      {changeOf("b", "shop", "k"), shard, "other_region"},
		"a change of another shard":       {changeOf("a", "shop", "k"), shard + 1, "other_shard"},
		"a table that is not replicated":  {changeOf("a", "private", "k"), shard, "not_replicated"},
		"an epoch marker":                 {marker("a", 3), 3, ""},
		"another region's epoch marker":   {marker("b", 3), 3, "other_region"},
		"another shard's epoch marker":    {marker("a", 4), 3, "other_region"},
		"a watermark":                     {mark("a", 3), 3, ""},
		"another region's watermark":      {mark("b", 3), 3, "other_region"},
		"another shard's watermark":       {mark("a", 4), 3, "other_region"},
		"a marker of a region altogether": {&envelope.Message{Kind: envelope.Epoch, Source: envelope.Source{Region: "b"}, Start: &envelope.EpochStart{Region: "b", Shard: 3}}, 3, "other_region"},
	} {
		got := ""
		if r := a.judge(tc.m, "a", tc.shard); r != nil {
			got = r.Reason
		}
		if got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// Configurations that differ must not fill the database: what comes for ever is counted, and said once.
func TestAdmission_KeepsOnlyTheFirstOfATableThatIsNotReplicated(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	a := NewAdmission(func(string, string) bool { return false }, 1, zap.New(core))
	var items []Inbound
	for i := range 3 * keepRejected {
		m := changeOf("a", "private", "k")
		items = append(items, Inbound{Offset: uint64(i), Message: m, Reject: a.judge(m, "a", 0)})
	}
	p := gather("a", items, 0, 0, nil).decide("b", newest{}, nil).plan
	if len(p.Parks) != keepRejected || p.Counts.Rejected != 3*keepRejected || p.Counts.Read != 0 {
		t.Errorf("%d are kept, the counts are %+v", len(p.Parks), p.Counts)
	}
	if k := p.Parks[0]; k.Table != "private.orders" || k.Reason != "not_replicated" || k.State != Rejected {
		t.Errorf("kept is %+v", k)
	}
	if logs.Len() != 1 {
		t.Errorf("it was said %d times", logs.Len())
	}
}

// A record that is set aside may be its transaction's last: what came before it is whole then.
func TestInbox_ATransactionEndsWithARecordThatIsSetAside(t *testing.T) {
	first, last := changeOf("a", "shop", "k"), changeOf("a", "private", "k")
	first.Source.Last = false
	q := &queue{items: []Inbound{{Message: first}, {Message: last, Reject: &Rejection{Reason: "not_replicated"}}}}
	if got := q.ready(limit{rows: 100, bytes: 1 << 20, whole: true, transactionBytes: 1 << 20}); got != 2 {
		t.Errorf("%d items are ready", got)
	}
}
