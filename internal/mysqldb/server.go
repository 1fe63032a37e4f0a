package mysqldb

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"go.uber.org/zap"
)

// Flavor is whose dialect a server speaks.
type Flavor uint8

// The flavors.
const (
	MySQL Flavor = iota
	MariaDB
)

// String gives the flavor's name as people write it.
func (f Flavor) String() string {
	if f == MariaDB {
		return "MariaDB"
	}
	return "MySQL"
}

// Config says how to reach a server and what its connections are for. Only Address is required.
type Config struct {
	Address string // host:port, or the path of a Unix socket
	User    string
	// Password is asked anew for each connection, so that a rotated secret needs no restart. nil: no password.
	Password func() (string, error)
	TLS      *tls.Config // nil: no TLS
	// LockTimeout is how long a statement waits for a row or table lock before it fails with a transient error.
	// It is rounded up to whole seconds; zero means DefaultLockTimeout.
	LockTimeout time.Duration
	// AbandonAfter is how long the server keeps a connection whose client says nothing: then it rolls the connection's
	// transaction back and releases its locks. It bounds how long the locks of a client stay that vanished without a word
	// (a cut line, a dead host). Rounded up to whole seconds; zero means the server's wait_timeout.
	AbandonAfter time.Duration
	// NoForeignKeyChecks is for the applier: rows of a batch come in the order of their keys, not of their references,
	// and what the source's database accepted is not questioned again.
	NoForeignKeyChecks bool
	// Packets lets connections take several statements at once (Packet). What a value could do that got out of its literal is
	// worse with it, so it is for those that send packets alone.
	Packets        bool
	MaxConnections int           // zero means DefaultConnections
	DialTimeout    time.Duration // zero means DefaultDialTimeout
	Dial           func(ctx context.Context, network, address string) (net.Conn, error)
	Now            func() time.Time // the clock that Clock compares with; nil means time.Now
	Logger         *zap.Logger      // what the driver has to say, at debug level; nil means nothing
}

// What zero means in Config.
const (
	DefaultLockTimeout = 5 * time.Second
	DefaultConnections = 16
	DefaultDialTimeout = 10 * time.Second
)

// Server is one database server. It is made by Open, is safe for concurrent use, and ends with Close.
// Its fields are not written to after Open.
type Server struct {
	DB      *sql.DB
	Address string
	Flavor  Flavor
	Version string // as the server says it: "9.7.0", "11.8.3-MariaDB-…"
	// ID tells this server from every other: server_uuid on MySQL, server_id@hostname:port on MariaDB.
	ID       string
	ServerID uint32 // server_id

	session     *connector
	version     [3]int
	statusQuery string
	now         func() time.Time
}

// Open connects to a server, learns what it is and fixes the session settings of all connections to come. The error is
// typed as Classify expects it: a refused connection is transient, wrong credentials are denied.
func Open(ctx context.Context, c Config) (*Server, error) {
	base, err := mysql.NewConnector(c.driverConfig())
	if err != nil {
		return nil, fmt.Errorf("%s: settings of the connection: %w", c.Address, err)
	}
	session := &connector{Connector: base, address: c.Address, settings: sessionSettings(&c)}
	db := sql.OpenDB(session)
	connections := c.MaxConnections
	if connections <= 0 {
		connections = DefaultConnections
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	idle := 3 * time.Minute // well below any wait_timeout: the server is not the one to hang up
	if c.AbandonAfter > 0 {
		idle = min(idle, c.AbandonAfter/2)
	}
	db.SetConnMaxIdleTime(idle)
	if err = db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("connecting to %s as %q: %w", c.Address, c.User, err), db.Close())
	}
	s, err := newServer(session, &c, db)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func (c *Config) driverConfig() *mysql.Config {
	d := mysql.NewConfig()
	d.User = c.User
	d.Net, d.Addr = "tcp", c.Address
	if strings.HasPrefix(c.Address, "/") {
		d.Net = "unix"
	}
	d.TLS = c.TLS
	d.Timeout = c.DialTimeout
	if d.Timeout <= 0 {
		d.Timeout = DefaultDialTimeout
	}
	d.DialFunc = c.Dial
	d.ClientFoundRows = true
	d.MultiStatements = c.Packets
	d.InterpolateParams = true // one round trip instead of three; safe, as the client's character set is utf8mb4
	d.MaxAllowedPacket = 0     // ask the server: a statement that it would not take must fail here, by name
	d.Logger = driverLogger{c.Logger}
	password := c.Password
	_ = d.Apply( // neither option can fail
		mysql.Charset("utf8mb4", connectionCollation),
		mysql.BeforeConnect(func(_ context.Context, d *mysql.Config) error {
			if password == nil {
				return nil
			}
			secret, err := password()
			if err != nil {
				return &PasswordError{Address: c.Address, User: c.User, Err: err}
			}
			d.Passwd = secret
			return nil
		}))
	return d
}

func newServer(session *connector, c *Config, db *sql.DB) (*Server, error) {
	id := session.identity()
	s := &Server{DB: db, Address: c.Address, Version: id.version, ID: id.id(), ServerID: id.serverID, session: session, now: c.Now}
	if s.now == nil {
		s.now = time.Now
	}
	if strings.Contains(id.version, "MariaDB") {
		s.Flavor = MariaDB
	}
	if _, err := fmt.Sscanf(id.version, "%d.%d.%d", &s.version[0], &s.version[1], &s.version[2]); err != nil {
		return nil, fmt.Errorf("%s: version %q is not N.N.N: %w", c.Address, id.version, err)
	}
	if (s.Flavor == MySQL && !s.AtLeast(8, 0, 0)) || (s.Flavor == MariaDB && !s.AtLeast(10, 5, 0)) {
		return nil, &VersionError{Address: c.Address, Flavor: s.Flavor, Version: id.version}
	}
	s.statusQuery = "SHOW MASTER STATUS"
	if s.Flavor == MySQL && s.AtLeast(8, 2, 0) {
		s.statusQuery = "SHOW BINARY LOG STATUS" // the old spelling ended with 8.4
	}
	return s, nil
}

// MaxPacket is max_allowed_packet in bytes: no statement may be longer. It is the least that any connection has met so far, as an
// administrator may lower it while the server runs.
func (s *Server) MaxPacket() int { return s.session.identity().maxPacket }

// AtLeast compares the server's version, within its flavor.
func (s *Server) AtLeast(major, minor, patch int) bool {
	want := [3]int{major, minor, patch}
	for i := range want {
		if s.version[i] != want[i] {
			return s.version[i] > want[i]
		}
	}
	return true
}

// Close closes all connections and waits for queries that have begun.
func (s *Server) Close() error {
	if err := s.DB.Close(); err != nil {
		return fmt.Errorf("closing connections to %s: %w", s.Address, err)
	}
	return nil
}

// Clock measures how far the server's clock is ahead of ours (negative: behind), as the difference to the middle of the
// round trip; the error of that is at most half of the round trip.
func (s *Server) Clock(ctx context.Context) (ahead, roundTrip time.Duration, err error) {
	conn, err := s.DB.Conn(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("asking %s for its clock: %w", s.Address, err)
	}
	defer func() { _ = conn.Close() }() // gives it back to the pool
	var text string
	before := s.now()
	if err = conn.QueryRowContext(ctx, "SELECT UTC_TIMESTAMP(6)").Scan(&text); err != nil {
		return 0, 0, fmt.Errorf("asking %s for its clock: %w", s.Address, err)
	}
	after := s.now()
	server, err := time.ParseInLocation("2006-01-02 15:04:05.000000", text, time.UTC)
	if err != nil {
		return 0, 0, fmt.Errorf("%s: its clock says %q: %w", s.Address, text, err)
	}
	roundTrip = after.Sub(before)
	return server.Sub(before.Add(roundTrip / 2)), roundTrip, nil
}

// driverLogger takes what the driver would print to standard error. All of it comes as an error, too.
type driverLogger struct{ log *zap.Logger }

// Print implements mysql.Logger.
func (l driverLogger) Print(v ...any) {
	if l.log != nil {
		l.log.Debug("mysql driver", zap.String("says", fmt.Sprint(v...)))
	}
}

// ReadOnly gives the name of a setting by which the server refuses writes; "" when it takes them.
func (s *Server) ReadOnly(ctx context.Context) (setting string, err error) {
	rows, err := s.DB.QueryContext(ctx, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'super_read_only', 'offline_mode', 'innodb_read_only')")
	if err != nil {
		return "", fmt.Errorf("asking whether the server takes writes: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return "", fmt.Errorf("asking whether the server takes writes: %w", err)
		}
		if value != "OFF" && value != "0" {
			setting = name // MariaDB's read_only has words for how much of it there is
		}
	}
	return setting, rows.Err()
}
