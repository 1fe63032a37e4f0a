package checksum

import (
	"encoding/binary"
	"fmt"

	"meridian/internal/row"
)

// Entry is what the ledger knows of one row.
type Entry struct {
	Version row.Version
	Digest  uint64 // of the row (row.Table.Digest); 0 for a tombstone
	Columns uint64 // row.Table.ColumnsID that the digest was made from
	Deleted bool   // a tombstone: the row was deleted by the write with this version
	Suspect bool   // the row was seen to differ from what was written
	ByDDL   bool   // that is the doing of a DDL statement that was seen (TRUNCATE, …)
	// Generation is the table's of the time when the entry was made, see Alteration.
	Generation uint32
	// Sequence numbers the local write that made the entry, so that one can ask whether the bus has acknowledged it.
	// 0: not local, or durable and therefore acknowledged.
	Sequence uint64
	// Label gives the key's values where the key does not (row.Table.KeyLabel). "" where it is not needed, or not known: of a
	// row that was deleted before it was ever seen.
	Label string
}

// slot is an Entry in memory, with names replaced by their numbers.
type slot struct {
	time     int64
	digest   uint64
	sequence uint64
	region   uint16
	columns  uint16
	flags    uint8
	label    string
}

const (
	flagDeleted  = 1 << 0
	flagSuspect  = 1 << 1
	flagBaseline = 1 << 2 // the version is the zero one
	flagByDDL    = 1 << 3
)

func (s slot) live() bool { return s.flags&flagDeleted == 0 }

// errBadEntry is returned when bytes in the file are no entry: the file is damaged, and counts as lost.
var errBadEntry = fmt.Errorf("%w: an entry in it cannot be read", ErrDamaged)

// appendSlot writes a slot as it stands in the file: flags, region and columns as uvarints, time and digest as eight
// bytes each, big-endian, and the label. The sequence is not kept: what is in the file has been acknowledged.
func appendSlot(dst []byte, s slot) []byte {
	dst = append(dst, s.flags)
	dst = binary.AppendUvarint(dst, uint64(s.region))
	dst = binary.AppendUvarint(dst, uint64(s.columns))
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.time))
	return append(binary.BigEndian.AppendUint64(dst, s.digest), s.label...)
}

func readSlot(b []byte) (slot, error) {
	if len(b) < 1 {
		return slot{}, errBadEntry
	}
	s := slot{flags: b[0]}
	b = b[1:]
	for _, into := range []*uint16{&s.region, &s.columns} {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > 1<<16-1 {
			return slot{}, errBadEntry
		}
		*into, b = uint16(n), b[size:]
	}
	const times = 16
	if len(b) < times {
		return slot{}, errBadEntry
	}
	s.time = int64(binary.BigEndian.Uint64(b))
	s.digest = binary.BigEndian.Uint64(b[8:])
	if len(b) > times {
		s.label = string(b[times:])
	}
	return s, nil
}

// entryKey is a row's place in the file: table number, shard, key. Rows of one table and shard stand together, in the
// order of their keys, so that writes to neighbouring rows touch the same pages.
func entryKey(dst []byte, table uint32, shard int, key row.Key) []byte {
	dst = binary.BigEndian.AppendUint32(dst, table)
	dst = binary.BigEndian.AppendUint16(dst, uint16(shard))
	return append(dst, key...)
}

const entryKeyPrefixBytes = 6
