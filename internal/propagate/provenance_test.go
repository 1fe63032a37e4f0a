package propagate

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"meridian/internal/row"
)

func written() *rapid.Generator[Written] {
	return rapid.Custom(func(t *rapid.T) Written {
		return Written{
			Table: rapid.SampledFrom([]string{"shop.orders", "shop.items", "x.y"}).Draw(t, "table"),
			Key:   row.Key(rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "key")),
			Op:    rapid.SampledFrom([]row.Op{row.Insert, row.Update, row.Delete}).Draw(t, "op"),
			Version: row.Version{
				Time: rapid.Int64().Draw(t, "time"), Region: rapid.SampledFrom([]string{"", "a", "us-east-1"}).Draw(t, "region"),
			},
			Digest: rapid.Uint64().Draw(t, "digest"), Columns: rapid.Uint64().Draw(t, "columns"),
		}
	})
}

func TestBatch_ReadsBackWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(written(), 1, 30).Draw(t, "written")
		got, err := ParseBatch(AppendBatch(nil, want))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	})
}

// The bytes stand in every region's binlog and backups: they do not change.
func TestBatch_Golden(t *testing.T) {
	got := AppendBatch(nil, []Written{
		{"shop.orders", "\x01\x02", row.Delete, row.Version{Time: 5, Region: "a"}, 0, 7},
		{"shop.orders", "k", row.Update, row.Version{Time: -1, Region: "b"}, 0x0102030405060708, 7},
	})
	want := "\x01" + "\x01\x0bshop.orders" + "\x02\x01a\x01b" + "\x02" +
		"\x00\x00\x03\x02\x01\x02\x0a" + "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x07" +
		"\x00\x01\x02\x01k\x01" + "\x01\x02\x03\x04\x05\x06\x07\x08" + "\x00\x00\x00\x00\x00\x00\x00\x07"
	if string(got) != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func FuzzParseBatch(f *testing.F) {
	f.Add(AppendBatch(nil, []Written{{"a.b", "k", row.Insert, row.Version{Time: 1, Region: "r"}, 2, 3}}))
	f.Add([]byte{1, 255, 255, 255, 255, 15})
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := ParseBatch(b)
		if err != nil {
			if !errors.Is(err, errBadBatch) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		again, err := ParseBatch(AppendBatch(nil, w))
		if err != nil || len(again) != len(w) {
			t.Fatalf("%d keys, then %d: %v", len(w), len(again), err)
		}
	})
}
