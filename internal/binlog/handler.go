package binlog

import (
	"context"
	"time"

	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

// Handler takes what the Tailer reads, in binlog order, from one goroutine. Any error that it returns ends Run, which
// returns it wrapped. A slow Handler slows the reading down; nothing is buffered in between.
//
// A transaction that touches a replicated table or one of Meridian's own is Begin, then Change and Schema in their order,
// then Commit. If Run ends in between, the transaction will be read again from its start: the Handler drops what it has
// of it (or resumes behind it, see Position). Of other transactions only the progress is told.
type Handler interface {
	Begin(ctx context.Context, tx *Transaction) error
	// Change gives the changes of one rows event. The Handler may keep rows and all it points to.
	Change(ctx context.Context, rows *Rows) error
	// Schema tells of a DDL statement on a replicated table, before any change that follows it.
	Schema(ctx context.Context, event *SchemaEvent) error
	Commit(ctx context.Context, end *End) error
	// Progress is like a Commit without a transaction: the Tailer has passed transactions that are none of ours, the end
	// of a binlog file, or has heard from an idle server (at least every HeartbeatPeriod).
	Progress(ctx context.Context, end *End) error
}

// Transaction is what the binlog says about a transaction before its changes.
type Transaction struct {
	GTID        string    // "uuid:n", "uuid:tag:n", or MariaDB's "domain-server-n"
	CommitTime  time.Time // UTC; where it was first committed, which may be another server that this one replicates from
	WholeSecond bool      // CommitTime has no fraction: MariaDB's binlog holds whole seconds only
	ServerID    uint32    // where it was first committed
	File        string    // of the binlog that it was read from
	Start       uint64    // where its GTID event starts in File; 0 if that is not known

	before *state
}

// After gives the position in the middle of this transaction, behind its first n changes of replicated tables. It may be
// called at any time.
func (t *Transaction) After(n uint64) Position {
	p := t.before.position()
	if n > 0 {
		p.Partial, p.Changes = t.GTID, n
	}
	return p
}

// Rows is the changes of one rows event of one table, in their order. Key and Digest of each change are set, its
// versions are not.
type Rows struct {
	Table   *row.Table // the same pointer as long as the table is the same
	Changes []row.Change
	Own     bool   // a table of Meridian's own schema
	First   uint64 // number of Changes[0] among the transaction's changes of replicated tables, from 1; 0 if Own
}

// SchemaKind is what a DDL statement does.
type SchemaKind uint8

// The kinds of DDL.
const (
	Alter SchemaKind = iota + 1
	Truncate
	Drop
	Rename
	Create
	DropSchema // DROP DATABASE: Table is empty, and Tables was not asked
)

// String gives the kind in upper case, as in SQL.
func (k SchemaKind) String() string {
	switch k {
	case Alter:
		return "ALTER"
	case Truncate:
		return "TRUNCATE"
	case Drop:
		return "DROP"
	case Rename:
		return "RENAME"
	case Create:
		return "CREATE"
	case DropSchema:
		return "DROP DATABASE"
	default:
		return "UNKNOWN"
	}
}

// SchemaEvent is a DDL statement's effect on one table. A statement on several tables gives several.
type SchemaEvent struct {
	Kind              SchemaKind
	Schema, Table     string
	ToSchema, ToTable string // RENAME: the new name
	RemovesRows       bool   // rows may have gone, or come, that no row event shows (TRUNCATE, DROP, ALTER … DROP PARTITION, …)
	RewritesRows      bool   // values that stand in rows may be others than before, and no row event shows it (ALTER … MODIFY, CONVERT TO, …)
	Query             string // the statement; at most maxQuery bytes of it
}

// End is a point between two transactions. It stays valid when the Tailer goes on.
type End struct {
	// Coordinates: every transaction that ends at or before them has been handed over, and its Commit has returned.
	// Empty File: not known yet.
	Coordinates mysqldb.Coordinates
	// Precise tells that Coordinates are what the server gave. Otherwise they are the sum of the sizes of the events that it
	// sent since it last did, and may lie before the real place; no server that is known ends a transaction like that.
	Precise bool

	state *state
}

// Position gives the position to resume from. It builds the text of the GTID set, so it is for checkpoints and not for
// every transaction.
func (e *End) Position() Position { return e.state.position() }

// Decision is what is to be done with a table's row events.
type Decision uint8

// The decisions.
const (
	Skip       Decision = iota // none of our business: not even decoded
	Replicated                 // a user's table: needs a primary key
	Own                        // a table of Meridian's own: decoded, not counted
)

// Hints gives what the live schema knows of a table's columns, by column name in lower case (mysqldb.TableInfo.Hints). The
// binlog does not tell which columns are generated, and on MariaDB not which are JSON, UUID, INET4, INET6 or VECTOR; all
// else is taken from the binlog. It is asked when a table is first seen and again after each DDL statement on it. A table
// or a column that is no longer there has no hint, and is no error. Errors end Run, which returns them wrapped.
type Hints interface {
	Hints(ctx context.Context, schema, table string) (map[string]row.Column, error)
}

// Position is where to resume: everything in GTIDs has been handed over completely.
type Position struct {
	GTIDs string `json:"gtids"` // MySQL: executed set; MariaDB: the last GTID of each domain
	// Partial is the GTID of the next transaction, of which the first Changes changes of replicated tables have been
	// handed over: it is read again, begun again, and only what follows is delivered, except that changes of Meridian's
	// own tables and Schema events are always delivered. "" at a transaction's boundary.
	Partial string `json:"partial,omitempty"`
	Changes uint64 `json:"changes,omitempty"`
	// Prepared are XA transactions that touch no replicated table and are prepared but neither committed nor rolled back:
	// without them an XA COMMIT behind the position could not be judged.
	Prepared []string `json:"prepared,omitempty"`
}
