package binlog

import "strings"

// History is a set of transactions, as a server or a checkpoint names it: a GTID set of MySQL, or a GTID position of
// MariaDB, which stands for all that came before it in each domain. It is immutable.
type History struct {
	set     gtidSet
	list    gtidList
	isMaria bool
}

// ParseHistory reads what gtid_executed (MySQL) or gtid_binlog_pos (MariaDB) gives, or a Position's GTIDs.
func ParseHistory(text string, isMaria bool) (History, error) {
	h := History{isMaria: isMaria}
	var err error
	if isMaria {
		h.list, err = parseGTIDList(text)
	} else {
		h.set, err = parseGTIDSet(text)
	}
	return h, err
}

// Contains tells whether a transaction (Transaction.GTID) is in it. What cannot be read is not.
func (h History) Contains(gtid string) bool {
	if h.isMaria {
		g, err := parseMariaGTID(gtid)
		return err == nil && g.number <= h.list.number(g.domain)
	}
	s, err := parseGTIDSet(gtid)
	if err != nil || len(s) != 1 {
		return false
	}
	return h.set.contains(s[0].source, s[0].intervals[0].first)
}

// Common gives what is in both.
func (h History) Common(o History) History {
	if !h.isMaria {
		return History{set: h.set.minus(h.set.minus(o.set))}
	}
	c := History{isMaria: true}
	for _, g := range h.list {
		i, ok := o.list.find(g.domain)
		if !ok {
			continue
		}
		if o.list[i].number < g.number {
			g = o.list[i]
		}
		c.list = c.list.with(g)
	}
	return c
}

// Plus gives what is in either.
func (h History) Plus(o History) History {
	if !h.isMaria {
		set := h.set
		for _, n := range o.set {
			for _, v := range n.intervals {
				set = set.with(n.source, v)
			}
		}
		return History{set: set}
	}
	list := h.list
	for _, g := range o.list {
		if list.number(g.domain) < g.number {
			list = list.with(g)
		}
	}
	return History{isMaria: true, list: list}
}

// String gives the text that ParseHistory reads.
func (h History) String() string {
	if h.isMaria {
		return h.list.String()
	}
	return h.set.String()
}

// Since gives, in words, what is in it and not in o: a GTID set of MySQL; of MariaDB the last GTIDs of each domain and what
// they come after.
func (h History) Since(o History) string {
	if !h.isMaria {
		return h.set.minus(o.set).String()
	}
	var parts []string
	for _, g := range h.list {
		switch i, ok := o.list.find(g.domain); {
		case !ok:
			parts = append(parts, "up to "+g.String())
		case o.list[i].number < g.number:
			parts = append(parts, "after "+o.list[i].String()+" up to "+g.String())
		}
	}
	return strings.Join(parts, ", ")
}
