package checksum_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"meridian/internal/checksum"
	"meridian/internal/row"
)

const manyRows = 3000

// written gives the path of a closed ledger file of many pages.
func written(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := open(t, path, nil)
	for id := range int64(manyRows) {
		stamp(t, l, change(t, id, id, row.Insert), id+1)
	}
	flush(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func flush(t *testing.T, l *checksum.Ledger) {
	t.Helper()
	if !l.Freeze(checksum.Cut{Checkpoint: []byte("here"), Own: make([]uint64, 4)}) {
		t.Fatal("not frozen")
	}
	if _, err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// readAll looks up every row and gives the first error.
func readAll(t *testing.T, l *checksum.Ledger) error {
	t.Helper()
	for id := range int64(manyRows) {
		if _, _, err := l.Lookup([]checksum.Place{{Table: table, Key: change(t, id, 0, row.Delete).Key}}); err != nil {
			return err
		}
	}
	return nil
}

const page = 4096

// Whatever is wrong with the pages of the file, it is an error that says so, at the start or when they are read; after that
// nothing touches the file again, and a new one can take its place.
func TestFile_ADamagedOneIsAnErrorAndNoPanic(t *testing.T) {
	fill := func(from, to int, with byte) func([]byte) []byte {
		return func(b []byte) []byte {
			copy(b[from*page:], bytes.Repeat([]byte{with}, min(to*page, len(b))-from*page))
			return b
		}
	}
	const end = 1 << 20
	for name, damage := range map[string]func(b []byte) []byte{
		"cut off in the middle":     func(b []byte) []byte { return b[:len(b)/2] },
		"cut off behind two pages":  func(b []byte) []byte { return b[:2*page] },
		"almost empty":              func(b []byte) []byte { return b[:100] },
		"one page":                  func(b []byte) []byte { return b[:page] },
		"no ledger at all":          fill(0, end, 'x'),
		"both meta pages destroyed": fill(0, 2, 0xA5),
		"garbage behind them":       fill(3, end, 0xA5),
		"zeroes behind them":        fill(3, end, 0),
		"ones behind them":          fill(2, end, 0xFF),
		"garbage within the pages": func(b []byte) []byte {
			for at := 2 * page; at < len(b); at += page { // the pages' own heads stay
				copy(b[at+16:], bytes.Repeat([]byte{0xA5}, page-16))
			}
			return b
		},
		"pages in each other's places": func(b []byte) []byte {
			for at := 2 * page; at+2*page <= len(b); at += 2 * page {
				first := slices.Clone(b[at : at+page])
				copy(b[at:], b[at+page:at+2*page])
				copy(b[at+page:], first)
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := written(t)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err = os.WriteFile(path, damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := checksum.Open(checksum.Options{Path: path, Region: "here", Shards: 4})
			if err == nil {
				if err = readAll(t, l); !errors.Is(l.Damage(), checksum.ErrDamaged) {
					t.Errorf("the ledger does not know that it is damaged: %v", l.Damage())
				}
				if closed := l.Close(); closed != nil {
					t.Error(closed)
				}
			}
			if !errors.Is(err, checksum.ErrDamaged) {
				t.Fatalf("got %v", err)
			}
			if _, err = checksum.SetAside(path); err != nil {
				t.Fatal(err)
			}
			l = open(t, path, nil)
			defer l.Close()
			if checkpoint, _, err := l.Checkpoint(); err != nil || checkpoint != nil {
				t.Errorf("the new file has %q, %v", checkpoint, err)
			}
		})
	}
}

// A file may break while it is in use, too.
func TestFile_DamageUnderARunningProcessIsFoundWhereverItIsMet(t *testing.T) {
	destroy := func(t *testing.T, path string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if _, err = f.WriteAt(make([]byte, info.Size()-2*page), 2*page); err != nil {
			t.Fatal(err)
		}
	}
	cutOff := func(t *testing.T, path string) {
		t.Helper()
		if err := os.Truncate(path, 2*page); err != nil {
			t.Fatal(err)
		}
	}
	uses := map[string]func(t *testing.T, l *checksum.Ledger) error{
		"lookup": readAll,
		"snapshot": func(t *testing.T, l *checksum.Ledger) error {
			for shard := range 4 {
				s, err := l.Snapshot(table, shard)
				if err != nil {
					return err
				}
				err = s.Each("", func(row.Key, checksum.Entry) bool { return true })
				if closed := s.Close(); closed != nil {
					t.Error(closed)
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
		"stamp": func(t *testing.T, l *checksum.Ledger) error {
			return l.Stamp([]checksum.Local{{Change: change(t, 1, 1, row.Update), Time: 1}})
		},
		"replay": func(t *testing.T, l *checksum.Ledger) error {
			_, err := l.Replay([]checksum.Replayed{{Place: checksum.Place{Table: table, Key: change(t, 1, 1, row.Update).Key}}})
			return err
		},
		"checkpoint": func(_ *testing.T, l *checksum.Ledger) error {
			_, _, err := l.Checkpoint()
			return err
		},
		"flush": func(t *testing.T, l *checksum.Ledger) error {
			_, err := l.Flush(t.Context())
			return err
		},
		"warn":   func(_ *testing.T, l *checksum.Ledger) error { return l.Warn("lost") },
		"floors": func(_ *testing.T, l *checksum.Ledger) error { return l.SetFloors(map[checksum.Place]int64{{}: 1}) },
		"forget": func(t *testing.T, l *checksum.Ledger) error {
			return l.Forget([]checksum.Place{{Table: table, Key: change(t, 1, 1, row.Update).Key}})
		},
	}
	for how, damage := range map[string]func(*testing.T, string){"destroyed": destroy, "cut off": cutOff} {
		for name, use := range uses {
			t.Run(how+"/"+name, func(t *testing.T) {
				path := written(t)
				l := open(t, path, nil)
				stamp(t, l, change(t, manyRows, 1, row.Insert), 1)
				if !l.Freeze(checksum.Cut{Checkpoint: []byte("there"), Own: make([]uint64, 4)}) {
					t.Fatal("not frozen")
				}
				damage(t, path)
				if err := use(t, l); !errors.Is(err, checksum.ErrDamaged) {
					t.Errorf("got %v", err)
				}
				select {
				case <-l.Damaged():
				default:
					t.Error("nobody is told")
				}
				if _, err := l.Flush(t.Context()); !errors.Is(err, checksum.ErrDamaged) {
					t.Errorf("a damaged file is written: %v", err)
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestSetAside_KeepsOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	for _, text := range []string{"first", "second"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		to, err := checksum.SetAside(path)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(to); err != nil || string(b) != text {
			t.Errorf("%s holds %q, %v", to, b, err)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left are %v, %v", left, err)
	}
}

func TestWarn_IsKeptUntilItIsAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	again := func(l *checksum.Ledger) *checksum.Ledger {
		t.Helper()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return open(t, path, nil)
	}
	l := open(t, path, nil)
	if err := errors.Join(l.Warn("one"), l.Warn("two", "one")); err != nil {
		t.Fatal(err)
	}
	l = again(l)
	if got := l.Warnings(); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("kept were %q", got)
	}
	if err := l.Acknowledge(); err != nil {
		t.Fatal(err)
	}
	l = again(l)
	defer l.Close()
	if got := l.Warnings(); len(got) != 0 {
		t.Errorf("%q is left", got)
	}
}
