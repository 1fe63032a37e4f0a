package checksum_test

import (
	"errors"
	"path/filepath"
	"testing"

	"meridian/internal/checksum"
	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

func base(t failer, id, v int64) checksum.Base {
	c := change(t, id, v, row.Insert)
	return checksum.Base{Place: checksum.Place{Table: table, Key: c.Key}, Digest: c.Digest, Columns: orders.ColumnsID()}
}

// A row that something is known of is as the tailer says, not as it was read before.
func TestBaseline_LeavesAloneWhatHasPassedTheTailer(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "ledger.db"), nil)
	defer l.Close()
	stamp(t, l, change(t, 1, 5, row.Update), 100)
	stamp(t, l, change(t, 2, 5, row.Delete), 100)
	n, err := l.Baseline([]checksum.Base{base(t, 1, 4), base(t, 2, 4), base(t, 3, 4)}, l.Collected(), l.Generation(table))
	if err != nil || n != 1 {
		t.Fatalf("%d rows entered, %v; want 1", n, err)
	}
	if e, _ := lookup(t, l, 1); e.Version.Time != 100 || e.Digest != change(t, 1, 5, row.Update).Digest {
		t.Errorf("the updated row is %+v", e)
	}
	if e, _ := lookup(t, l, 2); !e.Deleted {
		t.Errorf("the deleted row is %+v", e)
	}
	if e, ok := lookup(t, l, 3); !ok || !e.Version.IsBaseline() || e.Deleted || e.Digest != change(t, 3, 4, row.Insert).Digest {
		t.Errorf("the row that nothing was known of is %+v, %v", e, ok)
	}
	l.Pass(mysqldb.Coordinates{}, nil, 1000)
	c := change(t, 3, 6, row.Update)
	if v := stamp(t, l, c, 700); v.Time != 1000 || !c.Overwrote.IsBaseline() {
		t.Errorf("a write over a baseline row, under a clock that went back, is %v over %v", v, c.Overwrote)
	}
	if rows, _, _ := l.Size(); rows != 2 {
		t.Errorf("%d live rows, want 2", rows)
	}
}

// A row that was deleted while it was read, and whose tombstone is gone, leaves no trace but the count.
func TestBaseline_DoesNotBringBackARowWhoseTombstoneIsGone(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "ledger.db"), nil)
	defer l.Close()
	before := l.Collected()
	read := base(t, 1, 4)
	stamp(t, l, change(t, 1, 4, row.Delete), 100)
	l.Pass(mysqldb.Coordinates{}, nil, 1000)
	l.Freeze(checksum.Cut{Own: make([]uint64, 4)})
	if _, err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := checksum.NewCollector(l, []string{"here"})
	shards := map[int]map[string]int64{}
	for shard := range 4 {
		shards[shard] = map[string]int64{"here": 1}
		c.Heard(checksum.Word{Region: "here", Shard: shard, Applied: map[string]int64{"here": 1}})
	}
	c.Flushed(shards)
	if n, err := c.Collect(t.Context(), func(string, row.Key) bool { return false }); err != nil || n != 1 {
		t.Fatalf("%d tombstones collected, %v", n, err)
	}
	if n, err := l.Baseline([]checksum.Base{read}, before, l.Generation(table)); n != 0 || !errors.Is(err, checksum.ErrCollected) {
		t.Errorf("%d rows entered, %v", n, err)
	}
	if _, ok := lookup(t, l, 1); ok {
		t.Error("the deleted row is back")
	}
}

// Rows that the file has an entry of are left alone, wherever they stand among its keys.
func TestBaseline_LeavesWhatTheFileHas(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "ledger.db"), nil)
	defer l.Close()
	for id := int64(-50); id <= 50; id += 2 {
		stamp(t, l, change(t, id, 5, row.Insert), 100)
	}
	if !l.Freeze(checksum.Cut{Checkpoint: []byte("x"), Own: make([]uint64, 4)}) {
		t.Fatal("no cut")
	}
	if _, err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var rows []checksum.Base
	for id := int64(-60); id <= 60; id++ {
		rows = append(rows, base(t, id, 4))
	}
	if n, err := l.Baseline(rows, l.Collected(), l.Generation(table)); err != nil || n != 121-51 {
		t.Fatalf("%d rows entered, %v: want those between, before and behind", n, err)
	}
	for id := int64(-60); id <= 60; id++ {
		if e, ok := lookup(t, l, id); !ok || e.Version.IsBaseline() == (id >= -50 && id <= 50 && id%2 == 0) {
			t.Errorf("row %d: %+v, %v", id, e, ok)
		}
	}
}
