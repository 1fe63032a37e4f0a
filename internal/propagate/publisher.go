package propagate

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"meridian/internal/bus"
	"meridian/internal/envelope"
	"meridian/internal/retry"
)

// Producer writes records to one partition of the region's own topic, in order, and returns the offset of the first when
// all replicas have them.
type Producer interface {
	Produce(ctx context.Context, topic string, partition int, records []bus.Record) (first int64, err error)
}

// Undeliverable takes a change whose record the bus does not accept, because it is too large: it is kept where it was
// written, as a dead change, and the rest goes on.
type Undeliverable interface {
	TooLarge(ctx context.Context, shard int, m *envelope.Message, r bus.Record) error
}

// PublisherConfig sets the bounds of a Publisher.
type PublisherConfig struct {
	Topic          string
	Shards         []int // that this process owns
	MaxRecordBytes int
	RequestBytes   int // about how much goes into one request
	PendingBytes   int // how much may wait, in all
	Retry          retry.Policy
}

// Publisher puts the region's own changes on its topic, each shard's in order. It is used once.
//
// Invariants:
//   - One request is in flight for a partition, and it is repeated until it is acknowledged: the order in the topic is
//     the order of the binlog. A repetition may write records twice; they carry their versions, and do no harm.
//   - Acknowledged(s) means: every change with a sequence up to s is in the bus, acknowledged by all its replicas. The
//     ledger's checkpoint never passes it.
type Publisher struct {
	cfg      PublisherConfig
	producer Producer
	dead     Undeliverable
	clock    retry.Clock
	log      *zap.Logger
	reach    func(step string)
	acked    func(m *envelope.Message)
	retried  func(err error)

	mu      sync.Mutex
	lanes   map[int]*lane
	pending int           // bytes, all lanes
	last    uint64        // the greatest sequence that was put
	room    chan struct{} // closed and replaced when something was acknowledged
	paused  bool
	resume  chan struct{} // closed while not paused
}

// lane is one shard's queue.
type lane struct {
	shard   int
	waiting []Outbound
	flying  []Outbound
	next    int64         // the offset behind the last acknowledged record; -1: none yet
	news    chan struct{} // capacity 1
	encoder envelope.Encoder
	open    *envelope.Message // the last change that was sent, while its transaction is not over
}

// Outbound is a message to be published.
type Outbound struct {
	Shard    int
	Message  *envelope.Message
	Sequence uint64 // numbers the changes of all shards in binlog order, from 1; 0 for control records
	Bytes    int    // about what it takes
}

// PublisherDeps are what a Publisher is joined to.
type PublisherDeps struct {
	Producer      Producer
	Undeliverable Undeliverable
	Clock         retry.Clock
	Log           *zap.Logger
	Reached       func(step string)
	// Acknowledged hears of each message that the bus has, in the order of its shard. May be nil.
	Acknowledged func(m *envelope.Message)
	Retried      func(err error) // hears of each failed request. May be nil
}

// NewPublisher makes a publisher. next gives for each shard the offset at the end of its partition.
func NewPublisher(cfg PublisherConfig, next map[int]int64, d PublisherDeps) *Publisher {
	p := &Publisher{
		cfg: cfg, producer: d.Producer, dead: d.Undeliverable, clock: d.Clock, log: d.Log, reach: d.Reached, acked: d.Acknowledged, retried: d.Retried,
		lanes: map[int]*lane{}, room: make(chan struct{}), resume: make(chan struct{}),
	}
	close(p.resume)
	if p.reach == nil {
		p.reach = func(string) {}
	}
	if p.retried == nil {
		p.retried = func(error) {}
	}
	if p.acked == nil {
		p.acked = func(*envelope.Message) {}
	}
	for _, s := range cfg.Shards {
		p.lanes[s] = &lane{shard: s, next: next[s], news: make(chan struct{}, 1)}
	}
	return p
}

// Put queues messages, each for its shard. It waits while too much is pending; control records never wait. Called by one
// goroutine for changes, in the order of their sequences; by any for control records.
func (p *Publisher) Put(ctx context.Context, list ...Outbound) error {
	if len(list) == 0 {
		return nil
	}
	for {
		p.mu.Lock()
		if p.pending < p.cfg.PendingBytes || list[0].Sequence == 0 {
			break
		}
		room := p.room
		p.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer p.mu.Unlock()
	for i := range list {
		l := p.lanes[list[i].Shard]
		l.waiting = append(l.waiting, list[i])
		p.pending += list[i].Bytes
		p.last = max(p.last, list[i].Sequence)
		select {
		case l.news <- struct{}{}:
		default:
		}
	}
	return nil
}

// Acknowledged gives the greatest sequence up to which the bus has everything.
func (p *Publisher) Acknowledged() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acknowledged()
}

func (p *Publisher) acknowledged() uint64 {
	least := p.last
	for _, l := range p.lanes {
		if s := l.oldest(); s != 0 {
			least = min(least, s-1)
		}
	}
	return least
}

func (l *lane) oldest() uint64 {
	for _, list := range [][]Outbound{l.flying, l.waiting} {
		for i := range list {
			if list[i].Sequence != 0 {
				return list[i].Sequence
			}
		}
	}
	return 0
}

// WaitAcknowledged waits until the bus has every change up to the sequence.
func (p *Publisher) WaitAcknowledged(ctx context.Context, sequence uint64) error {
	for {
		p.mu.Lock()
		ok, room := p.acknowledged() >= sequence, p.room
		p.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Ends gives, for each owned shard, the offset behind the last acknowledged record of this region's topic.
func (p *Publisher) Ends() map[int]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	ends := make(map[int]int64, len(p.lanes))
	for s, l := range p.lanes {
		ends[s] = l.next
	}
	return ends
}

// Pause stops the sending, or lets it go on, and tells whether it was stopped before. What is put meanwhile waits.
func (p *Publisher) Pause(paused bool) (was bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was, p.paused = p.paused, paused
	switch {
	case paused && !was:
		p.resume = make(chan struct{})
	case !paused && was:
		close(p.resume)
	}
	return was
}

func (p *Publisher) waitResumed(ctx context.Context) error {
	p.mu.Lock()
	resume := p.resume
	p.mu.Unlock()
	select {
	case <-resume:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Pending gives how many bytes wait to be acknowledged, about.
func (p *Publisher) Pending() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pending
}

// Run publishes until the context ends.
func (p *Publisher) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range p.lanes {
		g.Go(func() error {
			if err := p.publish(ctx, l); err != nil {
				return fmt.Errorf("publishing shard %d: %w", l.shard, err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (p *Publisher) publish(ctx context.Context, l *lane) error {
	for {
		select {
		case <-l.news:
		case <-ctx.Done():
			return ctx.Err()
		}
		for {
			if err := p.waitResumed(ctx); err != nil {
				return err
			}
			batch := p.load(l)
			if len(batch) == 0 {
				break
			}
			if err := p.send(ctx, l, batch); err != nil {
				return err
			}
		}
	}
}

// load moves the next request's worth from waiting to flying.
func (p *Publisher) load(l *lane) []Outbound {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, bytes := 0, 0
	for n < len(l.waiting) && (n == 0 || bytes+l.waiting[n].Bytes <= p.cfg.RequestBytes) {
		bytes += l.waiting[n].Bytes
		n++
	}
	l.flying = l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	return l.flying
}

func (p *Publisher) send(ctx context.Context, l *lane, batch []Outbound) error {
	records := make([]bus.Record, 0, len(batch))
	l.encoder.Reset()
	for i := range batch {
		m := batch[i].Message
		r, err := l.encode(m)
		if err != nil {
			return err
		}
		if r.Size() > p.cfg.MaxRecordBytes {
			if err = p.setAside(ctx, l.shard, m, r); err != nil {
				return err
			}
			if m = l.ending(m); m == nil {
				continue
			}
			if r, err = l.encode(m); err != nil {
				return err
			}
		}
		if m.Change != nil {
			l.open = m
		}
		records = append(records, r)
	}
	next := int64(-1)
	if len(records) > 0 {
		p.reach("publish.begin")
		var err error
		if next, err = p.produce(ctx, l.shard, records); err != nil {
			return err
		}
		p.reach("publish.acknowledged")
	}
	for i := range batch {
		p.acked(batch[i].Message)
	}
	p.mu.Lock()
	if next >= 0 {
		l.next = next
	}
	l.flying = nil
	for i := range batch {
		p.pending -= batch[i].Bytes
	}
	close(p.room)
	p.room = make(chan struct{})
	p.mu.Unlock()
	return nil
}

func (l *lane) encode(m *envelope.Message) (r bus.Record, err error) {
	if r, err = l.encoder.Encode(m); err != nil {
		return r, fmt.Errorf("encoding a change: %w", err)
	}
	return r, nil
}

// ending gives what is sent in place of a change that is set aside: if that was its transaction's last, the one sent
// before it, again, as the last. Who keeps transactions whole would wait for the end otherwise; a repetition does no harm.
func (l *lane) ending(m *envelope.Message) *envelope.Message {
	before := l.open
	if !m.Source.Last || before == nil || before.Source.Last || before.Source.GTID != m.Source.GTID {
		return nil
	}
	again := *before
	again.Source.Last = true
	return &again
}

// produce repeats the request until all records are acknowledged, and returns the offset behind the last.
func (p *Publisher) produce(ctx context.Context, shard int, records []bus.Record) (int64, error) {
	backoff := retry.NewBackoff(p.cfg.Retry, p.clock)
	for tries := 0; ; tries++ {
		first, err := p.producer.Produce(ctx, p.cfg.Topic, shard, records)
		if err == nil {
			if tries > 0 {
				p.log.Info("the bus acknowledges again", zap.String("topic", p.cfg.Topic), zap.Int("partition", shard), zap.Int("tries", tries))
			}
			return first + int64(len(records)), nil
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		p.retried(err)
		if tries == 0 { // the metric counts the others
			p.log.Warn("the bus did not acknowledge; trying again until it does, capture waits when memory is full",
				zap.String("topic", p.cfg.Topic), zap.Int("partition", shard), zap.Int("records", len(records)), zap.Error(err))
		}
		if err = backoff.Failed(ctx, err); err != nil {
			return 0, err
		}
	}
}

func (p *Publisher) setAside(ctx context.Context, shard int, m *envelope.Message, r bus.Record) error {
	if m.Change == nil {
		return fmt.Errorf("a control record of %d bytes is larger than the bus accepts: %w", r.Size(), errors.ErrUnsupported)
	}
	p.log.Error("a row is larger than the bus accepts: it stays in this region as a dead change (syncer parked list)",
		zap.Stringer("table", m.Change.Table), zap.Stringer("version", m.Change.Version), zap.Int("bytes", r.Size()), zap.Int("max_record_bytes", p.cfg.MaxRecordBytes))
	backoff := retry.NewBackoff(p.cfg.Retry, p.clock)
	for {
		err := p.dead.TooLarge(ctx, shard, m, r)
		if err == nil || ctx.Err() != nil {
			return err
		}
		p.log.Warn("a dead change could not be stored; trying again", zap.Error(err))
		if err = backoff.Failed(ctx, err); err != nil {
			return err
		}
	}
}
