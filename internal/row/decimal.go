package row

import (
	"errors"
	"strconv"
)

var errPackedDecimal = errors.New("malformed packed decimal")

// packedDigits is how many bytes the server packs 0 to 9 decimal digits into (dig2bytes in strings/decimal.cc).
var packedDigits = [10]int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}

// maxPackedPrecision is what the server's nine words of nine digits hold. A column has 65 digits at most, but a number in a
// JSON document may come with 66.
const maxPackedPrecision = 81

// PackedDecimalSize gives the bytes that a DECIMAL(precision, scale) takes in a row image.
func PackedDecimalSize(precision, scale int) int {
	whole := precision - scale
	return whole/9*4 + packedDigits[whole%9] + scale/9*4 + packedDigits[scale%9]
}

// AppendPackedDecimal appends the text of a DECIMAL(precision, scale), with all digits of its scale, from the form in
// which row images and binary JSON hold it (decimal2bin in strings/decimal.cc): groups of nine digits in four bytes
// big-endian, the sign bit turned over, all bits turned over for negative numbers. It gives the bytes behind it too.
func AppendPackedDecimal(dst, b []byte, precision, scale int) (out, rest []byte, err error) {
	if precision < 1 || precision > maxPackedPrecision || scale < 0 || scale > precision {
		return dst, b, errPackedDecimal
	}
	size := PackedDecimalSize(precision, scale)
	if len(b) < size {
		return dst, b, errPackedDecimal
	}
	rest, b = b[size:], b[:size]
	var turn byte
	if b[0]&0x80 == 0 {
		turn = 0xff
		dst = append(dst, '-')
	}
	start := len(dst)
	at := 0
	group := func(digits int) error {
		n := 0
		for range packedDigits[digits] {
			c := b[at] ^ turn
			if at == 0 {
				c ^= 0x80
			}
			n = n<<8 | int(c)
			at++
		}
		var room [10]byte
		text := strconv.AppendInt(room[:0], int64(n), 10)
		if len(text) > digits {
			return errPackedDecimal
		}
		for range digits - len(text) {
			dst = append(dst, '0')
		}
		dst = append(dst, text...)
		return nil
	}
	groups := func(first, full, last int) {
		if first > 0 && err == nil {
			err = group(first)
		}
		for range full {
			if err == nil {
				err = group(9)
			}
		}
		if last > 0 && err == nil {
			err = group(last)
		}
	}
	whole := precision - scale
	groups(whole%9, whole/9, 0)
	zeros := 0
	for start+zeros < len(dst)-1 && dst[start+zeros] == '0' {
		zeros++
	}
	dst = append(dst[:start], dst[start+zeros:]...)
	if whole == 0 {
		dst = append(dst, '0')
	}
	if scale > 0 {
		dst = append(dst, '.')
		groups(0, scale/9, scale%9)
	}
	if err != nil {
		return dst, rest, err
	}
	return dst, rest, nil
}
