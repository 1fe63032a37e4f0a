package bus

import "time"

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
