package row

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// FromText makes the Value of a column out of what a SELECT gives for it in the text protocol, with
// character_set_results=NULL and time_zone='+00:00'; nil is NULL. The value is the one that the binlog has for the same
// column. A FLOAT column must be selected as SelectExpression says: MySQL prints it with six digits. raw is copied, not
// kept. The error tells the column and what it got.
func FromText(c *Column, raw []byte) (Value, error) { return read(c, raw, false) }

// FromTextAliased is FromText, except that the value may hold raw's bytes: it is valid as long as they are.
func FromTextAliased(c *Column, raw []byte) (Value, error) { return read(c, raw, true) }

func read(c *Column, raw []byte, alias bool) (Value, error) {
	if raw == nil {
		return NullValue(), nil
	}
	v, err := fromText(c, raw, alias)
	if err != nil {
		return Value{}, fmt.Errorf("column %s: %q: %w", c.Name, clip(raw), err)
	}
	return v, nil
}

// SelectExpression gives the expression that a SELECT must name for a column so that FromText reads its exact value;
// quoted is the column's name as the statement spells it.
func SelectExpression(c *Column, quoted string) string {
	switch c.Type {
	case TypeFloat, TypeDouble:
		// A product is a double without a fixed number of decimals, printed with as many digits as it needs; it keeps -0.0.
		return quoted + " * 1e0"
	default:
		return quoted
	}
}

// clip shortens what is shown in a message.
func clip(raw []byte) []byte { return raw[:min(len(raw), 64)] }

var (
	errNotTemporal = errors.New("is no date or time as the server writes it")
	errTooLong     = errors.New("is longer than the column's type")
	errDecimal     = errors.New("is no decimal number")
	errType        = errors.New("the column's type is not known")
)

func fromText(c *Column, raw []byte, alias bool) (Value, error) {
	switch c.Type {
	case TypeInt:
		n, err := strconv.ParseInt(string(raw), 10, 64)
		return IntValue(n), err
	case TypeUint, TypeYear:
		n, err := strconv.ParseUint(string(raw), 10, 64)
		return UintValue(n), err
	case TypeDecimal:
		return decimalFromText(raw, alias)
	case TypeFloat:
		f, err := strconv.ParseFloat(string(raw), 32)
		return FloatValue(float32(f)), err
	case TypeDouble:
		f, err := strconv.ParseFloat(string(raw), 64)
		return DoubleValue(f), err
	case TypeBit:
		return bitFromText(raw)
	case TypeText, TypeSet:
		return textFromText(c, raw, alias), nil
	case TypeEnum:
		if len(raw) == 0 && !slices.Contains(c.Labels, "") {
			return Value{Kind: EnumZero}, nil
		}
		return textFromText(c, raw, alias), nil
	case TypeBinary:
		if alias && len(raw) >= c.Length {
			return BytesValue(Binary, raw), nil
		}
		return BytesValue(Binary, PadBinary(raw, c.Length)), nil
	case TypeDate, TypeTime, TypeDatetime, TypeTimestamp:
		return temporalFromText(c.Type, raw)
	case TypeJSON:
		v := textFromText(c, raw, alias)
		if v.Kind == Text {
			v.Kind = JSON
		}
		return v, nil
	case TypeGeometry:
		return BytesValue(Geometry, bytes.Clone(raw)), nil
	case TypeVector:
		return BytesValue(Vector, bytes.Clone(raw)), nil
	case TypeUUID, TypeInet4, TypeInet6:
		return BytesValue(Text, bytes.ToLower(raw)), nil
	case TypeUnknown:
	}
	return Value{}, errType
}

// PadBinary gives a copy of a BINARY(length) value that is padded with 0x00 to its length, as a row image leaves trailing
// 0x00 out; length 0 is for types without a fixed length.
func PadBinary(b []byte, length int) []byte {
	padded := make([]byte, max(len(b), length))
	copy(padded, b)
	return padded
}

func textFromText(c *Column, raw []byte, alias bool) Value {
	set := c.Charset
	if set == "" {
		set = "utf8mb4" // MySQL's JSON has no character set of its own
	}
	text, ok := DecodeText(set, raw)
	if !ok {
		return BytesValue(RawText, bytes.Clone(raw))
	}
	if !alias && len(text) > 0 && len(raw) > 0 && &text[0] == &raw[0] {
		text = bytes.Clone(text)
	}
	return BytesValue(Text, text)
}

func decimalFromText(raw []byte, alias bool) (Value, error) {
	digits := raw
	var out []byte
	if len(digits) > 0 && digits[0] == '-' {
		out, digits = append(out, '-'), digits[1:]
	}
	point := bytes.IndexByte(digits, '.')
	if point < 0 {
		point = len(digits)
	}
	for i, c := range digits {
		if (c < '0' || c > '9') && i != point {
			return Value{}, errDecimal
		}
	}
	if point == 0 || point == len(digits)-1 {
		return Value{}, errDecimal
	}
	if alias && (point == 1 || digits[0] != '0') {
		return BytesValue(Decimal, raw), nil
	}
	for point > 1 && digits[0] == '0' { // ZEROFILL
		digits, point = digits[1:], point-1
	}
	return BytesValue(Decimal, append(out, digits...)), nil
}

func bitFromText(raw []byte) (Value, error) {
	if len(raw) > 8 {
		return Value{}, errTooLong
	}
	var n uint64
	for _, b := range raw {
		n = n<<8 | uint64(b)
	}
	return Value{Kind: Bit, Num: n}, nil
}

func temporalFromText(t Type, raw []byte) (Value, error) {
	if t == TypeTime {
		return timeFromText(raw)
	}
	date, clock, timed := bytes.Cut(raw, []byte{' '})
	year, month, day, ok := parseDate(date)
	if !ok || timed != (t != TypeDate) {
		return Value{}, errNotTemporal
	}
	if t == TypeDate {
		return DateValue(year, month, day), nil
	}
	hour, minute, second, micros, ok := parseClock(clock)
	if !ok || hour > 23 {
		return Value{}, errNotTemporal
	}
	if t == TypeDatetime {
		return DatetimeValue(year, month, day, hour, minute, second, micros), nil
	}
	if month == 0 && day == 0 {
		return TimestampValue(0), nil
	}
	if month == 0 || day == 0 {
		return Value{}, errNotTemporal
	}
	return TimestampValue(time.Date(year, time.Month(month), day, hour, minute, second, micros*1000, time.UTC).UnixMicro()), nil
}

func timeFromText(raw []byte) (Value, error) {
	negative := len(raw) > 0 && raw[0] == '-'
	if negative {
		raw = raw[1:]
	}
	hour, minute, second, micros, ok := parseClock(raw)
	if !ok || hour > 838 {
		return Value{}, errNotTemporal
	}
	n := int64(hour*3600+minute*60+second)*1e6 + int64(micros)
	if negative {
		n = -n
	}
	return TimeValue(n), nil
}

// parseDate reads YYYY-MM-DD, invalid days and zeros included.
func parseDate(b []byte) (year, month, day int, ok bool) {
	if len(b) != 10 || b[4] != '-' || b[7] != '-' {
		return 0, 0, 0, false
	}
	year, a := parseDigits(b[:4])
	month, m := parseDigits(b[5:7])
	day, d := parseDigits(b[8:])
	return year, month, day, a && m && d && month <= 12 && day <= 31
}

// parseClock reads H…H:MM:SS with up to six digits of a fraction.
func parseClock(b []byte) (hour, minute, second, micros int, ok bool) {
	clock, fraction, some := bytes.Cut(b, []byte{'.'})
	n := len(clock)
	if n < 8 || n > 9 || clock[n-3] != ':' || clock[n-6] != ':' || len(fraction) > 6 || (some && len(fraction) == 0) {
		return 0, 0, 0, 0, false
	}
	hour, h := parseDigits(clock[:n-6])
	minute, m := parseDigits(clock[n-5 : n-3])
	second, s := parseDigits(clock[n-2:])
	micros, f := 0, true
	if some {
		micros, f = parseDigits(fraction)
		for range 6 - len(fraction) {
			micros *= 10
		}
	}
	return hour, minute, second, micros, h && m && s && f && minute < 60 && second < 60
}

func parseDigits(b []byte) (int, bool) {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, len(b) > 0
}
