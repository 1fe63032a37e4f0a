package propagate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"meridian/internal/bus"
	"meridian/internal/envelope"
	"meridian/internal/retry"
	"meridian/internal/row"
	"meridian/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// topic is a Producer that fails as it is told to, after or before it has taken the records.
type topic struct {
	mu       sync.Mutex
	records  map[int][]bus.Record
	flying   map[int]bool
	failures []error // of the next requests; nil: it works
	lost     bool    // a failing request has been written all the same
	overlaps bool
}

var errBus = errors.New("no answer")

func (p *topic) Produce(_ context.Context, _ string, partition int, records []bus.Record) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.overlaps = p.overlaps || p.flying[partition]
	p.flying[partition] = true
	defer delete(p.flying, partition)
	var err error
	if len(p.failures) > 0 {
		err, p.failures = p.failures[0], p.failures[1:]
	}
	first := int64(len(p.records[partition]))
	if err == nil || p.lost {
		for i := range records { // the publisher uses its buffer again
			r, failed := bus.UnmarshalRecord(records[i].Marshal())
			if failed != nil {
				return 0, failed
			}
			p.records[partition] = append(p.records[partition], r)
		}
	}
	return first, err
}

type nothingDead struct{ *testing.T }

func (n nothingDead) TooLarge(context.Context, int, *envelope.Message, bus.Record, *bus.TooLargeError) error {
	n.Error("a change was called too large")
	return nil
}

func newTestPublisher(t *testing.T, p *topic) *Publisher {
	p.records, p.flying = map[int][]bus.Record{}, map[int]bool{}
	return NewPublisher(PublisherConfig{
		Topic: "t", Shards: []int{0, 1}, MaxRecordBytes: 1 << 20, RequestBytes: 1000, PendingBytes: 4000,
		Retry: retry.Policy{Base: time.Second, Max: time.Second},
	}, map[int]int64{}, PublisherDeps{Producer: p, Undeliverable: nothingDead{t}, Clock: retry.System{}, Log: zap.NewNop()})
}

func outgoing(t *testing.T, n int) Outbound {
	image := []row.Value{row.IntValue(int64(n))}
	key, err := orders.Key(image)
	if err != nil {
		t.Fatal(err)
	}
	c := &row.Change{Table: orders, Op: row.Insert, Key: key, After: image, Digest: orders.Digest(key, image), Version: row.Version{Time: int64(n), Region: "a"}}
	m := &envelope.Message{Kind: envelope.Change, Epoch: 1, Change: c, Source: envelope.Source{Region: "a", GTID: fmt.Sprint(n), Ordinal: 1, CommitTime: 1}}
	return Outbound{Shard: n % 2, Message: m, Sequence: uint64(n), Bytes: 100}
}

// Failed requests are repeated in place: the order in each partition is that of the changes, and nothing is acknowledged
// before the bus has it.
func TestPublisher_KeepsTheOrderThroughFailures(t *testing.T) {
	for _, lost := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			broker := &topic{lost: lost, failures: []error{errBus, errBus, nil, errBus, nil, errBus}}
			p := newTestPublisher(t, broker)
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- p.Run(ctx) }()
			for n := 1; n <= 100; n++ {
				if err := p.Put(ctx, outgoing(t, n)); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.WaitAcknowledged(ctx, 100); err != nil || p.Acknowledged() != 100 || p.Pending() != 0 {
				t.Fatalf("acknowledged %d, pending %d: %v", p.Acknowledged(), p.Pending(), err)
			}
			stop()
			<-done
			for shard, records := range broker.records {
				last := int64(0)
				seen := map[int64]bool{}
				for i := range records {
					m, err := envelope.Decode(&records[i])
					if err != nil {
						t.Fatal(err)
					}
					v := m.Change.Version.Time
					if !seen[v] && v < last { // a repeated request may write records twice, but none before its turn
						t.Fatalf("partition %d: %d stands behind %d", shard, v, last)
					}
					seen[v], last = true, v
				}
				if len(seen) != 50 {
					t.Errorf("partition %d has %d of 50 changes", shard, len(seen))
				}
			}
			if broker.overlaps {
				t.Error("two requests were in flight for one partition")
			}
		})
	}
}

func TestPublisher_AcknowledgesNothingThatIsStillOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := &topic{failures: []error{errBus, errBus, errBus}}
		p := newTestPublisher(t, broker)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		p.Pause(true)
		go func() { done <- p.Run(ctx) }()
		if err := p.Put(ctx, outgoing(t, 1), outgoing(t, 2)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := p.Acknowledged(); n != 0 || len(broker.records) != 0 {
			t.Errorf("%d acknowledged, %d partitions written while paused", n, len(broker.records))
		}
		if was := p.Pause(false); !was {
			t.Error("it was not paused")
		}
		if err := p.WaitAcknowledged(ctx, 2); err != nil {
			t.Fatal(err)
		}
		if ends := p.Ends(); ends[0] != 1 || ends[1] != 1 {
			t.Errorf("ends are %v", ends)
		}
		stop()
		<-done
	})
}

func TestPublisher_HoldsBackWhoeverPutsTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestPublisher(t, &topic{})
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		put := 0
		for n := 1; n <= 100; n++ { // nobody sends: Run was not called
			if err := p.Put(ctx, outgoing(t, n)); err != nil {
				break
			}
			put++
		}
		if put != 40 {
			t.Errorf("%d changes of 100 bytes were taken, the bound is 4000 bytes", put)
		}
	})
}
