package checksum_test

import (
	"path/filepath"
	"testing"

	"meridian/internal/checksum"
	"meridian/internal/row"
)

// A note that is made before a cut is in the file with the cut's entries; one that is made after it waits for the next.
func TestNote_IsOfTheSameCutAsTheEntries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := open(t, path, nil)
	stamp(t, l, change(t, 1, 1, row.Insert), 1)
	l.SetNote("scan", []byte("row 1"))
	if !l.Freeze(checksum.Cut{Checkpoint: []byte("here"), Own: make([]uint64, 4)}) {
		t.Fatal("not frozen")
	}
	stamp(t, l, change(t, 2, 1, row.Insert), 2)
	l.SetNote("scan", []byte("row 2"))
	if got := string(l.Note("scan")); got != "row 2" {
		t.Errorf("in memory the note is %q", got)
	}
	reopen := func(note string, second bool) {
		t.Helper()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = open(t, path, nil)
		_, there := lookup(t, l, 2)
		if got := string(l.Note("scan")); got != note || there != second {
			t.Errorf("the file says %q and has row 2: %v; want %q, %v", got, there, note, second)
		}
	}
	if _, err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	reopen("row 1", false)
	stamp(t, l, change(t, 2, 1, row.Insert), 2)
	l.SetNote("scan", []byte("row 2"))
	flush(t, l)
	reopen("row 2", true)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
