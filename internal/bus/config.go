package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"go.uber.org/zap"
)

// Limits that Kafka's defaults set: socket.request.max.bytes is 100 MiB, and a request holds one batch and some framing.
const (
	DefaultMaxRecordBytes = 32 << 20
	maxMaxRecordBytes     = 96 << 20
	defaultMaxBatchBytes  = 4 << 20
)

// Config tells how to reach a Kafka cluster. The zero value of each field but Brokers is usable.
type Config struct {
	Brokers  []string // host:port of some brokers; the others are found through them
	ClientID string   // what the brokers log; default "meridian"

	TLS  *tls.Config // nil: plain TCP. ServerName is taken from each broker's address when it is empty
	SASL *SASL       // nil: no authentication

	Compression    Compression // default lz4
	MaxRecordBytes int         // the largest record that Produce accepts, uncompressed, with its key and headers; default 32 MiB
	MaxBatchBytes  int         // how much Produce puts into one request, uncompressed, unless one record is larger; default 4 MiB

	DialTimeout    time.Duration // for TCP, TLS and SASL together; default 5 s
	RequestTimeout time.Duration // for one request, beside the wait of a long poll; default 30 s

	Logger *zap.Logger      // default: none
	Now    func() time.Time // the clock for records' times; default time.Now
	// Dial opens the TCP connections; default a net.Dialer. Tests put faults here.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// SASL is how to authenticate.
type SASL struct {
	Mechanism string // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	User      string
	Password  func() (string, error) // called for each connection, so that a rotated secret needs no restart
}

func (c Config) withDefaults() (Config, error) {
	if len(c.Brokers) == 0 {
		return c, errors.New("bus: no brokers are configured")
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return c, fmt.Errorf("bus: broker %q is not HOST:PORT: %w", b, err)
		}
	}
	if c.Compression == "" {
		c.Compression = LZ4
	}
	if _, err := c.Compression.code(); err != nil {
		return c, err
	}
	if c.MaxRecordBytes == 0 {
		c.MaxRecordBytes = DefaultMaxRecordBytes
	}
	if c.MaxRecordBytes < 0 || c.MaxRecordBytes > maxMaxRecordBytes {
		return c, fmt.Errorf("bus: max_record_bytes is %d; at most %d fit into one request of Kafka", c.MaxRecordBytes, maxMaxRecordBytes)
	}
	if c.SASL != nil {
		if err := c.SASL.check(); err != nil {
			return c, err
		}
	}
	c.ClientID = orDefault(c.ClientID, "meridian")
	c.MaxBatchBytes = orDefault(c.MaxBatchBytes, defaultMaxBatchBytes)
	c.DialTimeout = orDefault(c.DialTimeout, 5*time.Second)
	c.RequestTimeout = orDefault(c.RequestTimeout, 30*time.Second)
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Dial == nil {
		// A long poll is silent for long: keep-alives find a broker that has vanished behind it.
		alive := net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}
		c.Dial = (&net.Dialer{KeepAliveConfig: alive}).DialContext
	}
	return c, nil
}

func orDefault[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}
