package propagate

import (
	"encoding/binary"
	"errors"
	"fmt"

	"meridian/internal/row"
)

// Written says of one key what an apply transaction made of it.
type Written struct {
	Table   string // "schema.table"
	Key     row.Key
	Op      row.Op // Delete, or what it takes to have the row there
	Version row.Version
	Digest  uint64 // of the row as the source saw it; 0 for a delete
	Columns uint64 // row.Table.ColumnsID that the digest was made from
}

// errBadBatch is returned when the provenance of a transaction cannot be read: somebody has written to Meridian's
// tables, or a newer version of Meridian has.
var errBadBatch = errors.New("the provenance of an apply transaction cannot be read")

// batchFormat is the first byte of a batch. A batch is: the format; the names of tables and regions, each list with its
// count first; the count of keys; for each key: table number, region number, op, key with its length, time as a varint,
// digest and columns as eight bytes big-endian. Numbers without a size are uvarints.
const batchFormat = 1

// AppendBatch writes what a transaction does, as it stands in provenance.batch.
func AppendBatch(dst []byte, written []Written) []byte {
	tables, regions := newNames(), newNames()
	for i := range written {
		tables.number(written[i].Table)
		regions.number(written[i].Version.Region)
	}
	dst = append(dst, batchFormat)
	dst = tables.append(dst)
	dst = regions.append(dst)
	dst = binary.AppendUvarint(dst, uint64(len(written)))
	for i := range written {
		w := &written[i]
		dst = binary.AppendUvarint(dst, tables.number(w.Table))
		dst = binary.AppendUvarint(dst, regions.number(w.Version.Region))
		dst = append(dst, byte(w.Op))
		dst = binary.AppendUvarint(dst, uint64(len(w.Key)))
		dst = append(dst, w.Key...)
		dst = binary.AppendVarint(dst, w.Version.Time)
		dst = binary.BigEndian.AppendUint64(dst, w.Digest)
		dst = binary.BigEndian.AppendUint64(dst, w.Columns)
	}
	return dst
}

// ParseBatch reads what AppendBatch wrote; an empty batch is one without keys.
func ParseBatch(b []byte) ([]Written, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if b[0] != batchFormat {
		return nil, fmt.Errorf("%w: format %d, this version of Meridian knows %d", errBadBatch, b[0], batchFormat)
	}
	r := reader{b: b[1:]}
	tables, regions := r.names(), r.names()
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		return nil, errBadBatch
	}
	written := make([]Written, 0, n)
	for range n {
		var w Written
		w.Table = r.name(tables)
		w.Version.Region = r.name(regions)
		if op := r.bytes(1); op != nil {
			w.Op = row.Op(op[0])
		}
		w.Key = row.Key(r.bytes(r.uvarint()))
		w.Version.Time = r.varint()
		w.Digest, w.Columns = r.uint64(), r.uint64()
		if r.bad || w.Op < row.Insert || w.Op > row.Delete {
			return nil, errBadBatch
		}
		written = append(written, w)
	}
	if len(r.b) != 0 || r.bad {
		return nil, errBadBatch
	}
	return written, nil
}

type names struct {
	list    []string
	numbers map[string]uint64
}

func newNames() *names { return &names{numbers: map[string]uint64{}} }

func (n *names) number(s string) uint64 {
	id, ok := n.numbers[s]
	if !ok {
		id = uint64(len(n.list))
		n.numbers[s] = id
		n.list = append(n.list, s)
	}
	return id
}

func (n *names) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(n.list)))
	for _, s := range n.list {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return dst
}

// reader takes values off the front of b; after the first that is not there, bad is set and all others are zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) bytes(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) uint64() uint64 {
	if v := r.bytes(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.bytes(uint64(n))
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.bytes(uint64(n))
	return v
}

func (r *reader) names() []string {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, string(r.bytes(r.uvarint())))
	}
	return list
}

func (r *reader) name(list []string) string {
	if i := r.uvarint(); i < uint64(len(list)) {
		return list[i]
	}
	r.bad = true
	return ""
}
