package row

import (
	"encoding/binary"
	"slices"
)

// The tags that begin a value's canonical bytes. They stand in ledgers, provenance rows and digests: a number is never
// changed or used again. Negative integers sort before the others, and each number's payload sorts as the number does.
const (
	tagNull       = 0x01
	tagNegative   = 0x02 // a negative integer: 8 bytes, two's complement, big-endian
	tagInteger    = 0x03 // any other integer, signed or not: 8 bytes, big-endian
	tagDecimal    = 0x04 // length, normal decimal text
	tagFloat      = 0x05 // 4 bytes, IEEE 754, big-endian
	tagDouble     = 0x06 // 8 bytes, IEEE 754, big-endian
	tagBit        = 0x07 // 8 bytes, big-endian
	tagText       = 0x08 // length, UTF-8
	tagRawText    = 0x09 // length, bytes
	tagBinary     = 0x0a // length, bytes
	tagDate       = 0x0b // 4 bytes, big-endian
	tagTime       = 0x0c // 8 bytes, big-endian, sign bit turned over
	tagDatetime   = 0x0d // 8 bytes, big-endian
	tagTimestamp  = 0x0e // 8 bytes, big-endian, sign bit turned over
	tagJSON       = 0x0f // length, normal JSON text
	tagGeometry   = 0x10 // length, bytes
	tagVector     = 0x11 // length, bytes
	tagEnumZero   = 0x12 //
	tagBrokenJSON = 0x13 // length, bytes of a JSON column that are no JSON
	tagWeights    = 0x14 // length, collation weights; in keys only
	tagUnknown    = 0x7f // length, number and bytes of a Kind that this version does not know
)

// AppendValue appends a value's canonical bytes: a tag and a payload whose length the tag or a length prefix (a uvarint)
// tells, so that no two lists of values have the same bytes. Two values have the same bytes when they are the same value,
// whatever column, server or region they come from: an integer counts the same in a signed and in an unsigned column,
// 1.50 is 1.5000, and JSON documents are compared in their normal form (see AppendNormalJSON).
//
// The labels of a SET are taken as they are; Table.Digest and Table.Key put them in order first.
func AppendValue(dst []byte, v Value) []byte {
	switch v.Kind {
	case Null:
		return append(dst, tagNull)
	case Int:
		if int64(v.Num) < 0 {
			return append64(dst, tagNegative, v.Num)
		}
		return append64(dst, tagInteger, v.Num)
	case Uint:
		return append64(dst, tagInteger, v.Num)
	case Decimal:
		return appendDecimal(dst, v.Bytes)
	case Float:
		return binary.BigEndian.AppendUint32(append(dst, tagFloat), uint32(v.Num))
	case Double:
		return append64(dst, tagDouble, v.Num)
	case Bit:
		return append64(dst, tagBit, v.Num)
	case Text:
		return appendBytes(dst, tagText, v.Bytes)
	case RawText:
		return appendBytes(dst, tagRawText, v.Bytes)
	case Binary:
		return appendBytes(dst, tagBinary, v.Bytes)
	case Date:
		return binary.BigEndian.AppendUint32(append(dst, tagDate), uint32(v.Num))
	case Time:
		return append64(dst, tagTime, v.Num^signBit)
	case Datetime:
		return append64(dst, tagDatetime, v.Num)
	case Timestamp:
		return append64(dst, tagTimestamp, v.Num^signBit)
	case JSON:
		return appendJSON(dst, v.Bytes)
	case Geometry:
		return appendBytes(dst, tagGeometry, v.Bytes)
	case Vector:
		return appendBytes(dst, tagVector, v.Bytes)
	case EnumZero:
		return append(dst, tagEnumZero)
	default:
		dst = append(dst, tagUnknown, byte(v.Kind))
		dst = binary.BigEndian.AppendUint64(dst, v.Num)
		dst = binary.AppendUvarint(dst, uint64(len(v.Bytes)))
		return append(dst, v.Bytes...)
	}
}

// signBit, turned over, makes two's complement numbers sort as their bytes do.
const signBit = 1 << 63

func append64(dst []byte, tag byte, n uint64) []byte {
	return append(dst, tag, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

func appendBytes(dst []byte, tag byte, b []byte) []byte {
	dst = append(dst, tag)
	if len(b) < 0x80 {
		dst = append(dst, byte(len(b)))
	} else {
		dst = binary.AppendUvarint(dst, uint64(len(b)))
	}
	return append(dst, b...)
}

// appendDecimal appends a decimal without its sign when it is zero, leading zeros and the trailing zeros of its fraction.
func appendDecimal(dst, text []byte) []byte {
	negative := false
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		negative = text[0] == '-'
		text = text[1:]
	}
	point := slices.Index(text, '.')
	whole, fraction := text, []byte(nil)
	if point >= 0 {
		whole, fraction = text[:point], text[point+1:]
	}
	for len(whole) > 0 && whole[0] == '0' {
		whole = whole[1:]
	}
	for len(fraction) > 0 && fraction[len(fraction)-1] == '0' {
		fraction = fraction[:len(fraction)-1]
	}
	size := max(len(whole), 1)
	if len(fraction) > 0 {
		size += 1 + len(fraction)
	}
	negative = negative && len(whole)+len(fraction) > 0
	if negative {
		size++
	}
	dst = append(dst, tagDecimal)
	dst = binary.AppendUvarint(dst, uint64(size))
	if negative {
		dst = append(dst, '-')
	}
	if len(whole) == 0 {
		dst = append(dst, '0')
	}
	dst = append(dst, whole...)
	if len(fraction) > 0 {
		dst = append(append(dst, '.'), fraction...)
	}
	return dst
}

// appendJSON appends a JSON document in its normal form. MariaDB lets a session switch its json_valid checks off, so that
// what stands in the column may be no JSON: that is compared byte for byte, under a tag of its own.
func appendJSON(dst, text []byte) []byte {
	start := len(dst)
	const room = 1 + binary.MaxVarintLen32
	dst = append(dst, tagJSON, 0, 0, 0, 0, 0)
	normal, err := AppendNormalJSON(dst, text)
	if err != nil {
		return appendBytes(dst[:start], tagBrokenJSON, text)
	}
	size := len(normal) - start - room
	n := binary.PutUvarint(normal[start+1:], uint64(size))
	copy(normal[start+1+n:], normal[start+room:])
	return normal[:start+1+n+size]
}

// withoutNegativeZero gives 0.0 for -0.0: as a primary key the two are one.
func withoutNegativeZero(v Value) Value {
	if (v.Kind == Float && v.Float32() == 0) || (v.Kind == Double && v.Float64() == 0) {
		v.Num = 0
	}
	return v
}
