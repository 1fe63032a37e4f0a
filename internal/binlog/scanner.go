package binlog

import (
	"bytes"
	"strings"
)

// tokenKind is what a token is.
type tokenKind uint8

const (
	tokenEnd    tokenKind = iota
	tokenWord             // a keyword, a name without quotes, a number
	tokenName             // a name in quotes; text is without them
	tokenString           // text is empty: nobody needs it
	tokenSymbol           // one character
)

type token struct {
	kind tokenKind
	text string
}

// is tells whether the token is one of the keywords, which are given in upper case.
func (t token) is(keywords ...string) bool {
	if t.kind != tokenWord {
		return false
	}
	for _, k := range keywords {
		if strings.EqualFold(t.text, k) {
			return true
		}
	}
	return false
}

func (t token) symbol(c string) bool { return t.kind == tokenSymbol && t.text == c }

func (t token) isName() bool { return t.kind == tokenWord || t.kind == tokenName }

// scanner cuts a statement into tokens, without comments. What stands in /*! … */ and /*M! … */ is part of the statement.
type scanner struct {
	b           []byte
	ansiQuotes  bool
	noBackslash bool
	versioned   bool // within /*! … */
	inner       bool // within another statement
	ahead       []token
}

// next takes a token off; at the end it gives tokenEnd for ever.
func (s *scanner) next() token {
	if len(s.ahead) > 0 {
		t := s.ahead[0]
		s.ahead = s.ahead[1:]
		return t
	}
	return s.scan()
}

// peek looks n tokens ahead, 0 being the next one.
func (s *scanner) peek(n int) token {
	for len(s.ahead) <= n {
		s.ahead = append(s.ahead, s.scan())
	}
	return s.ahead[n]
}

// accept takes the next token if it is one of the keywords.
func (s *scanner) accept(keywords ...string) bool {
	if !s.peek(0).is(keywords...) {
		return false
	}
	s.next()
	return true
}

func (s *scanner) scan() token {
	s.skip()
	if len(s.b) == 0 {
		return token{}
	}
	switch c := s.b[0]; {
	case c == '`', c == '"' && s.ansiQuotes:
		return token{tokenName, s.quoted(c, false)}
	case c == '\'', c == '"':
		s.quoted(c, !s.noBackslash)
		return token{kind: tokenString}
	case isWord(c):
		n := 1
		for n < len(s.b) && isWord(s.b[n]) {
			n++
		}
		word := string(s.b[:n])
		s.b = s.b[n:]
		return token{tokenWord, word}
	default:
		s.b = s.b[1:]
		return token{tokenSymbol, string(rune(c))}
	}
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}

// quoted takes what stands between two quotes; a doubled one stands for itself.
func (s *scanner) quoted(quote byte, backslash bool) string {
	var text []byte
	b := s.b[1:]
	for i := 0; i < len(b); i++ {
		switch {
		case backslash && b[i] == '\\':
			i++
		case b[i] == quote && i+1 < len(b) && b[i+1] == quote:
			text = append(text, quote)
			i++
		case b[i] == quote:
			s.b = b[i+1:]
			return string(text)
		default:
			text = append(text, b[i])
		}
	}
	s.b = nil // it never ends: the server would not have run it
	return string(text)
}

// skip passes blanks and comments.
func (s *scanner) skip() {
	for len(s.b) > 0 {
		switch c := s.b[0]; {
		case c <= ' ':
			s.b = s.b[1:]
		case c == '#', bytes.HasPrefix(s.b, []byte("--")) && (len(s.b) == 2 || s.b[2] <= ' '):
			s.after("\n")
		case s.versioned && bytes.HasPrefix(s.b, []byte("*/")):
			s.versioned = false
			s.b = s.b[2:]
		case bytes.HasPrefix(s.b, []byte("/*!")):
			s.version(3)
		case bytes.HasPrefix(s.b, []byte("/*M!")):
			s.version(4)
		case bytes.HasPrefix(s.b, []byte("/*")):
			s.b = s.b[2:]
			s.after("*/")
		default:
			return
		}
	}
}

// after goes behind the next end, or to the statement's.
func (s *scanner) after(end string) {
	i := bytes.Index(s.b, []byte(end))
	if i < 0 {
		s.b = nil
		return
	}
	s.b = s.b[i+len(end):]
}

// version passes the opening of a comment whose text is part of the statement, and the version behind it.
func (s *scanner) version(opening int) {
	s.versioned = true
	s.b = s.b[opening:]
	for n := 0; n < 6 && len(s.b) > 0 && s.b[0] >= '0' && s.b[0] <= '9'; n++ {
		s.b = s.b[1:]
	}
}
