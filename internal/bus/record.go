package bus

import (
	"encoding/binary"
	"errors"
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
