package propagate

import (
	"context"
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
	// TooLarge may hear of one change again, after a restart: it is one all the same.
	TooLarge(ctx context.Context, shard int, m *envelope.Message, r bus.Record, why *bus.TooLargeError) error
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
//     the order of the binlog. A repetition may write records twice; they carry their versions, and do no harm. A row
//     that the bus takes in no request is set aside, and its place is left empty.
//   - Acknowledged(s) means: every change with a sequence up to s is in the bus, acknowledged by all its replicas, or set
//     aside. The ledger's checkpoint never passes it.
type Publisher struct {
	cfg      PublisherConfig
	producer Producer
	dead     Undeliverable
	clock    retry.Clock
	log      *zap.Logger
	reach    func(step string)
	acked    func(m *envelope.Message)
	answered func(shard int, err error)

	mu      sync.Mutex
	lanes   map[int]*lane
	pending int           // bytes, all lanes
	last    uint64        // the greatest sequence that was put
	room    chan struct{} // closed and replaced when something was acknowledged
	paused  bool
	resume  chan struct{} // closed while not paused
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
	// Answered hears of each request: nil when the bus has what was in it, else why it is repeated. May be nil.
	Answered func(shard int, err error)
}

// NewPublisher makes a publisher. next gives for each shard the offset at the end of its partition.
func NewPublisher(cfg PublisherConfig, next map[int]int64, d PublisherDeps) *Publisher {
	p := &Publisher{
		cfg: cfg, producer: d.Producer, dead: d.Undeliverable, clock: d.Clock, log: d.Log, reach: d.Reached, acked: d.Acknowledged, answered: d.Answered,
		lanes: map[int]*lane{}, room: make(chan struct{}), resume: make(chan struct{}),
	}
	close(p.resume)
	if p.reach == nil {
		p.reach = func(string) {}
	}
	if p.answered == nil {
		p.answered = func(int, error) {}
	}
	if p.acked == nil {
		p.acked = func(*envelope.Message) {}
	}
	for _, s := range cfg.Shards {
		p.lanes[s] = &lane{shard: s, next: next[s], news: make(chan struct{}, 1)}
	}
	return p
}

// Put queues messages, each for its shard. It waits while too much is pending; control records never wait, and do not pile
// up (lane.put). Called by one goroutine for changes, in the order of their sequences; by any for control records.
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
		p.pending += l.put(list[i])
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
			p.mu.Lock()
			batch := l.load(p.cfg.RequestBytes)
			p.mu.Unlock()
			if len(batch) == 0 {
				break
			}
			if err := p.send(ctx, l, batch); err != nil {
				return err
			}
		}
	}
}
