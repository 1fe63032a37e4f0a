package bus

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/compress"
)

// A record batch, message format 2 (https://kafka.apache.org/documentation/#recordbatch), all integers big-endian:
//
//	 0  int64  base offset             23  int32  last offset delta
//	 8  int32  length of what follows  27  int64  first timestamp
//	12  int32  leader epoch            35  int64  max timestamp
//	16  int8   magic: 2                43  int64  producer id: -1
//	17  uint32 crc32c of what follows  51  int16  producer epoch: -1
//	21  int16  attributes              53  int32  base sequence: -1
//	                                   57  int32  number of records
const (
	batchHeader    = 61
	batchLengthEnd = 12 // the length field counts from here
	batchCRCEnd    = 21 // the checksum covers from here

	attributeCompression   = 0x07
	attributeLogAppendTime = 0x08
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var scratch = sync.Pool{New: func() any { return new([]byte) }}

// keepBuffers is the size up to which buffers go back into their pool.
const keepBuffers = 8 << 20

func getScratch() *[]byte {
	return scratch.Get().(*[]byte) //nolint:forcetypeassert,errcheck // only pointers to slices are put there
}

func putScratch(b *[]byte) {
	if cap(*b) <= keepBuffers {
		*b = (*b)[:0]
		scratch.Put(b)
	}
}

// appendBatch appends one batch of records[:n]. The time of a record without one is now.
func appendBatch(dst []byte, records []Record, code compress.Compression, now time.Time) ([]byte, error) {
	start := len(dst)
	dst = append(dst, make([]byte, batchHeader)...)
	first := millis(records[0].Time, now)
	latest := first

	raw := getScratch()
	defer putScratch(raw)
	body := *raw
	for i := range records {
		at := millis(records[i].Time, now)
		latest = max(latest, at)
		body = appendRecord(body, &records[i], at-first, int64(i))
	}
	*raw = body

	dst, used, err := compressTo(dst, body, code)
	if err != nil {
		return dst[:start], err
	}
	if used == compress.None {
		dst = append(dst, body...)
	}
	h := dst[start:]
	binary.BigEndian.PutUint32(h[8:], uint32(len(h)-batchLengthEnd))
	binary.BigEndian.PutUint32(h[12:], ^uint32(0)) // leader epoch: the broker fills it in
	h[16] = 2
	binary.BigEndian.PutUint16(h[21:], uint16(used))
	binary.BigEndian.PutUint32(h[23:], uint32(len(records)-1))
	binary.BigEndian.PutUint64(h[27:], uint64(first))
	binary.BigEndian.PutUint64(h[35:], uint64(latest))
	binary.BigEndian.PutUint64(h[43:], ^uint64(0))
	binary.BigEndian.PutUint16(h[51:], ^uint16(0))
	binary.BigEndian.PutUint32(h[53:], ^uint32(0))
	binary.BigEndian.PutUint32(h[57:], uint32(len(records)))
	binary.BigEndian.PutUint32(h[17:], crc32.Checksum(h[batchCRCEnd:], castagnoli))
	return dst, nil
}

func millis(t, now time.Time) int64 {
	if t.IsZero() {
		return now.UnixMilli()
	}
	return t.UnixMilli()
}

func appendRecord(dst []byte, r *Record, timeDelta, offsetDelta int64) []byte {
	dst = binary.AppendVarint(dst, int64(recordBodySize(r, timeDelta, offsetDelta)))
	dst = append(dst, 0) // attributes
	dst = binary.AppendVarint(dst, timeDelta)
	dst = binary.AppendVarint(dst, offsetDelta)
	dst = appendNullable(dst, r.Key)
	dst = appendNullable(dst, r.Value)
	dst = binary.AppendVarint(dst, int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		dst = binary.AppendVarint(dst, int64(len(h.Key)))
		dst = append(dst, h.Key...)
		dst = appendNullable(dst, h.Value)
	}
	return dst
}

func appendNullable(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(dst, -1)
	}
	dst = binary.AppendVarint(dst, int64(len(b)))
	return append(dst, b...)
}

// recordSize is an upper bound of the record's bytes in a batch, uncompressed: its deltas are taken at their longest.
func recordSize(r *Record) int {
	const deltas = 2 * binary.MaxVarintLen64
	return recordBodySize(r, 0, 0) + deltas + binary.MaxVarintLen32
}

func recordBodySize(r *Record, timeDelta, offsetDelta int64) int {
	n := 1 + varintSize(timeDelta) + varintSize(offsetDelta) +
		nullableSize(r.Key) + nullableSize(r.Value) + varintSize(int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		n += varintSize(int64(len(h.Key))) + len(h.Key) + nullableSize(h.Value)
	}
	return n
}

func nullableSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(int64(len(b))) + len(b)
}

// varintSize is the length of what binary.AppendVarint appends: zigzag, seven bits a byte.
func varintSize(v int64) int {
	u := uint64(v<<1) ^ uint64(v>>63)
	return (bits.Len64(u|1) + 6) / 7
}

// batchView is one batch as it lies in a fetch's answer.
type batchView struct {
	base, next int64 // first offset; first offset after it
	term       int32 // the leader epoch
	attributes uint16
	firstTime  int64
	maxTime    int64
	count      int
	payload    []byte // the records, compressed as the attributes say
}

// nextBatch takes the first batch from b. ok is false when b ends within it: a broker cuts the last one off.
func nextBatch(b []byte) (v batchView, rest []byte, ok bool, err error) {
	if len(b) < batchLengthEnd {
		return v, nil, false, nil
	}
	v.base = int64(binary.BigEndian.Uint64(b))
	length := int64(binary.BigEndian.Uint32(b[8:]))
	v.next = v.base + 1
	if length > int64(len(b)-batchLengthEnd) {
		return v, nil, false, nil
	}
	b, rest = b[:batchLengthEnd+length], b[batchLengthEnd+length:]
	if len(b) < batchHeader {
		return v, rest, true, fmt.Errorf("a batch of %d bytes", len(b))
	}
	if b[16] != 2 {
		return v, rest, true, fmt.Errorf("message format %d, want 2", b[16])
	}
	v.next = v.base + int64(int32(binary.BigEndian.Uint32(b[23:]))) + 1
	if v.next <= v.base {
		v.next = v.base + 1
		return v, rest, true, fmt.Errorf("its last offset is before its first")
	}
	if want, have := binary.BigEndian.Uint32(b[17:]), crc32.Checksum(b[batchCRCEnd:], castagnoli); want != have {
		return v, rest, true, fmt.Errorf("checksum %08x, want %08x", have, want)
	}
	v.term = int32(binary.BigEndian.Uint32(b[12:]))
	v.attributes = binary.BigEndian.Uint16(b[21:])
	v.firstTime = int64(binary.BigEndian.Uint64(b[27:]))
	v.maxTime = int64(binary.BigEndian.Uint64(b[35:]))
	v.count = int(int32(binary.BigEndian.Uint32(b[57:])))
	v.payload = b[batchHeader:]
	return v, rest, true, nil
}
