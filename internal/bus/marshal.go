package bus

import (
	"encoding/binary"
	"errors"
	"time"
)

// Size is about how many bytes the record takes in a request, uncompressed.
func (r *Record) Size() int { return recordSize(r) }

// errNoRecord is returned by UnmarshalRecord.
var errNoRecord = errors.New("bus: these bytes are no marshalled record")

// marshalFormat is the first byte of a marshalled record.
const marshalFormat = 1

// Marshal gives the whole record as bytes, to be kept outside of the bus: key, value, headers, offset and time.
func (r *Record) Marshal() []byte {
	b := make([]byte, 0, r.Size()+32)
	b = append(b, marshalFormat)
	b = binary.AppendVarint(b, r.Offset)
	b = binary.AppendVarint(b, r.Time.UnixMilli())
	b = appendBytes(b, r.Key)
	b = appendBytes(b, r.Value)
	b = binary.AppendUvarint(b, uint64(len(r.Headers)))
	for _, h := range r.Headers {
		b = appendBytes(b, []byte(h.Key))
		b = appendBytes(b, h.Value)
	}
	return b
}

// appendBytes writes a length, one more than it is so that 0 stands for nil, and the bytes.
func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 0)
	}
	return append(binary.AppendUvarint(dst, uint64(len(b))+1), b...)
}

// UnmarshalRecord reads what Marshal wrote.
func UnmarshalRecord(b []byte) (Record, error) {
	if len(b) == 0 || b[0] != marshalFormat {
		return Record{}, errNoRecord
	}
	u := unmarshaller{b: b[1:]}
	r := Record{Offset: u.varint(), Time: time.UnixMilli(u.varint()).UTC(), Key: u.bytes(), Value: u.bytes()}
	n := u.uvarint()
	if n > uint64(len(u.b)) {
		return Record{}, errNoRecord
	}
	for range n {
		r.Headers = append(r.Headers, Header{Key: string(u.bytes()), Value: u.bytes()})
	}
	if u.bad || len(u.b) != 0 {
		return Record{}, errNoRecord
	}
	return r, nil
}

// unmarshaller takes values off the front of b; after the first that is not there, bad is set and all others are zero.
type unmarshaller struct {
	b   []byte
	bad bool
}

func (u *unmarshaller) varint() int64 {
	v, n := binary.Varint(u.b)
	u.skip(n)
	return v
}

func (u *unmarshaller) uvarint() uint64 {
	v, n := binary.Uvarint(u.b)
	u.skip(n)
	return v
}

func (u *unmarshaller) skip(n int) {
	if n <= 0 {
		u.bad, u.b = true, nil
		return
	}
	u.b = u.b[n:]
}

func (u *unmarshaller) bytes() []byte {
	n := u.uvarint()
	if n == 0 || u.bad {
		return nil
	}
	n--
	if n > uint64(len(u.b)) {
		u.bad, u.b = true, nil
		return nil
	}
	v := u.b[:n:n]
	u.b = u.b[n:]
	return v
}
