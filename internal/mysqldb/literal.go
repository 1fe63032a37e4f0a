package mysqldb

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"meridian/internal/row"
)

// LiteralError is returned for a value that cannot be spelled in SQL: none that a server gave us, so it was made wrong.
type LiteralError struct {
	Column string
	Why    string
}

// Error implements error.
func (e *LiteralError) Error() string { return "column " + e.Column + ": " + e.Why }

// AppendLiteral appends a value as an SQL literal from which a server of either flavor makes exactly this value, in a
// column of any type that can hold it, under the session settings of a Server (its sql_mode, UTC).
// c is the column that the value came from: it names the character set of RawText.
//
// EnumZero is written as 0, which a strict session refuses; the statements of Mapping know that.
func AppendLiteral(dst []byte, v row.Value, c *row.Column) ([]byte, error) {
	switch v.Kind {
	case row.Null:
		return append(dst, "NULL"...), nil
	case row.Int:
		return strconv.AppendInt(dst, v.Int64(), 10), nil
	case row.Uint, row.Bit:
		return strconv.AppendUint(dst, v.Num, 10), nil
	case row.Decimal:
		if !isDecimal(v.Bytes) {
			return dst, &LiteralError{c.Name, fmt.Sprintf("%.80q is no decimal number", v.Bytes)}
		}
		return append(dst, v.Bytes...), nil
	case row.Float:
		// As the double that it is exactly: a decimal that is shortest for 32 bits could be rounded twice on its way.
		return appendDouble(dst, float64(v.Float32()), c)
	case row.Double:
		return appendDouble(dst, v.Float64(), c)
	case row.Text, row.JSON:
		if !utf8.Valid(v.Bytes) {
			return dst, &LiteralError{c.Name, fmt.Sprintf("%.80q is text, but no UTF-8", v.Bytes)}
		}
		return appendQuoted(dst, v.Bytes), nil
	case row.RawText:
		if !isName(c.Charset) {
			return dst, &LiteralError{c.Name, fmt.Sprintf("bytes of text in an unknown character set %q", c.Charset)}
		}
		dst = append(append(append(dst, '_'), c.Charset...), ' ')
		return appendHex(dst, v.Bytes), nil
	case row.Binary, row.Geometry, row.Vector:
		return appendBinary(dst, v.Bytes), nil
	case row.Date:
		return append(appendDate(append(dst, '\''), v), '\''), nil
	case row.Time:
		return append(appendTime(append(dst, '\''), v.Int64()), '\''), nil
	case row.Datetime:
		return append(appendDatetime(append(dst, '\''), v), '\''), nil
	case row.Timestamp:
		return append(appendTimestamp(append(dst, '\''), v.Int64()), '\''), nil
	case row.EnumZero:
		return append(dst, '0'), nil
	default:
		return dst, &LiteralError{c.Name, fmt.Sprintf("a value of unknown kind %d", v.Kind)}
	}
}

// appendDouble writes a floating-point number with an exponent, which is what makes a literal a DOUBLE and no DECIMAL.
// MySQL keeps the sign of -0e+00 that way; MariaDB's columns hold no -0.0 at all.
func appendDouble(dst []byte, f float64, c *row.Column) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, &LiteralError{c.Name, "a number that is infinite or none"}
	}
	return strconv.AppendFloat(dst, f, 'e', -1, 64), nil
}

// appendQuoted writes a string literal. In UTF-8 no byte of a longer character looks like a quote or a backslash. The quote is
// doubled, not escaped: in whatever mode a session is, nothing gets out of the literal.
func appendQuoted(dst, text []byte) []byte {
	dst = append(dst, '\'')
	from := 0
	for i, c := range text {
		if c == '\'' || c == '\\' {
			dst = append(append(dst, text[from:i+1]...), c)
			from = i + 1
		}
	}
	return append(append(dst, text[from:]...), '\'')
}

// maxHex is the length up to which binary strings are written in hex, to be readable in logs. Longer ones are written as
// they are: twice the bytes would meet max_allowed_packet at half the size.
const maxHex = 64

func appendBinary(dst, b []byte) []byte {
	if len(b) <= maxHex {
		return appendHex(dst, b)
	}
	return appendQuoted(append(dst, "_binary"...), b)
}

func appendHex(dst, b []byte) []byte {
	return append(hex.AppendEncode(append(dst, "x'"...), b), '\'')
}

func appendDate(dst []byte, v row.Value) []byte {
	year, month, day := v.DateParts()
	return appendDay(dst, year, month, day)
}

func appendDatetime(dst []byte, v row.Value) []byte {
	year, month, day, hour, minute, second, micros := v.DatetimeParts()
	return appendClock(append(appendDay(dst, year, month, day), ' '), hour, minute, second, micros)
}

func appendTimestamp(dst []byte, micros int64) []byte {
	if micros == 0 {
		return append(dst, "0000-00-00 00:00:00"...)
	}
	t := time.UnixMicro(micros).UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	return appendClock(append(appendDay(dst, year, int(month), day), ' '), hour, minute, second, t.Nanosecond()/1000)
}

func appendTime(dst []byte, micros int64) []byte {
	n := uint64(micros)
	if micros < 0 {
		dst = append(dst, '-')
		n = -n
	}
	seconds := n / 1e6
	return appendClock(dst, int(seconds/3600), int(seconds/60%60), int(seconds%60), int(n%1e6))
}

func appendDay(dst []byte, year, month, day int) []byte {
	dst = append(appendDigits(dst, year, 4), '-')
	dst = append(appendDigits(dst, month, 2), '-')
	return appendDigits(dst, day, 2)
}

// appendClock writes a fraction, with all six digits, only where there is one.
func appendClock(dst []byte, hour, minute, second, micros int) []byte {
	dst = append(appendDigits(dst, hour, 2), ':')
	dst = append(appendDigits(dst, minute, 2), ':')
	dst = appendDigits(dst, second, 2)
	if micros != 0 {
		dst = appendDigits(append(dst, '.'), micros, 6)
	}
	return dst
}

// appendDigits writes n with at least width digits, width being at most 6.
func appendDigits(dst []byte, n, width int) []byte {
	for ; width > 1 && n < pow10[width-1]; width-- {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

var pow10 = [...]int{1, 10, 100, 1000, 10000, 100000, 1000000}

// isDecimal tells whether b is [-]digits[.digits]. What came from the bus is not trusted to be one.
func isDecimal(b []byte) bool {
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	digits, points := 0, 0
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c == '.' && digits > 0:
			points++
		default:
			return false
		}
	}
	return digits > 0 && points <= 1 && b[len(b)-1] != '.'
}

// isName tells whether a character set's name may stand in a statement unquoted.
func isName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return s != ""
}

// appendIdentifier writes a quoted name.
func appendIdentifier(dst []byte, name string) []byte {
	dst = append(dst, '`')
	for i := range len(name) {
		if name[i] == '`' {
			dst = append(dst, '`')
		}
		dst = append(dst, name[i])
	}
	return append(dst, '`')
}

// QuoteIdentifier gives a name as SQL spells it.
func QuoteIdentifier(name string) string { return string(appendIdentifier(nil, name)) }
