package checksum_test

import (
	"context"
	"path/filepath"
	"testing"

	"meridian/internal/checksum"
	"meridian/internal/row"
)

// An entry says whether it is from before a DDL statement, through a restart as well, and whatever the statement was called.
func TestAlter_EntriesTellWhetherTheyAreFromBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := open(t, path, nil)
	stamp(t, l, change(t, 1, 5, row.Insert), 100)
	stamp(t, l, change(t, 2, 5, row.Insert), 100)
	for range keptForTest {
		if err := l.Alter("SHOP", "Orders", checksum.Alteration{Kind: "ALTER", Rewrites: true}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Alter("other", "orders", checksum.Alteration{Kind: "DROP", Removes: true}); err != nil {
		t.Fatal(err)
	}
	stamp(t, l, change(t, 2, 6, row.Update), 200)
	l.Describe(7, []string{"a", "b"})
	check := func(when string) {
		t.Helper()
		one, _ := lookup(t, l, 1)
		two, _ := lookup(t, l, 2)
		if g := l.Generation(table); g != keptForTest || one.Generation != 0 || two.Generation != g {
			t.Errorf("%s: the table is of generation %d, entries are of %d and %d", when, g, one.Generation, two.Generation)
		}
		if list := l.Alterations(table); len(list) != 50 || list[49].Generation != keptForTest || !list[49].Rewrites {
			t.Errorf("%s: %d alterations are kept: %+v", when, len(list), list)
		}
		if names := l.Described(7); len(names) != 2 || names[1] != "b" || l.Described(8) != nil {
			t.Errorf("%s: columns %q, and %q", when, names, l.Described(8))
		}
	}
	check("in memory")
	if !l.Freeze(checksum.Cut{Checkpoint: []byte("x"), Own: make([]uint64, 4)}) {
		t.Fatal("no cut")
	}
	if _, err := l.Flush(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, path, nil)
	defer l.Close()
	check("from the file")
}

const keptForTest = 60

// A row is adopted under the version that it has, without a doubt, and only while its entry and its table are those of before.
func TestAdopt_KeepsTheVersionAndNothingElse(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "ledger.db"), nil)
	defer l.Close()
	for id := int64(1); id <= 4; id++ {
		stamp(t, l, change(t, id, 5, row.Insert), 100)
	}
	alter := func() {
		t.Helper()
		if err := l.Alter("shop", "orders", checksum.Alteration{Kind: "ALTER", Rewrites: true}); err != nil {
			t.Fatal(err)
		}
	}
	alter()
	sighting := func(id int64, exists bool) checksum.Sighting {
		e, had := lookup(t, l, id)
		return checksum.Sighting{Place: checksum.Place{Table: table, Key: change(t, id, 0, row.Insert).Key}, Was: e, Had: had,
			Found: checksum.Found{Exists: exists, Digest: 77, Columns: 9, Generation: l.Generation(table)}}
	}
	rows := []checksum.Sighting{sighting(1, true), sighting(2, false), sighting(3, true)}
	stamp(t, l, change(t, 3, 6, row.Update), 200)
	if n, err := l.Adopt(rows); n != 2 || err != nil {
		t.Fatalf("%d rows, %v: want the two that nobody has written since", n, err)
	}
	one, _ := lookup(t, l, 1)
	two, _ := lookup(t, l, 2)
	if one.Digest != 77 || one.Columns != 9 || one.Generation != 1 || one.Suspect || one.Deleted || one.Version != rows[0].Was.Version {
		t.Errorf("an adopted row is %+v", one)
	}
	if !two.Deleted || two.Suspect || two.Version != rows[1].Was.Version {
		t.Errorf("an adopted absence is %+v", two)
	}
	four := sighting(4, true)
	alter()
	if n, err := l.Adopt([]checksum.Sighting{four}); n != 0 || err != nil {
		t.Errorf("%d rows of a table that was altered since, %v", n, err)
	}
	if marked, err := l.Suspect(&four, true); marked || err != nil {
		t.Errorf("a row of a table that was altered since was marked, %v", err)
	}
	four.Found.Generation = l.Generation(table)
	if marked, err := l.Suspect(&four, true); !marked || err != nil {
		t.Errorf("a row was not marked, %v", err)
	}
	if e, _ := lookup(t, l, 4); !e.Suspect || !e.ByDDL {
		t.Errorf("a row that a DDL statement explains is %+v", e)
	}
	stamp(t, l, change(t, 4, 9, row.Update), 300)
	if e, _ := lookup(t, l, 4); e.Suspect || e.ByDDL {
		t.Errorf("after a write it is %+v", e)
	}
}
