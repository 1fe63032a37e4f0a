package checksum_test

import (
	"path/filepath"
	"testing"

	"meridian/internal/checksum"
	"meridian/internal/row"
)

// A rebuilt ledger knows of versions that the database has lost: what is written to these rows now stays above them, also
// after a restart, and whether the ledger has an entry for the row or not.
func TestSetFloors_NewStampsStayAboveThemAlsoAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := open(t, path, nil)
	floors := map[checksum.Place]int64{}
	for id := range int64(4) {
		floors[checksum.Place{Table: table, Key: change(t, id, 0, row.Insert).Key}] = 5000
	}
	if err := l.SetFloors(floors); err != nil {
		t.Fatal(err)
	}
	replay(t, l, change(t, 1, 1, row.Insert), row.Version{Time: 40, Region: "there"})
	for id := range int64(2) {
		if v := stamp(t, l, change(t, id, 2, row.Insert), 50); v.Time != 5001 {
			t.Errorf("row %d is stamped %v over a floor of 5000", id, v)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, path, nil)
	defer l.Close()
	if v := stamp(t, l, change(t, 2, 2, row.Insert), 5000); v.Time != 5001 {
		t.Errorf("after a restart a row is stamped %v over a floor of 5000", v)
	}
	if v := stamp(t, l, change(t, 3, 2, row.Insert), 6000); v.Time != 6000 {
		t.Errorf("a commit above the floor is stamped %v", v)
	}
	if v := stamp(t, l, change(t, 4, 2, row.Insert), 50); v.Time != 50 {
		t.Errorf("a row without a floor is stamped %v", v)
	}
}
