package row

import (
	"unicode/utf8"

	"vitess.io/vitess/go/mysql/collations/charset"
)

// tableCharset is a character set of one- and two-byte characters (gbk, big5, tis620, part of gb18030) out of the table file. It has the
// methods of vitess's charset.Charset.
type tableCharset struct {
	name   string
	decode [1 << 16]uint16 // by code: the character, 0 for none
	encode [1 << 16]uint16 // by character: the code, 0 for none
	wide   bool            // a byte from 0x81 on begins a character of two bytes
}

// newTableCharset gives nil for a name that the file does not have. Its section has two columns: the codes and the
// characters, each as the distance from the one before.
func newTableCharset(name string) *tableCharset {
	columns := section(name)
	if len(columns) != 2 {
		return nil
	}
	s := &tableCharset{name: name}
	var code, r int64
	for i := range columns[0] {
		code, r = code+columns[0][i], r+columns[1][i]
		s.decode[code], s.encode[r] = uint16(r), uint16(code)
		s.wide = s.wide || code > 0xff
	}
	return s
}

// Name gives MySQL's name of the character set.
func (s *tableCharset) Name() string { return s.name }

// SupportsSupplementaryChars is false: there are none.
func (s *tableCharset) SupportsSupplementaryChars() bool { return false }

// IsSuperset is true for the set itself only.
func (s *tableCharset) IsSuperset(other charset.Charset) bool { return other.Name() == s.name }

// MaxWidth gives the bytes of the longest character.
func (s *tableCharset) MaxWidth() int {
	if s.wide {
		return 2
	}
	return 1
}

// DecodeRune gives the first character of b and its bytes, utf8.RuneError for what is none.
func (s *tableCharset) DecodeRune(b []byte) (rune, int) {
	if len(b) == 0 {
		return utf8.RuneError, 0
	}
	code, width := uint16(b[0]), 1
	if s.wide && b[0] > 0x80 && len(b) > 1 && b[1] >= 0x40 {
		code, width = code<<8|uint16(b[1]), 2
	}
	if r := s.decode[code]; r != 0 || code == 0 {
		return rune(r), width
	}
	return utf8.RuneError, 1
}

// EncodeRune writes a character and gives its bytes, -1 for one that the set lacks.
func (s *tableCharset) EncodeRune(dst []byte, r rune) int {
	if r < 0 || r > 0xffff {
		return -1
	}
	code := s.encode[r]
	switch {
	case code == 0 && r != 0:
		return -1
	case code > 0xff:
		dst[0], dst[1] = byte(code>>8), byte(code)
		return 2
	}
	dst[0] = byte(code)
	return 1
}

// gb18030 has its one- and two-byte characters from the table file, which unlike vitess has the user-defined ones and the
// euro sign in its place, and those of four bytes from vitess, save one that GB 18030 moved in 2005.
type gb18030 struct {
	charset.Charset_gb18030
	two *tableCharset
}

// movedRune stood where U+1E3F stands since 2005.
const movedRune = 0xe7c7

var movedCode = [4]byte{0x81, 0x35, 0xf4, 0x37}

// DecodeRune gives the first character of b and its bytes, utf8.RuneError for what is none.
func (g gb18030) DecodeRune(b []byte) (rune, int) {
	if len(b) > 3 && b[0] > 0x80 && b[1] < 0x40 {
		if [4]byte(b) == movedCode {
			return movedRune, 4
		}
		return g.Charset_gb18030.DecodeRune(b)
	}
	return g.two.DecodeRune(b)
}

// EncodeRune writes a character and gives its bytes, -1 for one that the set lacks.
func (g gb18030) EncodeRune(dst []byte, r rune) int {
	if n := g.two.EncodeRune(dst, r); n > 0 {
		return n
	}
	if r == movedRune {
		return copy(dst, movedCode[:])
	}
	return g.Charset_gb18030.EncodeRune(dst, r)
}
