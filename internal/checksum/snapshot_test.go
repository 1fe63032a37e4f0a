package checksum_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"meridian/internal/checksum"
	"meridian/internal/row"
)

// A snapshot gives every entry once, in the order of the keys, as it was when it was taken: whether it was in memory, set
// aside, or in the file, and whatever is written afterwards.
func TestSnapshot_GivesEveryEntryAsItWas(t *testing.T) {
	folder, number := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		number++
		l := open(t, filepath.Join(folder, fmt.Sprintf("%d.db", number)), nil)
		defer l.Close()
		want := map[int64]int64{} // value by id; -1: deleted
		write := func(id int64) {
			v := rapid.Int64Range(-1, 100).Draw(t, "value")
			op := row.Update
			if v < 0 {
				op = row.Delete
			}
			stamp(t, l, change(t, id, v, op), rapid.Int64Range(1, 1000).Draw(t, "time"))
			want[id] = v
		}
		ids := rapid.Int64Range(0, 20)
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				l.Freeze(checksum.Cut{Own: make([]uint64, 4)})
			case 1:
				if _, err := l.Flush(t.Context()); err != nil {
					t.Fatalf("flush: %v", err)
				}
			default:
				write(ids.Draw(t, "id"))
			}
		}
		from := change(t, ids.Draw(t, "from"), 0, row.Insert).Key
		var snapshots []*checksum.Snapshot
		for shard := range 4 {
			s, err := l.Snapshot(table, shard)
			if err != nil {
				t.Fatalf("snapshot: %v", err)
			}
			snapshots = append(snapshots, s)
		}
		defer func() {
			for _, s := range snapshots {
				_ = s.Close() // it has only read
			}
		}()
		was := map[row.Key]int64{}
		for id, v := range want {
			if key := change(t, id, 0, row.Insert).Key; key >= from {
				was[key] = v
			}
		}
		for range 5 { // behind the snapshot
			write(ids.Draw(t, "id"))
		}
		for shard, s := range snapshots {
			last := row.Key("")
			err := s.Each(from, func(key row.Key, e checksum.Entry) bool {
				v, ok := was[key]
				if !ok || row.Shard(table, key, 4) != shard || key <= last && last != "" {
					t.Fatalf("shard %d has key %x after %x", shard, key, last)
				}
				if e.Deleted != (v < 0) || v >= 0 && e.Digest != orders.Digest(key, []row.Value{keyValue(t, key), row.IntValue(v)}) {
					t.Fatalf("key %x: %+v, want the value %d", key, e, v)
				}
				last = key
				delete(was, key)
				return true
			})
			if err != nil {
				t.Fatalf("each: %v", err)
			}
		}
		if len(was) > 0 {
			t.Fatalf("%d entries are missing: %x", len(was), was)
		}
	})
}

func keyValue(t *rapid.T, key row.Key) row.Value {
	values, err := orders.KeyValues(key, nil)
	if err != nil {
		t.Fatalf("key %x: %v", key, err)
	}
	return values[0]
}

// A label stays when a later write does not know it, and comes back from the file.
func TestEntry_KeepsTheLabelOfItsKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := open(t, path, nil)
	names := row.NewTable("shop", "names", []row.Column{{Name: "n", Type: row.TypeText, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"}}, []int{0})
	image := []row.Value{row.TextValue("Zoë")}
	key, err := names.Key(image)
	if err != nil {
		t.Fatal(err)
	}
	c := &row.Change{Table: names, Op: row.Insert, Key: key, After: image, Digest: names.Digest(key, image)}
	stamp(t, l, c, 5)
	at := checksum.Place{Table: "shop.names", Key: key}
	if _, err = l.Replay([]checksum.Replayed{{Place: at, Version: row.Version{Time: 9, Region: "b"}, Deleted: true}}); err != nil {
		t.Fatal(err)
	}
	l.Freeze(checksum.Cut{Own: make([]uint64, 4)})
	if _, err = l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err = l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, path, nil)
	defer l.Close()
	entries, found, err := l.Lookup([]checksum.Place{at})
	if err != nil || !found[0] || !entries[0].Deleted {
		t.Fatalf("%+v, %v, %v", entries, found, err)
	}
	values, err := names.KeyValues(key, []byte(entries[0].Label))
	if err != nil || string(values[0].Bytes) != "Zoë" {
		t.Errorf("%+v, %v", values, err)
	}
}
