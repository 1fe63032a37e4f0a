package bus

import (
	"encoding/binary"
	"errors"
	"hash"
	"hash/fnv"
	"time"
)

// Record is one record of a partition.
//
// Key, Value and the headers' values of a fetched record share one buffer with the other records of its batch: whoever
// keeps a small part of one for long copies it.
type Record struct {
	Key     []byte // nil is Kafka's null
	Value   []byte // nil is Kafka's null
	Headers []Header
	Offset  int64     // given by the broker; ignored by Produce
	Time    time.Time // when it was produced, in milliseconds; Produce takes its own clock's time for the zero Time
	// LeaderEpoch is the term of the partition's leader that took it; ignored by Produce. Within one term a log only grows: what a
	// leader has lost, or another topic of the same name never had, shows in a record of another term.
	LeaderEpoch int32
}

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Header gives the value of the first header with that key.
func (r *Record) Header(key string) ([]byte, bool) {
	for i := range r.Headers {
		if r.Headers[i].Key == key {
			return r.Headers[i].Value, true
		}
	}
	return nil, false
}

// Size is how many bytes the record takes in a request, uncompressed: what max_record_bytes bounds.
func (r *Record) Size() int { return recordSize(r) }

// Fingerprint tells the record from another one at its offset; it is never 0. The time is left out: some brokers set it again when
// they copy a log. It stands in databases: the same record has the same one in every version of Meridian.
func (r *Record) Fingerprint() uint64 {
	h := fnv.New64a()
	hashBytes(h, r.Key)
	hashBytes(h, r.Value)
	for i := range r.Headers {
		hashBytes(h, []byte(r.Headers[i].Key))
		hashBytes(h, r.Headers[i].Value)
	}
	return max(h.Sum64(), 1)
}

func hashBytes(h hash.Hash, b []byte) {
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(b)))
	_, _ = h.Write(size[:]) // a hash takes everything
	_, _ = h.Write(b)
}

// recordFormat begins what Marshal writes.
const recordFormat = 1

// Marshal gives the whole record as bytes, to be kept where the bus is not: format, offset, time in milliseconds, key, value, headers.
func (r *Record) Marshal() []byte {
	b := append(make([]byte, 0, recordSize(r)+16), recordFormat)
	b = binary.AppendVarint(b, r.Offset)
	return appendRecord(b, r, r.Time.UnixMilli(), 0)
}

// UnmarshalRecord reads what Marshal wrote. The record's bytes are parts of b.
func UnmarshalRecord(b []byte) (Record, error) {
	if len(b) == 0 || b[0] != recordFormat {
		return Record{}, errors.New("bus: these bytes are no record that Marshal wrote")
	}
	s := scanner{b: b, at: 1}
	offset := s.varint()
	r, _ := new(unbatcher).record(&s, &batchView{base: offset}, nil)
	if s.bad || s.at != len(b) {
		return Record{}, errors.New("bus: a kept record is damaged")
	}
	return r, nil
}
