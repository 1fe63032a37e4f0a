package row

import (
	"encoding/hex"
	"strconv"
	"time"
)

// AppendText appends a value as a SELECT would show it, for people and for the command line: numbers and times as SQL
// writes them, with the column's digits of a second, bytes as 0x….
func AppendText(dst []byte, v Value, c *Column) []byte {
	switch v.Kind {
	case Null:
		return append(dst, "NULL"...)
	case Int:
		return strconv.AppendInt(dst, v.Int64(), 10)
	case Uint, Bit:
		return strconv.AppendUint(dst, v.Num, 10)
	case Float:
		return strconv.AppendFloat(dst, float64(v.Float32()), 'g', -1, 32)
	case Double:
		return strconv.AppendFloat(dst, v.Float64(), 'g', -1, 64)
	case Decimal, Text, JSON:
		return append(dst, v.Bytes...)
	case Date:
		year, month, day := v.DateParts()
		return appendDate(dst, year, month, day)
	case Time:
		return appendTime(dst, v.Int64(), digitsOf(c, v.Int64()%1e6))
	case Datetime:
		year, month, day, hour, minute, second, micros := v.DatetimeParts()
		dst = append(appendDate(dst, year, month, day), ' ')
		return appendClock(dst, hour, minute, second, micros, digitsOf(c, int64(micros)))
	case Timestamp:
		return appendTimestamp(dst, v.Int64(), c)
	case EnumZero:
		return dst
	case RawText, Binary, Geometry, Vector:
	}
	return hex.AppendEncode(append(dst, "0x"...), v.Bytes)
}

func appendTimestamp(dst []byte, micros int64, c *Column) []byte {
	if micros == 0 {
		return appendClock(append(dst, "0000-00-00 "...), 0, 0, 0, 0, digitsOf(c, 0))
	}
	t := time.UnixMicro(micros).UTC()
	dst = append(appendDate(dst, t.Year(), int(t.Month()), t.Day()), ' ')
	return appendClock(dst, t.Hour(), t.Minute(), t.Second(), t.Nanosecond()/1000, digitsOf(c, micros%1e6))
}

// digitsOf gives how many digits of a second are shown: the column's, and all where there is more than the column has.
func digitsOf(c *Column, micros int64) int {
	if c != nil && c.Fraction < 6 {
		unit := int64(1)
		for range 6 - c.Fraction {
			unit *= 10
		}
		if micros%unit == 0 {
			return max(c.Fraction, 0)
		}
	}
	if c == nil && micros == 0 {
		return 0
	}
	return 6
}
