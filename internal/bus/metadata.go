package bus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// layout is what is known of the cluster. It is immutable; a refresh makes another one.
type layout struct {
	generation uint64
	brokers    []string // addresses
	controller string
	topics     map[string]topicLayout
}

type topicLayout struct {
	err      error    // why nothing is known of it
	leaders  []string // by partition; "" for none
	replicas int      // of the partition that has the fewest
}

// leader gives the address of a partition's leader and the generation of the layout that says so.
func (c *Client) leader(ctx context.Context, op, topic string, partition int) (addr string, generation uint64, err error) {
	l := c.known()
	if l.topics[topic].leaders == nil {
		if l, err = c.refresh(ctx, topic, l.generation); err != nil {
			return "", 0, err
		}
	}
	t := l.topics[topic]
	if t.err != nil {
		return "", l.generation, t.err
	}
	if partition < 0 || partition >= len(t.leaders) {
		c.forget(l.generation)
		return "", l.generation, &TopicError{Topic: topic, There: fmt.Sprintf("%d partitions", len(t.leaders)),
			Wanted: fmt.Sprintf("one with the number %d", partition), Fix: "set bus.partitions to the number of partitions that the topics have"}
	}
	if t.leaders[partition] == "" {
		c.forget(l.generation)
		return "", l.generation, &TransientError{Op: op, Topic: topic, Partition: partition, Reason: "no_leader", Err: kafka.LeaderNotAvailable}
	}
	return t.leaders[partition], l.generation, nil
}

func (c *Client) known() *layout {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.layout
}

// forget marks the layout of that generation as not to be believed any more.
func (c *Client) forget(generation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.layout.generation == generation {
		next := *c.layout
		next.generation++
		next.topics = make(map[string]topicLayout, len(c.layout.topics))
		for name := range c.layout.topics {
			next.topics[name] = topicLayout{}
		}
		c.layout = &next
	}
}

// refresh asks the cluster for its layout, unless somebody else has done so since the generation seen.
// Only one request runs at a time: when a broker goes, everybody asks.
func (c *Client) refresh(ctx context.Context, topic string, seen uint64) (*layout, error) {
	select {
	case c.refreshing <- struct{}{}:
		defer func() { <-c.refreshing }()
	case <-ctx.Done():
		return nil, fmt.Errorf("bus: %s: %w", opMetadata, context.Cause(ctx))
	}
	l := c.known()
	if t := l.topics[topic]; l.generation > seen && (t.err != nil || t.leaders != nil) {
		return l, nil
	}
	names := make([]string, 0, len(l.topics)+1)
	for name := range l.topics {
		names = append(names, name)
	}
	if _, ok := l.topics[topic]; !ok {
		names = append(names, topic)
	}
	res, err := c.askMetadata(ctx, names)
	if err != nil {
		return nil, err
	}
	next := newLayout(res)
	c.mu.Lock()
	defer c.mu.Unlock()
	next.generation = c.layout.generation + 1
	c.layout = next
	return next, nil
}

// askMetadata asks one broker after another until one answers. Nil names mean all topics.
func (c *Client) askMetadata(ctx context.Context, names []string) (*metadata.Response, error) {
	var failures []error
	for _, addr := range c.candidates() {
		res, err := message[*metadata.Response](ctx, c, addr, &metadata.Request{TopicNames: names}, true)
		switch {
		case err == nil && len(res.Brokers) > 0:
			c.prefer(addr)
			return res, nil
		case err == nil:
			err = &TransientError{Op: opMetadata, Partition: -1, Reason: "no_leader", Err: fmt.Errorf("%s knows no brokers yet", addr)}
		case ctx.Err() != nil, errors.Is(err, ErrClosed):
			return nil, err
		}
		failures = append(failures, requestError(opMetadata+" from "+addr, "", -1, err))
	}
	return nil, worst(failures)
}

// worst makes one error of those of several brokers: credentials that one of them refuses matter more than one that is down.
func worst(failures []error) error {
	var denied *DeniedError
	for _, err := range failures {
		if errors.As(err, &denied) {
			return err
		}
	}
	if len(failures) == 1 {
		return failures[0]
	}
	reason := "connection"
	var t *TransientError
	if errors.As(failures[len(failures)-1], &t) {
		reason = t.Reason
	}
	return &TransientError{Op: "connect", Partition: -1, Reason: reason, Err: fmt.Errorf("no broker answers: %w", errors.Join(failures...))}
}

// candidates lists the brokers to ask: the one that answered last, then the configured ones, then those found through them.
func (c *Client) candidates() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]string, 0, 1+len(c.cfg.Brokers)+len(c.layout.brokers))
	all = append(all, c.preferred)
	for _, addr := range slices.Concat(c.cfg.Brokers, c.layout.brokers) {
		if !slices.Contains(all, addr) {
			all = append(all, addr)
		}
	}
	return all
}

func (c *Client) prefer(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.preferred = addr
}

func newLayout(res *metadata.Response) *layout {
	l := &layout{topics: make(map[string]topicLayout, len(res.Topics))}
	byID := make(map[int32]string, len(res.Brokers))
	for _, b := range res.Brokers {
		addr := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		byID[b.NodeID] = addr
		l.brokers = append(l.brokers, addr)
	}
	l.controller = byID[res.ControllerID]
	if l.controller == "" {
		l.controller = l.brokers[0] // it passes the request on (KRaft), or says that it is not the controller
	}
	for i := range res.Topics {
		l.topics[res.Topics[i].Name] = newTopicLayout(&res.Topics[i], byID)
	}
	return l
}

func newTopicLayout(t *metadata.ResponseTopic, byID map[int32]string) topicLayout {
	if err := answerError(opMetadata, t.Name, -1, t.ErrorCode, ""); err != nil {
		return topicLayout{err: err}
	}
	tl := topicLayout{leaders: make([]string, len(t.Partitions))}
	for _, p := range t.Partitions {
		if p.PartitionIndex < 0 || int(p.PartitionIndex) >= len(tl.leaders) {
			return topicLayout{err: &TransientError{Op: opMetadata, Topic: t.Name, Partition: int(p.PartitionIndex), Reason: "broker_error",
				Err: fmt.Errorf("the broker names partition %d of %d", p.PartitionIndex, len(tl.leaders))}}
		}
		tl.leaders[p.PartitionIndex] = byID[p.LeaderID]
		if n := len(p.ReplicaNodes); tl.replicas == 0 || n < tl.replicas {
			tl.replicas = n
		}
	}
	return tl
}
