package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go/compress"
)

// unbatcher takes records out of batches. It remembers the headers' names, which are few and repeat on every record.
type unbatcher struct {
	names map[string]string
}

// maxNames bounds the names that are remembered: other programs may write into a topic.
const maxNames = 64

// smallestRecord is the fewest bytes a record takes: it bounds what a batch's count makes us allocate.
const smallestRecord = 7

// maxGuess bounds what is allocated before it is known to be there.
const maxGuess = 1 << 16

// records appends the batch's records from the offset on. Their bytes are in one new buffer, none of it the view's.
func (u *unbatcher) records(dst []Record, v *batchView, from int64) ([]Record, error) {
	var data []byte
	if code := compress.Compression(v.attributes & attributeCompression); code == compress.None {
		data = append([]byte(nil), v.payload...)
	} else {
		var err error
		if data, err = decompress(v.payload, code); err != nil {
			return dst, fmt.Errorf("decompressing: %w", err)
		}
	}
	if v.count < 0 || v.count > len(data)/smallestRecord {
		return dst, fmt.Errorf("%d records in %d bytes", v.count, len(data))
	}
	if len(dst)+v.count > cap(dst) {
		dst = slices.Grow(dst, min(v.count, maxGuess))
	}
	var headers []Header
	s := scanner{b: data}
	for range v.count {
		r, hs := u.record(&s, v, headers)
		if s.bad {
			return dst, errBadRecord
		}
		headers = hs
		if r.Offset >= from {
			dst = append(dst, r)
		}
	}
	return dst, nil
}

var errBadRecord = errors.New("a record does not end within its batch")

// record reads one record; its headers are appended to the batch's common slice.
func (u *unbatcher) record(s *scanner, v *batchView, headers []Header) (Record, []Header) {
	end := s.varint() + int64(s.at)
	s.skip(1)
	at := v.firstTime + s.varint()
	if v.attributes&attributeLogAppendTime != 0 {
		at = v.maxTime
	}
	r := Record{Offset: v.base + s.varint(), Time: time.UnixMilli(at), LeaderEpoch: v.term}
	r.Key = s.nullable()
	r.Value = s.nullable()
	count := s.varint()
	if count < 0 || count > int64(len(s.b)) {
		s.bad = true
		return r, headers
	}
	if headers == nil && count > 0 { // the others will have as many
		headers = make([]Header, 0, min(int(count)*v.count, maxGuess))
	}
	first := len(headers)
	for range count {
		name := s.nullable()
		headers = append(headers, Header{Key: u.name(name), Value: s.nullable()})
		if s.bad {
			return r, headers
		}
	}
	if count > 0 {
		r.Headers = headers[first:len(headers):len(headers)]
	}
	if int64(s.at) != end {
		s.bad = true
	}
	return r, headers
}

func (u *unbatcher) name(b []byte) string {
	if name, ok := u.names[string(b)]; ok {
		return name
	}
	name := string(b)
	if len(u.names) < maxNames {
		if u.names == nil {
			u.names = make(map[string]string)
		}
		u.names[name] = name
	}
	return name
}

// scanner reads Kafka's variable-length encoding; once bad, it stays so.
type scanner struct {
	b   []byte
	at  int
	bad bool
}

func (s *scanner) varint() int64 {
	if s.bad {
		return 0
	}
	n, size := binary.Varint(s.b[s.at:])
	if size <= 0 {
		s.bad = true
		return 0
	}
	s.at += size
	return n
}

func (s *scanner) skip(n int) {
	if s.bad || n > len(s.b)-s.at {
		s.bad = true
		return
	}
	s.at += n
}

// nullable reads a length and that many bytes; nil for a negative length.
func (s *scanner) nullable() []byte {
	n := s.varint()
	if s.bad || n < 0 {
		return nil
	}
	if n > int64(len(s.b)-s.at) {
		s.bad = true
		return nil
	}
	b := s.b[s.at : s.at+int(n) : s.at+int(n)]
	s.at += int(n)
	return b
}
