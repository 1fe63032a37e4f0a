package propagate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"meridian/internal/bus"
	"meridian/internal/envelope"
	"meridian/internal/retry"
)

// Fetcher reads records of one partition from an offset on, waiting up to wait for the first. A *bus.GapError says that
// records before the ones that are there are lost.
type Fetcher interface {
	Fetch(ctx context.Context, topic string, partition int, offset int64, maxBytes int, wait time.Duration) (records []bus.Record, next, highWatermark int64, err error)
}

// ConsumerConfig says what a Consumer reads.
type ConsumerConfig struct {
	Source string
	Topic  string
	Shard  int
	From   uint64
	Bytes  int           // of one request, about
	Wait   time.Duration // of one long poll
	Retry  retry.Policy
}

// Consumer reads one partition of another region's topic, in order, and hands it to the shard's worker.
//
// Invariant: nothing is skipped. Lost records are a gap, which is announced and stays: the region must compare and
// repair. A record that is no change of ours is handed over as such, with its offset.
type Consumer struct {
	cfg     ConsumerConfig
	fetcher Fetcher
	put     func(ctx context.Context, source string, items []Inbound) error
	clock   retry.Clock
	log     *zap.Logger
	watch   func(Progress)
}

// Progress is how far a consumer has read.
type Progress struct {
	Source string
	Shard  int
	Next   uint64
	End    uint64 // the partition's high watermark
	Err    error  // what keeps it from reading; nil when all is well
}

// NewConsumer makes a consumer that hands over to put and tells watch of its progress.
func NewConsumer(cfg ConsumerConfig, f Fetcher, put func(context.Context, string, []Inbound) error, clock retry.Clock, log *zap.Logger, watch func(Progress)) *Consumer {
	return &Consumer{cfg: cfg, fetcher: f, put: put, clock: clock, log: log, watch: watch}
}

// Run reads until the context ends.
func (c *Consumer) Run(ctx context.Context) error {
	next := c.cfg.From
	backoff := retry.NewBackoff(c.cfg.Retry, c.clock)
	announced := false
	for {
		records, after, end, err := c.fetcher.Fetch(ctx, c.cfg.Topic, c.cfg.Shard, int64(next), c.cfg.Bytes, c.cfg.Wait)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.watch(Progress{Source: c.cfg.Source, Shard: c.cfg.Shard, Next: next, End: uint64(max(end, 0)), Err: err})
		if err != nil {
			if !announced {
				announced = true
				c.announce(err)
			}
			if err = backoff.Failed(ctx, err); err != nil {
				return err
			}
			continue
		}
		backoff.Succeeded()
		announced = false
		if len(records) > 0 {
			if err := c.put(ctx, c.cfg.Source, c.read(records)); err != nil {
				return err
			}
		}
		next = uint64(after)
	}
}

// announce logs a failure once until it is over; a gap is an error, everything else passes by itself.
func (c *Consumer) announce(err error) {
	log := c.log.Warn
	var gap *bus.GapError
	if errors.As(err, &gap) {
		log = c.log.Error
	}
	log("cannot read another region's changes; trying again", zap.String("source", c.cfg.Source), zap.Int("shard", c.cfg.Shard), zap.Error(err))
}

// inMemory is about what a record and what was read of it take: its bytes are kept, as it may have to be parked whole, and
// the values beside them.
func inMemory(r *bus.Record, m *envelope.Message) int {
	n := 256 + 2*r.Size()
	if m != nil && m.Change != nil {
		const valueBytes = 40
		n += valueBytes * (len(m.Change.Before) + len(m.Change.After))
	}
	return n
}

func (c *Consumer) read(records []bus.Record) []Inbound {
	items := make([]Inbound, len(records))
	for i := range records {
		r := &records[i]
		it := Inbound{Offset: uint64(r.Offset), Record: *r}
		m, err := envelope.Decode(r)
		it.Bytes = inMemory(r, m)
		switch {
		case err != nil:
			it.Reject = err
		case m.Change != nil && m.Source.Region != c.cfg.Source:
			it.Reject = fmt.Errorf("the record says that it is of %q, and stands in the topic of %q", m.Source.Region, c.cfg.Source)
		default:
			it.Message = m
		}
		items[i] = it
	}
	return items
}
