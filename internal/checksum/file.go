package checksum

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// file is the database under the ledger. Everything that reads or writes it goes through View and Update, or through
// guard, because bbolt does not return an error for a page that is not what it must be: it panics, and where the mapped
// file ends too early, or the disk cannot read it, the memory access itself fails.
//
// Here both become ErrDamaged. From then on the file is not touched any more: every access is refused, and Damaged says so
// to whoever ends the process's other work.
//
// Open looks only at what is needed to begin: the two meta pages, which have a checksum; whether the file is as long as they
// say; the list of free pages; the names, sums and offsets. bbolt can check every page, also after a process that was
// killed, but that reads the whole file (10 million rows are about a gigabyte), a kill does no damage, and what a check at
// the start would find is found just as well when it is read: the consequence, a rebuild, is the same. Pages have no
// checksums of their own, so neither finds a value that was altered within a page.
type file struct {
	path string
	bolt *bbolt.DB
	raw  *os.File // what bbolt has open

	mu      sync.Mutex
	damage  error
	damaged chan struct{} // closed when damage is found
	stuck   bool          // bbolt holds a lock that nobody will release
}

// openFile opens the file, or makes one.
func openFile(path string) (*file, error) {
	f := &file{path: path, damaged: make(chan struct{})}
	if info, err := os.Stat(path); err == nil && info.Size() > 0 && info.Size() < int64(2*os.Getpagesize()) {
		return nil, f.note(fmt.Errorf("it has only %d bytes", info.Size())) //nolint:err113 // nobody decides on it
	}
	err := f.guard(f.open)
	if err == nil {
		err = f.View(f.checkLength)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *file) open() (err error) {
	f.bolt, err = bbolt.Open(f.path, 0o600, &bbolt.Options{
		Timeout: time.Second, FreelistType: bbolt.FreelistMapType,
		// The list of free pages is kept in the file. Without it bbolt finds the free pages by reading all others when it opens
		// the file, and after each failed write, in a goroutine of its own, where nobody can catch what it does about a damaged one.
		NoFreelistSync: false,
		OpenFile: func(name string, flag int, mode fs.FileMode) (raw *os.File, err error) {
			f.raw, err = os.OpenFile(name, flag, mode)
			return f.raw, err
		},
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("%s: %w", f.path, ErrLocked)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return f.note(err)
	case err != nil:
		return fmt.Errorf("opening the ledger %s: %w", f.path, err)
	}
	return nil
}

// checkLength finds a file that was cut off: its pages are used as memory, and what is not there would not read as zeroes.
func (f *file) checkLength(tx *bbolt.Tx) error {
	info, err := f.raw.Stat()
	if err != nil {
		return fmt.Errorf("opening the ledger %s: %w", f.path, err)
	}
	if info.Size() < tx.Size() {
		return fmt.Errorf("%w: it has %d bytes instead of %d", ErrDamaged, info.Size(), tx.Size())
	}
	return nil
}

// View reads in one transaction.
func (f *file) View(read func(*bbolt.Tx) error) error { return f.run(false, read) }

// Update writes in one transaction.
func (f *file) Update(write func(*bbolt.Tx) error) error { return f.run(true, write) }

func (f *file) run(writable bool, do func(*bbolt.Tx) error) error {
	tx, err := f.Begin(writable)
	if err != nil {
		return err
	}
	return f.guard(func() (err error) {
		defer func() {
			if tx.DB() != nil { // it is not over: do has failed, or something has panicked
				f.rollBack(tx)
			}
		}()
		if err = do(tx); err != nil || !writable {
			return err
		}
		return tx.Commit()
	})
}

// Begin begins a transaction for who keeps it open; what is read in it is read under guard.
//
// A panic of bbolt's here is not caught. It comes only where both meta pages were destroyed under the running process, and
// then bbolt holds the lock that everybody else waits for: the process ends, and the next one rebuilds the ledger.
func (f *file) Begin(writable bool) (*bbolt.Tx, error) {
	if err := f.found(); err != nil {
		return nil, err
	}
	tx, err := f.bolt.Begin(writable)
	if err != nil {
		return nil, fmt.Errorf("using the ledger %s: %w", f.path, err)
	}
	return tx, nil
}

func (f *file) rollBack(tx *bbolt.Tx) {
	defer func() {
		if r := recover(); r != nil {
			f.mu.Lock()
			f.stuck = true
			f.mu.Unlock()
		}
	}()
	_ = tx.Rollback() // it fails only when the transaction is over
}

// guard does something with the file, and gives ErrDamaged where that shows that it is damaged. All other panics go on.
func (f *file) guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		damage := damageIn(r)
		if damage == nil {
			panic(r)
		}
		err = f.note(damage)
	}()
	if err = do(); errors.Is(err, ErrDamaged) {
		return f.note(err)
	}
	return err
}

// damageIn judges a panic, in the deferred function that has recovered it: an access to memory that is not there (a nil
// pointer is none), and whatever bbolt itself panics with, are damage. Anything else is a fault of the program.
func damageIn(r any) error {
	if fault, ok := r.(interface {
		runtime.Error
		Addr() uintptr
	}); ok {
		return fmt.Errorf("it cannot be read: %w", fault)
	}
	var callers [64]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers[:])])
	for panicked := false; ; {
		frame, more := frames.Next()
		inRuntime := strings.HasPrefix(frame.Function, "runtime.")
		switch {
		case panicked && !inRuntime && strings.HasPrefix(frame.Function, "go.etcd.io/bbolt"):
			return fmt.Errorf("a page of it is not what it must be: %v", r) //nolint:err113 // nobody decides on it
		case panicked && !inRuntime, !more:
			return nil
		case frame.Function == "runtime.gopanic":
			panicked = true
		}
	}
}

// note keeps the first damage, and gives it.
func (f *file) note(damage error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.damage == nil {
		if !errors.Is(damage, ErrDamaged) {
			damage = fmt.Errorf("%w: %w", ErrDamaged, damage)
		}
		f.damage = fmt.Errorf("%s: %w", f.path, damage)
		close(f.damaged)
	}
	return f.damage
}

func (f *file) found() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.damage
}

// Close closes the file; all that was begun is over. Where bbolt cannot be closed any more its file is, which gives up the
// lock on it; the mapped memory stays until the process ends.
func (f *file) Close() error {
	f.mu.Lock()
	stuck := f.stuck
	f.mu.Unlock()
	var err error
	switch {
	case f.bolt != nil && !stuck:
		err = f.bolt.Close()
	case f.raw != nil:
		if err = f.raw.Close(); errors.Is(err, os.ErrClosed) { // bbolt could not open it, and has closed it
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("closing the ledger %s: %w", f.path, err)
	}
	return nil
}

// Remove deletes a ledger's file, so that the next Open starts an empty one.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the ledger: %w", err)
	}
	return nil
}

// SetAside renames a damaged ledger's file, for whoever wants to know what became of it, and returns its new name. One is
// kept: it takes the place of an older one.
func SetAside(path string) (string, error) {
	to := path + ".damaged"
	if err := os.Rename(path, to); err != nil {
		return "", fmt.Errorf("setting the damaged ledger aside: %w", err)
	}
	return to, nil
}

// Damaged is closed when the file was found to be damaged; Damage then says how.
func (l *Ledger) Damaged() <-chan struct{} { return l.db.damaged }

// Damage gives ErrDamaged, with what was found, once the file was found to be damaged.
func (l *Ledger) Damage() error { return l.db.found() }
