package envelope

import (
	"math"
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// plain tells which bytes stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 0x20 && c != '"' && c != '\\'
	}
	return t
}()

// plainPrefix counts the bytes at b's beginning that stand for themselves, and tells whether they are all ASCII. It looks at eight
// bytes at a time: a byte below 0x20 borrows its top bit in the subtraction, a byte that is sought is 0 after the exclusive or.
func plainPrefix[T string | []byte](b T) (n int, ascii bool) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	high := uint64(0)
	for ; n+8 <= len(b); n += 8 {
		x := uint64(b[n]) | uint64(b[n+1])<<8 | uint64(b[n+2])<<16 | uint64(b[n+3])<<24 |
			uint64(b[n+4])<<32 | uint64(b[n+5])<<40 | uint64(b[n+6])<<48 | uint64(b[n+7])<<56
		quote, slash := x^(ones*'"'), x^(ones*'\\')
		if ((x-ones*0x20)&^x|(quote-ones)&^quote|(slash-ones)&^slash)&tops != 0 {
			break
		}
		high |= x & tops
	}
	for ; n < len(b) && plain[b[n]]; n++ {
		high |= uint64(b[n] & 0x80)
	}
	return n, high == 0
}

// appendQuoted appends text as a JSON string. Only what must be escaped is: text keeps its bytes.
func appendQuoted[T string | []byte](dst []byte, text T) []byte {
	dst = append(dst, '"')
	for {
		n, _ := plainPrefix(text)
		dst = append(dst, text[:n]...)
		if n == len(text) {
			return append(dst, '"')
		}
		c := text[n]
		text = text[n+1:]
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
}

// appendNumber appends a float as the shortest JSON number that reads back the same. It must be finite.
func appendNumber(dst []byte, f float64, bits int) []byte {
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, bits)
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

func negativeZero(f float64) bool { return f == 0 && math.Signbit(f) }

// scanner reads JSON text. After an error it gives zero values; the caller looks at bad when it has read a whole.
// Strings without escapes are parts of the text, not copies.
type scanner struct {
	b   []byte
	at  int
	bad bool
}

// maxDepth bounds the nesting of what is skipped.
const maxDepth = 64

func (s *scanner) fail() { s.bad = true }

func (s *scanner) blanks() {
	for s.at < len(s.b) {
		switch s.b[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// peek gives the next byte that is not blank, 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.b) && s.b[s.at] > ' ' && !s.bad {
		return s.b[s.at]
	}
	s.blanks()
	if s.bad || s.at >= len(s.b) {
		return 0
	}
	return s.b[s.at]
}

// take reads the byte c, or fails.
func (s *scanner) take(c byte) {
	if s.peek() != c {
		s.fail()
		return
	}
	s.at++
}

// word reads a literal, if it comes next.
func (s *scanner) word(w string) bool {
	if s.peek() != w[0] || len(s.b)-s.at < len(w) || string(s.b[s.at:s.at+len(w)]) != w {
		return false
	}
	s.at += len(w)
	return true
}

// object calls member for each of an object's members, with the scanner before its value. member reads or skips the value.
func (s *scanner) object(member func(name []byte)) {
	s.take('{')
	if s.peek() == '}' {
		s.at++
		return
	}
	for !s.bad {
		name := s.string()
		s.take(':')
		if s.bad {
			return
		}
		member(name)
		if s.peek() == '}' {
			s.at++
			return
		}
		s.take(',')
	}
}

// array calls element for each element, with the scanner before it.
func (s *scanner) array(element func()) {
	s.take('[')
	if s.peek() == ']' {
		s.at++
		return
	}
	for !s.bad {
		element()
		if s.peek() == ']' {
			s.at++
			return
		}
		s.take(',')
	}
}

// string reads a string. The result is never nil.
func (s *scanner) string() []byte {
	s.take('"')
	if s.bad {
		return []byte{}
	}
	from := s.at
	n, ascii := plainPrefix(s.b[from:])
	s.at += n
	if s.at >= len(s.b) {
		s.fail()
		return []byte{}
	}
	if s.b[s.at] != '"' {
		return s.valid(s.escaped(from))
	}
	text := s.b[from:s.at:s.at]
	s.at++
	if ascii {
		return text
	}
	return s.valid(text)
}

// valid passes UTF-8 on and fails on anything else.
func (s *scanner) valid(text []byte) []byte {
	if !utf8.Valid(text) {
		s.fail()
	}
	return text
}

// escaped reads the rest of a string that began at from and has an escape where the scanner is.
func (s *scanner) escaped(from int) []byte {
	text := append(make([]byte, 0, 2*(s.at-from)+32), s.b[from:s.at]...)
	for s.at < len(s.b) {
		switch c := s.b[s.at]; {
		case c == '"':
			s.at++
			return text
		case c == '\\':
			text = s.sequence(text)
			if s.bad {
				return text
			}
		case plain[c]:
			n, _ := plainPrefix(s.b[s.at:])
			text = append(text, s.b[s.at:s.at+n]...)
			s.at += n
		default:
			s.fail()
			return text
		}
	}
	s.fail()
	return text
}

// sequence reads one escape sequence.
func (s *scanner) sequence(text []byte) []byte {
	if s.at+1 >= len(s.b) {
		s.fail()
		return text
	}
	c := s.b[s.at+1]
	s.at += 2
	switch c {
	case '"', '\\', '/':
		return append(text, c)
	case 'b':
		return append(text, '\b')
	case 'f':
		return append(text, '\f')
	case 'n':
		return append(text, '\n')
	case 'r':
		return append(text, '\r')
	case 't':
		return append(text, '\t')
	case 'u':
		return s.unicode(text)
	default:
		s.fail()
		return text
	}
}

// unicode reads the four digits of \uXXXX, and the second half of a surrogate pair. Half a pair is no text.
func (s *scanner) unicode(text []byte) []byte {
	r := s.hex()
	if r >= 0xd800 && r < 0xdc00 {
		low := rune(0)
		if s.at+1 < len(s.b) && s.b[s.at] == '\\' && s.b[s.at+1] == 'u' {
			s.at += 2
			low = s.hex()
		}
		if low < 0xdc00 || low > 0xdfff {
			s.fail()
			return text
		}
		r = 0x10000 + (r-0xd800)<<10 + (low - 0xdc00)
	} else if r >= 0xdc00 && r < 0xe000 {
		s.fail()
	}
	return utf8.AppendRune(text, r)
}

func (s *scanner) hex() rune {
	if s.at+4 > len(s.b) {
		s.fail()
		return 0
	}
	n, err := strconv.ParseUint(string(s.b[s.at:s.at+4]), 16, 16)
	if err != nil {
		s.fail()
	}
	s.at += 4
	return rune(n)
}

// number reads a number's text.
func (s *scanner) number() []byte {
	s.blanks()
	from := s.at
	for s.at < len(s.b) {
		switch c := s.b[s.at]; {
		case c >= '0' && c <= '9', c == '-', c == '+', c == '.', c == 'e', c == 'E':
			s.at++
			continue
		}
		break
	}
	if from == s.at || s.bad {
		s.fail()
		return nil
	}
	return s.b[from:s.at]
}

func (s *scanner) int64() int64 {
	n, err := strconv.ParseInt(string(s.number()), 10, 64)
	if err != nil {
		s.fail()
	}
	return n
}

func (s *scanner) uint64() uint64 {
	n, err := strconv.ParseUint(string(s.number()), 10, 64)
	if err != nil {
		s.fail()
	}
	return n
}

func (s *scanner) float(bits int) float64 {
	f, err := strconv.ParseFloat(string(s.number()), bits)
	if err != nil {
		s.fail()
	}
	return f
}

// skip passes over a value.
func (s *scanner) skip(depth int) {
	switch c := s.peek(); {
	case depth > maxDepth:
		s.fail()
	case c == '{':
		s.object(func([]byte) { s.skip(depth + 1) })
	case c == '[':
		s.array(func() { s.skip(depth + 1) })
	case c == '"':
		s.string()
	case s.word("null"), s.word("true"), s.word("false"):
	default:
		s.number()
	}
}
