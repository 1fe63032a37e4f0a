package binlog

import (
	"errors"
	"fmt"
)

// ErrConnection is in every error that comes from the connection: it could not be made, it broke, the server is going
// away or has too many connections. Running again from the last position may help; after all other errors of Run a person
// has to do something first (or the Handler failed: its errors are returned wrapped and carry no ErrConnection of ours).
var ErrConnection = errors.New("the binlog connection failed")

// RefusedError is what Run ends with when it has read what cannot be turned into exact row changes: Err, one of the types
// below, says what that is and what is to be mended. It is terminal: the same is read again at every start, until a person
// has the transaction passed over (Config.Skip).
type RefusedError struct {
	GTID     string // "" if it stands in no transaction that has one
	File     string
	Position uint64 // where the transaction starts; without one, or where that is not known, where the reading ended
	Err      error
}

// Unwrap gives what was read.
func (e *RefusedError) Unwrap() error { return e.Err }

func (e *RefusedError) Error() string {
	at := fmt.Sprintf("%s:%d", e.File, e.Position)
	if e.GTID == "" {
		return fmt.Sprintf("%v. Nothing behind %s has been captured. To go on, mend the cause. Where that does not change what is in the binlog "+
			"already: what has no GTID cannot be passed over by its name, so begin a new file (FLUSH BINARY LOGS) and remove those before it "+
			"(PURGE BINARY LOGS TO 'FILE'). What they held behind this place is then not published, and the regions differ in those rows "+
			"until they are compared and repaired", e.Err, at)
	}
	return fmt.Sprintf("%v. Nothing behind transaction %s, which begins at %s, has been captured. To go on, mend the cause. Where that does not "+
		"change what is in the binlog already, start `syncer run --skip-transaction %s`: it passes over this one transaction. What the "+
		"transaction wrote is then not published, and the regions differ in those rows until they are compared and repaired", e.Err, e.GTID, at, e.GTID)
}

// refused puts what ended the reading beside where it stood, and how to go on. Errors of other kinds stay as they are.
func (a *assembler) refused(err error) error {
	var refusal interface{ refusal() }
	if !errors.As(err, &refusal) {
		return err
	}
	e := &RefusedError{GTID: a.gtid(), File: a.place.file, Position: a.place.pos, Err: err}
	if a.tx != nil && a.tx.start != 0 {
		e.Position = a.tx.start
	}
	return e
}

func (*MetadataError) refusal()    {}
func (*RowImageError) refusal()    {}
func (*StatementError) refusal()   {}
func (*UnsupportedError) refusal() {}
func (*CorruptError) refusal()     {}

// PositionError is returned when the server cannot continue from the given position. It is terminal.
type PositionError struct {
	// Missing are the GTIDs that the server no longer has in its binlogs and that were not read yet.
	Missing string
	// Unknown are the GTIDs that were read and that the server does not know: it has lost transactions, or it is another
	// server.
	Unknown string
	Reason  string // the server's words, or ours
}

func (e *PositionError) Error() string {
	switch {
	case e.Missing != "":
		return fmt.Sprintf("the binlog cannot be continued: the server has purged transactions that were not read yet: %s (%s). "+
			"Rows that they wrote are in the database, and were not published: compare them with the other regions. The ledger is rebuilt from "+
			"the topics and the database. Keep binlogs longer (binlog_expire_logs_seconds) than the longest time that capture stands still", e.Missing, e.Reason)
	case e.Unknown != "":
		return fmt.Sprintf("the binlog cannot be continued: the server does not know transactions that were already read from it: %s (%s). "+
			"It was restored from a backup, replaced by a replica that was behind, or is another server: the ledger knows more than the "+
			"database, and is rebuilt from the topics and the database", e.Unknown, e.Reason)
	default:
		return fmt.Sprintf("the binlog cannot be continued from the checkpoint: %s. The ledger is rebuilt from the topics and the database", e.Reason)
	}
}

// MetadataError is returned for a rows event whose table map does not describe the table, or describes what cannot be
// replicated.
type MetadataError struct {
	Table, GTID string
	Setting     string // the server variable that is to blame, "" if it is none
	Reason      string // what is wrong and what to do
}

func (e *MetadataError) Error() string {
	return fmt.Sprintf("table %s in transaction %s: %s", e.Table, e.GTID, e.Reason)
}

// RowImageError is returned for a rows event that does not have every column of each row: binlog_row_image is not FULL, or
// binlog_row_value_options is PARTIAL_JSON.
type RowImageError struct {
	Table, GTID string
	Setting     string
}

func (e *RowImageError) Error() string {
	want := "FULL"
	if e.Setting == settingValueOptions {
		want = "'' (empty)"
	}
	return fmt.Sprintf("table %s in transaction %s: the binlog does not hold whole rows: %s must be %s, for the server and "+
		"for every session (a session can set its own)", e.Table, e.GTID, e.Setting, want)
}

// StatementError is returned for a statement in the binlog where there should be rows, or whose effect on the replicated
// tables cannot be told.
type StatementError struct {
	Table, GTID string // Table is "" if it cannot be told which one
	Query       string // at most maxQuery bytes of it
	Reason      string
}

func (e *StatementError) Error() string {
	table := "a replicated table, which one cannot be told,"
	if e.Table != "" {
		table = "table " + e.Table
	}
	return fmt.Sprintf("transaction %s may have changed %s by a statement instead of rows (%s): %q. Set binlog_format=ROW for the "+
		"server and every session", e.GTID, table, e.Reason, e.Query)
}

// UnsupportedError is returned for what Meridian cannot replicate: XA transactions on replicated tables, incidents, events
// that are not known, transactions without a GTID.
type UnsupportedError struct {
	What        string // "XA transaction", …
	Table, GTID string // where known
	Reason      string // what is wrong and what to do
}

func (e *UnsupportedError) Error() string {
	where := ""
	if e.Table != "" {
		where += " on table " + e.Table
	}
	if e.GTID != "" {
		where += " in transaction " + e.GTID
	}
	return e.What + where + ": " + e.Reason
}

// CorruptError is returned for an event that cannot be what the server wrote, or that this package reads wrongly.
type CorruptError struct {
	Table, GTID string // where known
	File        string
	Position    uint64
	Reason      string
	Err         error // nil if there is nothing beneath it
}

// Unwrap gives what was wrong.
func (e *CorruptError) Unwrap() error { return e.Err }

func (e *CorruptError) Error() string {
	where := fmt.Sprintf("binlog %s near position %d", e.File, e.Position)
	if e.Table != "" {
		where += ", table " + e.Table
	}
	if e.GTID != "" {
		where += ", transaction " + e.GTID
	}
	return where + ": " + e.Reason + ". Check the file with mysqlbinlog --verify-binlog-checksum"
}

// ServerError is an error that the server reports and that trying again does not mend: credentials, privileges, another
// client with the same server id, a binlog file that it cannot read.
type ServerError struct {
	Code    uint16
	Message string
	Advice  string // "" if there is none
}

func (e *ServerError) Error() string {
	s := fmt.Sprintf("the server refused to send its binlog: error %d: %s", e.Code, e.Message)
	if e.Advice != "" {
		s += ". " + e.Advice
	}
	return s
}

// The settings that errors name.
const (
	settingMetadata     = "binlog_row_metadata"
	settingImage        = "binlog_row_image"
	settingValueOptions = "binlog_row_value_options"
)

// maxQuery is how many bytes of a statement are kept for messages: a statement can be as long as max_allowed_packet.
const maxQuery = 1000
