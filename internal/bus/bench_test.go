package bus

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"meridian/internal/testenv"
)

// benchRecords are records of about 300 bytes that compress as JSON does, to about a third.
func benchRecords(count int) []Record {
	random := rand.New(rand.NewPCG(1, 2))
	list := make([]Record, count)
	for i := range list {
		value := fmt.Appendf(nil, `{"before":null,"after":{"id":%d,"customer":"customer %d","note":"%x"},"source":{"name":"us-east-1","db":"shop"}}`,
			i, random.IntN(1000), random.Uint64())
		list[i] = Record{Key: fmt.Appendf(nil, `{"id":%d}`, i), Value: append(value, bytes.Repeat([]byte(" "), max(0, 170-len(value)))...),
			Headers: []Header{{"meridian-version", []byte("1709210096789012@us-east-1")}, {"meridian-kind", []byte("change")}}}
	}
	return list
}

// through runs a benchmark against the embedded broker and against Kafka.
func through(b *testing.B, run func(b *testing.B, c *Client)) {
	b.Run("embedded", func(b *testing.B) {
		run(b, dial(b, startEmbedded(b, EmbeddedConfig{}).ClientConfig()))
	})
	b.Run("kafka", func(b *testing.B) {
		run(b, dial(b, Config{Brokers: []string{testenv.SharedKafka(b).Address}}))
	})
}

func perSecond(b *testing.B, records int) {
	b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkProduce(b *testing.B) {
	through(b, func(b *testing.B, c *Client) {
		topic := fmt.Sprintf("produce-%d", b.N)
		ensure(b, c, Topic{Name: topic})
		list := benchRecords(5000)
		size := 0
		for i := range list {
			size += list[i].Size()
		}
		write(b, c, topic, 0, "x")
		b.ReportMetric(float64(size)/float64(len(list)), "bytes/record")
		for b.Loop() {
			if _, err := c.Produce(b.Context(), topic, 0, list); err != nil {
				b.Fatal(err)
			}
		}
		perSecond(b, b.N*len(list))
	})
}

func BenchmarkFetch(b *testing.B) {
	through(b, func(b *testing.B, c *Client) {
		const total = 200_000
		topic := "fetch"
		ensure(b, c, Topic{Name: topic})
		if _, next, err := c.Offsets(b.Context(), topic, 0); err != nil || next < total {
			list := benchRecords(5000)
			for range total / len(list) {
				if _, err := c.Produce(b.Context(), topic, 0, list); err != nil {
					b.Fatal(err)
				}
			}
		}
		read := 0
		var next int64
		b.ReportAllocs()
		for b.Loop() {
			for next = 0; next < total; {
				records, after, _, err := c.Fetch(b.Context(), topic, 0, next, 4<<20, time.Second)
				if err != nil {
					b.Fatal(err)
				}
				read, next = read+len(records), after
			}
		}
		perSecond(b, read)
	})
}

// BenchmarkDelay measures from before Produce until a poll that waits elsewhere has the record.
func BenchmarkDelay(b *testing.B) {
	through(b, func(b *testing.B, c *Client) {
		topic := fmt.Sprintf("delay-%d", b.N)
		ensure(b, c, Topic{Name: topic})
		write(b, c, topic, 0, "x")
		list := benchRecords(1)
		came := make(chan time.Time)
		ctx, cancel := context.WithCancel(b.Context())
		go func() {
			defer close(came)
			for next := int64(1); ; next++ {
				if _, _, _, err := c.Fetch(ctx, topic, 0, next, 1<<20, patience); err != nil {
					return
				}
				select {
				case came <- time.Now():
				case <-ctx.Done():
					return
				}
			}
		}()
		var delays []time.Duration
		for b.Loop() {
			start := time.Now()
			if _, err := c.Produce(ctx, topic, 0, list); err != nil {
				b.Fatal(err)
			}
			delays = append(delays, (<-came).Sub(start))
		}
		cancel()
		for range came {
		}
		slices.Sort(delays)
		b.ReportMetric(float64(delays[len(delays)/2].Microseconds()), "p50-us")
		b.ReportMetric(float64(delays[len(delays)*99/100].Microseconds()), "p99-us")
	})
}
