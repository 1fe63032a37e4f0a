package checksum

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// Buckets is how many hash buckets each (table, shard) has. With 10M rows in 16 shards a bucket holds about 600 rows.
const Buckets = 1024

// bucketOf gives the bucket of a row. Only the key decides, so that the row is in the same bucket in every region.
func bucketOf(key []byte) int { return int(xxhash.Sum64(key) >> 54) }

// sum is a bucket's checksum: how many live rows, and the sum of their digests modulo 2^64. Tombstones do not count:
// regions forget them at different times.
type sum struct{ rows, digests uint64 }

// sums are the checksums of one (table, shard).
type sums struct {
	buckets [Buckets]sum
	rows    uint64
	dirty   bool // changed since the last freeze
}

func (s *sums) add(key []byte, digest uint64) {
	b := &s.buckets[bucketOf(key)]
	b.rows++
	b.digests += digest
	s.rows++
	s.dirty = true
}

func (s *sums) remove(key []byte, digest uint64) {
	b := &s.buckets[bucketOf(key)]
	b.rows--
	b.digests -= digest
	s.rows--
	s.dirty = true
}

const sumsBytes = Buckets * 16

func (s *sums) append(dst []byte) []byte {
	for i := range s.buckets {
		dst = binary.BigEndian.AppendUint64(dst, s.buckets[i].rows)
		dst = binary.BigEndian.AppendUint64(dst, s.buckets[i].digests)
	}
	return dst
}

func readSums(b []byte) (*sums, error) {
	if len(b) != sumsBytes {
		return nil, errBadEntry
	}
	s := &sums{}
	for i := range s.buckets {
		s.buckets[i].rows = binary.BigEndian.Uint64(b[i*16:])
		s.buckets[i].digests = binary.BigEndian.Uint64(b[i*16+8:])
		s.rows += s.buckets[i].rows
	}
	return s, nil
}
