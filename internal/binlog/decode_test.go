package binlog

import (
	"context"
	"errors"
	"strings"
	"testing"

	"meridian/internal/row"
	"meridian/internal/testenv"
)

// recordedRows gives the largest rows event of a kind in a recording, with its layout.
func recordedRows(t testing.TB, kind testenv.Kind, of row.Op, table string) (eventType, []byte, *layout) {
	t.Helper()
	isMaria := kind.IsMariaDB()
	l := newLayouts(func(string, string) Decision { return Replicated }, nil).onServer(goldenCollations, isMaria)
	var sums checksums
	var last *layout
	var found []byte
	var foundKind eventType
	var foundLayout *layout
	for _, raw := range events(t, "testdata/"+string(kind)+".events") {
		e, err := parseHeader(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err = sums.strip(raw, &e); err != nil {
			t.Fatal(err)
		}
		switch e.kind {
		case eventTableMap:
			if _, last, err = l.find(context.Background(), e.body); err != nil {
				t.Fatal(err)
			}
		case eventWriteRowsV1, eventWriteRowsV2, eventUpdateRowsV1, eventUpdateRowsV2, eventDeleteRowsV1, eventDeleteRowsV2:
			r, err := parseRows(e.kind, e.body)
			if err != nil {
				t.Fatal(err)
			}
			if r.op == of && last.name == "golden."+table && len(e.body) > len(found) {
				found, foundKind, foundLayout = e.body, e.kind, last
			}
		default:
		}
	}
	if found == nil {
		t.Fatalf("no %s of %s is recorded", of, table)
	}
	return foundKind, found, foundLayout
}

func decodeRows(kind eventType, body []byte, l *layout) ([]row.Change, error) {
	r, err := parseRows(kind, body)
	if err != nil {
		return nil, err
	}
	if r.columns != uint64(l.columns) {
		return nil, errShortEvent
	}
	return r.changes(l)
}

// An event that ends early, wherever that is, gives an error or whole rows, never a panic and never a part of a row.
func TestDecode_TellsATruncatedEvent(t *testing.T) {
	for _, table := range []string{"kinds", "orders"} {
		kind, body, l := recordedRows(t, testenv.KindMySQL, row.Insert, table)
		whole, err := decodeRows(kind, body, l)
		if err != nil {
			t.Fatal(err)
		}
		for n := range body {
			changes, err := decodeRows(kind, body[:n], l)
			if err == nil && len(changes) >= len(whole) {
				t.Fatalf("%d of %d bytes give %d rows", n, len(body), len(changes))
			}
			if err != nil && !errors.Is(err, errShortRow) && !errors.Is(err, errShortEvent) {
				t.Fatalf("%d of %d bytes: %v", n, len(body), err)
			}
		}
	}
}

// What a change points to is its own: the event's buffer is used again.
func TestDecode_CopiesWhatItKeeps(t *testing.T) {
	kind, body, l := recordedRows(t, testenv.KindMySQL, row.Insert, "kinds")
	body = append([]byte(nil), body...)
	changes, err := decodeRows(kind, body, l)
	if err != nil {
		t.Fatal(err)
	}
	before := images(changes)
	for i := range body {
		body[i] = 0xa5
	}
	if after := images(changes); after != before {
		t.Errorf("before: %s\nafter: %s", before, after)
	}
}

func images(changes []row.Change) string {
	var b strings.Builder
	for _, c := range changes {
		b.WriteString(c.Op.String() + " ")
		for i, v := range c.Row() {
			b.Write(row.AppendText(nil, v, &c.Table.Columns[i]))
			b.WriteByte(',')
		}
	}
	return b.String()
}

func FuzzDecodeRows(f *testing.F) {
	layouts := map[bool]*layout{}
	for _, op := range []row.Op{row.Insert, row.Update, row.Delete} {
		kind, body, l := recordedRows(f, testenv.KindMySQL, op, "kinds")
		layouts[false] = l
		f.Add(byte(kind), body, false)
		kind, body, l = recordedRows(f, testenv.KindMariaDB1011, op, "kinds")
		layouts[true] = l
		f.Add(byte(kind), body, true)
	}
	f.Fuzz(func(t *testing.T, kind byte, body []byte, maria bool) {
		l := layouts[maria]
		changes, err := decodeRows(eventType(kind), body, l)
		if err != nil {
			return
		}
		size := 0
		for _, c := range changes {
			for _, v := range append(append([]row.Value(nil), c.Before...), c.After...) {
				size += len(v.Bytes)
			}
		}
		// An ENUM of a byte can stand for a long label, a BINARY is padded, a row of NULLs takes four bytes.
		if len(changes) > 2*len(body) || size > 100*len(body) {
			t.Errorf("%d changes with %d bytes from %d", len(changes), size, len(body))
		}
	})
}

func FuzzTableMap(f *testing.F) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMySQL80, testenv.KindMariaDB} {
		for _, raw := range events(f, "testdata/"+string(kind)+".events") {
			if eventType(raw[4]) == eventTableMap {
				f.Add(raw[headerSize:len(raw)-checksumSize], kind.IsMariaDB())
			}
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, maria bool) {
		m, err := parseTableMap(body, dialect{isMaria: maria})
		if err != nil {
			return
		}
		if len(m.columns) > len(body) {
			t.Errorf("%d columns from %d bytes", len(m.columns), len(body))
		}
		newLayout(m, Replicated, nil, goldenCollations)
	})
}

// FuzzAssembler feeds whole events, as a server might send them, to everything.
func FuzzAssembler(f *testing.F) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB} {
		for _, raw := range events(f, "testdata/"+string(kind)+".events") {
			f.Add(raw[4], raw[headerSize:len(raw)-checksumSize], kind.IsMariaDB(), false)
		}
	}
	f.Fuzz(func(_ *testing.T, kind byte, body []byte, maria, within bool) {
		l := newLayouts(func(string, string) Decision { return Own }, nil).onServer(goldenCollations, maria)
		a := newAssembler(l, &writer{}, "server", &state{isList: maria})
		if within {
			a.tx = &openTransaction{explicit: true}
		}
		e := event{kind: eventType(kind), size: uint32(len(body) + headerSize), endPos: 1000, body: body}
		_ = a.event(context.Background(), &e) // whatever it says, it must say it
	})
}

func BenchmarkDecode(b *testing.B) {
	for _, op := range []row.Op{row.Insert, row.Update, row.Delete} {
		b.Run(op.String(), func(b *testing.B) {
			kind, body, l := recordedRows(b, testenv.KindMySQL, op, "orders")
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			rows := 0
			for b.Loop() {
				changes, err := decodeRows(kind, body, l)
				if err != nil {
					b.Fatal(err)
				}
				rows += len(changes)
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s") // with keys and digests
		})
	}
}
