package checksum_test

import (
	"context"
	"path/filepath"
	"testing"

	"meridian/internal/checksum"
	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

// tombstones is a ledger in whose file row 1 is deleted at time 100, by a cut at offset 7 of its own topic.
type tombstones struct {
	t         *testing.T
	ledger    *checksum.Ledger
	collector *checksum.Collector
}

func newTombstones(t *testing.T) *tombstones {
	t.Helper()
	l := open(t, filepath.Join(t.TempDir(), "ledger.db"), nil)
	c := &tombstones{t: t, ledger: l, collector: checksum.NewCollector(l, []string{"there", "far", "here"})}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	stamp(t, l, change(t, 1, 1, row.Insert), 50)
	stamp(t, l, change(t, 1, 1, row.Delete), 100)
	c.cut(7)
	return c
}

// cut writes what there is, and notes that it lies before the offset.
func (c *tombstones) cut(offset int64) {
	c.t.Helper()
	if !c.ledger.Freeze(checksum.Cut{Checkpoint: []byte("x"), Own: make([]uint64, 4)}) {
		c.t.Fatal("not frozen")
	}
	if _, err := c.ledger.Flush(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	c.collector.Flushed(map[int]map[string]int64{0: {"here": offset, "there": 3}})
}

// say takes a region's word.
func (c *tombstones) say(region string, here, there int64) {
	c.collector.Heard(checksum.Word{Region: region, Applied: map[string]int64{"here": here, "there": there}})
}

func (c *tombstones) allPass() {
	for _, region := range []string{"here", "there", "far"} {
		c.say(region, 100, 100)
	}
}

func (c *tombstones) passCommit(time int64) {
	c.ledger.Pass(mysqldb.Coordinates{Server: "s", File: "b.000001", Position: 4}, nil, time)
}

// goes checks whether the tombstone goes now.
func (c *tombstones) goes(want bool, why string) {
	c.t.Helper()
	c.goesUnless(func(string, row.Key) bool { return false }, want, why)
}

func (c *tombstones) goesUnless(held func(string, row.Key) bool, want bool, why string) {
	c.t.Helper()
	n, err := c.collector.Collect(c.t.Context(), held)
	if err != nil {
		c.t.Fatal(err)
	}
	_, left := lookup(c.t, c.ledger, 1)
	if (n == 1) != want || left == want {
		c.t.Errorf("%d tombstones went, it is there: %v; %s", n, left, why)
	}
}

func TestTombstone_GoesWhenEveryRegionHasPassedEveryOffsetOfItsCut(t *testing.T) {
	c := newTombstones(t)
	c.passCommit(101)
	c.goes(false, "nobody has said anything")
	c.say("here", 7, 3)
	c.goes(false, "the region itself has passed it, no other has")
	c.say("there", 7, 3)
	c.say("far", 6, 3)
	c.goes(false, "a region is before the delete")
	c.say("far", 7, 2)
	c.goes(false, "a region is before what the delete may have overwritten")
	c.say("far", 7, 3)
	c.goes(true, "all have passed all")
}

// Else the row, inserted again under a slow clock, would be stamped below the delete.
func TestTombstone_StaysUntilALaterCommitHasPassed(t *testing.T) {
	c := newTombstones(t)
	c.allPass()
	c.passCommit(100)
	c.goes(false, "no later commit has passed")
	c.passCommit(101)
	c.cut(8)
	c.goes(true, "a later commit has passed")
}

// Else a parked change, tried again, would bring the row back.
func TestTombstone_StaysWhileItsRowIsHeld(t *testing.T) {
	c := newTombstones(t)
	c.allPass()
	c.passCommit(101)
	key := change(t, 1, 0, row.Delete).Key
	c.goesUnless(func(name string, k row.Key) bool { return name == table && k == key }, false, "its row is held")
	c.cut(8)
	c.goesUnless(func(name string, k row.Key) bool { return name == table && k != key }, true, "other rows are held")
}

// What is newer and not yet in the file, or on its way there, is not touched.
func TestTombstone_StaysWhileItsRowIsInMemory(t *testing.T) {
	c := newTombstones(t)
	c.allPass()
	c.passCommit(500)
	stamp(t, c.ledger, change(t, 1, 2, row.Insert), 600)
	c.goes(false, "the row is there again, in memory")
	c.cut(8)
	c.goes(false, "the row is there again")
	if e, found := lookup(t, c.ledger, 1); !found || e.Deleted {
		t.Errorf("the row is %+v (%v)", e, found)
	}
}

// What could not be removed (a full disk, an end in between) is removed the next time.
func TestTombstone_GoesAfterAFailure(t *testing.T) {
	c := newTombstones(t)
	c.allPass()
	c.passCommit(200)
	ended, end := context.WithCancel(t.Context())
	end()
	if n, err := c.collector.Collect(ended, func(string, row.Key) bool { return false }); n != 0 || err == nil {
		t.Fatalf("%d went, %v", n, err)
	}
	c.goes(true, "the first time failed")
}

// A row that is gone without a delete is a finding. It looks like a tombstone, and does not go like one.
func TestTombstone_OfARowThatNobodyDeletedStays(t *testing.T) {
	c := newTombstones(t)
	stamp(t, c.ledger, change(t, 2, 1, row.Insert), 60)
	at := checksum.Place{Table: change(t, 2, 1, row.Insert).Table.String(), Key: change(t, 2, 1, row.Insert).Key}
	was, had, err := c.ledger.Lookup([]checksum.Place{at})
	if err != nil || !had[0] {
		t.Fatal(err)
	}
	gone := checksum.Found{Columns: was[0].Columns, Generation: c.ledger.Generation(at.Table)}
	marked, err := c.ledger.Suspect(&checksum.Sighting{Place: at, Was: was[0], Had: true, Found: gone}, false)
	if err != nil || !marked {
		t.Fatal(marked, err)
	}
	c.cut(8)
	c.allPass()
	c.passCommit(200)
	if _, err = c.collector.Collect(t.Context(), func(string, row.Key) bool { return false }); err != nil {
		t.Fatal(err)
	}
	now, has, err := c.ledger.Lookup([]checksum.Place{at})
	if err != nil || !has[0] || !now[0].Suspect || !now[0].Deleted {
		t.Errorf("it is %+v, %v (%v)", now[0], has[0], err)
	}
}
