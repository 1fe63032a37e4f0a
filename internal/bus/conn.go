package bus

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
)

// conn is one connection to one broker. It carries one request at a time: who has taken it from the pool owns it.
type conn struct {
	addr     string
	clientID string
	net      net.Conn // with TLS, if there is any
	raw      net.Conn // the TCP connection itself
	in       *bufio.Reader
	versions map[protocol.ApiKey]apiRange // that the broker knows
	sequence int32                        // the last request's number
	expires  time.Time                    // when SASL's session ends; zero: never
}

type apiRange struct{ min, max int16 }

// past is a deadline that interrupts reads and writes in progress.
var past = time.Unix(1, 0)

// connect opens a connection, with TLS, version negotiation and SASL, within the dial timeout.
func (c *Client) connect(ctx context.Context, addr string) (*conn, error) {
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	raw, err := c.cfg.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, connectError(outer, addr, err)
	}
	if !c.register(raw) {
		return nil, errors.Join(ErrClosed, raw.Close())
	}
	k := &conn{addr: addr, clientID: c.cfg.ClientID, net: raw, raw: raw}
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(past) })
	err = c.greet(ctx, k)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		c.discard(k)
		return nil, connectError(outer, addr, err)
	}
	return k, nil
}

// greet does what comes before the first request on a connection.
func (c *Client) greet(ctx context.Context, k *conn) error {
	if c.cfg.TLS != nil {
		cfg := c.cfg.TLS
		if cfg.ServerName == "" {
			cfg = cfg.Clone()
			cfg.ServerName, _, _ = net.SplitHostPort(k.addr)
		}
		t := tls.Client(k.raw, cfg)
		if err := t.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("TLS: %w", err)
		}
		k.net = t
	}
	k.in = bufio.NewReader(k.net)
	if err := k.negotiate(); err != nil {
		return err
	}
	if c.cfg.SASL != nil {
		lifetime, err := authenticate(ctx, k, c.cfg.SASL)
		if err != nil {
			return err
		}
		if lifetime > 0 { // leave early: a request that is under way when the session ends is lost
			k.expires = time.Now().Add(lifetime * 8 / 10)
		}
	}
	return nil
}

// negotiate asks which versions of each request the broker knows.
func (k *conn) negotiate() error {
	res, err := roundTrip[*apiversions.Response](k, new(apiversions.Request))
	if err != nil {
		return fmt.Errorf("asking for API versions: %w", err)
	}
	if res.ErrorCode != 0 {
		return fmt.Errorf("asking for API versions: %w", kafka.Error(res.ErrorCode))
	}
	k.versions = make(map[protocol.ApiKey]apiRange, len(res.ApiKeys))
	for _, a := range res.ApiKeys {
		k.versions[protocol.ApiKey(a.ApiKey)] = apiRange{a.MinVersion, a.MaxVersion}
	}
	return nil
}

// version picks the highest version of a request that is in want and that the broker knows.
func (k *conn) version(key protocol.ApiKey, want apiRange) (int16, error) {
	have, ok := k.versions[key]
	v := min(have.max, want.max)
	if !ok || v < want.min || v < have.min {
		return 0, fmt.Errorf("bus: the broker at %s knows versions %d to %d of %s, Meridian %d to %d: Kafka 2.4 or later is needed",
			k.addr, have.min, have.max, key, want.min, want.max)
	}
	return v, nil
}

// alive tells whether an idle connection is still open: an answer, or an end, that nobody asked for says it is not.
func (k *conn) alive(now time.Time) bool {
	if !k.expires.IsZero() && now.After(k.expires) {
		return false
	}
	sc, ok := k.raw.(syscall.Conn)
	if !ok {
		return true
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	idle := false
	err = rc.Read(func(fd uintptr) bool {
		var b [1]byte
		_, rerr := syscall.Read(int(fd), b[:])
		idle = errors.Is(rerr, syscall.EAGAIN) || errors.Is(rerr, syscall.EWOULDBLOCK)
		return true
	})
	return err == nil && idle
}

// connectError says why there is no connection.
func connectError(outer context.Context, addr string, err error) error {
	if outer.Err() != nil {
		return fmt.Errorf("bus: connect %s: %w", addr, context.Cause(outer))
	}
	var denied *DeniedError
	if errors.As(err, &denied) {
		return err
	}
	var verify *tls.CertificateVerificationError // we do not trust the broker
	var alert *net.OpError                       // the broker does not trust us
	if errors.As(err, &verify) || errors.As(err, &alert) && alert.Op == "remote error" {
		return &DeniedError{Op: "connect " + addr, Err: err}
	}
	reason := "connection"
	var header tls.RecordHeaderError
	var size *frameError
	switch {
	case errors.As(err, &size):
		reason = "tls_or_plain"
	case errors.As(err, &header):
		reason = "tls_or_plain"
		err = fmt.Errorf("the broker does not speak TLS on this port: %w", err)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		reason = "tls_or_plain"
		err = fmt.Errorf("the broker closed the connection at once; it may expect TLS or SASL, or not be Kafka: %w", err)
	case isTimeout(err):
		reason = "timeout"
	}
	return &TransientError{Op: "connect " + addr, Partition: -1, Reason: reason, Err: err}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
