package checksum_test

import (
	"path/filepath"
	"testing"

	"meridian/internal/checksum"
	"meridian/internal/row"
)

// A row that was changed past the binlog is marked, and counts in the sums as it is; the next write ends that. An entry that
// was written since the row was read is left alone.
func TestSuspect_MarksWhatNothingExplains(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "ledger.db"), nil)
	defer l.Close()
	for id := int64(1); id <= 3; id++ {
		stamp(t, l, change(t, id, 5, row.Insert), 100)
	}
	bad := change(t, 0, 9, row.Insert).Digest
	mark := func(id int64, was checksum.Entry, had bool, f checksum.Found) bool {
		t.Helper()
		marked, err := l.Suspect(&checksum.Sighting{
			Place: checksum.Place{Table: table, Key: change(t, id, 0, row.Insert).Key}, Was: was, Had: had, Found: f,
		}, false)
		if err != nil {
			t.Fatal(err)
		}
		return marked
	}
	one, _ := lookup(t, l, 1)
	if !mark(1, one, true, checksum.Found{Exists: true, Digest: bad, Columns: one.Columns}) {
		t.Error("a row with other values was not marked")
	}
	if e, _ := lookup(t, l, 1); !e.Suspect || e.Digest != bad || e.Version != one.Version {
		t.Errorf("a row with other values is %+v", e)
	}
	two, _ := lookup(t, l, 2)
	if !mark(2, two, true, checksum.Found{}) {
		t.Error("a row that is gone was not marked")
	}
	if e, _ := lookup(t, l, 2); !e.Suspect || !e.Deleted || e.Version != two.Version {
		t.Errorf("a row that is gone is %+v", e)
	}
	if !mark(4, checksum.Entry{}, false, checksum.Found{Exists: true, Digest: bad, Columns: one.Columns}) {
		t.Error("a row that nothing was known of was not marked")
	}
	if e, ok := lookup(t, l, 4); !ok || !e.Suspect || !e.Version.IsBaseline() || e.Digest != bad {
		t.Errorf("a row that nothing was known of is %+v", e)
	}
	if rows, _, _ := l.Size(); rows != 3 {
		t.Errorf("%d live rows, want 1, 3 and 4", rows)
	}
	three, _ := lookup(t, l, 3)
	stamp(t, l, change(t, 3, 6, row.Update), 200)
	if mark(3, three, true, checksum.Found{}) || mark(3, checksum.Entry{}, false, checksum.Found{}) {
		t.Error("an entry that was written since was marked")
	}
	stamp(t, l, change(t, 1, 7, row.Update), 300)
	if e, _ := lookup(t, l, 1); e.Suspect || e.Digest != change(t, 1, 7, row.Update).Digest {
		t.Errorf("after a write the row is %+v", e)
	}
}
