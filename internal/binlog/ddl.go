package binlog

// alter reads ALTER TABLE; what else can be altered has no rows.
func (s *scanner) alter() statement {
	ignore := false
	for s.peek(0).is("ONLINE", "OFFLINE", "IGNORE") {
		ignore = s.next().is("IGNORE") || ignore // MariaDB: a new unique key throws its duplicates away
	}
	if !s.accept("TABLE") {
		return statement{kind: statementHarmless}
	}
	s.ifExists()
	name, ok := s.name()
	if !ok {
		return statement{}
	}
	main := tableEvent(Alter, name, ignore)
	main.RewritesRows = ignore
	var others []SchemaEvent
	depth := 0
	for t := s.next(); t.kind != tokenEnd; t = s.next() {
		depth = max(0, depth+nesting(t))
		if depth > 0 {
			continue
		}
		main.RewritesRows = main.RewritesRows || s.rewrites(t)
		switch {
		case t.is("TRUNCATE", "DROP") && s.peek(0).is("PARTITION"),
			t.is("DISCARD", "IMPORT") && s.peek(0).is("TABLESPACE", "PARTITION"),
			t.is("DROP") && s.peek(0).is("SYSTEM"):
			main.RemovesRows = true
		case t.is("EXCHANGE", "CONVERT") && s.peek(0).is("PARTITION", "TABLE"):
			if other, found := s.otherTable(); found {
				main.RemovesRows = true
				others = append(others, tableEvent(Alter, other, true))
			}
		case t.is("RENAME") && !s.peek(0).is("COLUMN", "INDEX", "KEY"):
			if !s.accept("TO", "AS") && s.peek(0).symbol("=") {
				s.next()
			}
			to, found := s.name()
			if !found {
				return statement{}
			}
			others = append(others, renamed(name, to))
		}
	}
	return statement{kind: statementSchema, events: append([]SchemaEvent{main}, others...)}
}

// rewrites tells whether what begins with t in an ALTER TABLE may change values that are there, what is found under a column's
// name, or the primary key by which rows are known. It may say so once too often: a name can be such a word.
func (s *scanner) rewrites(t token) bool {
	next := s.peek(0)
	return t.is("MODIFY", "CHANGE", "PRIMARY") || t.is("CONVERT") && next.is("TO") || t.is("RENAME") && next.is("COLUMN") ||
		t.is("DROP") && !next.is("INDEX", "KEY", "FOREIGN", "CONSTRAINT", "CHECK", "PARTITION", "DEFAULT")
}

// otherTable reads on in EXCHANGE PARTITION p WITH TABLE t and CONVERT {PARTITION p TO TABLE t | TABLE t TO PARTITION p}.
func (s *scanner) otherTable() (tableName, bool) {
	for range 4 {
		if s.next().is("TABLE") {
			return s.name()
		}
	}
	return tableName{}, false
}

func nesting(t token) int {
	switch {
	case t.symbol("("):
		return 1
	case t.symbol(")"):
		return -1
	default:
		return 0
	}
}

func renamed(from, to tableName) SchemaEvent {
	e := tableEvent(Rename, from, true)
	e.ToSchema, e.ToTable = to.schema, to.table
	return e
}

func (s *scanner) ifExists() {
	if s.accept("IF") {
		s.accept("NOT")
		s.accept("EXISTS")
	}
}

// create reads CREATE TABLE and CREATE INDEX.
func (s *scanner) create() statement {
	replaces := false
	if s.accept("OR") {
		replaces = s.accept("REPLACE")
	}
	if s.accept("TEMPORARY") {
		return statement{kind: statementHarmless}
	}
	for s.accept("ONLINE", "OFFLINE", "UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR") {
	}
	if s.accept("INDEX") {
		return s.index()
	}
	if !s.accept("TABLE") {
		return statement{kind: statementHarmless}
	}
	s.ifExists()
	name, ok := s.name()
	if !ok {
		return statement{}
	}
	st := statement{kind: statementSchema, events: []SchemaEvent{tableEvent(Create, name, replaces)}}
	if s.fills() {
		st.targets = []tableName{name}
	}
	return st
}

// fills tells whether the rest of a CREATE TABLE brings rows with it that no row event shows. When it is logged for row
// events to follow, MySQL ends it with START TRANSACTION, and MariaDB leaves the SELECT out.
func (s *scanner) fills() bool {
	depth, opened := 0, true // opened: nothing but parentheses so far
	selects := false
	for t := s.next(); t.kind != tokenEnd; t = s.next() {
		depth += nesting(t)
		if (depth == 0 || opened) && t.is("SELECT", "VALUES", "TABLE") {
			selects = true
		}
		if depth == 0 && t.is("START") && s.peek(0).is("TRANSACTION") {
			return false
		}
		opened = opened && t.symbol("(")
	}
	return selects
}

// index reads CREATE INDEX and DROP INDEX behind the word INDEX.
func (s *scanner) index() statement {
	for t := s.next(); t.kind != tokenEnd; t = s.next() {
		if t.is("ON") {
			return s.schema(Alter, false)
		}
	}
	return statement{}
}

// drop reads DROP TABLE, DROP INDEX and DROP DATABASE.
func (s *scanner) drop() statement {
	switch {
	case s.accept("TEMPORARY"):
		return statement{kind: statementHarmless}
	case s.accept("INDEX"):
		return s.index()
	case s.accept("DATABASE", "SCHEMA"):
		s.ifExists()
		name := s.next()
		if !name.isName() {
			return statement{}
		}
		return statement{kind: statementSchema, events: []SchemaEvent{{Kind: DropSchema, Schema: name.text, RemovesRows: true}}}
	case s.accept("TABLE", "TABLES"):
		s.ifExists()
		names, ok := s.names()
		if !ok {
			return statement{}
		}
		st := statement{kind: statementSchema}
		for _, name := range names {
			st.events = append(st.events, tableEvent(Drop, name, true))
		}
		return st
	default:
		return statement{kind: statementHarmless}
	}
}

// rename reads RENAME TABLE.
func (s *scanner) rename() statement {
	if !s.accept("TABLE", "TABLES") {
		return statement{kind: statementHarmless} // RENAME USER
	}
	s.ifExists()
	st := statement{kind: statementSchema}
	for {
		from, ok := s.name()
		if !ok {
			return statement{}
		}
		if s.accept("WAIT") { // MariaDB: how long to wait for the lock
			s.next()
		}
		s.accept("NOWAIT")
		if !s.accept("TO") {
			return statement{}
		}
		to, ok := s.name()
		if !ok {
			return statement{}
		}
		st.events = append(st.events, renamed(from, to))
		if !s.peek(0).symbol(",") {
			return st
		}
		s.next()
	}
}
