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
	Source    string
	Topic     string
	Shard     int
	From      uint64
	Last      uint64 // the fingerprint of the record before From, as it was read; 0: not known
	Bytes     int    // of one request, about
	Wait      time.Duration
	Retry     retry.Policy
	Admission *Admission // what is for this region
}

// Consumer reads one partition of another region's topic, in order, and hands it to the shard's worker.
//
// Invariant: nothing is skipped.
//   - Lost records are a gap, which is announced and stays: the region must compare and repair. A partition that was truncated
//     or made anew, and has grown past the place since, is known by the record before it (recognise).
//   - A record of a newer format than this version reads waits, with all that follow it, for the upgrade.
//   - A record that is not for this shard and region is handed over as such, with its offset.
type Consumer struct {
	cfg     ConsumerConfig
	fetcher Fetcher
	put     func(ctx context.Context, source string, items []Inbound) error
	clock   retry.Clock
	log     *zap.Logger
	watch   func(Progress)

	next  uint64
	last  uint64        // the fingerprint of the record before next; 0: not known
	term  int32         // of the leader that took it
	sure  bool          // since the last failure: the partition still has it
	gap   *bus.GapError // stays until the partition has that record again
	known string        // what kind of failure has been announced and is not over
}

// Progress is how far a consumer has read.
type Progress struct {
	Source string
	Shard  int
	Next   uint64
	End    uint64 // the partition's high watermark
	Err    error  // what keeps it from reading; nil when all is well
}

// Stuck tells whether the consumer waits for a person: what keeps it from reading does not pass by itself.
func (p *Progress) Stuck() bool { return isStuck(p.Err) }

func isStuck(err error) bool {
	var gap *bus.GapError
	var newer *envelope.NewerFormatError
	return errors.As(err, &gap) || errors.As(err, &newer)
}

// NewConsumer makes a consumer that hands over to put and tells watch of its progress.
func NewConsumer(cfg ConsumerConfig, f Fetcher, put func(context.Context, string, []Inbound) error, clock retry.Clock, log *zap.Logger, watch func(Progress)) *Consumer {
	return &Consumer{cfg: cfg, fetcher: f, put: put, clock: clock, log: log, watch: watch, next: cfg.From, last: cfg.Last}
}

// Run reads until the context ends.
func (c *Consumer) Run(ctx context.Context) error {
	backoff := retry.NewBackoff(c.cfg.Retry, c.clock)
	for {
		records, end, err := c.fetch(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var items []Inbound
		if err == nil {
			items, err = c.read(records)
		}
		c.watch(Progress{Source: c.cfg.Source, Shard: c.cfg.Shard, Next: c.next, End: uint64(max(end, 0)), Err: err})
		if len(items) > 0 {
			if failed := c.put(ctx, c.cfg.Source, items); failed != nil {
				return failed
			}
			r := &records[len(items)-1]
			c.next, c.last, c.term = uint64(r.Offset)+1, r.Fingerprint(), r.LeaderEpoch
		}
		if err != nil {
			c.announce(err)
			if err = backoff.Failed(ctx, err); err != nil {
				return err
			}
			continue
		}
		backoff.Succeeded()
		c.known = ""
	}
}

// fetch reads the next records; none when there are none yet. After a failure, and where another leader took them than the
// record before them, it first makes sure that the partition still is the one that was read.
func (c *Consumer) fetch(ctx context.Context) (records []bus.Record, end int64, err error) {
	if !c.sure {
		if c.sure, err = c.recognise(ctx); err != nil {
			return nil, 0, err
		}
	}
	records, _, end, err = c.fetcher.Fetch(ctx, c.cfg.Topic, c.cfg.Shard, int64(c.next), c.cfg.Bytes, c.cfg.Wait)
	if err == nil && len(records) > 0 && (!c.sure || records[0].LeaderEpoch != c.term) {
		if c.sure, err = c.recognise(ctx); !c.sure {
			records = nil
		}
	}
	if err != nil {
		c.sure = false
		var gap *bus.GapError
		if errors.As(err, &gap) {
			c.gap = gap
		}
		return nil, end, err
	}
	return records, end, nil
}

// recognise looks whether the record before the next one still is the one that was read there: offsets alone do not tell a
// partition from one that has taken its place. Without an error it may not be sure yet, while a new leader does not know how
// far its log counts. Where retention has removed the record, or nothing is known of it, a gap that was found stays, and
// otherwise there is nothing that it could be told by.
func (c *Consumer) recognise(ctx context.Context) (sure bool, err error) {
	lasting := func() (bool, error) {
		if c.gap != nil {
			return false, c.gap
		}
		return true, nil
	}
	if c.last == 0 {
		return lasting()
	}
	records, _, end, err := c.fetcher.Fetch(ctx, c.cfg.Topic, c.cfg.Shard, int64(c.next)-1, 1, c.cfg.Wait)
	var gap *bus.GapError
	var corrupt *bus.CorruptError
	switch {
	case errors.As(err, &gap) && gap.Truncated():
		c.gap = &bus.GapError{Topic: c.cfg.Topic, Partition: c.cfg.Shard, Want: int64(c.next), First: gap.First, Next: gap.Next}
		return false, c.gap
	case errors.As(err, &gap), errors.As(err, &corrupt):
		return lasting()
	case err != nil && c.gap != nil:
		return false, c.gap
	case err != nil:
		return false, err
	case len(records) == 0:
		if c.gap != nil {
			return false, c.gap
		}
		return false, nil
	case records[0].Fingerprint() != c.last:
		c.gap = &bus.GapError{Topic: c.cfg.Topic, Partition: c.cfg.Shard, Want: int64(c.next), First: int64(c.next), Next: end, Replaced: true}
		return false, c.gap
	default:
		c.gap = nil
		return true, nil
	}
}

// announce logs a failure once until it is over or another one takes its place: what a person has to see to is an error,
// everything else passes by itself.
func (c *Consumer) announce(err error) {
	log, kind, text := c.log.Warn, "passing", "cannot read another region's changes; trying again"
	var gap *bus.GapError
	switch {
	case errors.As(err, &gap):
		log, kind = c.log.Error, "gap"
		text = "changes of another region are lost before they were read here: nothing more of this shard is read from it; compare the tables with that region, repair them, and then go on behind it with `syncer gap accept` (`syncer gap show` has the details)"
	case isStuck(err):
		log, kind = c.log.Error, "newer format"
		text = "another region's changes need a newer version of Meridian: this shard's wait in their topic until this process is upgraded"
	}
	if c.known == kind {
		return
	}
	c.known = kind
	log(text, zap.String("source", c.cfg.Source), zap.Int("shard", c.cfg.Shard), zap.Uint64("offset", c.next), zap.Error(err))
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

// read understands records, up to the first one of a newer format, which is the error then.
func (c *Consumer) read(records []bus.Record) ([]Inbound, error) {
	items := make([]Inbound, 0, len(records))
	for i := range records {
		r := &records[i]
		m, err := envelope.Decode(r)
		var newer *envelope.NewerFormatError
		if errors.As(err, &newer) && newer.Origin == c.cfg.Source {
			return items, fmt.Errorf("%s/%d, offset %d: %w", c.cfg.Topic, c.cfg.Shard, r.Offset, err)
		}
		it := Inbound{Offset: uint64(r.Offset), Record: *r, Message: m, Bytes: inMemory(r, m)}
		if err != nil {
			it.Reject = &Rejection{Reason: "malformed", Err: err}
		} else {
			it.Reject = c.cfg.Admission.judge(m, c.cfg.Source, c.cfg.Shard)
		}
		items = append(items, it)
	}
	return items, nil
}
