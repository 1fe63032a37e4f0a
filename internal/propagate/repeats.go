package propagate

import (
	"encoding/binary"
	"hash/maphash"

	"meridian/internal/envelope"
)

// repeats remembers which changes of a source's shard were read last, to tell a record that its publisher sent twice from a
// write that nobody has seen yet. A publisher repeats the request that it got no answer to, in its place, so a repetition
// follows its original at once: a window as long as the longest request finds all of them, but for those whose original was
// read before this process began.
//
// Invariant: what is found is the very same write, never another one. Its original has been judged; as a conflict, if it was
// one.
type repeats struct {
	seed maphash.Seed
	ring []uint64
	at   int // where the next one goes, once the ring is full
	has  map[uint64]struct{}
}

// mostInRequest is more changes than a publisher puts into one request of 1 MiB (sizeOf in syncer counts 256 bytes and more
// for each).
const mostInRequest = 4096

func newRepeats() *repeats { return &repeats{seed: maphash.MakeSeed(), has: map[uint64]struct{}{}} }

// seen tells whether the change was read before, and remembers it. Nothing is remembered of a change that no transaction made.
func (r *repeats) seen(m *envelope.Message) bool {
	if r == nil || m.Kind != envelope.Change || m.Source.GTID == "" {
		return false
	}
	id := r.identity(m)
	if _, again := r.has[id]; again {
		return true
	}
	r.has[id] = struct{}{}
	if len(r.ring) < mostInRequest {
		r.ring = append(r.ring, id)
		return false
	}
	delete(r.has, r.ring[r.at])
	r.ring[r.at] = id
	r.at = (r.at + 1) % mostInRequest
	return false
}

// identity is of everything that names a write: its transaction and number in it, and its row, version and content, since a
// server whose binlog was reset gives its GTIDs anew.
func (r *repeats) identity(m *envelope.Message) uint64 {
	c := m.Change
	var h maphash.Hash
	h.SetSeed(r.seed)
	for _, part := range []string{m.Source.GTID, c.Table.Schema, c.Table.Name, string(c.Key), c.Version.Region} {
		maphash.WriteComparable(&h, part)
	}
	var b [25]byte
	binary.BigEndian.PutUint64(b[:], m.Source.Ordinal)
	binary.BigEndian.PutUint64(b[8:], uint64(c.Version.Time))
	binary.BigEndian.PutUint64(b[16:], c.Digest)
	b[24] = byte(c.Op)
	_, _ = h.Write(b[:]) // a hash takes everything
	return h.Sum64()
}
