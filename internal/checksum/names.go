package checksum

import (
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// errTooManyNames is returned when a ledger would have to number more names than fit. It takes 65,535 regions or column
// lists to get there.
var errTooManyNames = errors.New("the ledger cannot number any more names")

// numbered gives names small numbers, for entries to hold. Number 0 is the empty name. Numbers are never reused within
// a file. It is guarded by the ledger's lock.
type numbered struct {
	bucket  []byte
	most    int
	numbers map[string]uint32
	names   []string
	saved   int // names[:saved] are in the file
}

func newNumbered(bucket string, most int) *numbered {
	return &numbered{bucket: []byte(bucket), most: most, numbers: map[string]uint32{"": 0}, names: []string{""}, saved: 1}
}

func (n *numbered) number(name string) (uint32, error) {
	if id, ok := n.numbers[name]; ok {
		return id, nil
	}
	if len(n.names) > n.most {
		return 0, fmt.Errorf("%s %q: %w", n.bucket, name, errTooManyNames)
	}
	id := uint32(len(n.names))
	n.numbers[name] = id
	n.names = append(n.names, name)
	return id, nil
}

func (n *numbered) load(tx *bbolt.Tx) error {
	return tx.Bucket(n.bucket).ForEach(func(k, v []byte) error {
		if len(k) != 4 || int(binary.BigEndian.Uint32(k)) != len(n.names) {
			return fmt.Errorf("%s: %w", n.bucket, errBadEntry)
		}
		n.numbers[string(v)] = uint32(len(n.names))
		n.names = append(n.names, string(v))
		n.saved = len(n.names)
		return nil
	})
}

// save writes names[saved:upTo]; the caller sets saved when the transaction has committed.
func (n *numbered) save(tx *bbolt.Tx, names []string, from int) error {
	b := tx.Bucket(n.bucket)
	for i := from; i < len(names); i++ {
		if err := b.Put(binary.BigEndian.AppendUint32(nil, uint32(i)), []byte(names[i])); err != nil {
			return err
		}
	}
	return nil
}

// columnsNumber is the number of a ColumnsID in one generation of a table. Their name is the ID's 8 bytes, big-endian, and
// behind it the generation as a uvarint, unless it is 0.
type columnsNumber struct {
	columns    uint64
	generation uint32
	number     uint16
	known      bool
}

// columnsAs numbers a ColumnsID in a generation. mu is held.
func (l *Ledger) columnsAs(columns uint64, generation uint32) (uint16, error) {
	if c := &l.counted; c.known && c.columns == columns && c.generation == generation {
		return c.number, nil
	}
	name := binary.BigEndian.AppendUint64(make([]byte, 0, 8+binary.MaxVarintLen32), columns)
	if generation > 0 {
		name = binary.AppendUvarint(name, uint64(generation))
	}
	n, err := l.columns.number(string(name))
	if err == nil {
		l.counted = columnsNumber{columns, generation, uint16(n), true}
	}
	return uint16(n), err
}

func readColumns(name string) (columns uint64, generation uint32) {
	const idBytes = 8
	if len(name) < idBytes {
		return 0, 0
	}
	columns = binary.BigEndian.Uint64([]byte(name[:idBytes]))
	if n, size := binary.Uvarint([]byte(name[idBytes:])); size > 0 {
		generation = uint32(n)
	}
	return columns, generation
}
