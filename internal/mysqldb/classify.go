package mysqldb

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"

	"github.com/go-sql-driver/mysql"
)

// Class says what to do about an error of the database.
type Class uint8

// The classes.
const (
	// Fatal: neither time nor a smaller batch will help, or nobody knows. Stop, advance nothing, say so.
	Fatal Class = iota
	// Transient: it says nothing about the row. Try the same again later, for as long as it takes; advance nothing.
	Transient
	// Refused: the database does not accept a row of the batch. Bisect to the row and park it; the others go on.
	Refused
	// Denied: a person must mend credentials or privileges. Try again, slowly, and say so; advance nothing.
	Denied
)

// String gives the class's name.
func (c Class) String() string {
	switch c {
	case Transient:
		return "transient"
	case Refused:
		return "refused"
	case Denied:
		return "denied"
	case Fatal:
		return "fatal"
	default:
		return "unknown"
	}
}

// Classify says what to do about an error (not nil) that came from a Server, its driver or this package's statements.
//
// What is not known by number is judged by its SQLSTATE, the standard's own classification. What that does not decide is
// Fatal: nothing advances, so nothing is lost, and somebody looks. To call it Refused would, for a fault that has nothing to
// do with rows (a new kind of full disk), park every row that comes along; to call it Transient would hide a defect.
func Classify(err error) Class { return judge(err).class }

// Reason gives the word by which an error is counted and listed: "duplicate_key", "too_long", "lock_timeout", …. The set of
// words is small and fixed; they stand in metrics and in parked changes and are never renamed.
func Reason(err error) string { return judge(err).reason }

// Lost tells whether the error leaves open what the server has done: the connection broke, or the server broke off, before
// the statement's outcome was said. After a COMMIT that means to find out, never to guess.
func Lost(err error) bool {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return judgeNumber(e).lost
	}
	if errors.Is(err, driver.ErrBadConn) {
		return false // by its contract: the statement was never sent
	}
	return judge(err).class == Transient
}

// verdict is the judgement of one kind of error.
type verdict struct {
	class  Class
	reason string
	lost   bool // as the answer to a COMMIT, it does not say that there was none
}

func judge(err error) verdict {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return judgeNumber(e)
	}
	if v, ok := judgeOurs(err); ok {
		return v
	}
	return judgeConnection(err)
}

// judgeNumber judges what a server answered.
func judgeNumber(e *mysql.MySQLError) verdict {
	if v, ok := verdicts[e.Number]; ok {
		return v
	}
	if e.Number < 1000 {
		// An error of the servers' file layer: a temporary file, the disk.
		return verdict{class: Transient, reason: "storage", lost: true}
	}
	switch string(e.SQLState[:2]) {
	case "22", "23", "44": // data exception, integrity constraint violation, check option violation
		return verdict{class: Refused, reason: "refused"}
	case "45": // unhandled user-defined exception: a trigger's SIGNAL
		return verdict{class: Refused, reason: "trigger"}
	case "08": // connection exception
		return verdict{class: Transient, reason: "connection", lost: true}
	case "40": // transaction rollback
		return verdict{class: Transient, reason: "rolled_back"}
	case "28": // invalid authorization specification
		return verdict{class: Denied, reason: "access_denied"}
	default:
		return verdict{class: Fatal, reason: "unknown"}
	}
}

// judgeOurs judges the errors of this package.
func judgeOurs(err error) (verdict, bool) {
	if _, ok := errors.AsType[*MissingColumnError](err); ok {
		return verdict{class: Refused, reason: "missing_column"}, true // waits for the target's ALTER TABLE
	}
	if _, ok := errors.AsType[*KeyMismatchError](err); ok {
		return verdict{class: Refused, reason: "key_mismatch"}, true // the same
	}
	if _, ok := errors.AsType[*LiteralError](err); ok {
		return verdict{class: Refused, reason: "unwritable_value"}, true
	}
	if _, ok := errors.AsType[*NoTableError](err); ok {
		return verdict{class: Refused, reason: "no_table"}, true
	}
	if _, ok := errors.AsType[*PasswordError](err); ok {
		return verdict{class: Denied, reason: "access_denied"}, true // the file may be there in a moment
	}
	if _, ok := errors.AsType[*AnotherServerError](err); ok {
		return verdict{class: Fatal, reason: "another_server"}, true // see there: needs a new Open and a check
	}
	if _, ok := errors.AsType[*VersionError](err); ok {
		return verdict{class: Fatal, reason: "version"}, true
	}
	if errors.Is(err, ErrNoBinlog) {
		return verdict{class: Fatal, reason: "no_binlog"}, true
	}
	return verdict{}, false
}

// judgeConnection judges what the driver and the network say.
func judgeConnection(err error) verdict {
	connection := verdict{class: Transient, reason: "connection"}
	switch {
	case errors.Is(err, mysql.ErrPktTooLarge):
		// One row that the server would not take in one statement; a smaller batch helps, or nothing does.
		return verdict{class: Refused, reason: "too_large"}
	case errors.Is(err, mysql.ErrNoTLS), errors.Is(err, mysql.ErrCleartextPassword), errors.Is(err, mysql.ErrNativePassword),
		errors.Is(err, mysql.ErrOldPassword), errors.Is(err, mysql.ErrUnknownPlugin), errors.Is(err, mysql.ErrOldProtocol):
		return verdict{class: Denied, reason: "access_denied"}
	case isCertificate(err):
		return verdict{class: Denied, reason: "certificate"}
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, sql.ErrConnDone),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return connection
	case errors.Is(err, mysql.ErrMalformPkt), errors.Is(err, mysql.ErrPktSync), errors.Is(err, mysql.ErrPktSyncMul),
		errors.Is(err, mysql.ErrBusyBuffer):
		return connection // the driver closes such a connection; the next one starts clean
	case errors.Is(err, sql.ErrTxDone):
		return connection // database/sql ended the transaction when its connection or context went
	case errors.Is(err, context.DeadlineExceeded):
		return verdict{class: Transient, reason: "timeout"}
	case errors.Is(err, context.Canceled):
		return verdict{class: Transient, reason: "canceled"}
	}
	if _, ok := errors.AsType[net.Error](err); ok { // refused, reset, timed out, no such host, TLS alerts
		return connection
	}
	return verdict{class: Fatal, reason: "unknown"}
}

func isCertificate(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	_, ok := errors.AsType[tls.RecordHeaderError](err) // the other side does not speak TLS
	return ok
}
