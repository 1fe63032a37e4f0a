package syncer

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"meridian/internal/binlog"
	"meridian/internal/bus"
	"meridian/internal/checksum"
	"meridian/internal/envelope"
	"meridian/internal/mysqldb"
	"meridian/internal/propagate"
	"meridian/internal/retry"
	"meridian/internal/row"
)

// slowBus is a producer whose requests wait: those of shard 0 for one word each, those of the others for the end.
type slowBus struct {
	arrived chan struct{}
	answer  chan struct{}
	next    int64
}

func (b *slowBus) Produce(ctx context.Context, _ string, shard int, records []bus.Record) (int64, error) {
	if shard != 0 {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	b.arrived <- struct{}{}
	select {
	case <-b.answer:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	first := b.next
	b.next += int64(len(records))
	return first, nil
}

// bench is a ledger and a publisher of two shards without anything around them; its changes are all of shard 0.
type bench struct {
	t         *testing.T
	bus       *slowBus
	ledger    *checksum.Ledger
	publisher *propagate.Publisher
	capture   *Capture
	table     *row.Table
}

func newBench(t *testing.T) *bench {
	t.Helper()
	l, err := checksum.Open(checksum.Options{Path: filepath.Join(t.TempDir(), "ledger.db"), Region: "a", Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{
		t: t, bus: &slowBus{arrived: make(chan struct{}), answer: make(chan struct{})}, ledger: l,
		table: row.NewTable("shop", "orders", []row.Column{{Name: "id", Type: row.TypeInt}}, []int{0}),
	}
	b.publisher = propagate.NewPublisher(propagate.PublisherConfig{
		Topic: "a", Shards: []int{0, 1}, MaxRecordBytes: 1 << 20, RequestBytes: 1, PendingBytes: 1 << 30,
	}, map[int]int64{}, propagate.PublisherDeps{Producer: b.bus, Clock: retry.System{}, Log: zap.NewNop()})
	tip := mysqldb.Coordinates{Server: "s", File: "binlog.000001", Position: 4}
	l.Pass(tip, nil, 0)
	b.capture = &Capture{
		cfg:    CaptureConfig{Region: "a", Shards: 2, FlushEntries: 1},
		ledger: l, publisher: b.publisher, clock: retry.System{}, flushing: newFlushing(), tip: tip,
	}
	return b
}

// run publishes until the function that it returns is called, which also closes the ledger.
func (b *bench) run() (end func()) {
	ctx, stop := context.WithCancel(b.t.Context())
	done := make(chan error, 1)
	go func() { done <- b.publisher.Run(ctx) }()
	return func() {
		stop()
		<-done
		if err := b.ledger.Close(); err != nil {
			b.t.Error(err)
		}
	}
}

// write enters a change and hands it to the publisher, as capture does.
func (b *bench) write(op row.Op) {
	b.t.Helper()
	image := []row.Value{row.IntValue(1)}
	key, err := b.table.Key(image)
	if err != nil {
		b.t.Fatal(err)
	}
	c := &row.Change{Table: b.table, Op: op, Key: key, Before: image}
	if op != row.Delete {
		c.Before, c.After, c.Digest = nil, image, b.table.Digest(key, image)
	}
	b.capture.sequence++
	n := b.capture.sequence
	if err := b.ledger.Stamp([]checksum.Local{{Change: c, Time: int64(n), Sequence: n}}); err != nil {
		b.t.Fatal(err)
	}
	m := &envelope.Message{Kind: envelope.Change, Epoch: 1, Change: c, Source: envelope.Source{Region: "a", GTID: fmt.Sprint(n), Ordinal: 1, Last: true, CommitTime: 1}}
	if err := b.publisher.Put(b.t.Context(), propagate.Outbound{Message: m, Sequence: n, Bytes: 100}); err != nil {
		b.t.Fatal(err)
	}
}

// The checkpoint in the file never passes what the bus has acknowledged: a cut waits until the bus has all of it.
func TestFlush_WaitsUntilTheBusHasAllOfTheCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.run()()
		b.write(row.Insert)
		<-b.bus.arrived
		if err := b.capture.freeze(t.Context(), binlog.Position{GTIDs: "behind the change"}); err != nil {
			t.Fatal(err)
		}
		f := &flusher{
			region: "a", ledger: b.ledger, publisher: b.publisher, collector: checksum.NewCollector(b.ledger, []string{"a"}), flushing: b.capture.flushing,
			words: &Words{}, clock: retry.System{}, log: zap.NewNop(), observe: func(time.Duration) {}, trouble: func(error) {},
			held: func(string, row.Key) bool { return false }, collected: func(int) {},
		}
		flushed := make(chan error, 1)
		go func() { flushed <- f.flush(t.Context()) }()
		synctest.Wait()
		if body, _, err := b.ledger.Checkpoint(); len(body) > 0 || err != nil {
			t.Errorf("the checkpoint is %s (%v) before the bus has the change", body, err)
		}
		if got := f.words.Checkpoint(); got != "" {
			t.Errorf("the region says that its file includes %q before the bus has the change", got)
		}
		b.bus.answer <- struct{}{}
		if err := <-flushed; err != nil {
			t.Fatal(err)
		}
		if got := f.words.Checkpoint(); got != "behind the change" {
			t.Errorf("the region says that its file includes %q", got)
		}
	})
}

// An acknowledgement may come while a cut is being made. A cut that calls itself settled says of the other regions that
// they have passed all of it once they have passed its offsets: these must lie behind its last change, or a tombstone
// would go too early.
//
// To let the acknowledgement come between any two questions that the cut asks the publisher, the publisher's lock is
// made one that is handed on in the order of asking: several ask it without end, and each question takes long.
func TestFreeze_CallsNoCutSettledWhoseOffsetsLieBeforeItsLastChange(t *testing.T) {
	b := newBench(t)
	defer b.run()()
	long, marker := make([]propagate.Outbound, 50_000), &envelope.Message{Kind: envelope.Epoch, Epoch: 1, Start: &envelope.EpochStart{Region: "a", Shard: 1, Epoch: 1}}
	for i := range long {
		long[i] = propagate.Outbound{Shard: 1, Message: marker} // a shard that never gets an answer: each question looks at all of them
	}
	if err := b.publisher.Put(t.Context(), long...); err != nil {
		t.Fatal(err)
	}
	asking, enough := context.WithCancel(t.Context())
	var others sync.WaitGroup
	for range 64 {
		others.Go(func() {
			for asking.Err() == nil {
				b.publisher.Acknowledged()
			}
		})
	}
	defer others.Wait()
	defer enough()
	for n := uint64(1); n <= 10; n++ {
		b.write(row.Delete)
		<-b.bus.arrived
		asked, frozen := make(chan struct{}), make(chan error, 1)
		go func() {
			close(asked)
			frozen <- b.capture.freeze(t.Context(), binlog.Position{})
		}()
		<-asked
		b.bus.answer <- struct{}{}
		if err := <-frozen; err != nil {
			t.Fatal(err)
		}
		cut, ok := b.ledger.Frozen()
		if !ok {
			t.Fatal("nothing was set aside")
		}
		if cut.Settled && cut.Own[0] < n {
			t.Fatalf("the cut with the delete at offset %d calls itself settled, and says that regions have passed it at %d", n-1, cut.Own[0])
		}
		if err := b.publisher.WaitAcknowledged(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if _, err := b.ledger.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
