package row

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// The types of MySQL's binary JSON (sql-common/json_binary.h in the server's source, which is its only description).
const (
	jsonSmallObject = 0x00
	jsonLargeObject = 0x01
	jsonSmallArray  = 0x02
	jsonLargeArray  = 0x03
	jsonLiteral     = 0x04
	jsonInt16       = 0x05
	jsonUint16      = 0x06
	jsonInt32       = 0x07
	jsonUint32      = 0x08
	jsonInt64       = 0x09
	jsonUint64      = 0x0a
	jsonDouble      = 0x0b
	jsonString      = 0x0c
	jsonOpaque      = 0x0f // a value of an SQL type: its number, a length, bytes
)

// The SQL types that MySQL prints as something other than base64 when they stand in a JSON document.
const (
	mysqlTimestamp  = 7
	mysqlDate       = 10
	mysqlTime       = 11
	mysqlDatetime   = 12
	mysqlNewDecimal = 246
)

// maxJSONDepth is the depth of the deepest document that MySQL stores (JSON_DOCUMENT_MAX_DEPTH).
const maxJSONDepth = 100

var errBinaryJSON = errors.New("malformed binary JSON")

// AppendBinaryJSON appends the JSON text of a document in MySQL's binary format, as it stands in the binlog: the same
// text, byte for byte, that the server prints. A DECIMAL inside becomes a number with all its digits, a temporal value a
// string, any other SQL value "base64:typeN:…". No bytes at all are the document null. The error is for bytes that are
// no such document.
func AppendBinaryJSON(dst, binary []byte) ([]byte, error) {
	if len(binary) == 0 {
		return append(dst, "null"...), nil
	}
	d := jsonDecoder{left: len(binary)}
	out, err := d.value(dst, binary[0], binary[1:], 1)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// jsonDecoder walks a binary document. left is how many more values it may have: each takes more than one byte, so a
// document with more values than bytes has values that share their bytes, and may be exponentially large.
type jsonDecoder struct{ left int }

// value appends the value of a type whose bytes begin b.
func (d *jsonDecoder) value(dst []byte, kind byte, b []byte, depth int) ([]byte, error) {
	if d.left--; d.left < 0 || depth > maxJSONDepth+1 {
		return dst, fmt.Errorf("%w: values overlap or are nested too deep", errBinaryJSON)
	}
	switch kind {
	case jsonSmallObject, jsonLargeObject, jsonSmallArray, jsonLargeArray:
		return d.container(dst, kind, b, depth)
	case jsonLiteral:
		return appendJSONLiteral(dst, b)
	case jsonString:
		text, err := jsonBytes(b)
		if err != nil {
			return dst, err
		}
		return appendJSONString(dst, text), nil
	case jsonOpaque:
		return appendJSONOpaque(dst, b)
	default:
		return appendJSONNumber(dst, kind, b)
	}
}

func appendJSONLiteral(dst, b []byte) ([]byte, error) {
	if len(b) > 0 {
		switch b[0] {
		case 0:
			return append(dst, "null"...), nil
		case 1:
			return append(dst, "true"...), nil
		case 2:
			return append(dst, "false"...), nil
		}
	}
	return dst, fmt.Errorf("%w: unknown literal", errBinaryJSON)
}

func appendJSONNumber(dst []byte, kind byte, b []byte) ([]byte, error) {
	size := 2
	switch kind {
	case jsonInt16, jsonUint16:
	case jsonInt32, jsonUint32:
		size = 4
	case jsonInt64, jsonUint64, jsonDouble:
		size = 8
	default:
		return dst, fmt.Errorf("%w: unknown type %#x", errBinaryJSON, kind)
	}
	if len(b) < size {
		return dst, fmt.Errorf("%w: a number ends early", errBinaryJSON)
	}
	switch kind {
	case jsonInt16:
		return strconv.AppendInt(dst, int64(int16(binary.LittleEndian.Uint16(b))), 10), nil
	case jsonUint16:
		return strconv.AppendUint(dst, uint64(binary.LittleEndian.Uint16(b)), 10), nil
	case jsonInt32:
		return strconv.AppendInt(dst, int64(int32(binary.LittleEndian.Uint32(b))), 10), nil
	case jsonUint32:
		return strconv.AppendUint(dst, uint64(binary.LittleEndian.Uint32(b)), 10), nil
	case jsonInt64:
		return strconv.AppendInt(dst, int64(binary.LittleEndian.Uint64(b)), 10), nil
	case jsonUint64:
		return strconv.AppendUint(dst, binary.LittleEndian.Uint64(b), 10), nil
	default:
		f := math.Float64frombits(binary.LittleEndian.Uint64(b))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return dst, fmt.Errorf("%w: a number that is none", errBinaryJSON)
		}
		return appendJSONDouble(dst, f), nil
	}
}

// appendJSONDouble writes the shortest digits that read back as the same number, laid out as MySQL does (my_gcvt, and
// ".0" behind what would look like an integer).
func appendJSONDouble(dst []byte, f float64) []byte {
	start := len(dst)
	if size := math.Abs(f); size != 0 && (size < 1e-15 || size >= 1e15) {
		dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
		if plus := bytes.IndexByte(dst[start:], '+'); plus >= 0 {
			dst = append(dst[:start+plus], dst[start+plus+1:]...)
		}
		return dst
	}
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	if bytes.IndexByte(dst[start:], '.') < 0 {
		dst = append(dst, ".0"...)
	}
	return dst
}

// container appends an object or an array: count, size in bytes, entries of the keys, entries of the values, then what
// the entries point to by offsets from the container's start.
func (d *jsonDecoder) container(dst []byte, kind byte, b []byte, depth int) ([]byte, error) {
	large := kind == jsonLargeObject || kind == jsonLargeArray
	object := kind == jsonSmallObject || kind == jsonLargeObject
	word := 2
	if large {
		word = 4
	}
	if len(b) < 2*word {
		return dst, fmt.Errorf("%w: an object or array ends early", errBinaryJSON)
	}
	count, size := readOffset(b, large), readOffset(b[word:], large)
	keySize, valueSize := word+2, word+1
	values := 2 * word
	if object {
		values += count * keySize
	}
	if size > len(b) || values+count*valueSize > size {
		return dst, fmt.Errorf("%w: an object or array of %d elements in %d bytes", errBinaryJSON, count, min(size, len(b)))
	}
	b = b[:size]
	open, shut := byte('['), byte(']')
	if object {
		open, shut = '{', '}'
	}
	dst = append(dst, open)
	for i := range count {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		if object {
			entry := b[2*word+i*keySize:]
			at, length := readOffset(entry, large), int(binary.LittleEndian.Uint16(entry[word:]))
			if at+length > size {
				return dst, fmt.Errorf("%w: a key ends early", errBinaryJSON)
			}
			dst = append(appendJSONString(dst, b[at:at+length]), ": "...)
		}
		var err error
		if dst, err = d.element(dst, b, b[values+i*valueSize:][:valueSize], large, depth); err != nil {
			return dst, err
		}
	}
	return append(dst, shut), nil
}

// element appends the value that an entry of container b holds or points to.
func (d *jsonDecoder) element(dst, b, entry []byte, large bool, depth int) ([]byte, error) {
	kind, payload := entry[0], entry[1:]
	switch {
	case kind == jsonLiteral, kind == jsonInt16, kind == jsonUint16, large && (kind == jsonInt32 || kind == jsonUint32):
		return d.value(dst, kind, payload, depth+1)
	}
	at := readOffset(payload, large)
	if at == 0 || at > len(b) {
		return dst, fmt.Errorf("%w: an element lies outside its container", errBinaryJSON)
	}
	return d.value(dst, kind, b[at:], depth+1)
}

func readOffset(b []byte, large bool) int {
	if large {
		return int(binary.LittleEndian.Uint32(b))
	}
	return int(binary.LittleEndian.Uint16(b))
}

// jsonBytes reads a length (7 bits a byte, the least significant first) and that many bytes.
func jsonBytes(b []byte) ([]byte, error) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return nil, fmt.Errorf("%w: a string ends early", errBinaryJSON)
	}
	return b[used : used+int(n)], nil
}

// base64Line is how many bytes the server writes into each line of base64, of 76 characters.
const base64Line = 57

// appendJSONOpaque appends a value of an SQL type.
func appendJSONOpaque(dst, b []byte) ([]byte, error) {
	if len(b) == 0 {
		return dst, fmt.Errorf("%w: an SQL value ends early", errBinaryJSON)
	}
	kind := b[0]
	data, err := jsonBytes(b[1:])
	if err != nil {
		return dst, err
	}
	switch kind {
	case mysqlNewDecimal:
		if len(data) < 2 {
			return dst, fmt.Errorf("%w: a decimal ends early", errBinaryJSON)
		}
		out, _, err := AppendPackedDecimal(dst, data[2:], int(data[0]), int(data[1]))
		if err != nil {
			return dst, fmt.Errorf("%w: %w", errBinaryJSON, err)
		}
		return out, nil
	case mysqlDate, mysqlTime, mysqlDatetime, mysqlTimestamp:
		if len(data) != 8 {
			return dst, fmt.Errorf("%w: a temporal value of %d bytes", errBinaryJSON, len(data))
		}
		return appendJSONTemporal(dst, kind, int64(binary.LittleEndian.Uint64(data))), nil
	default:
		dst = append(dst, `"base64:type`...)
		dst = append(strconv.AppendUint(dst, uint64(kind), 10), ':')
		for len(data) > base64Line {
			dst = append(base64.StdEncoding.AppendEncode(dst, data[:base64Line]), `\n`...)
			data = data[base64Line:]
		}
		return append(base64.StdEncoding.AppendEncode(dst, data), '"'), nil
	}
}

// appendJSONTemporal appends a temporal value in the server's packed form (my_time.cc): the fraction in the low 24 bits,
// above it second and minute in 6 bits each, hour, day in 5 bits, year*13+month.
func appendJSONTemporal(dst []byte, kind byte, packed int64) []byte {
	dst = append(dst, '"')
	if kind == mysqlTime {
		dst = appendTime(dst, packedTimeMicros(packed), 6)
		return append(dst, '"')
	}
	if packed < 0 {
		packed = -packed
	}
	days, clock := packed>>41, packed>>24&(1<<17-1)
	dst = appendDate(dst, int(days>>5/13), int(days>>5%13), int(days&31))
	if kind != mysqlDate {
		dst = append(dst, ' ')
		dst = appendClock(dst, int(clock>>12), int(clock>>6&63), int(clock&63), int(packed&(1<<24-1)), 6)
	}
	return append(dst, '"')
}

func packedTimeMicros(packed int64) int64 {
	sign := int64(1)
	if packed < 0 {
		sign, packed = -1, -packed
	}
	clock := packed >> 24
	return sign * (((clock>>12&0x3ff)*3600+(clock>>6&63)*60+clock&63)*1e6 + packed&(1<<24-1))
}
