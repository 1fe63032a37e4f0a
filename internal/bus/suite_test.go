package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"meridian/internal/testenv"
)

// broker is what the suite runs against.
type broker struct {
	config  func() Config
	restart func() // in order
	crash   func() // killed, and started again
	prune   func(t *testing.T, topic string, partition int, before int64)
}

// TestClient runs the same tests against the embedded broker and against Apache Kafka: what one promises, the other must.
func TestClient(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		dir := t.TempDir()
		e := startEmbedded(t, EmbeddedConfig{Dir: dir})
		listen := e.Addr()
		again := func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			e = startEmbedded(t, EmbeddedConfig{Dir: dir, Listen: listen})
		}
		suite(t, &broker{config: func() Config { return e.ClientConfig() }, restart: again, crash: again,
			prune: func(t *testing.T, topic string, partition int, before int64) {
				if err := e.cluster.DeleteRecords(topic, int32(partition), before); err != nil {
					t.Fatal(err)
				}
			}})
	})
	t.Run("kafka", func(t *testing.T) {
		k := testenv.SharedKafka(t)
		cfg := Config{Brokers: []string{k.Address}}
		suite(t, &broker{config: func() Config { return cfg }, restart: k.Restart, crash: func() { k.Kill(); k.Start() },
			prune: func(t *testing.T, topic string, partition int, before int64) {
				deleteRecords(t, dial(t, cfg), topic, partition, before)
			}})
	})
}

func suite(t *testing.T, b *broker) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, b *broker)
	}{
		{"GivesBackWhatWasProduced", givesBackWhatWasProduced},
		{"ReadsEveryCompression", readsEveryCompression},
		{"BeginsWithinABatch", beginsWithinABatch},
		{"WaitsForARecord", waitsForARecord},
		{"EndsWithItsContext", endsWithItsContext},
		{"PollsManyPartitionsAtOnce", pollsManyPartitionsAtOnce},
		{"TellsALostBeginning", tellsALostBeginning},
		{"TellsATruncatedEnd", tellsATruncatedEnd},
		{"CarriesTheLargestRecord", carriesTheLargestRecord},
		{"SplitsWhatTheBrokerRefuses", splitsWhatTheBrokerRefuses},
		{"WaitsForATopic", waitsForATopic},
		{"ChecksTopics", checksTopics},
		{"KeepsRecordsThroughARestart", keepsRecordsThroughARestart},
		{"KeepsRecordsThroughACrash", keepsRecordsThroughACrash},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, b) })
	}
}

// topicOf gives a topic of the test's own.
func topicOf(t *testing.T) string {
	return strings.ReplaceAll(strings.ReplaceAll(t.Name(), "/", "."), "_", "-")
}

func givesBackWhatWasProduced(t *testing.T, b *broker) {
	c := dial(t, b.config())
	topic := topicOf(t)
	ensure(t, c, Topic{Name: topic, Partitions: 3})
	written := []Record{
		{Key: []byte("k"), Value: []byte("v"), Headers: []Header{{"a", []byte("1")}, {"a", []byte("2")}, {"", nil}, {"e", []byte{}}}},
		{},
		{Key: []byte{}, Value: []byte{0, 255}},
	}
	ctx := testContext(t)
	if first, next, err := c.Offsets(ctx, topic, 2); err != nil || first != 0 || next != 0 {
		t.Fatalf("a new partition has the offsets %d to %d (%v)", first, next, err)
	}
	before := time.Now().Truncate(time.Millisecond)
	if first, err := c.Produce(ctx, topic, 2, written); err != nil || first != 0 {
		t.Fatalf("offset %d, error %v", first, err)
	}
	if first, err := c.Produce(ctx, topic, 2, written[:1]); err != nil || first != 3 {
		t.Fatalf("offset %d, error %v", first, err)
	}
	got := read(t, c, topic, 2, 0, 4)
	for i, want := range append(written, written[0]) {
		r := got[i]
		if !bytes.Equal(r.Key, want.Key) || (r.Key == nil) != (want.Key == nil) || !bytes.Equal(r.Value, want.Value) || (r.Value == nil) != (want.Value == nil) ||
			fmt.Sprint(r.Headers) != fmt.Sprint(want.Headers) {
			t.Errorf("record %d is %+v, want %+v", i, r, want)
		}
		if r.Time.Before(before) || r.Time.After(time.Now()) {
			t.Errorf("record %d is of %v, written between %v and now", i, r.Time, before)
		}
	}
	if first, next, err := c.Offsets(ctx, topic, 2); err != nil || first != 0 || next != 4 {
		t.Errorf("the offsets are %d to %d (%v), want 0 to 4", first, next, err)
	}
	if _, next, high, err := c.Fetch(ctx, topic, 2, 4, 1<<20, 0); err != nil || next != 4 || high != 4 {
		t.Errorf("at the end: next %d, high watermark %d, error %v", next, high, err)
	}
}

func readsEveryCompression(t *testing.T, b *broker) {
	plain := dial(t, b.config())
	topic := topicOf(t)
	ensure(t, plain, Topic{Name: topic})
	random := rand.New(rand.NewPCG(1, 2))
	var written []Record
	for _, compression := range []Compression{None, Gzip, Snappy, LZ4, Zstd} {
		cfg := b.config()
		cfg.Compression = compression
		c := dial(t, cfg)
		batch := []Record{{Value: []byte(strings.Repeat("easily compressed ", 100000))}, {Value: []byte("small")}, {Value: make([]byte, 300000)}}
		for i := range batch[2].Value {
			batch[2].Value[i] = byte(random.Uint32()) // does not compress
		}
		for _, records := range [][]Record{batch, batch[1:2], batch[2:]} {
			if _, err := c.Produce(testContext(t), topic, 0, records); err != nil {
				t.Fatalf("%s: %v", compression, err)
			}
			written = append(written, records...)
		}
	}
	got := read(t, plain, topic, 0, 0, len(written))
	for i := range written {
		if !bytes.Equal(got[i].Value, written[i].Value) {
			t.Errorf("record %d came back otherwise", i)
		}
	}
}

func beginsWithinABatch(t *testing.T, b *broker) {
	c := dial(t, b.config())
	topic := topicOf(t)
	ensure(t, c, Topic{Name: topic})
	write(t, c, topic, 0, "0", "1", "2", "3")
	if got := read(t, c, topic, 0, 2, 2); string(got[0].Value) != "2" {
		t.Errorf("the record at offset 2 is %q", got[0].Value)
	}
}

func waitsForARecord(t *testing.T, b *broker) {
	c := dial(t, b.config())
	topic := topicOf(t)
	ensure(t, c, Topic{Name: topic})
	write(t, c, topic, 0, "before")
	type answer struct {
		records []Record
		err     error
	}
	answers := make(chan answer, 1)
	ctx := testContext(t)
	go func() {
		records, _, _, err := c.Fetch(ctx, topic, 0, 1, 1<<20, patience)
		answers <- answer{records, err}
	}()
	write(t, c, topic, 0, "after")
	if a := <-answers; a.err != nil || len(a.records) != 1 || string(a.records[0].Value) != "after" {
		t.Errorf("the poll gave %v, error %v", a.records, a.err)
	}
	if records, next, _, err := c.Fetch(ctx, topic, 0, 2, 1<<20, 10*time.Millisecond); err != nil || len(records) != 0 || next != 2 {
		t.Errorf("with nothing new: %v, next %d, error %v", records, next, err)
	}
}

func endsWithItsContext(t *testing.T, b *broker) {
	c := dial(t, b.config())
	topic := topicOf(t)
	ensure(t, c, Topic{Name: topic})
	write(t, c, topic, 0, "x") // somebody leads
	ctx, cancel := context.WithCancel(testContext(t))
	errs := make(chan error, 2)
	for range 2 {
		go func() {
			_, _, _, err := c.Fetch(ctx, topic, 0, 1, 1<<20, 10*patience)
			errs <- err
		}()
	}
	write(t, c, topic, 0, "y") // the polls are answered or about to begin: both ways must end
	cancel()
	for range 2 {
		if err := <-errs; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want the context's", err)
		}
	}
	polling := make(chan error, 1)
	go func() {
		_, _, _, err := c.Fetch(testContext(t), topic, 0, 2, 1<<20, 10*patience)
		polling <- err
	}()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-polling; err == nil {
		t.Error("the poll did not notice that the client was closed")
	}
	if _, err := c.Ping(testContext(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func pollsManyPartitionsAtOnce(t *testing.T, b *broker) {
	const partitions = 32
	c := dial(t, b.config())
	topic := topicOf(t)
	ensure(t, c, Topic{Name: topic, Partitions: partitions})
	ctx := testContext(t)
	var polls sync.WaitGroup
	for p := range partitions {
		polls.Go(func() {
			var next int64
			err := eventually(ctx, func(ctx context.Context) (err error) {
				for next < 2 && err == nil {
					_, next, _, err = c.Fetch(ctx, topic, p, next, 1<<20, patience)
				}
				return err
			})
			if err != nil {
				t.Errorf("partition %d: %v", p, err)
			}
		})
	}
	for _, value := range []string{"one", "two"} {
		for p := range partitions {
			write(t, c, topic, p, value)
		}
	}
	polls.Wait()
}

func tellsALostBeginning(t *testing.T, b *broker) {
	c := dial(t, b.config())
	topic := topicOf(t)
	ensure(t, c, Topic{Name: topic})
	for range 3 {
		write(t, c, topic, 0, "a", "b")
	}
	b.prune(t, topic, 0, 4)
	_, next, _, err := c.Fetch(testContext(t), topic, 0, 1, 1<<20, time.Second)
	var gap *GapError
	if !errors.As(err, &gap) || gap.Want != 1 || gap.First != 4 || gap.Next != 6 || gap.Topic != topic || next != 1 {
		t.Fatalf("error %v (next %d), want a gap from 1 to 4", err, next)
	}
	if !strings.Contains(err.Error(), "1 to 3") {
		t.Errorf("the error does not name what is lost: %v", err)
	}
	read(t, c, topic, 0, 4, 2)
}

func tellsATruncatedEnd(t *testing.T, b *broker) {
	c := dial(t, b.config())
	topic := topicOf(t)
	ensure(t, c, Topic{Name: topic})
	write(t, c, topic, 0, "a", "b")
	_, _, _, err := c.Fetch(testContext(t), topic, 0, 3, 1<<20, time.Second)
	var gap *GapError
	if !errors.As(err, &gap) || gap.Want != 3 || gap.First != 0 || gap.Next != 2 {
		t.Fatalf("error %v, want a gap: 3 is beyond 2", err)
	}
}

func carriesTheLargestRecord(t *testing.T, b *broker) {
	c := dial(t, b.config())
	topic := topicOf(t)
	ensure(t, c, Topic{Name: topic})
	random := rand.NewChaCha8([32]byte{})
	value := make([]byte, DefaultMaxRecordBytes-64) // does not compress
	if _, err := random.Read(value); err != nil {
		t.Fatal(err)
	}
	list := []Record{{Value: []byte("before")}, {Value: value}, {Value: []byte("after")}}
	if size := list[1].Size(); size > DefaultMaxRecordBytes || size < DefaultMaxRecordBytes-64 {
		t.Fatalf("the record has %d bytes", size)
	}
	first, err := c.Produce(testContext(t), topic, 0, list)
	if err != nil || first != 0 {
		t.Fatalf("offset %d, error %v", first, err)
	}
	if got := read(t, c, topic, 0, 0, 3); !bytes.Equal(got[1].Value, value) {
		t.Error("the record came back otherwise")
	}
	list[1].Value = make([]byte, DefaultMaxRecordBytes)
	_, err = c.Produce(testContext(t), topic, 0, list)
	var large *TooLargeError
	if !errors.As(err, &large) || large.Index != 1 || large.Written != 0 || large.Limit != DefaultMaxRecordBytes || large.Bytes <= large.Limit {
		t.Errorf("error %v, want that record 1 is too large", err)
	}
}

func splitsWhatTheBrokerRefuses(t *testing.T, b *broker) {
	cfg := b.config()
	cfg.Compression = None
	c := dial(t, cfg)
	topic := topicOf(t)
	ensure(t, c, Topic{Name: topic, MaxRecordBytes: 20000})
	list := make([]Record, 100)
	for i := range list {
		list[i].Value = bytes.Repeat([]byte{byte(i)}, 1000)
	}
	if first, err := c.Produce(testContext(t), topic, 0, list); err != nil || first != 0 {
		t.Fatalf("offset %d, error %v", first, err)
	}
	for i, r := range read(t, c, topic, 0, 0, len(list)) {
		if !bytes.Equal(r.Value, list[i].Value) {
			t.Fatalf("record %d is not the one that was written there", i)
		}
	}
	list = append(list[:10], Record{Value: make([]byte, 30000)})
	_, err := c.Produce(testContext(t), topic, 0, list)
	var large *TooLargeError
	if !errors.As(err, &large) || large.Index != 10 || large.Written != 10 || large.Limit != 0 {
		t.Errorf("error %v, want that the broker refuses record 10", err)
	}
}

func waitsForATopic(t *testing.T, b *broker) {
	c := dial(t, b.config())
	topic := topicOf(t)
	_, _, _, err := c.Fetch(testContext(t), topic, 0, 0, 1<<20, time.Second)
	var transient *TransientError
	if !errors.As(err, &transient) || transient.Reason != "unknown_topic" {
		t.Fatalf("error %v, want that the topic is not known", err)
	}
	if d, err := c.Describe(testContext(t), topic); d != nil || err != nil {
		t.Fatalf("the topic is %+v (%v): asking has created it", d, err)
	}
	ensure(t, dial(t, b.config()), Topic{Name: topic})
	write(t, c, topic, 0, "x")
	read(t, c, topic, 0, 0, 1)
}

func checksTopics(t *testing.T, b *broker) {
	core, logs := observer.New(zap.WarnLevel)
	cfg := b.config()
	cfg.Logger = zap.New(core)
	c := dial(t, cfg)
	topic := topicOf(t)
	ensure(t, c, Topic{Name: topic, Partitions: 2, Retention: time.Hour, MaxRecordBytes: 5000})
	ensure(t, c, Topic{Name: topic, Partitions: 2, Retention: time.Hour, MaxRecordBytes: 5000})
	if logs.Len() != 0 {
		t.Errorf("warnings about a topic that is as it should be: %v", logs.All())
	}
	err := c.EnsureTopic(testContext(t), Topic{Name: topic, Partitions: 4})
	var wrong *TopicError
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "2 partitions") || !strings.Contains(err.Error(), "bus.partitions") {
		t.Errorf("error %v, want that it has 2 partitions", err)
	}
	_, err = c.Produce(testContext(t), topic, 3, []Record{{}})
	if !errors.As(err, &wrong) {
		t.Errorf("to a partition that is not there: %v", err)
	}
	ensure(t, c, Topic{Name: topic, Partitions: 2, Retention: time.Hour, MaxRecordBytes: 50000, ReplicationFactor: 3})
	var said strings.Builder
	for _, e := range logs.All() {
		said.WriteString(e.ContextMap()["difference"].(string)) //nolint:forcetypeassert // it fails the test
	}
	for _, setting := range []string{"max.message.bytes", "replicas"} {
		if !strings.Contains(said.String(), setting) {
			t.Errorf("no warning about %s: %s", setting, said.String())
		}
	}
	topics, err := c.ListTopics(testContext(t))
	if err != nil || topics[topic] != 2 {
		t.Errorf("topics %v, error %v", topics, err)
	}
	brokers, err := c.Ping(testContext(t))
	if err != nil || len(brokers) != 1 {
		t.Errorf("brokers %v, error %v", brokers, err)
	}
	err = eventually(testContext(t), func(ctx context.Context) error {
		return c.EnsureTopic(ctx, Topic{Name: topic + "-3", Partitions: 1, ReplicationFactor: 3})
	})
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "bus.replication_factor") {
		t.Errorf("three replicas on one broker: %v", err)
	}
}

func keepsRecordsThroughARestart(t *testing.T, b *broker) { keepsRecords(t, b, b.restart) }

func keepsRecordsThroughACrash(t *testing.T, b *broker) { keepsRecords(t, b, b.crash) }

// keepsRecords writes before, during and after the broker is away, with a poll that goes on all the time.
func keepsRecords(t *testing.T, b *broker, away func()) {
	c := dial(t, b.config())
	topic := topicOf(t)
	ensure(t, c, Topic{Name: topic})
	write(t, c, topic, 0, "before")
	ctx := testContext(t)
	var seen []string
	var reader sync.WaitGroup
	reader.Go(func() {
		var next int64
		err := eventually(ctx, func(ctx context.Context) error {
			for len(seen) == 0 || seen[len(seen)-1] != "end" {
				records, after, _, err := c.Fetch(ctx, topic, 0, next, 1<<20, patience)
				if err != nil {
					return err
				}
				for i := range records {
					seen = append(seen, string(records[i].Value))
				}
				next = after
			}
			return nil
		})
		if err != nil {
			t.Errorf("reading: %v", err)
		}
	})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := range 100 {
			if err := eventually(ctx, func(ctx context.Context) error {
				_, err := c.Produce(ctx, topic, 0, []Record{{Value: fmt.Append(nil, i)}})
				return err
			}); err != nil {
				t.Errorf("writing: %v", err)
			}
		}
	})
	away()
	writer.Wait()
	write(t, c, topic, 0, "end")
	reader.Wait()
	// A record may be there twice, as its acknowledgement may have been lost; never out of order, never not at all.
	next := 0
	for _, value := range seen[1:] {
		if value == fmt.Sprint(next) {
			next++
		} else if value != fmt.Sprint(next-1) && value != "end" {
			t.Fatalf("%q follows %d", value, next-1)
		}
	}
	if seen[0] != "before" || next != 100 {
		t.Errorf("of 100 records %d came", next)
	}
}
