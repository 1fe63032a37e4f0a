package row

import (
	"slices"
	"strings"
	"unicode/utf8"

	"vitess.io/vitess/go/mysql/collations/charset"
	"vitess.io/vitess/go/mysql/collations/colldata"
)

// DecodeText gives the UTF-8 text of bytes that a column of the named character set (MySQL's name) holds. It is false
// when they are no text: bytes that the character set does not define, and characters that would not come back as the
// same bytes when the text is written again. Such bytes are moved as they are, as RawText.
//
// For UTF-8, and for ASCII in character sets that contain it, the result is b itself.
func DecodeText(charset string, b []byte) ([]byte, bool) {
	switch charset {
	case "utf8mb4", "utf8mb3", "utf8":
		return b, utf8.Valid(b)
	case "ascii":
		return b, isASCII(b)
	}
	set := charsetByName(charset)
	if set == nil {
		return b, false
	}
	if set.ascii && isASCII(b) {
		return b, true
	}
	text, ok := set.decode(b)
	if !ok {
		return b, false
	}
	return text, true
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// characterSet is what DecodeText knows of a character set.
type characterSet struct {
	name  string
	ascii bool // bytes below 0x80 that begin a character are ASCII, and ASCII is written so
	set   charset.Charset
	one   *[256]rune // of a set of one-byte characters: each byte's character, -1 for none
}

// decode converts character by character, and back again to see that nothing is lost.
func (s *characterSet) decode(b []byte) ([]byte, bool) {
	text := make([]byte, 0, len(b)+len(b)/2)
	if s.one != nil {
		for _, c := range b {
			r := s.one[c]
			if r < 0 {
				return nil, false
			}
			text = utf8.AppendRune(text, r)
		}
		return text, true
	}
	var back [8]byte
	for len(b) > 0 {
		r, width := s.set.DecodeRune(b)
		if width <= 0 || width > len(b) || !utf8.ValidRune(r) {
			return nil, false
		}
		if n := s.set.EncodeRune(back[:], r); n != width || !slices.Equal(back[:n], b[:width]) {
			return nil, false
		}
		text = utf8.AppendRune(text, r)
		b = b[width:]
	}
	return text, true
}

// encodeText appends text in a character set; false if it has a character that the set lacks.
func encodeText(dst []byte, set charset.Charset, text []byte) ([]byte, bool) {
	var room [8]byte
	for len(text) > 0 {
		r, width := utf8.DecodeRune(text)
		n := set.EncodeRune(room[:], r)
		if n <= 0 || (r == utf8.RuneError && width == 1) {
			return dst, false
		}
		dst = append(dst, room[:n]...)
		text = text[width:]
	}
	return dst, true
}

// charsets holds the character sets that were looked up.
var charsets registry[characterSet]

// charsetByName gives nil for a character set that is not known.
func charsetByName(name string) *characterSet { return charsets.get(name, newCharset) }

func newCharset(name string) *characterSet {
	name = strings.ToLower(name)
	s := &characterSet{name: name, ascii: true}
	switch name {
	case "utf8", "utf8mb3":
		s.set = charset.Charset_utf8mb3{}
	case "utf16":
		s.set, s.ascii = charset.Charset_utf16{}, false
	case "utf16le":
		s.set, s.ascii = charset.Charset_utf16le{}, false
	case "utf32":
		s.set, s.ascii = charset.Charset_utf32{}, false
	case "ucs2":
		s.set, s.ascii = charset.Charset_ucs2{}, false
	case "binary":
		return nil
	case "gb18030":
		two := newTableCharset(name)
		if two == nil {
			return nil
		}
		s.set = gb18030{two: two}
	case "gbk", "big5", "tis620":
		set := newTableCharset(name)
		if set == nil {
			return nil
		}
		s.set = set
	default:
		c := colldata.Lookup(environment().LookupByName(name + "_bin"))
		if c == nil {
			return nil
		}
		s.set = c.Charset()
	}
	if s.set.MaxWidth() == 1 {
		s.one = oneByteCharacters(s.set)
	}
	if s.ascii {
		var back [8]byte
		for b := range byte(utf8.RuneSelf) {
			r, width := s.set.DecodeRune([]byte{b})
			if n := s.set.EncodeRune(back[:], rune(b)); r != rune(b) || width != 1 || n != 1 || back[0] != b {
				s.ascii = false // such as sjis, which reads 0x5c as a backslash and writes a backslash as 0x815f
			}
		}
	}
	return s
}

// oneByteCharacters gives the character of each byte that is written as that byte again.
func oneByteCharacters(set charset.Charset) *[256]rune {
	var characters [256]rune
	var back [8]byte
	for b := range characters {
		r, _ := set.DecodeRune([]byte{byte(b)})
		if n := set.EncodeRune(back[:], r); n != 1 || back[0] != byte(b) {
			r = -1
		}
		characters[b] = r
	}
	return &characters
}
