package binlog

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// source is who numbered a transaction: a server's UUID and, from MySQL 8.3 on, an optional tag.
type source struct {
	uuid [16]byte
	tag  string // lower case, as the server normalises it
}

func (s source) compare(o source) int {
	if c := bytes.Compare(s.uuid[:], o.uuid[:]); c != 0 {
		return c
	}
	return strings.Compare(s.tag, o.tag)
}

// interval is the numbers first to last, both included.
type interval struct{ first, last int64 }

// gtidSet is a MySQL GTID set. Sources are sorted, each has at least one interval, intervals are sorted and neither touch
// nor overlap. It is immutable: what changes it gives a new one that shares what is the same.
//
// https://dev.mysql.com/doc/refman/9.7/en/replication-gtids-concepts.html
type gtidSet []*numbers

type numbers struct {
	source
	intervals []interval
}

func (s gtidSet) find(of source) (int, bool) {
	return slices.BinarySearchFunc(s, of, func(n *numbers, of source) int { return n.compare(of) })
}

func (s gtidSet) contains(of source, number int64) bool {
	i, ok := s.find(of)
	if !ok {
		return false
	}
	in := s[i].intervals
	j, _ := slices.BinarySearchFunc(in, number, func(v interval, n int64) int { return cmp.Compare(v.last, n) })
	return j < len(in) && in[j].first <= number
}

// with gives the set with v added.
func (s gtidSet) with(of source, v interval) gtidSet {
	i, ok := s.find(of)
	if !ok {
		return slices.Insert(slices.Clone(s), i, &numbers{source: of, intervals: []interval{v}})
	}
	grown := slices.Clone(s)
	grown[i] = &numbers{source: of, intervals: add(s[i].intervals, v)}
	return grown
}

// add gives a copy of in with v, merged with what it touches.
func add(in []interval, v interval) []interval {
	from, _ := slices.BinarySearchFunc(in, v.first, func(w interval, n int64) int { return cmp.Compare(w.last+1, n) })
	to := from
	for to < len(in) && in[to].first <= v.last+1 {
		v.first, v.last = min(v.first, in[to].first), max(v.last, in[to].last)
		to++
	}
	return slices.Concat(in[:from], []interval{v}, in[to:])
}

// minus gives what is in s and not in o.
func (s gtidSet) minus(o gtidSet) gtidSet {
	var left gtidSet
	for _, n := range s {
		in := n.intervals
		if i, ok := o.find(n.source); ok {
			in = subtract(in, o[i].intervals)
		}
		if len(in) > 0 {
			left = append(left, &numbers{source: n.source, intervals: in})
		}
	}
	return left
}

func subtract(in, out []interval) []interval {
	var left []interval
	for _, v := range in {
		for len(out) > 0 && out[0].last < v.first {
			out = out[1:]
		}
		for _, o := range out {
			if o.first > v.last {
				break
			}
			if o.first > v.first {
				left = append(left, interval{v.first, o.first - 1})
			}
			v.first = o.last + 1
		}
		if v.first <= v.last {
			left = append(left, v)
		}
	}
	return left
}

// parseGTIDSet reads "uuid:1-5:7:tag:1-3,uuid:…". Blanks and newlines around the parts are allowed, as MySQL prints them.
func parseGTIDSet(text string) (gtidSet, error) {
	var set gtidSet
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		fields := strings.Split(part, ":")
		of := source{}
		if err := parseUUID(fields[0], &of.uuid); err != nil {
			return nil, fmt.Errorf("GTID set %q: %w", part, err)
		}
		if len(fields) < 2 {
			return nil, fmt.Errorf("GTID set %q has no interval", part)
		}
		for _, field := range fields[1:] {
			field = strings.TrimSpace(field)
			if field == "" {
				return nil, fmt.Errorf("GTID set %q has an empty part", part)
			}
			if field[0] < '0' || field[0] > '9' {
				of.tag = strings.ToLower(field)
				continue
			}
			v, err := parseInterval(field)
			if err != nil {
				return nil, fmt.Errorf("GTID set %q: %w", part, err)
			}
			set = set.with(of, v)
		}
	}
	return set, nil
}

func parseUUID(text string, uuid *[16]byte) error {
	text = strings.TrimSpace(text)
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return fmt.Errorf("%q is no UUID", text)
	}
	digits := text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
	if _, err := hex.Decode(uuid[:], []byte(digits)); err != nil {
		return fmt.Errorf("%q is no UUID: %w", text, err)
	}
	return nil
}

func parseInterval(text string) (interval, error) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	var v interval
	var err error
	if v.first, err = strconv.ParseInt(strings.TrimSpace(first), 10, 64); err != nil {
		return v, fmt.Errorf("interval %q: %w", text, err)
	}
	if v.last, err = strconv.ParseInt(strings.TrimSpace(last), 10, 64); err != nil {
		return v, fmt.Errorf("interval %q: %w", text, err)
	}
	if v.first < 1 || v.last < v.first || v.last == 1<<63-1 {
		return v, fmt.Errorf("interval %q is empty or out of range", text)
	}
	return v, nil
}

func (s gtidSet) String() string {
	var b []byte
	for i, n := range s {
		if i == 0 || n.uuid != s[i-1].uuid {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendUUID(b, n.uuid)
		}
		if n.tag != "" {
			b = append(append(b, ':'), n.tag...)
		}
		for _, v := range n.intervals {
			b = strconv.AppendInt(append(b, ':'), v.first, 10)
			if v.last > v.first {
				b = strconv.AppendInt(append(b, '-'), v.last, 10)
			}
		}
	}
	return string(b)
}

func appendUUID(b []byte, u [16]byte) []byte {
	for i, from := range [...]int{0, 4, 6, 8, 10} {
		if i > 0 {
			b = append(b, '-')
		}
		to := [...]int{4, 6, 8, 10, 16}[i]
		b = hex.AppendEncode(b, u[from:to])
	}
	return b
}

// gtidText is one GTID as MySQL writes it.
func gtidText(of source, number int64) string {
	b := append(appendUUID(make([]byte, 0, 60), of.uuid), ':')
	if of.tag != "" {
		b = append(append(b, of.tag...), ':')
	}
	return string(strconv.AppendInt(b, number, 10))
}

// encode gives the set as COM_BINLOG_DUMP_GTID wants it: the number of sources, and of each its UUID, (if any source has
// one) the tag, and the intervals with exclusive ends, all little-endian. The layout with tags is marked in the bytes 0
// and 7 of the number. Gtid_set::encode in MySQL's sql/rpl_gtid_set.cc.
func (s gtidSet) encode() []byte {
	tagged := slices.ContainsFunc(s, func(n *numbers) bool { return n.tag != "" })
	count := uint64(len(s))
	if tagged {
		count = count<<8 | 1 | 1<<56
	}
	b := binary.LittleEndian.AppendUint64(nil, count)
	for _, n := range s {
		b = append(b, n.uuid[:]...)
		if tagged {
			b = append(append(b, byte(len(n.tag)<<1)), n.tag...)
		}
		b = binary.LittleEndian.AppendUint64(b, uint64(len(n.intervals)))
		for _, v := range n.intervals {
			b = binary.LittleEndian.AppendUint64(b, uint64(v.first))
			b = binary.LittleEndian.AppendUint64(b, uint64(v.last+1))
		}
	}
	return b
}
