package propagate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

// Target is a region's database, as the applier uses it.
type Target interface {
	// Begin starts a transaction. lockGaps makes it one in which a locking read of a row that is not there keeps others
	// from inserting it (REPEATABLE READ); without, READ COMMITTED.
	Begin(ctx context.Context, lockGaps bool) (Transaction, error)
	// Coordinates asks for the server's binlog coordinates, outside of any transaction.
	Coordinates(ctx context.Context) (mysqldb.Coordinates, error)
	// State reads where a source's shard stands, waiting for any transaction that still holds it: also for one whose
	// client is gone.
	State(ctx context.Context, source string, shard int) (State, error)
}

// Transaction is one apply transaction.
type Transaction interface {
	// Run does what the plan says, the provenance first, and then asks for the server's binlog coordinates, with the
	// locks held. Errors that decide: ErrFenced, ErrMoved, ErrNotParked, *UnexpectedRowsError, *RefusedError; any other is
	// transient.
	// After an error only Rollback may follow.
	Run(ctx context.Context, p *Plan) (mysqldb.Coordinates, error)
	// Commit makes it durable. ErrOutcomeUnknown when the answer did not come.
	Commit(ctx context.Context) error
	// Rollback ends it without effect. It waits no more than a moment for a server that does not answer.
	Rollback(ctx context.Context)
}

// Errors of a Transaction on which the applier decides.
var (
	// ErrFenced is returned when the provenance row carries another epoch: another process owns the shard now.
	ErrFenced = errors.New("another process owns this shard now")
	// ErrMoved is returned when the provenance row carries another offset than this process has committed last.
	ErrMoved = errors.New("the provenance row stands at another offset")
	// ErrOutcomeUnknown is returned by Commit when the connection was lost before the answer came. Whether it was
	// committed is found out with State, never guessed.
	ErrOutcomeUnknown = errors.New("the connection was lost at COMMIT, the outcome is unknown")
	// ErrNotParked is returned when the parked change that the plan ends is not there any more: it has ended already, or a
	// person has taken it away.
	ErrNotParked = errors.New("the parked change is not there any more")
)

// UnexpectedRowsError is returned when a row was there that the ledger did not know, or one was not there that it knew:
// a local write is ahead of the tailer, or one never passed the binlog.
type UnexpectedRowsError struct {
	Table  string
	Wanted int64
	Found  int64
}

func (e *UnexpectedRowsError) Error() string {
	return fmt.Sprintf("table %s: %d rows matched where the ledger expects %d", e.Table, e.Found, e.Wanted)
}

// RefusedError is returned when the database does not accept some of the plan's rows. Without Rows it is not known yet
// which: run the plan again with Single set.
type RefusedError struct {
	Rows  []RefusedRow
	Cause error
}

// RefusedRow is one row that the database does not accept.
type RefusedRow struct {
	Change *row.Change
	Reason string // a word for metrics and lists: "duplicate_key", "unknown_column", …
	Cause  error
}

func (e *RefusedError) Error() string {
	if len(e.Rows) == 0 {
		return fmt.Sprintf("the database refuses a row of the batch: %v", e.Cause)
	}
	return fmt.Sprintf("the database refuses %d rows of the batch, the first of table %s: %v", len(e.Rows), e.Rows[0].Change.Table, e.Rows[0].Cause)
}

func (e *RefusedError) Unwrap() error { return e.Cause }

// Expect says whether the ledger has a row.
type Expect uint8

// What the ledger says.
const (
	Absent  Expect = iota // there is no such row
	Present               // there is
	Unknown               // nothing certain is known: look, with a lock, and do what fits
)

// Write is one row to be written or deleted.
type Write struct {
	Change *row.Change
	Expect Expect
}

// Plan is what an apply transaction does: its provenance, its rows, what it parks.
type Plan struct {
	Source string
	Shard  int
	// From is the offset at which the provenance row must stand, To where it stands afterwards.
	From, To uint64
	// Last is the fingerprint of the record before To: by it the partition is known again at the next start.
	Last  uint64
	Epoch uint64
	// SourceEpoch is the greatest epoch marker read from the source's topic up to To.
	SourceEpoch uint64
	Counts      Counts
	Written     []Written
	Writes      []Write
	Parks       []Park
	Losers      []Loser           // of the conflicts that are decided with it
	Ends        []Decided         // rows whose reviews end with it
	Ended       map[string]uint64 // how many that were, by source; known once it has run
	Unpark      uint64            // the id of the parked change that this transaction ends; 0: none
	// Looked: every row is Unknown, so its existence is found out under its lock. A duplicate of the primary key is then
	// another table's, written by a trigger.
	Looked bool
	// Single writes rows one by one, to find out which of them the database refuses, and goes over those that it
	// refused again until nothing changes any more: one may stand in another's way.
	Single bool
}

// LocksGaps tells whether the plan needs a transaction in which absent rows can be locked: a delete of a row that
// should not exist must still keep a local insert from slipping in before the commit.
func (p *Plan) LocksGaps() bool {
	for i := range p.Writes {
		w := &p.Writes[i]
		if w.Expect == Unknown || w.Change.Op == row.Delete && w.Expect == Absent {
			return true
		}
	}
	for i := range p.Parks {
		if p.Parks[i].Here != nil { // it may be a deleted row that is kept as it stands
			return true
		}
	}
	return false
}

// Counts says what became of the changes that were read. Conservation: at every commit
// Read = Applied + Duplicate + Lost + Coalesced + Superseded + Discarded + parked + dead.
type Counts struct {
	Read, Applied, Duplicate, Lost, Coalesced, Superseded, Discarded uint64
	Rejected                                                         uint64 // records that are no change of ours; not part of Read
}

// Add adds d to c.
func (c *Counts) Add(d Counts) {
	c.Read += d.Read
	c.Applied += d.Applied
	c.Duplicate += d.Duplicate
	c.Lost += d.Lost
	c.Coalesced += d.Coalesced
	c.Superseded += d.Superseded
	c.Discarded += d.Discarded
	c.Rejected += d.Rejected
}

// State is where a source's shard stands in the database.
type State struct {
	Next        uint64 // the next offset to be applied
	Last        uint64 // the fingerprint of the record before it; 0: not known
	Epoch       uint64
	SourceEpoch uint64
	Counts      Counts
}

// ParkState is what waits for a parked change.
type ParkState string

// The states of a parked change.
const (
	Parked   ParkState = "parked"   // it will be tried again
	Waiting  ParkState = "waiting"  // for the table or the column that it needs
	Dead     ParkState = "dead"     // it waits for a person
	Review   ParkState = "review"   // it met a write that it had not seen, and waits for a person's decision
	Rejected ParkState = "rejected" // a record that is no change of ours
)

// Parking is where parked changes are found again.
type Parking interface {
	// Due gives some of the shard's changes that were tried last before the given time.
	Due(ctx context.Context, shard int, before time.Time, most int) ([]ParkedChange, error)
	// Refused notes that a parked change was refused again, and what becomes of it.
	Refused(ctx context.Context, id uint64, state ParkState, attempts int, reason, detail string) error
	// IsParked tells whether a parked change is still there.
	IsParked(ctx context.Context, id uint64) (bool, error)
}

// ParkedChange is a parked change, to be tried again.
type ParkedChange struct {
	ID       uint64
	Source   string
	Attempts int
	State    ParkState
	Record   []byte // see bus.Record.Marshal
}

// Park is something set aside: a change that the database refused, or a record that is none.
type Park struct {
	Offset  uint64
	State   ParkState
	Reason  string
	Detail  string
	Table   string
	Key     row.Key
	Version row.Version
	Digest  uint64 // of the row as the source saw it
	Record  []byte // the whole record, see bus.Record.Marshal; empty where the server does not take it (within)
	// Here is the row as it stands here, for a change in review: it is kept beside the change.
	Here  *Loser
	local []byte // its record; nil: none could be kept
}
