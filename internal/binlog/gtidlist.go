package binlog

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// mariaGTID is one transaction of MariaDB.
type mariaGTID struct {
	domain, server uint32
	number         uint64
}

func (g mariaGTID) String() string {
	b := strconv.AppendUint(make([]byte, 0, 42), uint64(g.domain), 10)
	b = strconv.AppendUint(append(b, '-'), uint64(g.server), 10)
	return string(strconv.AppendUint(append(b, '-'), g.number, 10))
}

// gtidList is a position in MariaDB's binlog: the last GTID of each domain, sorted by domain. It is immutable.
//
// https://mariadb.com/docs/server/ha-and-performance/standard-replication/gtid
type gtidList []mariaGTID

func (l gtidList) find(domain uint32) (int, bool) {
	return slices.BinarySearchFunc(l, domain, func(g mariaGTID, d uint32) int { return cmp.Compare(g.domain, d) })
}

// with gives the position behind g.
func (l gtidList) with(g mariaGTID) gtidList {
	i, ok := l.find(g.domain)
	next := slices.Clone(l)
	if ok {
		next[i] = g
		return next
	}
	return slices.Insert(next, i, g)
}

// number gives the last number read of a domain, 0 if there is none.
func (l gtidList) number(domain uint32) uint64 {
	if i, ok := l.find(domain); ok {
		return l[i].number
	}
	return 0
}

func (l gtidList) String() string {
	parts := make([]string, len(l))
	for i, g := range l {
		parts[i] = g.String()
	}
	return strings.Join(parts, ",")
}

// parseGTIDList reads "0-1-100,1-2-5".
func parseGTIDList(text string) (gtidList, error) {
	var list gtidList
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		g, err := parseMariaGTID(part)
		if err != nil {
			return nil, err
		}
		if list.number(g.domain) < g.number {
			list = list.with(g)
		}
	}
	return list, nil
}

func parseMariaGTID(text string) (mariaGTID, error) {
	fields := strings.Split(text, "-")
	if len(fields) != 3 {
		return mariaGTID{}, fmt.Errorf("GTID %q is not DOMAIN-SERVER-NUMBER", text)
	}
	domain, err := strconv.ParseUint(fields[0], 10, 32)
	if err != nil {
		return mariaGTID{}, fmt.Errorf("GTID %q: domain: %w", text, err)
	}
	server, err := strconv.ParseUint(fields[1], 10, 32)
	if err != nil {
		return mariaGTID{}, fmt.Errorf("GTID %q: server: %w", text, err)
	}
	number, err := strconv.ParseUint(fields[2], 10, 64)
	if err != nil {
		return mariaGTID{}, fmt.Errorf("GTID %q: number: %w", text, err)
	}
	return mariaGTID{domain: uint32(domain), server: uint32(server), number: number}, nil
}
