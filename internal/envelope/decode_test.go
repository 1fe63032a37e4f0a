package envelope

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"meridian/internal/bus"
	"meridian/internal/row"
)

func bytesReader(b []byte) io.Reader { return bytes.NewReader(b) }

func encoded(t testing.TB, m *Message) *bus.Record {
	t.Helper()
	r, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return &r
}

func setHeader(r *bus.Record, key string, value []byte) {
	for i := range r.Headers {
		if r.Headers[i].Key == key {
			r.Headers[i].Value = value
		}
	}
}

func header(t testing.TB, r *bus.Record, key string) []byte {
	t.Helper()
	value, ok := r.Header(key)
	if !ok {
		t.Fatalf("no header %s", key)
	}
	return value
}

func TestDecode_SetsForeignRecordsAside(t *testing.T) {
	replace := func(old, with string) func(*bus.Record) {
		return func(r *bus.Record) {
			if !bytes.Contains(r.Value, []byte(old)) {
				panic("the record has no " + old)
			}
			r.Value = bytes.Replace(r.Value, []byte(old), []byte(with), 1)
		}
	}
	for name, change := range map[string]func(*bus.Record){
		"no headers":          func(r *bus.Record) { r.Headers = nil },
		"no value":            func(r *bus.Record) { r.Value = nil },
		"no JSON":             func(r *bus.Record) { r.Value = []byte("hello") },
		"other JSON":          func(r *bus.Record) { r.Value = []byte(`{"payload":{"id":1}}`) },
		"more after the JSON": func(r *bus.Record) { r.Value = append(bytes.Clone(r.Value), '{') },
		"truncated value":     func(r *bus.Record) { r.Value = r.Value[:len(r.Value)/2] },
		"empty meta":          func(r *bus.Record) { setHeader(r, headerMeta, nil) },
		"truncated meta":      func(r *bus.Record) { setHeader(r, headerMeta, header(t, r, headerMeta)[:20]) },
		"more after the meta": func(r *bus.Record) { setHeader(r, headerMeta, append(bytes.Clone(header(t, r, headerMeta)), 0)) },
		"a format before all": func(r *bus.Record) { setHeader(r, headerMeta, append([]byte{0}, header(t, r, headerMeta)[1:]...)) },
		"no kind": func(r *bus.Record) {
			meta := bytes.Clone(header(t, r, headerMeta)[:4])
			meta[1], meta[2] = 0, 0
			setHeader(r, headerMeta, meta)
			setHeader(r, headerKind, []byte("kind-0"))
		},
		"another kind":             func(r *bus.Record) { setHeader(r, headerKind, []byte("seed")) },
		"another origin":           func(r *bus.Record) { setHeader(r, headerOrigin, []byte("mars")) },
		"no version":               func(r *bus.Record) { setHeader(r, headerVersion, nil) },
		"a version without a time": func(r *bus.Record) { setHeader(r, headerVersion, []byte("x@y")) },
		"a column less":            replace(`"customer":"Ada Lovelace",`, ""),
		"a column more":            replace(`"customer":`, `"x":1,"customer":`),
		"another type of value":    replace(`"id":123456`, `"id":"123456"`),
		"a number too large":       replace(`"id":123456`, `"id":9223372036854775808`),
		"half a surrogate pair":    replace(`Ada`, `\ud83d`),
		"a value that is no UTF-8": replace(`Ada`, "\xff"),
		"a control character":      replace(`Ada`, "\n"),
		"a row that is missing":    replace(`"after":{`, `"after":null,"other":{`),
		"deep nesting":             replace(`"op":"c"`, `"op":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)),
	} {
		t.Run(name, func(t *testing.T) {
			r := encoded(t, orderMessage(t))
			change(r)
			m, err := Decode(r)
			var f *ForeignError
			if !errors.As(err, &f) || f.Reason == "" {
				t.Fatalf("decoded to %+v with error %v, want a ForeignError", m, err)
			}
		})
	}
}

// What a later version of Meridian writes is no garbage: whoever reads it must wait for the upgrade.
func TestDecode_TellsANewerFormatFromWhatIsForeign(t *testing.T) {
	m := orderMessage(t)
	r := encoded(t, m)
	setHeader(r, headerMeta, []byte{metaFormat + 1, 0xff, 0xff})
	_, err := Decode(r)
	var newer *NewerFormatError
	if !errors.As(err, &newer) || newer.Format != metaFormat+1 || newer.Origin != m.Source.Region {
		t.Fatalf("error %v, want a NewerFormatError of %s", err, m.Source.Region)
	}
}

func TestDecode_FindsAnAlteredRow(t *testing.T) {
	r := encoded(t, orderMessage(t))
	r.Value = bytes.Replace(r.Value, []byte("Ada"), []byte("Eva"), 1)
	_, err := Decode(r)
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || corrupt.Table != "shop.orders" || corrupt.Have == corrupt.Want {
		t.Fatalf("error %v, want a CorruptError that names shop.orders", err)
	}
}

func TestDecode_GivesTheSameTableForTheSameColumns(t *testing.T) {
	first, err := Decode(encoded(t, orderMessage(t)))
	if err != nil {
		t.Fatal(err)
	}
	second, err := Decode(encoded(t, orderMessage(t))) // of another *row.Table with the same columns
	if err != nil {
		t.Fatal(err)
	}
	if first.Change.Table != second.Change.Table {
		t.Error("two tables for one description")
	}
	m := orderMessage(t)
	m.Change.Table = row.NewTable("shop", "orders2", m.Change.Table.Columns, m.Change.Table.PrimaryKey)
	other, err := Decode(encoded(t, m))
	if err != nil {
		t.Fatal(err)
	}
	if other.Change.Table == first.Change.Table || other.Change.Table.Name != "orders2" {
		t.Errorf("the description of another table gave %v", other.Change.Table)
	}
}

// A record of a few bytes that speaks of millions of things must not make us allocate for them.
func TestDecode_AllocatesNoMoreThanARecordCanHold(t *testing.T) {
	huge := binary.AppendUvarint(nil, 1<<40)
	head := []byte{metaFormat, byte(Change), 0, 0, byte(row.Insert), 1, 0, 0, 0, 0, 0, 0, 0, 0}
	description := func(parts ...[]byte) []byte {
		text := bytes.Join(parts, nil)
		b := append(bytes.Clone(head), 0, 0) // no key, no exceptions
		return append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	for name, meta := range map[string][]byte{
		"key":         append(bytes.Clone(head), huge...),
		"exceptions":  append(append(bytes.Clone(head), 0), huge...),
		"description": append(append(bytes.Clone(head), 0, 0), huge...),
		"pairs":       description([]byte{0, 0}, huge),
		"columns":     description([]byte{0, 0, 0}, huge),
		"key columns": description([]byte{0, 0, 0, 0}, huge),
	} {
		t.Run(name, func(t *testing.T) {
			r := encoded(t, orderMessage(t))
			setHeader(r, headerMeta, meta)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Decode(r)
			runtime.ReadMemStats(&after)
			var f *ForeignError
			if !errors.As(err, &f) {
				t.Fatalf("error %v, want a ForeignError", err)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
				t.Errorf("%d bytes were allocated", grown)
			}
		})
	}
}

func TestEncode_RefusesMessagesThatSayNothing(t *testing.T) {
	for name, change := range map[string]func(*Message){
		"no change":                func(m *Message) { m.Change = nil },
		"no kind":                  func(m *Message) { m.Kind = 0 },
		"no start":                 func(m *Message) { m.Kind = Epoch },
		"no watermark":             func(m *Message) { m.Kind = Watermark },
		"no operation":             func(m *Message) { m.Change.Op = 0 },
		"no image":                 func(m *Message) { m.Change.After = nil },
		"an image too short":       func(m *Message) { m.Change.After = m.Change.After[:1] },
		"a delete with an image":   func(m *Message) { m.Change.Op = row.Delete },
		"an insert over a row":     func(m *Message) { m.Change.Before = m.Change.After },
		"a version of nowhere":     func(m *Message) { m.Change.Version.Region = "" },
		"a region that is no text": func(m *Message) { m.Change.Overwrote.Region = "\xff" },
		"a GTID that is no text":   func(m *Message) { m.Source.GTID = "\xff" },
		"no primary key":           func(m *Message) { m.Change.Table = row.NewTable("a", "b", m.Change.Table.Columns, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			m := orderMessage(t)
			change(m)
			if r, err := Encode(m); err == nil {
				t.Errorf("it was encoded: %s", r.Value)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range typeCases() {
		r := encoded(f, c.message(f))
		f.Add(r.Value, header(f, r, headerMeta), header(f, r, headerVersion), header(f, r, headerKind), header(f, r, headerOrigin))
	}
	for _, m := range []*Message{
		{Kind: Epoch, Start: &EpochStart{Region: "a"}, Source: Source{Region: "a"}},
		{Kind: Watermark, Watermark: &WatermarkMark{Region: "a", Applied: map[string]int64{"b": 1}}, Source: Source{Region: "a"}},
	} {
		r := encoded(f, m)
		f.Add(r.Value, header(f, r, headerMeta), []byte{}, header(f, r, headerKind), header(f, r, headerOrigin))
	}
	f.Fuzz(func(t *testing.T, value, meta, version, kind, origin []byte) {
		r := bus.Record{Value: value, Headers: []bus.Header{{Key: headerMeta, Value: meta}, {Key: headerVersion, Value: version},
			{Key: headerKind, Value: kind}, {Key: headerOrigin, Value: origin}}}
		m, err := Decode(&r)
		if err != nil {
			var f *ForeignError
			var corrupt *CorruptError
			var newer *NewerFormatError
			if !errors.As(err, &f) && !errors.As(err, &corrupt) && !errors.As(err, &newer) {
				t.Fatalf("an untyped error: %v", err)
			}
			return
		}
		// What is accepted is a message that can be written, and comes back the same.
		again, err := Encode(m)
		if err != nil {
			t.Fatalf("the message cannot be encoded: %v\n%s", err, dump(m))
		}
		back, err := Decode(&again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := difference(m, back); diff != "" {
			t.Fatal(diff)
		}
	})
}
