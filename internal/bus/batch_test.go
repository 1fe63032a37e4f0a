package bus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func anyRecord(t *rapid.T) Record {
	optional := func(name string) []byte {
		if rapid.Bool().Draw(t, name+" is null") {
			return nil
		}
		return rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, name)
	}
	r := Record{Key: optional("key"), Value: optional("value")}
	for range rapid.IntRange(0, 3).Draw(t, "headers") {
		r.Headers = append(r.Headers, Header{Key: rapid.StringN(0, 5, 10).Draw(t, "name"), Value: optional("header")})
	}
	if rapid.Bool().Draw(t, "has a time") {
		r.Time = time.UnixMilli(rapid.Int64Range(-1e12, 4e12).Draw(t, "time"))
	}
	return r
}

// batchOf encodes records and puts their first offset in, as a broker does.
func batchOf(t testing.TB, base int64, records []Record, compression Compression) []byte {
	code, err := compression.code()
	if err != nil {
		t.Fatal(err)
	}
	b, err := appendBatch(nil, records, code, time.UnixMilli(1000))
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint64(b, uint64(base))
	return b
}

func TestBatch_GivesBackItsRecords(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		records := rapid.SliceOfN(rapid.Custom(anyRecord), 1, 20).Draw(rt, "records")
		base := rapid.Int64Range(0, 1<<50).Draw(rt, "base")
		compression := rapid.SampledFrom([]Compression{None, Gzip, Snappy, LZ4, Zstd}).Draw(rt, "compression")
		b := batchOf(t, base, records, compression)
		term := rapid.Int32().Draw(rt, "term")
		binary.BigEndian.PutUint32(b[12:], uint32(term)) // as the broker fills it in
		size := batchHeader
		for i := range records {
			size += records[i].Size()
			records[i].Offset, records[i].LeaderEpoch = base+int64(i), term
			if records[i].Time.IsZero() {
				records[i].Time = time.UnixMilli(1000)
			}
		}
		if len(b) > size {
			rt.Errorf("the batch has %d bytes, Size says at most %d", len(b), size)
		}
		f, err := readBatches(fetched{next: base}, b, "t", 0, base)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(records, f.records); diff != "" || f.next != base+int64(len(records)) {
			rt.Errorf("next is %d: %s", f.next, diff)
		}
		kept, err := UnmarshalRecord(records[0].Marshal())
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(records[0], kept, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Record{}, "LeaderEpoch")); diff != "" {
			rt.Error(diff)
		}
		if was, is := records[0].Fingerprint(), kept.Fingerprint(); was != is {
			rt.Errorf("the same record has the fingerprints %x and %x", was, is)
		}
	})
}

// Fingerprints stand in databases.
func TestFingerprint_StaysAndTellsRecordsApart(t *testing.T) {
	r := Record{Key: []byte("k"), Value: []byte("v"), Headers: []Header{{"h", []byte("w")}}, Offset: 7, Time: time.UnixMilli(1), LeaderEpoch: 3}
	if got := r.Fingerprint(); got != 0x195e1fd752c79f01 {
		t.Errorf("the fingerprint is %#x", got)
	}
	seen := map[uint64]bool{r.Fingerprint(): true}
	for _, other := range []Record{{}, {Key: []byte("kv")}, {Value: []byte("kv")}, {Key: []byte("k"), Value: []byte("v")},
		{Key: []byte("k"), Value: []byte("v"), Headers: []Header{{"hw", nil}}}} {
		if f := other.Fingerprint(); f == 0 || seen[f] {
			t.Errorf("%+v has the fingerprint %x of another record", other, f)
		}
		seen[other.Fingerprint()] = true
	}
}

func TestUnmarshalRecord_RefusesWhatIsNone(t *testing.T) {
	whole := (&Record{Value: []byte("x"), Headers: []Header{{"a", nil}}}).Marshal()
	for i := range whole {
		if r, err := UnmarshalRecord(whole[:i]); err == nil {
			t.Errorf("the first %d of %d bytes are %+v", i, len(whole), r)
		}
	}
	if _, err := UnmarshalRecord(append(whole, 0)); err == nil {
		t.Error("a byte too many")
	}
}

func records(values ...string) []Record {
	list := make([]Record, len(values))
	for i := range values {
		list[i].Value = []byte(values[i])
	}
	return list
}

func TestReadBatches_LeavesNothingOut(t *testing.T) {
	two := func(base int64) []byte { return batchOf(t, base, records("a", "b"), None) }
	damaged := func(base int64, change func(b []byte), sum bool) []byte {
		b := two(base)
		change(b)
		if sum {
			binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[batchCRCEnd:], castagnoli))
		}
		return b
	}
	flip := func(base int64) []byte { return damaged(base, func(b []byte) { b[len(b)-1] ^= 1 }, false) }
	// Compaction leaves a batch its last offset and takes records out.
	compacted := func(base int64) []byte {
		return damaged(base, func(b []byte) { binary.BigEndian.PutUint32(b[23:], 3) }, true)
	}
	old := damaged(5, func(b []byte) { b[16] = 1 }, false)
	counted := damaged(5, func(b []byte) { binary.BigEndian.PutUint32(b[57:], 1<<30) }, true)
	for name, test := range map[string]struct {
		set  []byte
		want string // offsets of the records, the next one, the error
	}{
		"two batches":                 {append(two(5), two(7)...), "[5 6 7 8] 9 <nil>"},
		"a batch that begins earlier": {two(4), "[5] 6 <nil>"},
		"a batch that is over":        {append(two(3), two(5)...), "[5 6] 7 <nil>"},
		"the last one cut off":        {append(two(5), two(7)[:70]...), "[5 6] 7 <nil>"},
		"nothing":                     {nil, "[] 5 <nil>"},
		"half a header":               {two(5)[:30], "[] 5 <nil>"},
		"a gap at the beginning":      {two(6), "[] 5 gap 5 to 6"},
		"a gap between batches":       {append(two(5), two(8)...), "[5 6] 7 <nil>"},
		"records taken out":           {append(compacted(5), two(9)...), "[5 6] 7 <nil>"},
		"records taken out, the rest": {append(compacted(3), two(7)...), "[] 5 gap 5 to 7"},
		"a wrong checksum":            {flip(5), "[] 5 corrupt 5 to 7"},
		"a wrong checksum later":      {append(two(5), flip(7)...), "[5 6] 7 <nil>"},
		"an old format":               {old, "[] 5 corrupt 5 to 6"},
		"a count that cannot be":      {counted, "[] 5 corrupt 5 to 7"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := readBatches(fetched{next: 5, highWatermark: 100}, test.set, "t", 0, 5)
			offsets := []int64{}
			for i := range f.records {
				offsets = append(offsets, f.records[i].Offset)
			}
			said := fmt.Sprint(err)
			var gap *GapError
			var corrupt *CorruptError
			switch {
			case errors.As(err, &gap):
				said = fmt.Sprintf("gap %d to %d", gap.Want, gap.First)
			case errors.As(err, &corrupt):
				said = fmt.Sprintf("corrupt %d to %d", corrupt.Offset, corrupt.Next)
			}
			if got := fmt.Sprint(offsets, " ", f.next, " ", said); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// A topic may be written by anybody: nothing that stands in a batch may make us panic or allocate without bounds.
func FuzzReadBatches(f *testing.F) {
	for _, compression := range []Compression{None, Gzip, Snappy, LZ4, Zstd} {
		f.Add(batchOf(f, 0, []Record{{Key: []byte("k"), Value: bytes.Repeat([]byte("v"), 1000), Headers: []Header{{"a", []byte("b")}}}, {}}, compression)[batchCRCEnd:], true)
	}
	f.Fuzz(func(t *testing.T, body []byte, whole bool) {
		set := make([]byte, batchCRCEnd, batchCRCEnd+len(body))
		set[16] = 2
		set = append(set, body...)
		binary.BigEndian.PutUint32(set[8:], uint32(len(set)-batchLengthEnd))
		if whole {
			binary.BigEndian.PutUint32(set[17:], crc32.Checksum(body, castagnoli))
		}
		got, err := readBatches(fetched{}, set, "t", 0, 0)
		var gap *GapError
		var corrupt *CorruptError
		if err != nil && !errors.As(err, &gap) && !errors.As(err, &corrupt) {
			t.Fatalf("an untyped error: %v", err)
		}
		for i := range got.records {
			if got.records[i].Offset != int64(i) {
				t.Fatalf("record %d has offset %d", i, got.records[i].Offset)
			}
		}
	})
}
