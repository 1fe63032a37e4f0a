package binlog

// rows reads which tables a statement writes to, or could write to. Where that takes understanding the whole statement,
// every name in it is taken for one. What triggers and stored functions write is not in the text.
func (s *scanner) rows(verb token) statement {
	for s.accept("LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "QUICK", "IGNORE", "HISTORY") {
	}
	var targets []tableName
	var ok bool
	switch {
	case verb.is("INSERT", "REPLACE"):
		s.accept("INTO")
		targets, ok = s.oneName()
	case verb.is("LOAD"):
		if !s.behind("INTO") || !s.accept("TABLE") {
			return statement{}
		}
		targets, ok = s.oneName()
	case verb.is("UPDATE"):
		targets, ok = s.references("SET"), true
	case verb.is("DELETE"):
		// Before FROM there may be names or aliases of some of the tables behind it.
		ok = s.behind("FROM")
		targets = s.references("WHERE")
	default:
		targets, ok = s.everyName(), true
	}
	if !ok {
		return statement{}
	}
	return statement{kind: statementRows, targets: targets}
}

func (s *scanner) oneName() ([]tableName, bool) {
	name, ok := s.name()
	return []tableName{name}, ok
}

// behind goes on to what follows a keyword.
func (s *scanner) behind(keyword string) bool {
	for t := s.next(); t.kind != tokenEnd; t = s.next() {
		if t.is(keyword) {
			return true
		}
	}
	return false
}

// references reads the tables that are joined in an UPDATE or DELETE, up to a keyword: a table's name stands at the
// beginning, and behind a comma, an opening parenthesis, JOIN or USING. That finds all of them and now and then a column.
func (s *scanner) references(until string) []tableName {
	var all []tableName
	expected := true
	for {
		t := s.peek(0)
		switch {
		case t.kind == tokenEnd || t.is(until):
			return all
		case expected && t.isName() && !t.is("SELECT", "LATERAL", "ONLY"):
			name, ok := s.name()
			if ok {
				all = append(all, name)
			}
			expected = false
		default:
			s.next()
			expected = t.symbol(",") || t.symbol("(") || t.is("JOIN", "STRAIGHT_JOIN", "USING", "LATERAL", "ONLY") ||
				expected && t.is("SELECT")
		}
	}
}

// everyName gives everything in the rest of the statement that could be a table's name.
func (s *scanner) everyName() []tableName {
	var all []tableName
	seen := map[tableName]bool{}
	for {
		t := s.peek(0)
		if t.kind == tokenEnd {
			return all
		}
		if !t.isName() {
			s.next()
			continue
		}
		if name, ok := s.name(); ok && !seen[name] {
			seen[name] = true
			all = append(all, name)
		}
		for s.peek(0).symbol(".") { // a column
			s.next()
			s.next()
		}
	}
}
