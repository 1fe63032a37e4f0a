package binlog

import (
	"encoding/binary"
	"fmt"

	"meridian/internal/row"
)

// temporal reads dates and times. The formats with a fraction are big-endian, the fraction in hundredths, ten-thousandths
// or millionths of a second behind the rest; mysys/my_time.cc of MySQL (my_datetime_packed_from_binary and its kin).
func temporal(f *field, b []byte, v *row.Value) error {
	switch f.form {
	case formDate:
		v.Kind, v.Num = row.Date, little(b) // the same packing as row.Date
	case formTime: // HHMMSS as a signed decimal number
		n := int64(signed(b))
		sign := int64(1)
		if n < 0 {
			n, sign = -n, -1
		}
		*v = row.TimeValue(sign * (n/10000*3600 + n/100%100*60 + n%100) * 1e6)
	case formDatetime: // YYYYMMDDHHMMSS as a decimal number
		n := binary.LittleEndian.Uint64(b)
		date, clock := n/1000000, n%1000000
		*v = row.DatetimeValue(int(date/10000), int(date/100%100), int(date%100),
			int(clock/10000), int(clock/100%100), int(clock%100), 0)
	case formTimestamp:
		*v = row.TimestampValue(int64(binary.LittleEndian.Uint32(b)) * 1e6)
	case formOldTime: // big-endian, in the last digit's units, from -838:59:60 on
		n := int64(big(b)) * unit(f.fraction)
		*v = row.TimeValue(n - (838*3600+59*60+60)*1e6)
	case formOldDatetime:
		*v = oldDatetime(big(b) * uint64(unit(f.fraction)))
	case formOldTimestamp: // big-endian, the fraction in the last digit's units
		*v = row.TimestampValue(int64(binary.BigEndian.Uint32(b))*1e6 + int64(big(b[4:]))*unit(f.fraction))
	case formTimestamp2:
		*v = row.TimestampValue(int64(binary.BigEndian.Uint32(b))*1e6 + micros(b[4:]))
	case formTime2:
		*v = row.TimeValue(time2(b))
	case formDatetime2:
		*v = datetime2(b)
	default:
		return fmt.Errorf("%w (form %d)", errType, f.form)
	}
	return nil
}

// unit gives the microseconds of a fraction's last digit.
func unit(digits int) int64 {
	n := int64(1)
	for range 6 - digits {
		n *= 10
	}
	return n
}

// oldDatetime takes apart what pack_time in sql-common of MariaDB has put together, in microseconds: each part is a digit of
// a number with the bases 13, 32, 24, 60, 60 and a million.
func oldDatetime(n uint64) row.Value {
	next := func(base uint64) int {
		digit := n % base
		n /= base
		return int(digit)
	}
	micros, second, minute, hour, day, month := next(1e6), next(60), next(60), next(24), next(32), next(13)
	return row.DatetimeValue(int(n)&0x3fff, month, day, hour, minute, second, micros)
}

// micros reads the fraction of a second of 0 to 3 bytes.
func micros(b []byte) int64 {
	switch len(b) {
	case 0:
		return 0
	case 1:
		return int64(b[0]) * 10000
	case 2:
		return int64(binary.BigEndian.Uint16(b)) * 100
	default:
		return int64(big(b))
	}
}

// time2 gives signed microseconds. Negative values are stored as the complement of the whole, fraction included, so that
// bytes sort as times do.
func time2(b []byte) int64 {
	const base = 3
	scale := int64(1)
	switch len(b) - base {
	case 1:
		scale = 10000
	case 2:
		scale = 100
	}
	bits := 8 * len(b)
	n := int64(big(b)) - 1<<(bits-1)
	sign := int64(1)
	if n < 0 {
		n, sign = -n, -1
	}
	fractionBits := bits - 8*base
	fraction := n & (1<<fractionBits - 1) * scale
	n >>= fractionBits
	seconds := n>>12&0x3ff*3600 + n>>6&0x3f*60 + n&0x3f
	return sign * (seconds*1e6 + fraction)
}

// datetime2: 1 bit sign (always set), 17 bits year*13+month, 5 day, 5 hour, 6 minute, 6 second.
func datetime2(b []byte) row.Value {
	n := big(b[:5]) &^ (1 << 39)
	months := int(n >> 22)
	return row.DatetimeValue(months/13, months%13, int(n>>17&0x1f), int(n>>12&0x1f), int(n>>6&0x3f), int(n&0x3f), int(micros(b[5:])))
}
