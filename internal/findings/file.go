package findings

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// formatVersion is that of what stands in the file.
const formatVersion = 1

var (
	bucketMeta        = []byte("meta")
	bucketComparisons = []byte("comparisons") // by time
	bucketOpen        = []byte("open")        // findings by table and key
	bucketEnded       = []byte("ended")       // findings by the time they ended
	bucketRepairs     = []byte("repairs")     // by time
	metaVersion       = []byte("version")
)

// Store is the file. It is safe for concurrent use.
type Store struct {
	path string
	bolt *bbolt.DB
}

// Open opens the file, or makes one. A file that is damaged is set aside as PATH.damaged, and a new one begun; tell, if not nil, is
// told what was wrong with it. Nobody else can open the file meanwhile, not even to read it.
func Open(path string, tell func(damage error)) (*Store, error) {
	s, err := open(path, false)
	if !errors.Is(err, ErrDamaged) {
		return s, err
	}
	if tell != nil {
		tell(err)
	}
	if err = os.Rename(path, path+".damaged"); err != nil {
		return nil, fmt.Errorf("setting %s aside: %w", path, err)
	}
	return open(path, false)
}

// Renew sets the file aside as PATH.damaged, and begins a new one: what to do when it turns out to be damaged while it is used.
// Nobody else may use the store meanwhile.
func (s *Store) Renew() error {
	_ = s.Close() // of a damaged file it may well fail
	if err := os.Rename(s.path, s.path+".damaged"); err != nil {
		return fmt.Errorf("setting %s aside: %w", s.path, err)
	}
	again, err := open(s.path, false)
	if err == nil {
		s.bolt = again.bolt
	}
	return err
}

// OpenToRead opens a file that is there, to read it while nobody writes it.
func OpenToRead(path string) (*Store, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("the verifier's findings: %w", err)
	}
	return open(path, true)
}

func open(path string, readOnly bool) (*Store, error) {
	s := &Store{path: path}
	err := s.guard(func() (err error) {
		s.bolt, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, ReadOnly: readOnly, FreelistType: bbolt.FreelistMapType, PreLoadFreelist: !readOnly})
		switch {
		case errors.Is(err, berrors.ErrTimeout):
			return ErrLocked
		case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		case err != nil || readOnly:
			return err
		}
		return s.bolt.Update(prepare)
	})
	if err == nil {
		err = s.guard(func() error { return s.bolt.View(checkVersion) })
	}
	if err != nil {
		if s.bolt != nil {
			err = errors.Join(err, s.guard(s.bolt.Close))
		}
		return nil, fmt.Errorf("opening the verifier's findings %s: %w", path, err)
	}
	return s, nil
}

func prepare(tx *bbolt.Tx) error {
	for _, name := range [][]byte{bucketMeta, bucketComparisons, bucketOpen, bucketEnded, bucketRepairs} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	meta := tx.Bucket(bucketMeta)
	if meta.Get(metaVersion) == nil {
		return meta.Put(metaVersion, binary.BigEndian.AppendUint32(nil, formatVersion))
	}
	return nil
}

func checkVersion(tx *bbolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	if meta == nil || len(meta.Get(metaVersion)) != 4 {
		return fmt.Errorf("%w: it does not say what it is", ErrDamaged)
	}
	if v := binary.BigEndian.Uint32(meta.Get(metaVersion)); v > formatVersion {
		return fmt.Errorf("%w: format %d, this version knows up to %d", ErrNewer, v, formatVersion)
	}
	return nil
}

// guard makes an error of what bbolt panics with at a page that is not what it must be, and of memory that cannot be read.
func (s *Store) guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}()
	return do()
}

// Close closes the file.
func (s *Store) Close() error { return s.guard(s.bolt.Close) }

func (s *Store) update(do func(tx *bbolt.Tx) error) error {
	if err := s.guard(func() error { return s.bolt.Update(do) }); err != nil {
		return fmt.Errorf("writing the verifier's findings %s: %w", s.path, err)
	}
	return nil
}

func (s *Store) view(do func(tx *bbolt.Tx) error) error {
	if err := s.guard(func() error { return s.bolt.View(do) }); err != nil {
		return fmt.Errorf("reading the verifier's findings %s: %w", s.path, err)
	}
	return nil
}
