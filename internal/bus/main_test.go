package bus

import (
	"context"
	"errors"
	"testing"
	"time"

	"meridian/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// patience bounds what a test waits for; it is never reached when all is well.
const patience = 180 * time.Second

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// startEmbedded starts a broker that ends with the test.
func startEmbedded(t testing.TB, cfg EmbeddedConfig) *Embedded {
	t.Helper()
	cfg.Listen = orDefault(cfg.Listen, "127.0.0.1:0")
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	e, err := StartEmbedded(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func dial(t testing.TB, cfg Config) *Client {
	t.Helper()
	c, err := Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // it has no error to give
	return c
}

// ensure creates a topic, with one partition if no number is given, and waits until its partitions have leaders.
func ensure(t testing.TB, c *Client, topic Topic) {
	t.Helper()
	topic.Partitions = orDefault(topic.Partitions, 1)
	topic.ReplicationFactor = orDefault(topic.ReplicationFactor, 1)
	topic.Retention = orDefault(topic.Retention, 168*time.Hour)
	mustEventually(t, func(ctx context.Context) error {
		err := c.EnsureTopic(ctx, topic)
		for p := 0; p < topic.Partitions && err == nil; p++ {
			_, _, err = c.Offsets(ctx, topic.Name, p)
		}
		return err
	})
}

// eventually calls f as a caller of this package does: again after a transient error, with a pause.
func eventually(ctx context.Context, f func(context.Context) error) error {
	for {
		err := f(ctx)
		var transient *TransientError
		if !errors.As(err, &transient) {
			return err
		}
		pause := time.NewTimer(20 * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return errors.Join(ctx.Err(), err)
		}
	}
}

func mustEventually(t testing.TB, f func(context.Context) error) {
	t.Helper()
	if err := eventually(testContext(t), f); err != nil {
		t.Fatal(err)
	}
}

// write produces values, again while errors are transient.
func write(t testing.TB, c *Client, topic string, partition int, values ...string) (first int64) {
	t.Helper()
	records := make([]Record, len(values))
	for i := range values {
		records[i].Value = []byte(values[i])
	}
	mustEventually(t, func(ctx context.Context) (err error) {
		first, err = c.Produce(ctx, topic, partition, records)
		return err
	})
	return first
}

// read fetches from an offset on until it has count records.
func read(t testing.TB, c *Client, topic string, partition int, from int64, count int) []Record {
	t.Helper()
	var all []Record
	next := from
	mustEventually(t, func(ctx context.Context) error {
		for len(all) < count {
			records, after, _, err := c.Fetch(ctx, topic, partition, next, 1<<20, time.Second)
			if err != nil {
				return err
			}
			all, next = append(all, records...), after
		}
		return nil
	})
	for i := range all {
		if want := from + int64(i); all[i].Offset != want {
			t.Fatalf("record %d has offset %d, want %d", i, all[i].Offset, want)
		}
	}
	return all
}
