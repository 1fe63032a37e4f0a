package propagate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"meridian/internal/bus"
	"meridian/internal/envelope"
	"meridian/internal/retry"
	"meridian/internal/row"
)

// narrow is a Producer whose topic takes no large record: like the bus it writes what stands before one, if it finds that
// out only on the way, and names it.
type narrow struct {
	most   int
	onward bool // it refuses before anything is written, as a bound of the client's own does

	mu      sync.Mutex
	written []bus.Record
}

func (n *narrow) Produce(_ context.Context, topic string, partition int, records []bus.Record) (int64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	first := int64(len(n.written))
	large := slices.IndexFunc(records, func(r bus.Record) bool { return r.Size() > n.most })
	refused := &bus.TooLargeError{Topic: topic, Partition: partition, Index: large}
	take := records
	if large >= 0 {
		take = records[:large]
		refused.Bytes = records[large].Size()
		if n.onward {
			take = nil
			refused.Limit = n.most
		}
	}
	for i := range take { // the publisher uses its buffer again
		r, err := bus.UnmarshalRecord(take[i].Marshal())
		if err != nil {
			return 0, err
		}
		n.written = append(n.written, r)
	}
	if large < 0 {
		return first, nil
	}
	if refused.Written = len(take); refused.Written > 0 {
		refused.Next = int64(len(n.written))
	}
	return 0, refused
}

// set is what was set aside, by the number of the row.
type set struct {
	mu   sync.Mutex
	rows []int64
}

func (s *set) TooLarge(_ context.Context, _ int, m *envelope.Message, _ bus.Record, why *bus.TooLargeError) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if why == nil || why.Bytes == 0 {
		return errors.New("nobody says why")
	}
	s.rows = append(s.rows, m.Change.After[0].Int64())
	return nil
}

// notes has one row for each number, and a text of any length.
var notes = row.NewTable("shop", "notes", []row.Column{{Name: "id", Type: row.TypeInt}, {Name: "text", Type: row.TypeText, Charset: "utf8mb4", Collation: "utf8mb4_bin"}}, []int{0})

const largeText = 5000

// note is a change of row n in a transaction; large rows are larger than a narrow topic takes.
func note(t *testing.T, n int, gtid string, last, large bool) Outbound {
	t.Helper()
	text := "short"
	if large {
		text = strings.Repeat(text, largeText)
	}
	image := []row.Value{row.IntValue(int64(n)), row.TextValue(text)}
	key, err := notes.Key(image)
	if err != nil {
		t.Fatal(err)
	}
	c := &row.Change{Table: notes, Op: row.Insert, Key: key, After: image, Digest: notes.Digest(key, image), Version: row.Version{Time: int64(n), Region: "a"}}
	return Outbound{Sequence: uint64(n), Bytes: 100, Message: &envelope.Message{
		Kind: envelope.Change, Epoch: 1, Change: c, Source: envelope.Source{Region: "a", GTID: gtid, Ordinal: uint64(n), Last: last, CommitTime: 1},
	}}
}

func aWord(at int64) Outbound {
	return Outbound{Bytes: 256, Message: &envelope.Message{
		Kind: envelope.Watermark, Epoch: 1, Source: envelope.Source{Region: "a", CommitTime: at}, Watermark: &envelope.WatermarkMark{Region: "a", Epoch: 1, Time: at},
	}}
}

// one runs a publisher of one shard until the test is over.
func one(t *testing.T, producer Producer, dead Undeliverable, change ...func(*PublisherConfig, *PublisherDeps)) *Publisher {
	t.Helper()
	cfg := PublisherConfig{
		Topic: "t", Shards: []int{0}, MaxRecordBytes: 1 << 20, RequestBytes: 1 << 20, PendingBytes: 1 << 20, Retry: retry.Policy{Base: time.Second, Max: time.Second},
	}
	d := PublisherDeps{Producer: producer, Undeliverable: dead, Clock: retry.System{}, Log: zap.NewNop()}
	for _, f := range change {
		f(&cfg, &d)
	}
	p := NewPublisher(cfg, map[int]int64{}, d)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the publisher ended with %v", err)
		}
	})
	return p
}

// wait waits until everything up to the sequence is published.
func (p *Publisher) wait(t *testing.T, sequence uint64) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Hour)
	defer stop()
	if err := p.WaitAcknowledged(ctx, sequence); err != nil {
		t.Fatalf("only %d of %d changes are published: %v", p.Acknowledged(), sequence, err)
	}
}

// sent is a record as its readers understand it.
type sent struct {
	row  int64
	last bool
}

func (n *narrow) sent(t *testing.T) (list []sent) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.written {
		m, err := envelope.Decode(&n.written[i])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, sent{m.Change.After[0].Int64(), m.Source.Last})
	}
	return list
}

// A row that the broker refuses does not stop its shard: it alone is set aside, what was written before it is not sent
// again, the order stays, and every transaction of which something is sent has an end.
func TestPublisher_SetsAsideOnlyWhatTheBrokerRefuses(t *testing.T) {
	for _, test := range []struct {
		name  string
		batch []sent // a transaction ends with each last; negative rows are too large
		aside []int64
		want  []sent
	}{
		{
			name:  "between others",
			batch: []sent{{1, false}, {-2, false}, {3, true}, {4, true}},
			aside: []int64{2}, want: []sent{{1, false}, {3, true}, {4, true}},
		},
		{
			name:  "first and alone",
			batch: []sent{{-1, true}, {2, true}},
			aside: []int64{1}, want: []sent{{2, true}},
		},
		{
			name:  "several",
			batch: []sent{{1, true}, {-2, false}, {-3, true}, {4, true}, {-5, true}, {6, true}},
			aside: []int64{2, 3, 5}, want: []sent{{1, true}, {4, true}, {6, true}},
		},
		{
			name:  "the last of its transaction",
			batch: []sent{{1, false}, {2, false}, {-3, true}, {4, true}},
			aside: []int64{3}, want: []sent{{1, false}, {2, false}, {2, true}, {4, true}},
		},
		{
			name:  "the last two of the last transaction",
			batch: []sent{{1, false}, {-2, false}, {-3, true}},
			aside: []int64{2, 3}, want: []sent{{1, false}, {1, true}},
		},
		{
			name:  "the last of all, and nothing is left to be sent",
			batch: []sent{{1, true}, {-2, true}},
			aside: []int64{2}, want: []sent{{1, true}},
		},
		{name: "nothing but", batch: []sent{{-1, false}, {-2, true}}, aside: []int64{1, 2}},
	} {
		for _, onward := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, told beforehand: %t", test.name, onward), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					broker, dead := &narrow{most: largeText, onward: onward}, &set{}
					p := one(t, broker, dead)
					var list []Outbound
					transaction := 'a'
					for _, s := range test.batch {
						list = append(list, note(t, int(max(s.row, -s.row)), string(transaction), s.last, s.row < 0))
						if s.last {
							transaction++
						}
					}
					if err := p.Put(t.Context(), list...); err != nil {
						t.Fatal(err)
					}
					p.wait(t, uint64(len(list)))
					if !slices.Equal(dead.rows, test.aside) {
						t.Errorf("rows %v were set aside, want %v", dead.rows, test.aside)
					}
					got := broker.sent(t)
					if !slices.Equal(got, test.want) {
						t.Errorf("the topic has %v, want %v", got, test.want)
					}
					if end := p.Ends()[0]; end != int64(len(got)) || p.Pending() != 0 {
						t.Errorf("the topic's end is %d, and %d bytes are pending; it has %d records", end, p.Pending(), len(got))
					}
				})
			})
		}
	}
}

// What the configuration calls too large is set aside before it is sent.
func TestPublisher_SetsAsideWhatIsLargerThanConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker, dead := &narrow{most: 1 << 20}, &set{}
		p := one(t, broker, dead, func(c *PublisherConfig, _ *PublisherDeps) { c.MaxRecordBytes = largeText })
		if err := p.Put(t.Context(), note(t, 1, "a", false, false), note(t, 2, "a", true, true), note(t, 3, "b", true, false)); err != nil {
			t.Fatal(err)
		}
		p.wait(t, 3)
		if want := []sent{{1, false}, {1, true}, {3, true}}; !slices.Equal(broker.sent(t), want) || !slices.Equal(dead.rows, []int64{2}) {
			t.Errorf("the topic has %v, want %v; set aside: %v", broker.sent(t), want, dead.rows)
		}
	})
}

// A control record is never done without: while the broker refuses it, that is told, and what waits behind it waits.
func TestPublisher_WaitsWhileTheBrokerRefusesAControlRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := envelope.Encode(aWord(1).Message)
		if err != nil {
			t.Fatal(err)
		}
		broker := &narrow{most: r.Size() - 1}
		var told error
		p := one(t, broker, &set{}, func(_ *PublisherConfig, d *PublisherDeps) { d.Answered = func(_ int, err error) { told = err } })
		if err := p.Put(t.Context(), aWord(1), note(t, 1, "a", true, false)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var refused *bus.TooLargeError
		if n := p.Acknowledged(); n != 0 || !errors.As(told, &refused) {
			t.Errorf("%d acknowledged, and %v was told", n, told)
		}
		broker.mu.Lock()
		broker.most = 1 << 20
		broker.mu.Unlock()
		p.wait(t, 1)
		if told != nil || len(broker.written) != 2 {
			t.Errorf("the topic has %d records, and %v was told last", len(broker.written), told)
		}
	})
}

// While a bus is away, one word after the other would wait for it, each saying less than the next: only the first and the
// newest are kept, in their places.
func TestPublisher_LetsNoWatermarksPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := &narrow{most: 1 << 20}
		p := one(t, broker, &set{})
		p.Pause(true)
		sequence := 0
		put := func(o Outbound) {
			t.Helper()
			if err := p.Put(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		for at := int64(1); at <= 100; at++ {
			if at%10 == 1 {
				sequence++
				put(note(t, sequence, "a", true, false))
			}
			put(aWord(at))
		}
		if n, want := p.Pending(), 10*100+2*256; n != want {
			t.Errorf("%d bytes wait, want %d: 10 changes and 2 watermarks", n, want)
		}
		p.Pause(false)
		p.wait(t, uint64(sequence))
		synctest.Wait()
		var got []int64 // changes as they are, watermarks negative
		for i := range broker.written {
			m, err := envelope.Decode(&broker.written[i])
			if err != nil {
				t.Fatal(err)
			}
			if m.Change != nil {
				got = append(got, m.Change.After[0].Int64())
			} else {
				got = append(got, -m.Watermark.Time)
			}
		}
		if want := []int64{1, -1, 2, 3, 4, 5, 6, 7, 8, 9, 10, -100}; !slices.Equal(got, want) {
			t.Errorf("the topic has %v, want %v", got, want)
		}
	})
}

// A lane that is never empty says something all the same: the first word that waits is not put off by those that follow.
func TestLane_SaysItsWordThoughItIsAlwaysBehind(t *testing.T) {
	l := &lane{}
	for n := 1; n <= 10; n++ {
		l.put(note(t, n, "a", true, false))
		l.put(aWord(int64(n)))
		if isWord(&l.load(1)[0]) {
			return
		}
	}
	t.Error("no watermark was sent, though as much was sent as came")
}
