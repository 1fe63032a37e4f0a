package row

import "math"

// Kind says how a Value is held. It belongs to the value, not to the column: an ENUM column holds Text (its label) and
// now and then EnumZero, a VARCHAR column holds Text and, where the bytes are no text in its character set, RawText.
type Kind uint8

// The kinds. What Num and Bytes hold is said beside each.
const (
	Null      Kind = iota
	Int            // Num: a signed integer, TINYINT to BIGINT
	Uint           // Num: an unsigned integer; YEAR
	Decimal        // Bytes: decimal text with all digits of the column's scale, "-1.50"; never an exponent
	Float          // Num: IEEE 754 bits of a float32 in the low half
	Double         // Num: IEEE 754 bits of a float64
	Bit            // Num: the bits of BIT(1..64)
	Text           // Bytes: UTF-8; CHAR, VARCHAR, TEXT, the label of an ENUM, the labels of a SET joined by commas, UUID, INET
	RawText        // Bytes: bytes as stored that are no text in their column's character set
	Binary         // Bytes: BINARY (padded to its length with 0x00), VARBINARY, BLOB
	Date           // Num: year<<9 | month<<5 | day; invalid and zero dates included
	Time           // Num: signed microseconds
	Datetime       // Num: see PackDatetime; invalid and zero datetimes included
	Timestamp      // Num: microseconds since 1970-01-01 UTC; 0 is '0000-00-00 00:00:00'
	JSON           // Bytes: JSON text in UTF-8
	Geometry       // Bytes: SRID, 4 bytes little-endian, then WKB: as MySQL and MariaDB store it
	Vector         // Bytes: float32 values, little-endian
	EnumZero       // an ENUM's index 0, the '' that stands for a value that was refused
)

// Value is one column's value in a form that does not depend on the region, the server or the column's definition.
// Bytes is owned by the Value's holder as soon as it leaves the decoder that made it: nobody writes to it afterwards.
type Value struct {
	Kind  Kind
	Num   uint64
	Bytes []byte
}

// The constructors keep the bit conversions in one place.

// NullValue is SQL NULL.
func NullValue() Value { return Value{} }

// IntValue is a signed integer.
func IntValue(n int64) Value { return Value{Kind: Int, Num: uint64(n)} }

// UintValue is an unsigned integer or a YEAR.
func UintValue(n uint64) Value { return Value{Kind: Uint, Num: n} }

// FloatValue is a FLOAT.
func FloatValue(f float32) Value { return Value{Kind: Float, Num: uint64(math.Float32bits(f))} }

// DoubleValue is a DOUBLE.
func DoubleValue(f float64) Value { return Value{Kind: Double, Num: math.Float64bits(f)} }

// BytesValue is a value of one of the kinds that hold bytes.
func BytesValue(k Kind, b []byte) Value { return Value{Kind: k, Bytes: b} }

// TextValue is text.
func TextValue(s string) Value { return Value{Kind: Text, Bytes: []byte(s)} }

// TimeValue is a TIME in signed microseconds.
func TimeValue(micros int64) Value { return Value{Kind: Time, Num: uint64(micros)} }

// TimestampValue is a TIMESTAMP in microseconds since 1970 UTC, 0 for the zero timestamp.
func TimestampValue(micros int64) Value { return Value{Kind: Timestamp, Num: uint64(micros)} }

// IsNull tells whether the value is SQL NULL.
func (v Value) IsNull() bool { return v.Kind == Null }

// Int64 gives Num as a signed integer: Int, Time, Timestamp.
func (v Value) Int64() int64 { return int64(v.Num) }

// Float32 gives the value of a Float.
func (v Value) Float32() float32 { return math.Float32frombits(uint32(v.Num)) }

// Float64 gives the value of a Double.
func (v Value) Float64() float64 { return math.Float64frombits(v.Num) }

// DateValue packs a date; any part may be zero or beyond the calendar, as MySQL allows.
func DateValue(year, month, day int) Value {
	return Value{Kind: Date, Num: uint64(year)<<9 | uint64(month)<<5 | uint64(day)}
}

// DateParts unpacks a Date.
func (v Value) DateParts() (year, month, day int) {
	return int(v.Num >> 9), int(v.Num >> 5 & 15), int(v.Num & 31)
}

// DatetimeValue packs a datetime: year<<46 | month<<42 | day<<37 | hour<<32 | minute<<26 | second<<20 | microsecond.
// The order of the numbers is the order of the times.
func DatetimeValue(year, month, day, hour, minute, second, micros int) Value {
	return Value{Kind: Datetime, Num: uint64(year)<<46 | uint64(month)<<42 | uint64(day)<<37 |
		uint64(hour)<<32 | uint64(minute)<<26 | uint64(second)<<20 | uint64(micros)}
}

// DatetimeParts unpacks a Datetime.
func (v Value) DatetimeParts() (year, month, day, hour, minute, second, micros int) {
	n := v.Num
	return int(n >> 46), int(n >> 42 & 15), int(n >> 37 & 31), int(n >> 32 & 31),
		int(n >> 26 & 63), int(n >> 20 & 63), int(n & (1<<20 - 1))
}
