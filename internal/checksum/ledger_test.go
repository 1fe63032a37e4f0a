package checksum_test

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"meridian/internal/checksum"
	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const table = "shop.orders"

var orders = row.NewTable("shop", "orders", []row.Column{{Name: "id", Type: row.TypeInt}, {Name: "v", Type: row.TypeInt}}, []int{0})

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func open(t failer, path string, reached func(string)) *checksum.Ledger {
	t.Helper()
	l, err := checksum.Open(checksum.Options{Path: path, Region: "here", Shards: 4, Reached: reached})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return l
}

func change(t failer, id, v int64, op row.Op) *row.Change {
	t.Helper()
	image := []row.Value{row.IntValue(id), row.IntValue(v)}
	key, err := orders.Key(image)
	if err != nil {
		t.Fatalf("key: %v", err)
	}
	c := &row.Change{Table: orders, Op: op, Key: key}
	if op == row.Delete {
		c.Before = image
		return c
	}
	c.After, c.Digest = image, orders.Digest(key, image)
	return c
}

func stamp(t failer, l *checksum.Ledger, c *row.Change, at int64) row.Version {
	t.Helper()
	if err := l.Stamp([]checksum.Local{{Change: c, Time: at, Sequence: 1}}); err != nil {
		t.Fatalf("stamp: %v", err)
	}
	return c.Version
}

func replay(t failer, l *checksum.Ledger, c *row.Change, v row.Version) int {
	t.Helper()
	back, err := l.Replay([]checksum.Replayed{{
		Place: checksum.Place{Table: table, Key: c.Key}, Version: v, Digest: c.Digest, Columns: orders.ColumnsID(), Deleted: c.Op == row.Delete,
	}})
	if err != nil {
		t.Fatalf("replay: %v", err)
	}
	return back
}

func lookup(t failer, l *checksum.Ledger, id int64) (checksum.Entry, bool) {
	t.Helper()
	entries, found, err := l.Lookup([]checksum.Place{{Table: table, Key: change(t, id, 0, row.Delete).Key}})
	if err != nil {
		t.Fatalf("lookup: %v", err)
	}
	return entries[0], found[0]
}

func TestStamp_IsAboveWhatItOverwrites(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "ledger.db"), nil)
	defer l.Close()
	if v := stamp(t, l, change(t, 1, 1, row.Insert), 100); v != (row.Version{Time: 100, Region: "here"}) {
		t.Errorf("the first write is %v", v)
	}
	if v := stamp(t, l, change(t, 1, 2, row.Update), 50); v.Time != 101 {
		t.Errorf("a write under a clock that went back is %v, not above what it overwrote", v)
	}
	ahead := row.Version{Time: 5000, Region: "ahead"}
	replay(t, l, change(t, 1, 3, row.Update), ahead)
	c := change(t, 1, 4, row.Update)
	if v := stamp(t, l, c, 200); !v.Newer(ahead) || c.Overwrote != ahead {
		t.Errorf("a write over another region's is %v over %v", v, c.Overwrote)
	}
	known := row.Version{Time: 42, Region: "here"}
	again := change(t, 2, 1, row.Insert)
	if err := l.Stamp([]checksum.Local{{Change: again, Time: 9, Known: known}}); err != nil || again.Version != known {
		t.Errorf("a version given before was not kept: %v, %v", again.Version, err)
	}
}

func TestReplay_TellsThatAVersionWentBack(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "ledger.db"), nil)
	defer l.Close()
	c := change(t, 1, 1, row.Insert)
	if n := replay(t, l, c, row.Version{Time: 10, Region: "b"}); n != 0 {
		t.Errorf("%d versions went back on an empty ledger", n)
	}
	if n := replay(t, l, c, row.Version{Time: 9, Region: "c"}); n != 1 {
		t.Errorf("%d versions went back, want 1", n)
	}
}

func TestOpen_RefusesWhatIsNotItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := open(t, path, nil)
	if _, err := checksum.Open(checksum.Options{Path: path, Region: "here", Shards: 4}); !errors.Is(err, checksum.ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, o := range []checksum.Options{{Path: path, Region: "there", Shards: 4}, {Path: path, Region: "here", Shards: 8}} {
		if _, err := checksum.Open(o); !errors.Is(err, checksum.ErrMismatch) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// model is the ledger as a map.
type model struct {
	entries map[int64]checksum.Entry
	applied map[checksum.SourceShard]uint64
	at      string
}

func (m *model) copy() *model {
	return &model{maps.Clone(m.entries), maps.Clone(m.applied), m.at}
}

func (m *model) check(t failer, l *checksum.Ledger, what string) {
	t.Helper()
	var rows uint64
	for id := range int64(20) {
		got, found := lookup(t, l, id)
		want, there := m.entries[id]
		got.Sequence = 0
		if found != there || got != want {
			t.Fatalf("%s: row %d is %+v (%v), want %+v (%v)", what, id, got, found, want, there)
		}
		if there && !want.Deleted {
			rows++
		}
	}
	if n, _, _ := l.Size(); n != rows {
		t.Fatalf("%s: %d live rows, want %d", what, n, rows)
	}
	for at, next := range m.applied {
		if got := l.Applied(at.Source, at.Shard); got != next {
			t.Fatalf("%s: applied %v is %d, want %d", what, at, got, next)
		}
	}
}

// The flush is an exact cut: whenever the process ends, at any step of a flush or between two, the file holds the ledger
// as it was at its checkpoint, and nothing newer.
func TestFlush_IsAnExactCutWheneverTheProcessEnds(t *testing.T) {
	dir, background := t.TempDir(), t.Context()
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		path := filepath.Join(dir, fmt.Sprint(run))
		ends := "" // the step at which the process ends
		type ended struct{}
		reached := func(step string) {
			if step == ends {
				panic(ended{})
			}
		}
		l := open(t, path, reached)
		now := &model{entries: map[int64]checksum.Entry{}, applied: map[checksum.SourceShard]uint64{}}
		durable, frozen := now.copy(), (*model)(nil)
		steps := rapid.IntRange(1, 40).Draw(t, "steps")
		for n := range steps {
			id := rapid.Int64Range(0, 19).Draw(t, "row")
			op := rapid.SampledFrom([]row.Op{row.Insert, row.Delete}).Draw(t, "op")
			c := change(t, id, int64(n), op)
			e := checksum.Entry{Digest: c.Digest, Columns: orders.ColumnsID(), Deleted: op == row.Delete}
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0, 1:
				e.Version = stamp(t, l, c, int64(n))
				now.entries[id] = e
			case 2:
				e.Version = row.Version{Time: now.entries[id].Version.Time + 1, Region: "there"}
				replay(t, l, c, e.Version)
				now.entries[id] = e
				at := checksum.SourceShard{Source: "there", Shard: int(id % 4)}
				now.applied[at]++
				l.Pass(mysqldb.Coordinates{}, map[checksum.SourceShard]uint64{at: now.applied[at]}, int64(n))
			case 3:
				now.at = fmt.Sprint(n)
				if l.Freeze(checksum.Cut{Checkpoint: []byte(now.at)}) {
					frozen = now.copy()
				}
			case 4:
				if frozen != nil {
					if _, err := l.Flush(background); err != nil {
						t.Fatalf("flush: %v", err)
					}
					durable, frozen = frozen, nil
				}
			case 5:
				ends = rapid.SampledFrom([]string{"none", "flush.begin", "flush.written", "flush.committed"}).Draw(t, "ends at")
				func() {
					defer func() {
						if r := recover(); r != nil {
							if _, ok := r.(ended); !ok {
								panic(r)
							}
						}
					}()
					if _, err := l.Flush(background); err != nil {
						t.Fatalf("flush: %v", err)
					}
				}()
				if frozen != nil && (ends == "none" || ends == "flush.committed") {
					durable = frozen
				}
				ends, frozen = "", nil
				if err := l.Close(); err != nil {
					t.Fatalf("close: %v", err)
				}
				l = open(t, path, reached)
				checkpoint, _, err := l.Checkpoint()
				if err != nil || string(checkpoint) != durable.at {
					t.Fatalf("checkpoint %q (%v), want %q", checkpoint, err, durable.at)
				}
				now = durable.copy()
				now.check(t, l, "after a restart")
			}
		}
		now.check(t, l, "at the end")
		if err := l.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	})
}
