package binlog

import "strings"

// statementKind sorts statements by what they mean to row changes.
type statementKind uint8

const (
	statementUnknown  statementKind = iota // may change rows of any table
	statementHarmless                      // changes no rows
	statementBegin
	statementCommit
	statementRollback
	statementRollbackTo // part of what the transaction did so far is undone
	statementXAStart
	statementXACommit
	statementXARollback
	statementSchema // DDL on the tables in events
	statementRows   // changes rows of the tables in targets and of no others
)

// tableName is a table as a statement names it; schema is "" for the default one.
type tableName struct{ schema, table string }

// statement is what a QUERY event's text says, as far as it matters here.
type statement struct {
	kind    statementKind
	events  []SchemaEvent // statementSchema; names as written
	targets []tableName   // statementRows; CREATE TABLE … SELECT: what it fills
	xid     string
}

// harmless are the first words of statements that change no rows of a table that can be replicated.
var harmless = map[string]bool{
	"ANALYZE": true, "BINLOG": false, "CACHE": true, "CHANGE": true, "CHECK": true, "DESCRIBE": true, "EXPLAIN": true, "FLUSH": true,
	"GRANT": true, "HELP": true, "INSTALL": true, "KILL": true, "LOCK": true, "OPTIMIZE": true, "PURGE": true, "RELEASE": true,
	"REPAIR": true, "RESET": true, "REVOKE": true, "SAVEPOINT": true, "SHOW": true, "SHUTDOWN": true, "STOP": true,
	"UNINSTALL": true, "UNLOCK": true, "USE": true,
}

// parseStatement sorts a statement. It never fails: what it does not understand is statementUnknown.
func parseStatement(text []byte, ansiQuotes, noBackslash bool) statement {
	return (&scanner{b: text, ansiQuotes: ansiQuotes, noBackslash: noBackslash}).statement()
}

func (s *scanner) statement() statement {
	first := s.next()
	switch {
	case first.kind == tokenEnd:
		return statement{kind: statementHarmless} // a comment: the server puts one in the place of what we cannot read
	case first.is("BEGIN"):
		return statement{kind: statementBegin}
	case first.is("START"):
		if s.accept("TRANSACTION") {
			return statement{kind: statementBegin}
		}
		return statement{kind: statementHarmless} // START ALTER: MariaDB's first phase, nothing is done yet
	case first.is("COMMIT"):
		if s.accept("ALTER") { // MariaDB's second phase: COMMIT ALTER id, then the statement
			s.next()
			return s.within()
		}
		return statement{kind: statementCommit}
	case first.is("ROLLBACK"):
		return s.rollback()
	case first.is("XA"):
		return s.xa()
	case first.is("ALTER"):
		return s.alter()
	case first.is("CREATE"):
		return s.create()
	case first.is("DROP"):
		return s.drop()
	case first.is("RENAME"):
		return s.rename()
	case first.is("TRUNCATE"):
		s.accept("TABLE")
		return s.schema(Truncate, true)
	case first.is("INSERT", "REPLACE", "UPDATE", "DELETE", "LOAD", "WITH"):
		return s.rows(first)
	case first.is("SET"):
		return s.set()
	case first.kind == tokenWord && harmless[strings.ToUpper(first.text)]:
		return statement{kind: statementHarmless}
	default:
		return statement{}
	}
}

func (s *scanner) rollback() statement {
	switch {
	case s.accept("ALTER"):
		return statement{kind: statementHarmless} // MariaDB's second phase of what failed
	case s.peek(0).is("TO"), s.peek(0).is("WORK") && s.peek(1).is("TO"):
		return statement{kind: statementRollbackTo}
	default:
		return statement{kind: statementRollback}
	}
}

// xa reads XA START, END, PREPARE, COMMIT and ROLLBACK. The xid is what follows, as the server prints it.
func (s *scanner) xa() statement {
	verb := s.next()
	xid := strings.TrimSpace(string(s.b))
	switch {
	case verb.is("START", "BEGIN"):
		return statement{kind: statementXAStart, xid: xid}
	case verb.is("END", "PREPARE"):
		return statement{kind: statementHarmless}
	case verb.is("COMMIT"):
		return statement{kind: statementXACommit, xid: xid}
	case verb.is("ROLLBACK"):
		return statement{kind: statementXARollback, xid: xid}
	default:
		return statement{}
	}
}

// set reads SET; SET STATEMENT … FOR is MariaDB's way to set variables for the one statement behind it.
func (s *scanner) set() statement {
	if !s.accept("STATEMENT") {
		return statement{kind: statementHarmless}
	}
	for t := s.next(); t.kind != tokenEnd; t = s.next() {
		if t.is("FOR") {
			return s.within()
		}
	}
	return statement{}
}

// within reads the statement that stands in another one. It does so once: nobody writes more, and it must not go deep.
func (s *scanner) within() statement {
	if s.inner {
		return statement{}
	}
	s.inner = true
	return s.statement()
}

// name reads a table's name.
func (s *scanner) name() (tableName, bool) {
	first := s.next()
	if !first.isName() {
		return tableName{}, false
	}
	if !s.peek(0).symbol(".") {
		return tableName{table: first.text}, true
	}
	s.next()
	second := s.next()
	return tableName{schema: first.text, table: second.text}, second.isName()
}

// names reads a list of names.
func (s *scanner) names() ([]tableName, bool) {
	var all []tableName
	for {
		name, ok := s.name()
		if !ok {
			return all, false
		}
		all = append(all, name)
		if !s.peek(0).symbol(",") {
			return all, true
		}
		s.next()
	}
}

// schema reads the one table of a DDL statement.
func (s *scanner) schema(kind SchemaKind, removesRows bool) statement {
	name, ok := s.name()
	if !ok {
		return statement{}
	}
	return statement{kind: statementSchema, events: []SchemaEvent{tableEvent(kind, name, removesRows)}}
}

func tableEvent(kind SchemaKind, name tableName, removesRows bool) SchemaEvent {
	return SchemaEvent{Kind: kind, Schema: name.schema, Table: name.table, RemovesRows: removesRows}
}
