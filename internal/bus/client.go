package bus

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// Client talks to one Kafka cluster. It is safe for concurrent use: each request that runs at the same time has a
// connection of its own, so a long poll delays nobody. It has no goroutine of its own; every call ends with its context.
type Client struct {
	cfg        Config
	refreshing chan struct{} // held while the layout is asked for

	mu        sync.Mutex // guards all below; never held while waiting
	closed    bool
	open      map[net.Conn]struct{} // all connections, idle or not, for Close
	idle      map[string][]*conn    // by broker address; last in, first out
	layout    *layout
	preferred string         // the broker that answered a metadata request last
	limits    map[string]int // by topic: the largest batch that the broker took or said it takes
}

// Dial checks the configuration and makes a Client. It does not connect: a broker that is down is found by the first
// request, or by Ping.
func Dial(cfg Config) (*Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Client{
		cfg:        cfg,
		refreshing: make(chan struct{}, 1),
		open:       make(map[net.Conn]struct{}),
		idle:       make(map[string][]*conn),
		layout:     new(layout),
		preferred:  cfg.Brokers[0],
		limits:     make(map[string]int),
	}, nil
}

// Close closes all connections; calls that are under way fail. It always returns nil.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	open := c.open
	c.open = make(map[net.Conn]struct{})
	c.idle = make(map[string][]*conn)
	c.mu.Unlock()
	for raw := range open {
		_ = raw.Close() // nothing is left to be said on it
	}
	return nil
}

// Ping asks a broker for the cluster's brokers and returns their addresses. The error tells what stands in the way: a
// *TransientError when none can be reached, a *DeniedError when they do not accept us.
func (c *Client) Ping(ctx context.Context) ([]string, error) {
	res, err := c.askMetadata(ctx, []string{})
	if err != nil {
		return nil, err
	}
	return newLayout(res).brokers, nil
}

// withLeader runs a request at a partition's leader. When the leader turns out to have moved, it asks who leads now and tries
// there once; moving on from there is the caller's decision.
func (c *Client) withLeader(ctx context.Context, op, topic string, partition int, timeout time.Duration, run func(*conn) error) error {
	for attempt := 0; ; attempt++ {
		addr, generation, err := c.leader(ctx, op, topic, partition)
		if err != nil {
			return settled(err)
		}
		err = c.call(ctx, addr, timeout, op != opProduce, run)
		if err == nil {
			return nil
		}
		var moved *staleError
		var down *TransientError
		var broken *transportError
		switch {
		case errors.As(err, &moved):
			c.forget(generation)
			if attempt == 0 {
				continue
			}
			return moved.err
		case errors.As(err, &broken), errors.As(err, &down):
			c.forget(generation) // the broker may have gone for good
		}
		return requestError(op, topic, partition, err)
	}
}

// settled takes off the wrapper that says "ask again who leads" from an error that leaves the package.
func settled(err error) error {
	var moved *staleError
	if errors.As(err, &moved) {
		return moved.err
	}
	return err
}
