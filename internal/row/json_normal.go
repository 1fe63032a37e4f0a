package row

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

var errJSON = errors.New("malformed JSON")

// maxNormalDepth bounds the recursion on documents that come from no server.
const maxNormalDepth = 1000

// AppendNormalJSON appends a JSON document in the form in which documents are compared: no blanks, the members of an
// object in one order (shorter names first, as MySQL sorts them) and the last of those with the same name only, one
// spelling for each string and for each number.
//
// Equal numbers have one spelling, whether MySQL holds them as integer, double or DECIMAL and however MariaDB's text
// spells them. Integers from -2^63 to 2^64-1 are exact. Any other number is taken for the double next to it, because that
// is what MySQL makes of its text: a DECIMAL of 30 digits inside a document arrives as a double in the next region, and
// would be told from the original for ever. A number beyond a double's range stays as it is spelled.
//
// The error is for text that is no JSON; dst then comes back as it was.
func AppendNormalJSON(dst, text []byte) ([]byte, error) {
	n := normalizers.take()
	n.in, n.at, n.members = text, 0, n.members[:0]
	out, err := n.value(dst, 0)
	n.skipBlanks()
	whole := n.at == len(n.in)
	n.in = nil
	if cap(n.scratch) <= maxPooled && cap(n.members) <= maxPooledMembers {
		normalizers.giveBack(n)
	}
	switch {
	case err != nil:
		return dst, err
	case !whole:
		return dst, errJSON
	}
	return out, nil
}

// normalizers keeps the room that documents need while they are put in order: a digest allocates nothing.
var normalizers pool[normalizer]

// maxPooledMembers is the greatest number of members that a normalizer keeps room for.
const maxPooledMembers = 1 << 14

// normalizer reads JSON text from at on.
type normalizer struct {
	in      []byte
	at      int
	members []member // of the objects that are open, the innermost last
	scratch []byte   // where members are put in order
}

// member is where a member of an object stands in the output: its quoted name from start to colon, its value up to end.
type member struct{ start, colon, end int }

func (n *normalizer) skipBlanks() {
	for n.at < len(n.in) {
		switch n.in[n.at] {
		case ' ', '\t', '\n', '\r':
			n.at++
		default:
			return
		}
	}
}

// next gives the next byte that is no blank, 0 at the end.
func (n *normalizer) next() byte {
	n.skipBlanks()
	if n.at == len(n.in) {
		return 0
	}
	return n.in[n.at]
}

func (n *normalizer) value(dst []byte, depth int) ([]byte, error) {
	if depth > maxNormalDepth {
		return dst, errJSON
	}
	switch c := n.next(); c {
	case '{':
		return n.object(dst, depth)
	case '[':
		return n.array(dst, depth)
	case '"':
		return n.string(dst)
	case 't':
		return n.literal(dst, "true")
	case 'f':
		return n.literal(dst, "false")
	case 'n':
		return n.literal(dst, "null")
	default:
		return n.number(dst)
	}
}

func (n *normalizer) literal(dst []byte, word string) ([]byte, error) {
	if !bytes.HasPrefix(n.in[n.at:], []byte(word)) {
		return dst, errJSON
	}
	n.at += len(word)
	return append(dst, word...), nil
}

func (n *normalizer) array(dst []byte, depth int) ([]byte, error) {
	n.at++
	dst = append(dst, '[')
	if n.next() == ']' {
		n.at++
		return append(dst, ']'), nil
	}
	for {
		var err error
		if dst, err = n.value(dst, depth+1); err != nil {
			return dst, err
		}
		c := n.next()
		if c != ',' && c != ']' {
			return dst, errJSON
		}
		n.at++
		dst = append(dst, c)
		if c == ']' {
			return dst, nil
		}
	}
}

func (n *normalizer) object(dst []byte, depth int) ([]byte, error) {
	n.at++
	dst = append(dst, '{')
	if n.next() == '}' {
		n.at++
		return append(dst, '}'), nil
	}
	first, body := len(n.members), len(dst)
	for {
		if n.next() != '"' {
			return dst, errJSON
		}
		m := member{start: len(dst)}
		var err error
		if dst, err = n.string(dst); err != nil {
			return dst, err
		}
		m.colon = len(dst)
		if n.next() != ':' {
			return dst, errJSON
		}
		n.at++
		if dst, err = n.value(append(dst, ':'), depth+1); err != nil {
			return dst, err
		}
		m.end = len(dst)
		n.members = append(n.members, m)
		c := n.next()
		if c != ',' && c != '}' {
			return dst, errJSON
		}
		n.at++
		if c == '}' {
			break
		}
		dst = append(dst, ',')
	}
	dst = n.order(dst, body, n.members[first:])
	n.members = n.members[:first]
	return append(dst, '}'), nil
}

// order puts the members that dst holds from body on into order, the last one of each name.
func (n *normalizer) order(dst []byte, body int, members []member) []byte {
	compare := func(a, b member) int {
		if c := (a.colon - a.start) - (b.colon - b.start); c != 0 {
			return c
		}
		return bytes.Compare(dst[a.start:a.colon], dst[b.start:b.colon])
	}
	ordered := true
	for i := 1; i < len(members) && ordered; i++ {
		ordered = compare(members[i-1], members[i]) < 0
	}
	if ordered {
		return dst
	}
	slices.SortStableFunc(members, compare)
	n.scratch = n.scratch[:0]
	for i, m := range members {
		if i+1 < len(members) && compare(m, members[i+1]) == 0 {
			continue
		}
		if len(n.scratch) > 0 {
			n.scratch = append(n.scratch, ',')
		}
		n.scratch = append(n.scratch, dst[m.start:m.end]...)
	}
	return append(dst[:body], n.scratch...)
}

// string reads a string and appends it as appendJSONString would, except that an escaped surrogate without its other half
// stays an escape.
func (n *normalizer) string(dst []byte) ([]byte, error) {
	n.at++
	dst = append(dst, '"')
	for n.at < len(n.in) {
		c := n.in[n.at]
		switch {
		case c == '"':
			n.at++
			return append(dst, '"'), nil
		case c == '\\':
			var err error
			if dst, err = n.escape(dst); err != nil {
				return dst, err
			}
		case c < utf8.RuneSelf:
			dst = appendJSONRune(dst, rune(c))
			n.at++
		default:
			r, width := utf8.DecodeRune(n.in[n.at:])
			if r == utf8.RuneError && width == 1 {
				return dst, errJSON
			}
			dst = append(dst, n.in[n.at:n.at+width]...)
			n.at += width
		}
	}
	return dst, errJSON
}

func (n *normalizer) escape(dst []byte) ([]byte, error) {
	if n.at+1 >= len(n.in) {
		return dst, errJSON
	}
	c := n.in[n.at+1]
	n.at += 2
	switch c {
	case '"', '\\', '/':
		return appendJSONRune(dst, rune(c)), nil
	case 'b':
		return appendJSONRune(dst, '\b'), nil
	case 'f':
		return appendJSONRune(dst, '\f'), nil
	case 'n':
		return appendJSONRune(dst, '\n'), nil
	case 'r':
		return appendJSONRune(dst, '\r'), nil
	case 't':
		return appendJSONRune(dst, '\t'), nil
	case 'u':
		r, ok := n.hex()
		if !ok {
			return dst, errJSON
		}
		if !utf16.IsSurrogate(r) {
			return appendJSONRune(dst, r), nil
		}
		if before := n.at; bytes.HasPrefix(n.in[n.at:], []byte(`\u`)) {
			n.at += 2
			if low, ok := n.hex(); ok {
				if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
					return utf8.AppendRune(dst, pair), nil
				}
			}
			n.at = before
		}
		return append(dst, '\\', 'u', hexDigits[r>>12], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15]), nil
	default:
		return dst, errJSON
	}
}

// hex reads four hexadecimal digits.
func (n *normalizer) hex() (rune, bool) {
	if n.at+4 > len(n.in) {
		return 0, false
	}
	var r rune
	for _, c := range n.in[n.at : n.at+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	n.at += 4
	return r, true
}

const hexDigits = "0123456789abcdef"

// appendJSONString appends a quoted string with the escapes that MySQL writes.
func appendJSONString(dst, text []byte) []byte {
	dst = append(dst, '"')
	for _, c := range text {
		if c >= utf8.RuneSelf {
			dst = append(dst, c)
			continue
		}
		dst = appendJSONRune(dst, rune(c))
	}
	return append(dst, '"')
}

// appendJSONRune appends one character of a string.
func appendJSONRune(dst []byte, r rune) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(dst, '\\', byte(r))
	case r >= ' ':
		return utf8.AppendRune(dst, r)
	case r == '\b':
		return append(dst, `\b`...)
	case r == '\f':
		return append(dst, `\f`...)
	case r == '\n':
		return append(dst, `\n`...)
	case r == '\r':
		return append(dst, `\r`...)
	case r == '\t':
		return append(dst, `\t`...)
	default:
		return append(dst, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
	}
}

// number reads a number: -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func (n *normalizer) number(dst []byte) ([]byte, error) {
	start := n.at
	if n.at < len(n.in) && n.in[n.at] == '-' {
		n.at++
	}
	whole := n.at
	if n.digits() == 0 || (n.in[whole] == '0' && n.at > whole+1) {
		return dst, errJSON
	}
	integer := true
	if n.at < len(n.in) && n.in[n.at] == '.' {
		integer = false
		n.at++
		if n.digits() == 0 {
			return dst, errJSON
		}
	}
	if n.at < len(n.in) && (n.in[n.at] == 'e' || n.in[n.at] == 'E') {
		integer = false
		n.at++
		if n.at < len(n.in) && (n.in[n.at] == '+' || n.in[n.at] == '-') {
			n.at++
		}
		if n.digits() == 0 {
			return dst, errJSON
		}
	}
	return appendNormalNumber(dst, n.in[start:n.at], integer), nil
}

func (n *normalizer) digits() int {
	start := n.at
	for n.at < len(n.in) && '0' <= n.in[n.at] && n.in[n.at] <= '9' {
		n.at++
	}
	return n.at - start
}

// appendNormalNumber appends the one spelling of a number; integer says that text has neither point nor exponent.
func appendNormalNumber(dst, text []byte, integer bool) []byte {
	if integer {
		if i, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			return strconv.AppendInt(dst, i, 10)
		}
		if u, err := strconv.ParseUint(string(text), 10, 64); err == nil {
			return strconv.AppendUint(dst, u, 10)
		}
	}
	f, err := strconv.ParseFloat(string(text), 64)
	switch {
	case err != nil:
		return append(dst, text...)
	case f != math.Trunc(f):
	case f >= 0 && f < 1<<64:
		return strconv.AppendUint(dst, uint64(f), 10)
	case f < 0 && f >= -1<<63:
		return strconv.AppendInt(dst, int64(f), 10)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}
