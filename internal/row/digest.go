package row

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// buffer is what a row is written into to be hashed, or a key to be copied: one Sum64 over one buffer is several times
// faster than many small writes.
type buffer struct{ b []byte }

var buffers pool[buffer]

// maxPooled is the size in bytes of the largest buffer that goes back to the pool: a row with a blob of 100 MB must not
// stay in memory for ever.
const maxPooled = 1 << 20

// takeBuffer gives an empty buffer.
func takeBuffer() *buffer {
	b := buffers.take()
	b.b = b.b[:0]
	return b
}

func (b *buffer) giveBack() {
	if cap(b.b) <= maxPooled {
		buffers.giveBack(b)
	}
}

// Digest gives the digest of a row: xxhash64 of the hash of its columns' names, the key and the canonical bytes of the columns
// that are not generated, in the order of their names. image holds a value for every column of the table, by position; a column
// beyond its end counts as NULL.
func (t *Table) Digest(key Key, image []Value) uint64 {
	buffer := takeBuffer()
	b := binary.BigEndian.AppendUint64(buffer.b, t.names)
	b = binary.AppendUvarint(b, uint64(len(key)))
	b = append(b, key...)
	for _, i := range t.order {
		if i >= len(image) {
			b = append(b, tagNull)
			continue
		}
		if t.Columns[i].Type == TypeSet {
			b = appendSet(b, image[i])
			continue
		}
		b = AppendValue(b, image[i])
	}
	sum := xxhash.Sum64(b)
	buffer.b = b
	buffer.giveBack()
	return sum
}

// appendSet appends the canonical bytes of a SET: its labels in the order of their bytes, so that two regions that number
// the labels differently agree.
func appendSet(dst []byte, v Value) []byte {
	if v.Kind != Text {
		return AppendValue(dst, v)
	}
	var room [64][]byte // a SET has at most 64 labels
	labels, rest := room[:0], v.Bytes
	for {
		label, after, more := bytes.Cut(rest, comma)
		labels, rest = append(labels, label), after
		if !more {
			break
		}
	}
	if slices.IsSortedFunc(labels, bytes.Compare) {
		return AppendValue(dst, v)
	}
	slices.SortFunc(labels, bytes.Compare)
	dst = append(dst, tagText)
	dst = binary.AppendUvarint(dst, uint64(len(v.Bytes)))
	for i, label := range labels {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, label...)
	}
	return dst
}

var comma = []byte{','}
