package bus

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func FuzzUnmarshalRecord_GivesBackWhatMarshalWrote(f *testing.F) {
	f.Add([]byte("key"), []byte("value"), "header", []byte("x"), int64(7), true)
	f.Add([]byte{}, []byte{}, "", []byte{}, int64(-1), false)
	f.Fuzz(func(t *testing.T, key, value []byte, name string, header []byte, offset int64, null bool) {
		r := Record{Key: key, Value: value, Headers: []Header{{name, header}, {"second", nil}}, Offset: offset, Time: time.UnixMilli(offset % 1e12).UTC()}
		if null {
			r.Value = nil
		}
		got, err := UnmarshalRecord(r.Marshal())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r, got); d != "" {
			t.Fatal(d)
		}
		if _, err := UnmarshalRecord(value); err == nil && len(value) < 6 {
			t.Fatalf("%x is no record", value)
		}
	})
}
