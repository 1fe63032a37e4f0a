package bus

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// keepIdle is how many idle connections to one broker are kept: one for each request that runs at the same time.
const keepIdle = 64

// register remembers an open connection so that Close can end it. It is false when the client is closed.
func (c *Client) register(raw net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.open[raw] = struct{}{}
	return true
}

// discard closes a connection that is of no more use.
func (c *Client) discard(k *conn) {
	c.mu.Lock()
	delete(c.open, k.raw)
	c.mu.Unlock()
	_ = k.net.Close() // the connection is given up: how it ends tells nobody anything
}

// take gives an idle connection to the broker, or a new one. reused says which.
func (c *Client) take(ctx context.Context, addr string) (k *conn, reused bool, err error) {
	for {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return nil, false, ErrClosed
		}
		idle := c.idle[addr]
		if len(idle) == 0 {
			c.mu.Unlock()
			k, err = c.connect(ctx, addr)
			return k, false, err
		}
		k = idle[len(idle)-1]
		c.idle[addr] = idle[:len(idle)-1]
		c.mu.Unlock()
		if k.alive(time.Now()) {
			return k, true, nil
		}
		c.discard(k)
	}
}

// give puts a connection back that is ready for the next request.
func (c *Client) give(k *conn) {
	c.mu.Lock()
	if !c.closed && len(c.idle[k.addr]) < keepIdle {
		c.idle[k.addr] = append(c.idle[k.addr], k)
		k = nil
	}
	c.mu.Unlock()
	if k != nil {
		c.discard(k)
	}
}

// dropIdle closes the idle connections to a broker after one of them has failed: the others rarely fare better.
func (c *Client) dropIdle(addr string) {
	c.mu.Lock()
	idle := c.idle[addr]
	delete(c.idle, addr)
	c.mu.Unlock()
	for _, k := range idle {
		c.discard(k)
	}
}

// transportError says that a request got no usable answer. Every other error that run returns comes from a broker's answer.
type transportError struct{ err error }

func (e *transportError) Error() string { return e.err.Error() }
func (e *transportError) Unwrap() error { return e.err }

// call runs one request on a connection to addr, for at most timeout. When a connection that was kept idle turns out to be dead
// and the request does no harm twice, it is run again on a new one. The error is a *transportError, one from connect, or run's own.
func (c *Client) call(ctx context.Context, addr string, timeout time.Duration, repeatable bool, run func(*conn) error) error {
	for {
		k, reused, err := c.take(ctx, addr)
		if err != nil {
			return err
		}
		var spoiled bool
		spoiled, err = callOn(ctx, k, timeout, run)
		var broken *transportError
		if !errors.As(err, &broken) {
			if spoiled {
				c.discard(k)
			} else {
				c.give(k)
			}
			return err
		}
		c.discard(k)
		c.dropIdle(addr)
		if !reused || !repeatable || ctx.Err() != nil || isTimeout(err) {
			return err
		}
	}
}

// callOn runs one request on a connection, interruptible by ctx. When spoiled, the connection cannot be used again, though the
// answer may be good.
func callOn(ctx context.Context, k *conn, timeout time.Duration, run func(*conn) error) (spoiled bool, err error) {
	deadline := time.Now().Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err = k.net.SetDeadline(deadline); err != nil {
		return true, &transportError{err: err}
	}
	stop := context.AfterFunc(ctx, func() { _ = k.net.SetDeadline(past) })
	err = run(k)
	return !stop(), err
}

// message runs a request of kafka-go's on a connection to addr.
func message[T protocol.Message](ctx context.Context, c *Client, addr string, req protocol.Message, repeatable bool) (res T, err error) {
	err = c.call(ctx, addr, c.cfg.RequestTimeout, repeatable, func(k *conn) (err error) {
		res, err = roundTrip[T](k, req)
		return err
	})
	return res, err
}
