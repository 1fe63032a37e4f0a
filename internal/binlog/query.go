package binlog

import (
	"bytes"

	"meridian/internal/row"
)

// query is a QUERY event: a statement, and the settings of its session that say how to read it.
type query struct {
	schema      string // the default one
	text        []byte // as the client sent it
	ansiQuotes  bool   // "x" is a name
	noBackslash bool   // a backslash in a string is a backslash
	charset     uint64 // number of a collation of the client's character set, 0 if it is not known
}

// Codes of a QUERY event's status variables: Query_event::Query_event_status_vars in statement_events.h of MySQL.
const (
	statusFlags       = 0
	statusSQLMode     = 1
	statusCatalog     = 2
	statusIncrement   = 3
	statusCharset     = 4
	modeANSIQuotes    = 1 << 2
	modeNoBackslashes = 1 << 20
)

// parseQuery reads a QUERY event's body. Text aliases it.
//
// https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Query__event.html
func parseQuery(body []byte, compressed bool) (query, error) {
	r := reader{b: body}
	r.take(4 + 4) // thread, duration
	schemaSize := int(r.number(1))
	r.take(2) // error code
	status := reader{b: r.take(int(r.number(2)))}
	q := query{schema: string(r.take(schemaSize))}
	r.take(1)
	q.text = r.b
	if r.short {
		return q, errShortEvent
	}
	q.settings(&status)
	if compressed {
		var err error
		if q.text, err = inflateEvent(r.b); err != nil {
			return q, err
		}
	}
	return q, nil
}

// settings reads the status variables that matter here. They come in the order of their codes, these first.
func (q *query) settings(status *reader) {
	for len(status.b) > 0 {
		switch status.number(1) {
		case statusFlags, statusIncrement:
			status.take(4)
		case statusSQLMode:
			mode := status.number(8)
			q.ansiQuotes, q.noBackslash = mode&modeANSIQuotes != 0, mode&modeNoBackslashes != 0
		case statusCatalog:
			status.take(int(status.number(1)) + 1)
		case statusCharset:
			q.charset = status.number(2)
			return
		case 6: // the catalog again, without a zero at its end
			status.take(int(status.number(1)))
		default:
			return
		}
	}
}

// utf8 gives the statement in UTF-8, as far as it can be told.
func (q *query) utf8(known collations) []byte {
	of, ok := known[q.charset]
	if !ok || q.charset == binaryCollation {
		return q.text
	}
	text, ok := row.DecodeText(of.charset, q.text)
	if !ok {
		return q.text
	}
	return text
}

// short gives the beginning of a statement, for messages.
func short(text []byte) string {
	if len(text) > maxQuery {
		text = text[:maxQuery]
	}
	return string(bytes.ToValidUTF8(text, []byte("\uFFFD")))
}
