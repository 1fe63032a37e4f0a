package mysqldb

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// DuplicateKeyError says which unique key a row collided with.
type DuplicateKeyError struct {
	Table string // as far as the server names it; "" on MariaDB
	Key   string // "PRIMARY", or a secondary unique key's name; "" if the server does not say
	Err   error
}

// Error implements error.
func (e *DuplicateKeyError) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("duplicate key: %v", e.Err)
	}
	return fmt.Sprintf("duplicate value for key %s: %v", e.Key, e.Err)
}

// Unwrap gives the server's error.
func (e *DuplicateKeyError) Unwrap() error { return e.Err }

// Primary tells whether it was the primary key: the row is there already. Otherwise another row has one of its values.
func (e *DuplicateKeyError) Primary() bool { return strings.EqualFold(e.Key, "PRIMARY") }

// DuplicateKey tells whether an error is about a duplicate key, and reads from the server's message which one. It relies on
// the session's English messages:
//
//	Duplicate entry '1' for key 'orders.PRIMARY'   MySQL 8.0.19 and later
//	Duplicate entry '1' for key 'PRIMARY'          MySQL before, MariaDB
//
// t, if not nil, is the table that was written to; it settles names that have dots in them.
func DuplicateKey(err error, t *TableInfo) (*DuplicateKeyError, bool) {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok || verdicts[e.Number].reason != "duplicate_key" {
		return nil, false
	}
	d := &DuplicateKeyError{Err: err}
	const before = " for key '"
	at := strings.LastIndex(e.Message, before) // the value stands before it and may hold anything
	if at < 0 {
		return d, true
	}
	name := strings.TrimSuffix(e.Message[at+len(before):], "'")
	d.Key = name
	if t != nil {
		if key, ok := strings.CutPrefix(name, t.Name+"."); ok && t.hasUniqueKey(key) {
			d.Table, d.Key = t.Name, key
		}
		return d, true
	}
	if table, ok := strings.CutSuffix(name, ".PRIMARY"); ok {
		d.Table, d.Key = table, "PRIMARY"
	} else if table, key, ok := strings.Cut(name, "."); ok {
		d.Table, d.Key = table, key
	}
	return d, true
}
