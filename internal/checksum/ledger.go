package checksum

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"meridian/internal/row"
)

// Errors of Open on which the caller decides.
var (
	// ErrLocked is returned when another process has the ledger file open.
	ErrLocked = errors.New("another process has the ledger open")
	// ErrMismatch is returned when the file was made for another region, another number of shards or by another format.
	// It says so rather than being rebuilt silently: it may be the wrong folder.
	ErrMismatch = errors.New("the ledger file belongs to something else")
	// ErrOtherShare is returned when the file was kept for other shards: it counts as lost and is to be rebuilt.
	ErrOtherShare = errors.New("the ledger file was kept for other shards")
	// ErrDamaged is returned when the file cannot be read: the ledger counts as lost and is to be rebuilt.
	ErrDamaged = errors.New("the ledger file is damaged")
)

const formatVersion = 1

var (
	bucketMeta       = []byte("meta")
	bucketTables     = []byte("tables")
	bucketRegions    = []byte("regions")
	bucketColumns    = []byte("columns")
	bucketEntries    = []byte("entries")
	bucketSums       = []byte("sums")
	bucketApplied    = []byte("applied")
	bucketTombstones = []byte("tombstones")
	bucketFloors     = []byte("floors")
	bucketNotes      = []byte("notes")

	metaIdentity   = []byte("identity")
	metaShare      = []byte("share")
	metaCheckpoint = []byte("checkpoint")
	metaOwn        = []byte("own")
	metaFlushes    = []byte("flushes")
)

// Options say whose ledger it is.
type Options struct {
	Path   string
	Region string
	Shards int // partitions of the region's topic
	// Share says for which of the shards the ledger is kept ("replica 0 of 2"). One that was kept for others lacks what
	// happened to the rest since, and is refused with ErrOtherShare.
	Share string
	// Reached is called at the named steps of a flush; tests end the process there. nil outside of tests.
	Reached func(step string)
}

// Ledger is a region's record of its rows. It has one writer, the tailer's goroutine (Stamp, Replay, Pass, Freeze), one
// flusher (Flush, Collect), and any number of readers.
//
// Invariants:
//   - What Lookup sees is the state after a prefix of the binlog (and a part of the transaction being read).
//   - The file is an exact cut: the state at its checkpoint, no entry newer. Flush writes only what Freeze set aside, and
//     Freeze is called between two changes by the one writer. (With newest entries under an older checkpoint a restart
//     would stamp old writes above what has overwritten them elsewhere.)
//   - What the file holds has been acknowledged by the bus: the caller flushes a cut only after the acknowledgement of
//     everything in it.
//   - An entry's version never goes back, except when the file is rebuilt.
//
// Lock order: mu, then frontier.mu. bbolt's own locks come last.
type Ledger struct {
	opts     Options
	db       *file
	frontier *frontier

	mu      sync.RWMutex
	tables  *numbered
	regions *numbered
	columns *numbered
	active  map[string]slot // since the last freeze
	frozen  *frozen         // being written; nil when nothing is
	sums    map[tableShard]*sums
	floors  map[string]int64 // new stamps of these rows stay above these times (a rebuilt ledger; see Floor)
	rows    uint64           // live rows
	notes   map[string][]byte
	noted   map[string]bool         // the names of notes that have changed since the last freeze
	altered map[string][]Alteration // by table; what the notes say. A list is never written to
	counted columnsNumber           // the one last used

	warnings []string // see Warn

	latest    atomic.Int64  // greatest commit time passed, in microseconds
	collected atomic.Uint64 // see Collected

	flushes uint64 // how many cuts the file has seen; numbers tombstones for collection
	scratch []byte // of whoever holds mu
	current uint32 // as scratch: the generation of the table that is being written to
}

type tableShard struct {
	table uint32
	shard uint16
}

// Open opens the ledger file, or makes one. The folder must exist.
func Open(opts Options) (*Ledger, error) {
	db, err := openFile(opts.Path)
	if err != nil {
		return nil, err
	}
	if opts.Reached == nil {
		opts.Reached = func(string) {}
	}
	l := &Ledger{
		opts: opts, db: db, frontier: newFrontier(),
		tables:  newNumbered(string(bucketTables), 1<<32-2),
		regions: newNumbered(string(bucketRegions), 1<<16-2),
		columns: newNumbered(string(bucketColumns), 1<<16-2),
		active:  map[string]slot{},
		sums:    map[tableShard]*sums{},
		floors:  map[string]int64{},
		notes:   map[string][]byte{}, noted: map[string]bool{}, altered: map[string][]Alteration{},
	}
	if err := l.load(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return l, nil
}

func (l *Ledger) identity() string {
	return fmt.Sprintf("format %d, region %s, %d shards", formatVersion, l.opts.Region, l.opts.Shards)
}

func (l *Ledger) load() error {
	err := l.db.Update(func(tx *bbolt.Tx) error {
		for _, b := range [][]byte{bucketMeta, bucketTables, bucketRegions, bucketColumns, bucketEntries, bucketSums, bucketApplied, bucketTombstones, bucketFloors, bucketNotes} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		meta := tx.Bucket(bucketMeta)
		id := meta.Get(metaIdentity)
		if id == nil {
			return errors.Join(meta.Put(metaIdentity, []byte(l.identity())), meta.Put(metaShare, []byte(l.opts.Share)))
		}
		if string(id) != l.identity() {
			return fmt.Errorf("%s: %w: it is for %s, wanted is %s", l.opts.Path, ErrMismatch, id, l.identity())
		}
		if share := meta.Get(metaShare); string(share) != l.opts.Share {
			return fmt.Errorf("%s: %w: those of %s; this process is %s", l.opts.Path, ErrOtherShare, share, l.opts.Share)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("opening the ledger: %w", err)
	}
	return l.db.View(func(tx *bbolt.Tx) error {
		for _, n := range []*numbered{l.tables, l.regions, l.columns} {
			if err := n.load(tx); err != nil {
				return fmt.Errorf("%w: %w", ErrDamaged, err)
			}
		}
		err := tx.Bucket(bucketSums).ForEach(func(k, v []byte) error {
			s, err := readSums(v)
			if err != nil || len(k) != entryKeyPrefixBytes {
				return fmt.Errorf("%w: checksums", ErrDamaged)
			}
			l.sums[tableShard{binary.BigEndian.Uint32(k), binary.BigEndian.Uint16(k[4:])}] = s
			l.rows += s.rows
			return nil
		})
		if err != nil {
			return err
		}
		if b := tx.Bucket(bucketMeta).Get(metaFlushes); len(b) == 16 {
			l.flushes = binary.BigEndian.Uint64(b)
			l.latest.Store(int64(binary.BigEndian.Uint64(b[8:])))
		}
		if err := errors.Join(l.loadFloors(tx), l.loadNotes(tx)); err != nil {
			return err
		}
		if err := l.loadAlterations(); err != nil {
			return err
		}
		if err := l.loadWarnings(tx); err != nil {
			return err
		}
		return tx.Bucket(bucketApplied).ForEach(func(k, v []byte) error {
			if len(k) < 2 || len(v) != 8 {
				return fmt.Errorf("%w: offsets", ErrDamaged)
			}
			source := SourceShard{Source: string(k[2:]), Shard: int(binary.BigEndian.Uint16(k))}
			l.frontier.applied[source] = binary.BigEndian.Uint64(v)
			return nil
		})
	})
}

// Close closes the file. What was not flushed is lost, and read from the binlog again.
func (l *Ledger) Close() error { return l.db.Close() }

// Checkpoint gives what the last flush stored: the checkpoint, and for each shard an offset of the region's own topic
// before which nothing is newer than the checkpoint. nil when nothing was ever flushed, or when a rebuild was not finished.
func (l *Ledger) Checkpoint() (checkpoint []byte, own []uint64, err error) {
	err = l.db.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if c := meta.Get(metaCheckpoint); len(c) > 0 {
			checkpoint = append([]byte{}, c...)
		}
		for b := meta.Get(metaOwn); len(b) >= 8; b = b[8:] {
			own = append(own, binary.BigEndian.Uint64(b))
		}
		return nil
	})
	return checkpoint, own, err
}

// Size gives the number of live rows, the bytes of the file, and how many entries wait in memory.
func (l *Ledger) Size() (rows uint64, fileBytes int64, recent int) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	recent = len(l.active)
	if l.frozen != nil {
		recent += len(l.frozen.entries)
	}
	if info, err := os.Stat(l.opts.Path); err == nil {
		fileBytes = info.Size()
	}
	return l.rows, fileBytes, recent
}

// Place names a row: "schema.table" and its key.
type Place struct {
	Table string
	Key   row.Key
}

// Lookup gives the entries of the places at one moment; found[i] tells whether there is one.
func (l *Ledger) Lookup(places []Place) (entries []Entry, found []bool, err error) {
	entries, found = make([]Entry, len(places)), make([]bool, len(places))
	l.mu.RLock()
	defer l.mu.RUnlock()
	err = l.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketEntries)
		var buf [256]byte
		for i, p := range places {
			id, ok := l.tables.numbers[p.Table]
			if !ok {
				continue
			}
			s, ok, failed := l.get(b, entryKey(buf[:0], id, row.Shard(p.Table, p.Key, l.opts.Shards), p.Key))
			if failed != nil {
				return failed
			}
			if ok {
				entries[i], found[i] = l.entry(s), true
			}
		}
		return nil
	})
	return entries, found, err
}

// get finds a slot: the recent part first, then the file, if it is given. mu is held.
func (l *Ledger) get(file *bbolt.Bucket, key []byte) (slot, bool, error) {
	if s, ok := l.active[string(key)]; ok {
		return s, true, nil
	}
	if l.frozen != nil {
		if s, ok := l.frozen.entries[string(key)]; ok {
			return s, true, nil
		}
	}
	if file == nil {
		return slot{}, false, nil
	}
	v := file.Get(key)
	if v == nil {
		return slot{}, false, nil
	}
	s, err := readSlot(v)
	if err == nil && (int(s.region) >= len(l.regions.names) || int(s.columns) >= len(l.columns.names)) {
		err = errBadEntry
	}
	return s, err == nil, err
}

func (l *Ledger) entry(s slot) Entry { return entryOf(s, l.regions.names, l.columns.names) }

func entryOf(s slot, regions, columns []string) Entry {
	e := Entry{
		Digest: s.digest, Deleted: !s.live(), Suspect: s.flags&flagSuspect != 0, ByDDL: s.flags&flagByDDL != 0, Sequence: s.sequence, Label: s.label,
	}
	if s.flags&flagBaseline == 0 {
		e.Version = row.Version{Time: s.time, Region: regions[s.region]}
	}
	e.Columns, e.Generation = readColumns(columns[s.columns])
	return e
}
