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
)

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
	if !errors.As(err, &large) || large.Index != 10 || large.Written != 10 || large.Next != 110 || large.Limit != 0 {
		t.Errorf("error %+v, want that the broker refuses record 10, behind offset 109", large)
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
