package mysqldb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// connectionCollation is that of literals. It decides nothing: wherever a literal meets a column, the column's collation
// is named or wins. This one is known to all servers, under this name.
const connectionCollation = "utf8mb4_general_ci"

// sqlMode is what makes every value writable exactly, and nothing altered in silence:
// strict for all engines, zero for an AUTO_INCREMENT column and dates beyond the calendar taken as they are. What is absent
// matters as much: no NO_ZERO_DATE, no NO_ZERO_IN_DATE, no PAD_CHAR_TO_FULL_LENGTH, no ANSI_QUOTES; and no
// NO_BACKSLASH_ESCAPES, under which MySQL (9.7) misreads what it prints of literals itself when it pushes a condition down
// into a derived table.
const (
	sqlMode      = "STRICT_ALL_TABLES," + laxSQLMode
	laxSQLMode   = "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES" // see AppendLiteral, EnumZero
	zoneOfUTC    = "+00:00"
	englishNames = "en_US" // error messages are read for the name of a key: see DuplicateKey
)

// sessionSettings is the one statement that every connection begins with. The last settings keep a long list of keys in an
// IN from becoming a scan of the whole table. Comments /*M! */ are for MariaDB alone,
// /*!80000 */ for MySQL alone (MariaDB leaves out 50700 to 99999).
func sessionSettings(c *Config) string {
	timeout := c.LockTimeout
	if timeout <= 0 {
		timeout = DefaultLockTimeout
	}
	seconds := wholeSeconds(timeout)
	foreignKeys := "1"
	if c.NoForeignKeyChecks {
		foreignKeys = "0"
	}
	settings := []string{"SET autocommit=1",
		"character_set_results=NULL", // bytes as stored, as the binlog has them
		"time_zone='" + zoneOfUTC + "'",
		"lc_messages='" + englishNames + "'",
		"sql_mode='" + sqlMode + "'",
		"sql_safe_updates=0",
		"foreign_key_checks=" + foreignKeys,
		"innodb_lock_wait_timeout=" + seconds,
		"lock_wait_timeout=" + seconds, // metadata locks: an ALTER must not hold a batch that holds locks
		"sql_big_selects=1",            // no statement is refused for what the optimizer guesses of it
	}
	if c.AbandonAfter > 0 {
		settings = append(settings, "wait_timeout="+wholeSeconds(c.AbandonAfter))
	}
	return strings.Join(settings, ", ") +
		" /*!80000 , transaction_isolation='READ-COMMITTED', range_optimizer_max_mem_size=0 */" +
		" /*M! , tx_isolation='READ-COMMITTED', in_predicate_conversion_threshold=0 */"
}

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// AnotherServerError is returned for a connection that reached another server than Open did: a fail-over, or a load
// balancer. The Server is of no use any more; what is known of the old one (binlog coordinates, its ledger's checkpoint)
// must be checked against the new one, behind a new Open.
type AnotherServerError struct{ Address, Was, Is string }

// Error implements error.
func (e *AnotherServerError) Error() string {
	return fmt.Sprintf("%s is another server now: it was %s, it is %s; check that its executed GTIDs contain the checkpoint, then open it again",
		e.Address, e.Was, e.Is)
}

// PasswordError is returned when the password could not be read.
type PasswordError struct {
	Address, User string
	Err           error
}

// Error implements error.
func (e *PasswordError) Error() string {
	return fmt.Sprintf("reading the password of %q for %s: %v", e.User, e.Address, e.Err)
}

// Unwrap gives the cause.
func (e *PasswordError) Unwrap() error { return e.Err }

// VersionError is returned for a server that is too old.
type VersionError struct {
	Address string
	Flavor  Flavor
	Version string
}

// Error implements error.
func (e *VersionError) Error() string {
	return fmt.Sprintf("%s is %s %s; Meridian needs MySQL 8.0 or MariaDB 10.5 at the least (binlog_row_metadata=FULL)", e.Address, e.Flavor, e.Version)
}

// connector makes the driver's connections ours: settings fixed, identity checked.
type connector struct {
	driver.Connector
	address  string
	settings string

	mu  sync.Mutex
	met *identity // of the first connection; maxPacket is the least of all
}

// identity is what a server says of itself.
type identity struct {
	version, hostname, uuid string
	port                    int
	serverID                uint32
	maxPacket               int
}

const identityQuery = "SELECT VERSION(), @@hostname, @@port, @@server_id, @@max_allowed_packet /*!80000 , @@server_uuid */ /*M! , '' */"

func (i *identity) id() string {
	if i.uuid != "" {
		return i.uuid
	}
	return fmt.Sprintf("%d@%s:%d", i.serverID, i.hostname, i.port)
}

func (c *connector) identity() identity {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.met
}

// Connect implements driver.Connector.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, brokenHandshake(err)
	}
	if err := c.prepare(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// brokenHandshake names what the driver has no name for: a connection that is reset before the first packet is sent gives
// an error of which only the text can be told.
func brokenHandshake(err error) error {
	if err.Error() == "bad connection" {
		return driver.ErrBadConn
	}
	return err
}

func (c *connector) prepare(ctx context.Context, conn driver.Conn) error {
	exec, ok := conn.(driver.ExecerContext)
	query, ok2 := conn.(driver.QueryerContext)
	if !ok || !ok2 {
		return fmt.Errorf("%s: the driver's connections cannot run statements", c.address)
	}
	if _, err := exec.ExecContext(ctx, c.settings, nil); err != nil {
		return fmt.Errorf("%s: fixing the session's settings: %w", c.address, err)
	}
	is, err := readIdentity(ctx, query)
	if err != nil {
		return fmt.Errorf("%s: asking who it is: %w", c.address, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.met == nil {
		c.met = &is
		return nil
	}
	if was := c.met.id(); was != is.id() {
		return &AnotherServerError{Address: c.address, Was: was, Is: is.id()}
	}
	c.met.maxPacket = min(c.met.maxPacket, is.maxPacket)
	return nil
}

func readIdentity(ctx context.Context, q driver.QueryerContext) (id identity, err error) {
	rows, err := q.QueryContext(ctx, identityQuery, nil)
	if err != nil {
		return id, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	values := make([]driver.Value, len(rows.Columns()))
	if err = rows.Next(values); err != nil {
		if errors.Is(err, io.EOF) {
			return id, errors.New("it did not answer")
		}
		return id, err
	}
	text := make([]string, len(values))
	for i, v := range values {
		if b, ok := v.([]byte); ok {
			text[i] = string(b)
		} else {
			text[i] = fmt.Sprint(v)
		}
	}
	_, err = fmt.Sscan(strings.Join(text[2:5], " "), &id.port, &id.serverID, &id.maxPacket)
	id.version, id.hostname, id.uuid = text[0], text[1], text[5]
	return id, err
}
