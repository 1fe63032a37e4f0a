package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

func (s *SASL) check() error {
	switch s.Mechanism {
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
	default:
		return fmt.Errorf("bus: SASL mechanism %q is not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512", s.Mechanism)
	}
	if s.User == "" || s.Password == nil {
		return fmt.Errorf("bus: SASL %s needs a user and a password", s.Mechanism)
	}
	return nil
}

// mechanism reads the password and gives the exchange for one connection.
func (s *SASL) mechanism() (sasl.Mechanism, error) {
	password, err := s.Password()
	if err != nil {
		return nil, fmt.Errorf("reading the SASL password: %w", err)
	}
	switch s.Mechanism {
	case "SCRAM-SHA-256":
		return scram.Mechanism(scram.SHA256, s.User, password)
	case "SCRAM-SHA-512":
		return scram.Mechanism(scram.SHA512, s.User, password)
	default:
		return plain.Mechanism{Username: s.User, Password: password}, nil
	}
}

// authenticate runs the SASL exchange on a new connection. It returns how long the broker lets the connection live
// without a new exchange (KIP-368), 0 for without limit.
func authenticate(ctx context.Context, c *conn, s *SASL) (time.Duration, error) {
	m, err := s.mechanism()
	if err != nil {
		return 0, err
	}
	res, err := roundTrip[*saslhandshake.Response](c, &saslhandshake.Request{Mechanism: m.Name()})
	if err != nil {
		return 0, err
	}
	if res.ErrorCode != 0 {
		return 0, &DeniedError{Op: "connect " + c.addr, Err: fmt.Errorf("the broker offers %v, not %s: %w", res.Mechanisms, m.Name(), kafka.Error(res.ErrorCode))}
	}
	host, port, err := net.SplitHostPort(c.addr)
	if err != nil {
		return 0, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return 0, err
	}
	session, out, err := m.Start(sasl.WithMetadata(ctx, &sasl.Metadata{Host: host, Port: number}))
	if err != nil {
		return 0, err
	}
	var lifetime time.Duration
	for done := false; !done; {
		var answer []byte
		if answer, lifetime, err = authenticateStep(c, out); err != nil {
			return 0, err
		}
		if done, out, err = session.Next(ctx, answer); err != nil {
			return 0, &DeniedError{Op: "connect " + c.addr, Err: fmt.Errorf("SASL %s: %w", m.Name(), err)}
		}
	}
	return lifetime, nil
}

func authenticateStep(c *conn, out []byte) ([]byte, time.Duration, error) {
	res, err := roundTrip[*saslauthenticate.Response](c, &saslauthenticate.Request{AuthBytes: out})
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		// Some brokers close the connection on wrong credentials instead of saying so.
		return nil, 0, &DeniedError{Op: "connect " + c.addr, Err: fmt.Errorf("the broker closed the connection during SASL: %w", err)}
	}
	if err != nil {
		return nil, 0, err
	}
	if res.ErrorCode != 0 {
		return nil, 0, &DeniedError{Op: "connect " + c.addr, Err: fmt.Errorf("%w: %s", kafka.Error(res.ErrorCode), res.ErrorMessage)}
	}
	return res.AuthBytes, time.Duration(res.SessionLifetimeMs) * time.Millisecond, nil
}
