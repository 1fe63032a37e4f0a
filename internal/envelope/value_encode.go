package envelope

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"meridian/internal/row"
)

// appendValue appends a value of a column in the JSON form of the column's type. natural is false when that form cannot hold it
// exactly, or when the value is of a kind that the type does not have: then it is written as an escape, and its kind
// must travel beside it.
func appendValue(dst []byte, c *row.Column, v row.Value) (out []byte, natural bool) {
	if v.Kind == row.Null {
		return append(dst, "null"...), true
	}
	out, natural = appendNatural(dst, c, v)
	if !natural {
		out = appendEscape(out[:len(dst)], v)
	}
	return out, natural
}

// appendNatural appends the column type's own form. What it appends when it fails is to be thrown away.
func appendNatural(dst []byte, c *row.Column, v row.Value) ([]byte, bool) {
	if v.Kind != naturalKind(c.Type) {
		return dst, false
	}
	switch v.Kind {
	case row.Int:
		return strconv.AppendInt(dst, v.Int64(), 10), true
	case row.Uint:
		return strconv.AppendUint(dst, v.Num, 10), true
	case row.Decimal, row.Text, row.JSON:
		return appendQuoted(dst, v.Bytes), utf8.Valid(v.Bytes)
	case row.Float:
		f := float64(v.Float32())
		return appendNumber(dst, f, 32), v.Num>>32 == 0 && finite(f) && !negativeZero(f)
	case row.Double:
		return appendNumber(dst, v.Float64(), 64), finite(v.Float64()) && !negativeZero(v.Float64())
	case row.Bit:
		return appendBits(dst, c.Length, v.Num)
	case row.Binary:
		return appendBase64(dst, v.Bytes), true
	case row.Date:
		days, ok := calendarDay(v.DateParts())
		return strconv.AppendInt(dst, days, 10), ok
	case row.Time:
		return strconv.AppendInt(dst, v.Int64(), 10), true
	case row.Datetime:
		return appendDatetime(dst, c.Fraction, v)
	case row.Timestamp:
		return appendTimestamp(dst, c.Fraction, v)
	case row.Geometry:
		return appendGeometry(dst, v.Bytes)
	case row.Vector:
		return appendVector(dst, v.Bytes)
	case row.Null, row.RawText, row.EnumZero:
	}
	return dst, false
}

// naturalKind is the kind of value that a column type's JSON form stands for; Null for a type that has none.
func naturalKind(t row.Type) row.Kind {
	switch t {
	case row.TypeInt:
		return row.Int
	case row.TypeUint, row.TypeYear:
		return row.Uint
	case row.TypeDecimal:
		return row.Decimal
	case row.TypeFloat:
		return row.Float
	case row.TypeDouble:
		return row.Double
	case row.TypeBit:
		return row.Bit
	case row.TypeText, row.TypeEnum, row.TypeSet, row.TypeUUID, row.TypeInet4, row.TypeInet6:
		return row.Text
	case row.TypeBinary:
		return row.Binary
	case row.TypeDate:
		return row.Date
	case row.TypeTime:
		return row.Time
	case row.TypeDatetime:
		return row.Datetime
	case row.TypeTimestamp:
		return row.Timestamp
	case row.TypeJSON:
		return row.JSON
	case row.TypeGeometry:
		return row.Geometry
	case row.TypeVector:
		return row.Vector
	case row.TypeUnknown:
	}
	return row.Null
}

func appendBase64(dst, b []byte) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"')
}

// appendBits appends a boolean for BIT(1), else base64 of the little-endian bytes.
func appendBits(dst []byte, length int, n uint64) ([]byte, bool) {
	if length < 1 || length > 64 || length < 64 && n>>length != 0 {
		return dst, false
	}
	if length == 1 {
		return strconv.AppendBool(dst, n == 1), true
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	return appendBase64(dst, b[:(length+7)/8]), true
}

// coarse tells whether a DATETIME column with that many digits is in milliseconds.
func coarse(fraction int) bool { return fraction <= 3 }

func appendDatetime(dst []byte, fraction int, v row.Value) ([]byte, bool) {
	micros, ok := datetimeMicros(v)
	if coarse(fraction) {
		ok = ok && micros%1000 == 0
		micros, _ = floorDiv(micros, 1000)
	}
	return strconv.AppendInt(dst, micros, 10), ok
}

// appendTimestamp appends ISO 8601 in UTC with the column's digits: "2024-02-29T12:00:00.250Z".
func appendTimestamp(dst []byte, fraction int, v row.Value) ([]byte, bool) {
	d, ok := microsDatetime(v.Int64())
	if !ok || v.Num == 0 || fraction < 0 || fraction > 6 { // 0 is the zero timestamp, which is not 1970
		return dst, false
	}
	year, month, day, hour, minute, second, micros := d.DatetimeParts()
	dst = append(dst, '"')
	dst = appendDate(dst, year, month, day)
	dst = append(dst, 'T')
	dst = appendClock(dst, hour, minute, second)
	for range 6 - fraction {
		ok = ok && micros%10 == 0
		micros /= 10
	}
	if fraction > 0 {
		dst = appendPadded(append(dst, '.'), micros, fraction)
	}
	return append(dst, 'Z', '"'), ok
}

func appendDate(dst []byte, year, month, day int) []byte {
	dst = appendPadded(dst, year, 4)
	dst = appendPadded(append(dst, '-'), month, 2)
	return appendPadded(append(dst, '-'), day, 2)
}

func appendClock(dst []byte, hour, minute, second int) []byte {
	dst = appendPadded(dst, hour, 2)
	dst = appendPadded(append(dst, ':'), minute, 2)
	return appendPadded(append(dst, ':'), second, 2)
}

// appendPadded appends a number that is not negative with leading zeros up to a width.
func appendPadded(dst []byte, n, width int) []byte {
	for limit := 10; width > 1; width-- {
		if n < limit {
			dst = append(dst, "00000"[:width-1]...)
			break
		}
		limit *= 10
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

// sridBytes is the length of the reference system's number before the WKB.
const sridBytes = 4

func appendGeometry(dst, b []byte) ([]byte, bool) {
	if len(b) < sridBytes {
		return dst, false
	}
	dst = appendBase64(append(dst, `{"wkb":`...), b[sridBytes:])
	dst = append(dst, `,"srid":`...)
	dst = strconv.AppendUint(dst, uint64(binary.LittleEndian.Uint32(b)), 10)
	return append(dst, '}'), true
}

// appendVector appends the float32 elements. A negative zero among them is written as -0, which is a number in JSON.
func appendVector(dst, b []byte) ([]byte, bool) {
	if len(b)%4 != 0 {
		return dst, false
	}
	dst = append(dst, '[')
	for i := 0; i < len(b); i += 4 {
		f := float64(math.Float32frombits(binary.LittleEndian.Uint32(b[i:])))
		if !finite(f) {
			return dst, false
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendNumber(dst, f, 32)
	}
	return append(dst, ']'), true
}

// appendEscape appends a value in a form that tells it exactly to who knows its kind: {"literal": text} where there is a text that
// people read, else {"base64": bytes}.
func appendEscape(dst []byte, v row.Value) []byte {
	if text, ok := literal(v); ok {
		dst = appendQuoted(append(dst, `{"literal":`...), text)
	} else {
		dst = appendBase64(append(dst, `{"base64":`...), v.Bytes)
	}
	return append(dst, '}')
}

// literal gives the text of an escape, false for kinds that are bytes. parseLiteral is its inverse.
func literal(v row.Value) (string, bool) {
	var text []byte
	switch v.Kind {
	case row.Text, row.Decimal:
		return string(v.Bytes), utf8.Valid(v.Bytes)
	case row.RawText, row.Binary, row.JSON, row.Geometry, row.Vector:
		return "", false
	case row.Null, row.EnumZero:
		return "", true
	case row.Int, row.Time:
		return strconv.FormatInt(v.Int64(), 10), true
	case row.Uint, row.Bit:
		return strconv.FormatUint(v.Num, 10), true
	case row.Float:
		text = appendNumber(nil, float64(v.Float32()), 32)
	case row.Double:
		text = appendNumber(nil, v.Float64(), 64)
	case row.Date:
		year, month, day := v.DateParts()
		text = appendDate(nil, year, month, day)
	case row.Datetime:
		text = appendDatetimeText(nil, v)
	case row.Timestamp:
		text = []byte(timestampText(v.Int64()))
	}
	if back, ok := parseLiteral(v.Kind, text); ok && back.Num == v.Num {
		return string(text), true
	}
	return hexLiteral + strconv.FormatUint(v.Num, 16), true // not a number, or not of this kind
}

// hexLiteral begins the text of what has no other: the bits as they are.
const hexLiteral = "0x"

// appendDatetimeText appends "2024-02-30 10:00:00", with six digits more if there is a fraction.
func appendDatetimeText(dst []byte, v row.Value) []byte {
	year, month, day, hour, minute, second, micros := v.DatetimeParts()
	dst = appendDate(dst, year, month, day)
	dst = appendClock(append(dst, ' '), hour, minute, second)
	if micros != 0 {
		dst = appendPadded(append(dst, '.'), micros, 6)
	}
	return dst
}

const zeroTimestamp = "0000-00-00 00:00:00"

func timestampText(micros int64) string {
	if micros == 0 {
		return zeroTimestamp
	}
	return time.UnixMicro(micros).UTC().Format(timestampLayout)
}

const timestampLayout = "2006-01-02 15:04:05.999999"
