package binlog

import "slices"

// state is what has been handed over completely, at one moment. It is immutable, so that an End or a Transaction may
// keep it for as long as it likes, and the next state costs the same however large the GTID set is: a MySQL server
// numbers its own transactions one after the other, so only the end of the interval that grows is kept apart from the set.
type state struct {
	// MySQL
	set    gtidSet  // without growing
	of     source   // whose interval grows
	grow   interval // last == 0: none
	maria  gtidList // MariaDB
	isList bool
	xa     []string // prepared XA transactions of no replicated table
	// partial is a transaction to come, of which changes changes have been handed over already.
	partial string
	changes uint64
}

// executed gives the whole set.
func (s *state) executed() gtidSet {
	if s.grow.last == 0 {
		return s.set
	}
	return s.set.with(s.of, s.grow)
}

// has tells whether a MySQL transaction has been handed over.
func (s *state) has(of source, number int64) bool {
	if of == s.of && s.grow.last != 0 && s.grow.first <= number && number <= s.grow.last {
		return true
	}
	return s.set.contains(of, number)
}

// withMySQL gives the state after one more transaction.
func (s *state) withMySQL(of source, number int64) *state {
	next := *s
	switch {
	case s.grow.last != 0 && s.of == of && s.grow.last+1 == number:
		next.grow.last = number
	case s.has(of, number):
	default:
		next.set = s.executed()
		next.of, next.grow = of, interval{number, number}
	}
	return &next
}

// withMaria gives the state after one more transaction.
func (s *state) withMaria(g mariaGTID) *state {
	next := *s
	next.maria = s.maria.with(g)
	return &next
}

// withPrepared gives the state with an XA transaction more; withoutPrepared with one less.
func (s *state) withPrepared(xid string) *state {
	next := *s
	next.xa = append(slices.Clone(s.xa), xid)
	return &next
}

func (s *state) withoutPrepared(xid string) (*state, bool) {
	i := slices.Index(s.xa, xid)
	if i < 0 {
		return s, false
	}
	next := *s
	next.xa = slices.Delete(slices.Clone(s.xa), i, i+1)
	return &next, true
}

// String gives the GTIDs.
func (s *state) String() string { return s.position().GTIDs }

func (s *state) position() Position {
	if s == nil {
		return Position{}
	}
	p := Position{Prepared: slices.Clone(s.xa), Partial: s.partial, Changes: s.changes}
	if s.isList {
		p.GTIDs = s.maria.String()
	} else {
		p.GTIDs = s.executed().String()
	}
	return p
}

// newState reads a Position's GTIDs.
func newState(p Position, isList bool) (*state, error) {
	s := &state{isList: isList, xa: slices.Clone(p.Prepared), partial: p.Partial, changes: p.Changes}
	var err error
	if isList {
		s.maria, err = parseGTIDList(p.GTIDs)
	} else {
		s.set, err = parseGTIDSet(p.GTIDs)
	}
	return s, err
}
