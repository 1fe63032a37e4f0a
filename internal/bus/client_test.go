package bus

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestSmoke(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{NoSync: true})
	c := dial(t, e.ClientConfig())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	fmt.Println(c.Ping(ctx))
	if err := c.EnsureTopic(ctx, Topic{Name: "x", Partitions: 4, ReplicationFactor: 1, Retention: time.Hour}); err != nil {
		t.Fatal(err)
	}
	first, err := c.Produce(ctx, "x", 2, []Record{{Key: []byte("k"), Value: []byte("v"), Headers: []Header{{"a", []byte("b")}}}, {Value: []byte("w")}})
	fmt.Println(first, err)
	f, next, _, err := c.Fetch(ctx, "x", 2, 0, 1<<20, time.Second)
	fmt.Printf("%+v %d %v\n", f, next, err)
	f, next, _, err = c.Fetch(ctx, "x", 2, 7, 1<<20, time.Second)
	fmt.Printf("%+v %d %v\n", f, next, err)
	d, err := c.Describe(ctx, "x")
	fmt.Println(d, err)
	fmt.Println(c.ListTopics(ctx))
}
