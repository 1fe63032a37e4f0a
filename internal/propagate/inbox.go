package propagate

import (
	"context"
	"slices"
	"sync"

	"meridian/internal/bus"
	"meridian/internal/envelope"
)

// Inbound is one record of another region's topic, read and understood, or not.
type Inbound struct {
	Offset  uint64
	Bytes   int
	Message *envelope.Message // nil when the record cannot be read
	Reject  *Rejection        // why it is not for us; nil: it is
	Record  bus.Record        // as it came; kept because what is refused is parked whole
}

// inbox holds what the consumers of one shard have read ahead of its worker, a queue for each source.
//
// Ownership: consumers put, the worker takes. Invariant: offsets within a queue are in order and without gaps.
type inbox struct {
	most int // bytes per source

	mu     sync.Mutex
	queues map[string]*queue
	order  []string      // sources, for taking turns
	turn   int           // whose turn it is
	again  bool          // the last turn was that of the parked changes; the worker's own
	news   chan struct{} // capacity 1: something was put
	room   chan struct{} // closed and replaced when something was taken
}

type queue struct {
	items []Inbound
	bytes int
}

func newInbox(sources []string, mostBytes int) *inbox {
	b := &inbox{most: mostBytes, queues: map[string]*queue{}, order: slices.Clone(sources), news: make(chan struct{}, 1), room: make(chan struct{})}
	for _, s := range sources {
		b.queues[s] = &queue{}
	}
	return b
}

// put adds items, waiting while the source's queue is full.
func (b *inbox) put(ctx context.Context, source string, items []Inbound) error {
	for {
		b.mu.Lock()
		q := b.queues[source]
		if q.bytes < b.most {
			q.items = append(q.items, items...)
			for i := range items {
				q.bytes += items[i].Bytes
			}
			b.mu.Unlock()
			select {
			case b.news <- struct{}{}:
			default:
			}
			return nil
		}
		room := b.room
		b.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// limit bounds what is taken at once.
type limit struct {
	rows, bytes int
	// whole keeps a source's transactions together: what is taken ends with the last change of one, even beyond rows
	// and bytes, but never beyond transactionBytes.
	whole            bool
	transactionBytes int
}

// take gives the next items of one source, the sources taking turns; none when again was readable: then it is the parked
// changes' turn. It waits until there is anything. Parked changes come before the sources, which may have something to be
// taken at all times, but not twice in a row: a turn of theirs can take longer than it takes until more are due.
func (b *inbox) take(ctx context.Context, most limit, again <-chan struct{}) (source string, items []Inbound, err error) {
	if !b.again {
		select {
		case <-again:
			b.again = true
			return "", nil, nil
		default:
		}
	}
	for {
		b.mu.Lock()
		for i := range b.order {
			s := b.order[(b.turn+i)%len(b.order)]
			if n := b.queues[s].ready(most); n > 0 {
				b.turn = (b.turn + i + 1) % len(b.order)
				items = b.remove(b.queues[s], n)
				b.mu.Unlock()
				b.again = false
				return s, items, nil
			}
		}
		b.mu.Unlock()
		select {
		case <-b.news:
		case <-again:
			b.again = true
			return "", nil, nil
		case <-ctx.Done():
			return "", nil, ctx.Err()
		}
	}
}

func (b *inbox) remove(q *queue, n int) []Inbound {
	items := slices.Clone(q.items[:n])
	clear(q.items[:n])
	q.items = q.items[n:]
	if len(q.items) == 0 {
		q.items = nil
	}
	for i := range items {
		q.bytes -= items[i].Bytes
	}
	close(b.room)
	b.room = make(chan struct{})
	return items
}

// ready gives how many items may be taken now.
func (q *queue) ready(most limit) int {
	n, bytes, boundary, open := 0, 0, 0, false
	for i := range q.items {
		it := &q.items[i]
		bytes += it.Bytes
		n++
		if m := it.Message; m != nil && m.Change != nil {
			open = !m.Source.Last
		}
		if !open {
			boundary = n
		}
		full := n >= most.rows || bytes >= most.bytes
		if !most.whole && full {
			return n
		}
		if most.whole && full && boundary > 0 {
			return boundary
		}
		if most.whole && bytes >= most.transactionBytes {
			return n
		}
	}
	if most.whole {
		return boundary
	}
	return n
}
