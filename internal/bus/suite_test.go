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
