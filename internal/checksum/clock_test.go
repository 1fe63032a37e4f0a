package checksum_test

import (
	"path/filepath"
	"testing"

	"meridian/internal/checksum"
	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

// A row of which nothing is known may have had a tombstone, which goes once a later commit has passed. Another region may
// still have it: whatever the clock does, the row's new version is not below.
func TestStamp_OfARowWithoutAnEntryIsNotBelowWhatHasPassed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := open(t, path, nil)
	stamp(t, l, change(t, 1, 1, row.Insert), 100)
	l.Pass(mysqldb.Coordinates{Server: "s", File: "b", Position: 4}, nil, 1000)
	if v := stamp(t, l, change(t, 2, 1, row.Insert), 400); v.Time != 1000 {
		t.Errorf("under a clock that went back from 1000 to 400 a new row is %v", v)
	}
	if v := stamp(t, l, change(t, 1, 2, row.Update), 400); v.Time != 400 {
		t.Errorf("a row with an entry of 100 is %v at 400", v)
	}
	c := change(t, 3, 1, row.Insert)
	if err := l.Stamp([]checksum.Local{{Change: c, Time: 7, FromColumn: true}}); err != nil || c.Version.Time != 7 {
		t.Errorf("a version that the table's column gives is %v, %v", c.Version, err)
	}
	if !l.Freeze(checksum.Cut{Own: make([]uint64, 4)}) {
		t.Fatal("not frozen")
	}
	if _, err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, path, nil)
	defer l.Close()
	if v := stamp(t, l, change(t, 4, 1, row.Insert), 400); v.Time != 1000 {
		t.Errorf("after a restart a new row is %v at 400", v)
	}
}
