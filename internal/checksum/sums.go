package checksum

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"

	"meridian/internal/row"
)

// Buckets is how many hash buckets each (table, shard) has. With 10M rows in 16 shards a bucket holds about 600 rows.
const Buckets = 1024

// BucketOf gives the bucket of a row.
func BucketOf(key row.Key) int { return bucketOf([]byte(key)) }

// bucketOf gives the bucket of a row. Only the key decides, so that the row is in the same bucket in every region.
func bucketOf(key []byte) int { return int(xxhash.Sum64(key) >> 54) }

// Sum is a bucket's checksum: how many live rows, and the sum of their digests modulo 2^64. Tombstones do not count:
// regions forget them at different times.
type Sum struct{ Rows, Digests uint64 }

// Sums gives the checksums of a table's shard: none, if no row of it was ever seen. Whoever wants them of one moment with
// something else keeps the writer from going on.
func (l *Ledger) Sums(table string, shard int) []Sum {
	l.mu.RLock()
	defer l.mu.RUnlock()
	id, ok := l.tables.numbers[table]
	s := l.sums[tableShard{id, uint16(shard)}]
	if !ok || s == nil {
		return nil
	}
	return append([]Sum(nil), s.buckets[:]...)
}

// Tables gives the tables of which a row was ever seen, sorted.
func (l *Ledger) Tables() []string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	names := slices.Clone(l.tables.names[1:])
	slices.Sort(names)
	return names
}

// sums are the checksums of one (table, shard).
type sums struct {
	buckets [Buckets]Sum
	rows    uint64
	dirty   bool // changed since the last freeze
}

func (s *sums) add(key []byte, digest uint64) {
	b := &s.buckets[bucketOf(key)]
	b.Rows++
	b.Digests += digest
	s.rows++
	s.dirty = true
}

func (s *sums) remove(key []byte, digest uint64) {
	b := &s.buckets[bucketOf(key)]
	b.Rows--
	b.Digests -= digest
	s.rows--
	s.dirty = true
}

const sumsBytes = Buckets * 16

func (s *sums) append(dst []byte) []byte {
	for i := range s.buckets {
		dst = binary.BigEndian.AppendUint64(dst, s.buckets[i].Rows)
		dst = binary.BigEndian.AppendUint64(dst, s.buckets[i].Digests)
	}
	return dst
}

func readSums(b []byte) (*sums, error) {
	if len(b) != sumsBytes {
		return nil, errBadEntry
	}
	s := &sums{}
	for i := range s.buckets {
		s.buckets[i].Rows = binary.BigEndian.Uint64(b[i*16:])
		s.buckets[i].Digests = binary.BigEndian.Uint64(b[i*16+8:])
		s.rows += s.buckets[i].Rows
	}
	return s, nil
}
