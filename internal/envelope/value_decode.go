package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"time"

	"meridian/internal/row"
)

// value reads a value in the JSON form of the column's type; see appendNatural.
func (s *scanner) value(c *row.Column) row.Value {
	if s.word("null") {
		return row.NullValue()
	}
	kind := naturalKind(c.Type)
	switch kind {
	case row.Int:
		return row.IntValue(s.int64())
	case row.Uint:
		return row.UintValue(s.uint64())
	case row.Decimal, row.Text, row.JSON:
		return row.BytesValue(kind, s.string())
	case row.Float:
		return row.FloatValue(float32(s.float(32)))
	case row.Double:
		return row.DoubleValue(s.float(64))
	case row.Bit:
		return s.bits(c.Length)
	case row.Binary:
		return row.BytesValue(kind, s.base64())
	case row.Date:
		year, month, day, ok := civil(s.int64())
		s.bad = s.bad || !ok
		return row.DateValue(year, month, day)
	case row.Time:
		return row.TimeValue(s.int64())
	case row.Datetime:
		return s.datetime(c.Fraction)
	case row.Timestamp:
		return s.timestamp()
	case row.Geometry:
		return s.geometry()
	case row.Vector:
		return s.vector()
	case row.Null, row.RawText, row.EnumZero:
	}
	s.fail()
	return row.Value{}
}

func (s *scanner) base64() []byte {
	text := s.string()
	b, err := base64.StdEncoding.AppendDecode(make([]byte, 0, base64.StdEncoding.DecodedLen(len(text))), text)
	if err != nil {
		s.fail()
	}
	return b
}

func (s *scanner) bits(length int) row.Value {
	if length == 1 {
		if s.word("true") {
			return row.Value{Kind: row.Bit, Num: 1}
		}
		if !s.word("false") {
			s.fail()
		}
		return row.Value{Kind: row.Bit}
	}
	var b [8]byte
	if given := s.base64(); len(given) <= len(b) {
		copy(b[:], given)
	} else {
		s.fail()
	}
	return row.Value{Kind: row.Bit, Num: binary.LittleEndian.Uint64(b[:])}
}

func (s *scanner) datetime(fraction int) row.Value {
	micros := s.int64()
	if coarse(fraction) {
		if micros > math.MaxInt64/1000 || micros < math.MinInt64/1000 {
			s.fail()
		}
		micros *= 1000
	}
	v, ok := microsDatetime(micros)
	s.bad = s.bad || !ok
	return v
}

func (s *scanner) timestamp() row.Value {
	text := s.string()
	if s.bad {
		return row.Value{}
	}
	if micros, ok := parseISO(text); ok {
		return row.TimestampValue(micros)
	}
	s.fail()
	return row.Value{}
}

// parseISO reads YYYY-MM-DDTHH:MM:SS[.ffffff]Z.
func parseISO(text []byte) (micros int64, ok bool) {
	const shape = "0000-00-00T00:00:00"
	if len(text) < len(shape)+1 || text[len(text)-1] != 'Z' {
		return 0, false
	}
	var parts [6]int
	part := 0
	for i := range len(shape) {
		switch c := text[i]; {
		case shape[i] != '0':
			if c != shape[i] {
				return 0, false
			}
			part++
		case c < '0' || c > '9':
			return 0, false
		default:
			parts[part] = parts[part]*10 + int(c-'0')
		}
	}
	fraction := 0
	digits := text[len(shape) : len(text)-1]
	if len(digits) > 0 && (digits[0] != '.' || len(digits) == 1 || len(digits) > 7) {
		return 0, false
	}
	for i := 1; i < 7; i++ {
		fraction *= 10
		if i < len(digits) {
			if digits[i] < '0' || digits[i] > '9' {
				return 0, false
			}
			fraction += int(digits[i] - '0')
		}
	}
	return datetimeMicros(row.DatetimeValue(parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], fraction))
}

func (s *scanner) geometry() row.Value {
	var wkb []byte
	var srid uint64
	fields := 0
	s.object(func(name []byte) {
		switch string(name) {
		case "wkb":
			wkb = s.base64()
			fields |= 1
		case "srid":
			srid = s.uint64()
			fields |= 2
		default:
			s.skip(0)
		}
	})
	if fields != 3 || srid > math.MaxUint32 {
		s.fail()
	}
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, sridBytes+len(wkb)), uint32(srid))
	return row.BytesValue(row.Geometry, append(b, wkb...))
}

func (s *scanner) vector() row.Value {
	b := []byte{}
	s.array(func() {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(s.float(32))))
	})
	return row.BytesValue(row.Vector, b)
}

// escape reads what appendEscape wrote for a value of that kind.
func (s *scanner) escape(kind row.Kind) row.Value {
	var v row.Value
	known := false
	s.object(func(name []byte) {
		switch string(name) {
		case "literal":
			v, known = parseLiteral(kind, s.string())
		case "base64":
			v, known = row.BytesValue(kind, s.base64()), holdsBytes(kind)
		default:
			s.skip(0)
		}
	})
	s.bad = s.bad || !known
	return v
}

func holdsBytes(k row.Kind) bool {
	switch k {
	case row.Decimal, row.Text, row.RawText, row.Binary, row.JSON, row.Geometry, row.Vector:
		return true
	case row.Null, row.Int, row.Uint, row.Float, row.Double, row.Bit, row.Date, row.Time, row.Datetime, row.Timestamp, row.EnumZero:
	}
	return false
}

// parseLiteral is literal's inverse.
func parseLiteral(kind row.Kind, text []byte) (v row.Value, ok bool) {
	v.Kind = kind
	if digits, isHex := strings.CutPrefix(string(text), hexLiteral); isHex && !holdsBytes(kind) {
		n, err := strconv.ParseUint(digits, 16, 64)
		v.Num = n
		return v, err == nil
	}
	var err error
	switch kind {
	case row.Text, row.Decimal:
		v.Bytes = text
	case row.EnumZero:
		return v, len(text) == 0
	case row.Int, row.Time:
		var n int64
		n, err = strconv.ParseInt(string(text), 10, 64)
		v.Num = uint64(n)
	case row.Uint, row.Bit:
		v.Num, err = strconv.ParseUint(string(text), 10, 64)
	case row.Float:
		var f float64
		f, err = strconv.ParseFloat(string(text), 32)
		v = row.FloatValue(float32(f))
	case row.Double:
		var f float64
		f, err = strconv.ParseFloat(string(text), 64)
		v = row.DoubleValue(f)
	case row.Date:
		var p [3]int
		ok = parseParts(text, p[:], "--")
		return row.DateValue(p[0], p[1], p[2]), ok
	case row.Datetime:
		clock, fraction, _ := bytes.Cut(text, []byte{'.'})
		var p [6]int
		var micros [1]int
		ok = parseParts(clock, p[:], "-- ::") && (len(fraction) == 0 || len(fraction) == 6 && parseParts(fraction, micros[:], ""))
		return row.DatetimeValue(p[0], p[1], p[2], p[3], p[4], p[5], micros[0]), ok
	case row.Timestamp:
		if string(text) == zeroTimestamp {
			return v, true
		}
		var t time.Time
		t, err = time.Parse(timestampLayout, string(text))
		v.Num = uint64(t.UnixMicro())
	case row.Null, row.RawText, row.Binary, row.JSON, row.Geometry, row.Vector:
		return v, false
	}
	return v, err == nil
}

// parseParts reads numbers that the given bytes separate.
func parseParts(text []byte, parts []int, separators string) bool {
	for i := range parts {
		part := text
		if i < len(separators) {
			at := bytes.IndexByte(text, separators[i])
			if at < 0 {
				return false
			}
			part, text = text[:at], text[at+1:]
		}
		n, err := strconv.ParseUint(string(part), 10, 20)
		if err != nil {
			return false
		}
		parts[i] = int(n)
	}
	return true
}
