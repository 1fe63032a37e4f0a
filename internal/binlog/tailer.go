package binlog

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"go.uber.org/zap"
)

// Config says which server's binlog is read, and what of it.
type Config struct {
	Address  string                                                               // host:port, or the path of a Unix socket
	User     string                                                               // needs REPLICATION SLAVE, and on MySQL REPLICATION CLIENT (MariaDB: BINLOG MONITOR)
	Password func() (string, error)                                               // asked at each connection, so that a rotated secret needs no restart; nil: none
	TLS      *tls.Config                                                          // nil: no TLS
	Dial     func(ctx context.Context, network, address string) (net.Conn, error) // nil: as net.Dialer does

	// ServerID is what the Tailer registers as. It must differ from that of every server and every other client of this
	// server: the server ends the older of two connections with the same one.
	ServerID uint32

	// Tables decides for each table, with the names as the server spells them. It must always give the same answer.
	Tables func(schema, table string) Decision
	// Hints may be nil where every replicated table's types are in the binlog's metadata and none has generated columns.
	Hints Hints

	// Skip are the GTIDs of transactions that are passed over, whatever is in them, as a person has decided. One that is
	// not met has no effect. Skipped, which may be nil, hears of each before the place behind it is told to the Handler: of one
	// perhaps more than once, as the binlog is read again. Its error ends Run.
	Skip    []string
	Skipped func(context.Context, *Skipped) error

	Logger *zap.Logger

	// HeartbeatPeriod is how often an idle server says so; default 1 s.
	HeartbeatPeriod time.Duration
	// ReadTimeout is how long the server may be silent before the connection counts as lost; default 10 s.
	ReadTimeout time.Duration
	// ConnectTimeout bounds the connecting and each question before the stream starts; default 10 s.
	ConnectTimeout time.Duration
}

// Tailer reads one server's binlog. It may be used for one Run after the other, but for only one at a time; what it keeps
// between them are descriptions of tables, so that they stay the same pointers.
type Tailer struct {
	config  Config
	layouts *layouts
	skips   map[string]bool
}

// New makes a Tailer. It does not connect.
func New(config Config) (*Tailer, error) {
	switch {
	case config.Address == "":
		return nil, errors.New("binlog: no address")
	case config.ServerID == 0:
		return nil, errors.New("binlog: the server id must not be 0")
	case config.Tables == nil:
		return nil, errors.New("binlog: Tables is not set")
	}
	named, err := skips(config.Skip)
	if err != nil {
		return nil, err
	}
	if config.Logger == nil {
		config.Logger = zap.NewNop()
	}
	if config.Dial == nil {
		config.Dial = (&net.Dialer{}).DialContext
	}
	setDefault(&config.HeartbeatPeriod, time.Second)
	setDefault(&config.ReadTimeout, 10*time.Second)
	setDefault(&config.ConnectTimeout, 10*time.Second)
	return &Tailer{config: config, layouts: newLayouts(config.Tables, config.Hints), skips: named}, nil
}

func setDefault(d *time.Duration, to time.Duration) {
	if *d <= 0 {
		*d = to
	}
}

// Run connects, reads from the given position and hands everything over until ctx ends, the Handler fails, the connection
// breaks (an error that wraps ErrConnection), or something is read that cannot be replicated exactly (see the error
// types). It never returns nil: at the end of ctx it returns context.Cause(ctx). It starts no goroutine that outlives it.
//
// After an error that wraps ErrConnection, Run again from the End of the last Commit or Progress, or from the middle of a
// transaction (Transaction.After). The zero Position is the beginning of the oldest binlog that was ever written, which
// is an error if that has been purged.
func (t *Tailer) Run(ctx context.Context, from Position, h Handler) error {
	s, err := open(ctx, &t.config)
	if err != nil {
		return ended(ctx, err)
	}
	defer s.close()
	if err = checkSkips(t.skips, s.isMaria); err != nil {
		return err
	}
	start, err := newState(from, s.isMaria)
	if err != nil {
		return &PositionError{Reason: err.Error()}
	}
	if err := s.check(start); err != nil {
		return ended(ctx, err)
	}
	if err := s.dump(start); err != nil {
		return ended(ctx, err)
	}
	a := newAssembler(t.layouts.onServer(s.collations, s.isMaria), h, s.server, start)
	a.skips, a.skipped = t.skips, t.config.Skipped
	for {
		e, err := s.next()
		if a.passDamaged(err) {
			continue
		}
		if err != nil {
			return ended(ctx, a.refused(err))
		}
		if err := a.event(ctx, e); err != nil {
			return ended(ctx, err)
		}
	}
}

// ended tells the end of ctx from a failure: when ctx ends the connection is closed under the reader.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
