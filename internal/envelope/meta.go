package envelope

import (
	"encoding/binary"

	"meridian/internal/row"
)

// The headers of a record.
const (
	headerVersion = "meridian-version" // row.Version.String of the row's version; records with a row only
	headerOrigin  = "meridian-origin"  // the region that published the record
	headerKind    = "meridian-kind"    // Kind.String
	headerMeta    = "meridian-meta"    // see meta
)

// meta is what of a message stands neither in the JSON nor in the other headers. Its form, metaFormat 1:
//
//	byte     1, the format
//	byte     kind, a Kind
//	byte     flags
//	uvarint  epoch
//
// and for records with a row:
//
//	byte     operation, a row.Op
//	uvarint  ordinal
//	8 bytes  digest, big-endian
//	varint   time and
//	string   region of the version that was overwritten; only with flagOverwrote
//	string   key, canonical bytes
//	uvarint  number of exceptions; for each:
//	         uvarint  2 * the column's position, + 1 for the image after
//	         byte     kind, a row.Kind
//	string   description of the table
//
// Whatever readers of this format would not understand (a kind, an operation, a type of column, a field) comes with another
// format, above this one: readers wait for their upgrade then, and pass over what cannot be read in a format that they know.
//
// An exception is a value that is not in its column's JSON form, but escaped; see appendEscape.
type meta struct {
	kind       Kind
	epoch      uint64
	last       bool
	op         row.Op
	ordinal    uint64
	digest     uint64
	overwrote  row.Version
	key        []byte // of a parsed one
	exceptions []exception
	text       []byte // the description
}

type exception struct {
	column int
	after  bool
	kind   row.Kind
}

const (
	metaFormat = 1

	flagLast      = 1 << 0
	flagOverwrote = 1 << 1
)

func (m *meta) append(dst []byte, key row.Key) []byte {
	flags := byte(0)
	if m.last {
		flags |= flagLast
	}
	if !m.overwrote.IsBaseline() {
		flags |= flagOverwrote
	}
	dst = append(dst, metaFormat, byte(m.kind), flags)
	dst = binary.AppendUvarint(dst, m.epoch)
	if !m.kind.carriesRow() {
		return dst
	}
	dst = append(dst, byte(m.op))
	dst = binary.AppendUvarint(dst, m.ordinal)
	dst = binary.BigEndian.AppendUint64(dst, m.digest)
	if flags&flagOverwrote != 0 {
		dst = appendString(binary.AppendVarint(dst, m.overwrote.Time), m.overwrote.Region)
	}
	dst = appendString(dst, string(key))
	dst = binary.AppendUvarint(dst, uint64(len(m.exceptions)))
	for _, e := range m.exceptions {
		at := uint64(e.column) << 1
		if e.after {
			at |= 1
		}
		dst = append(binary.AppendUvarint(dst, at), byte(e.kind))
	}
	return append(binary.AppendUvarint(dst, uint64(len(m.text))), m.text...)
}

// parse is append's inverse. The slices of the result are parts of b; exceptions are appended to what m has room for.
func (m *meta) parse(b []byte) error {
	*m = meta{exceptions: m.exceptions[:0]}
	if len(b) == 0 {
		return foreign("the header %s is empty", headerMeta)
	}
	if b[0] > metaFormat {
		return &NewerFormatError{Format: int(b[0])}
	}
	if b[0] != metaFormat {
		return foreign("its format is %d; this version of Meridian reads %d", b[0], metaFormat)
	}
	r := fieldReader{b: b[1:]}
	m.kind = Kind(r.byte())
	flags := r.byte()
	m.last = flags&flagLast != 0
	m.epoch = r.uvarint()
	if m.kind.carriesRow() {
		m.parseRow(&r, flags)
	} else if flags != 0 {
		r.bad = true
	}
	if r.bad || len(r.b) != 0 || flags&^(flagLast|flagOverwrote) != 0 {
		return foreign("the header %s cannot be read", headerMeta)
	}
	return nil
}

func (m *meta) parseRow(r *fieldReader, flags byte) {
	m.op = row.Op(r.byte())
	m.ordinal = r.uvarint()
	m.digest = r.uint64()
	if flags&flagOverwrote != 0 {
		m.overwrote.Time = r.varint()
		m.overwrote.Region = r.string()
		if m.overwrote.IsBaseline() {
			r.bad = true
		}
	}
	m.key = r.bytes()
	for range r.count(2) {
		at, kind := r.uvarint(), row.Kind(r.byte())
		if at>>1 >= maxColumns || kind > row.EnumZero || len(m.exceptions) >= 2*maxColumns {
			r.bad = true
			return
		}
		m.exceptions = append(m.exceptions, exception{column: int(at >> 1), after: at&1 != 0, kind: kind})
	}
	m.text = r.bytes()
	if m.op < row.Insert || m.op > row.Delete {
		r.bad = true
	}
}
