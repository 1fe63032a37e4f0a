package envelope

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"meridian/internal/bus"
	"meridian/internal/row"
)

// valueOfKind draws any value of a kind: also such as no server would give.
func valueOfKind(t *rapid.T, kind row.Kind) row.Value {
	numbers := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 3), rapid.SampledFrom([]uint64{1 << 63, math.MaxInt64, math.MaxUint64, 1 << 32, 1 << 31}))
	v := row.Value{Kind: kind}
	switch kind {
	case row.Null, row.EnumZero:
	case row.Text, row.Decimal, row.JSON:
		v.Bytes = []byte(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "0x1f", "-1.50", `{"a":"\\"}`, "\xff", "a\xe4"})).Draw(t, "text"))
	case row.RawText, row.Binary, row.Geometry, row.Vector:
		v.Bytes = rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
	case row.Date:
		v = rapid.OneOf(rapid.Just(row.Value{Kind: kind, Num: numbers.Draw(t, "date")}), rapid.Map(rapid.IntRange(0, 9999), func(y int) row.Value {
			return row.DateValue(y, rapid.IntRange(0, 13).Draw(t, "month"), rapid.IntRange(0, 31).Draw(t, "day"))
		})).Draw(t, "value")
	case row.Datetime:
		draw := func(name string, limit int) int { return rapid.IntRange(0, limit).Draw(t, name) }
		v.Num = numbers.Draw(t, "datetime")
		if rapid.Bool().Draw(t, "plausible") {
			v = row.DatetimeValue(draw("year", 9999), draw("month", 12), draw("day", 31), draw("hour", 24), draw("minute", 60), draw("second", 60),
				rapid.OneOf(rapid.IntRange(0, 1_000_000), rapid.SampledFrom([]int{0, 1000, 999000})).Draw(t, "micros"))
		}
	case row.Timestamp:
		v.Num = rapid.OneOf(numbers, rapid.Uint64Range(0, 4294967295999999), rapid.Map(rapid.Uint64Range(0, 4294967295), func(n uint64) uint64 { return n * 1e6 })).Draw(t, "micros")
	case row.Float:
		v = row.FloatValue(rapid.Float32().Draw(t, "float"))
		if rapid.Bool().Draw(t, "bits") {
			v.Num = numbers.Draw(t, "num")
		}
	case row.Double:
		v = row.DoubleValue(rapid.Float64().Draw(t, "double"))
		if rapid.Bool().Draw(t, "bits") {
			v.Num = numbers.Draw(t, "num")
		}
	case row.Int, row.Uint, row.Bit, row.Time:
		v.Num = numbers.Draw(t, "num")
	}
	return v
}

// anyValue draws a value for a column: mostly one of its type's own kind.
func anyValue(t *rapid.T, c *row.Column) row.Value {
	kind := naturalKind(c.Type)
	switch rapid.IntRange(0, 9).Draw(t, "choice") {
	case 0:
		kind = row.Null
	case 1:
		kind = row.Kind(rapid.IntRange(0, int(row.EnumZero)).Draw(t, "kind"))
	}
	return valueOfKind(t, kind)
}

func anyTable(t *rapid.T) *row.Table {
	columns := make([]row.Column, rapid.IntRange(1, 6).Draw(t, "columns"))
	for i := range columns {
		columns[i] = row.Column{
			Name:      rapid.SampledFrom([]string{"id", "größe", `say "hi"`, "a\\b", "", "new\nline"}).Draw(t, "name") + fmt.Sprint(i),
			Type:      row.Type(rapid.IntRange(0, int(row.TypeInet6)).Draw(t, "type")),
			Length:    rapid.SampledFrom([]int{0, 1, 7, 8, 12, 64, 65535}).Draw(t, "length"),
			Fraction:  rapid.SampledFrom([]int{0, 1, 3, 4, 6, 30}).Draw(t, "fraction"),
			Charset:   rapid.SampledFrom([]string{"", "utf8mb4", "latin1"}).Draw(t, "charset"),
			Collation: rapid.SampledFrom([]string{"", "utf8mb4_bin", "latin1_bin"}).Draw(t, "collation"),
			Generated: rapid.IntRange(0, 5).Draw(t, "generated") == 0,
		}
	}
	key := rapid.SliceOfNDistinct(rapid.IntRange(0, len(columns)-1), 1, len(columns), rapid.ID[int]).Draw(t, "key")
	return row.NewTable(rapid.SampledFrom([]string{"shop", "", "ü"}).Draw(t, "schema"), rapid.StringMatching(`[a-z."]{1,8}`).Draw(t, "table"), columns, key)
}

// anyMessage draws a message about a row.
func anyMessage(t *rapid.T) *Message {
	table := anyTable(t)
	image := func() []row.Value {
		values := make([]row.Value, len(table.Columns))
		for i := range values {
			values[i] = anyValue(t, &table.Columns[i])
		}
		return values
	}
	version := func(name string) row.Version {
		return rapid.OneOf(rapid.Just(row.Version{}), rapid.Map(rapid.Int64(), func(n int64) row.Version { return row.Version{Time: n, Region: "eu@1"} })).Draw(t, name)
	}
	c := &row.Change{Table: table, Op: row.Op(rapid.IntRange(1, 3).Draw(t, "op")), Key: row.Key(rapid.SliceOf(rapid.Byte()).Draw(t, "key bytes")),
		Version: version("version"), Overwrote: version("overwrote")}
	if c.Op != row.Insert && rapid.Bool().Draw(t, "has before") {
		c.Before = image()
	}
	if c.Op != row.Delete {
		c.After = image()
		c.Digest = table.Digest(c.Key, c.After)
	}
	return &Message{
		Kind: Kind(rapid.IntRange(int(Change), int(Seed)).Draw(t, "kind")), Epoch: rapid.Uint64().Draw(t, "epoch"), Time: rapid.Int64().Draw(t, "time"), Change: c,
		Source: Source{Region: rapid.StringMatching(`[a-z0-9-]{0,12}`).Draw(t, "region"), GTID: rapid.String().Draw(t, "gtid"), Ordinal: rapid.Uint64().Draw(t, "ordinal"),
			Last: rapid.Bool().Draw(t, "last"), ServerID: rapid.Uint32().Draw(t, "server"), File: rapid.String().Draw(t, "file"), Position: rapid.Uint64().Draw(t, "position"),
			CommitTime: rapid.Int64().Draw(t, "commit")},
	}
}

func TestDecode_GivesBackEveryMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyMessage(t)
		r, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string][]byte{"key": r.Key, "value": r.Value} {
			if !json.Valid(text) {
				t.Fatalf("the %s is no JSON: %s", name, text)
			}
		}
		back, err := Decode(&r)
		if err != nil {
			t.Fatalf("%v\n%s", err, goldenText(&r))
		}
		if diff := difference(m, back); diff != "" {
			t.Fatalf("%s\n%s", diff, goldenText(&r))
		}
	})
}

// An encoder remembers much of the last message. None of it may get into the next one.
func TestEncoder_GivesTheSameWhateverCameBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x Encoder
		var got, want []bus.Record
		m := anyMessage(t)
		for range rapid.IntRange(1, 12).Draw(t, "messages") {
			if rapid.Bool().Draw(t, "another") {
				m = anyMessage(t)
			}
			same := *m // of the same transaction, but for what is drawn
			m = &same
			s := &m.Source
			switch rapid.IntRange(0, 7).Draw(t, "what differs") {
			case 0:
				s.Region = "other"
			case 1:
				s.GTID = rapid.SampledFrom([]string{"", "a:1", "a:2"}).Draw(t, "other gtid")
			case 2:
				s.File, s.Position = "b.2", s.Position+1
			case 3:
				s.CommitTime++
			case 4:
				s.ServerID++
			case 5:
				c := *m.Change
				table := *c.Table
				table.Name += "2"
				c.Table, m.Change = &table, &c
			default:
			}
			s.Ordinal++
			s.Last = !s.Last
			r, err := x.Encode(m)
			if err != nil {
				t.Fatal(err)
			}
			alone, err := Encode(m)
			if err != nil {
				t.Fatal(err)
			}
			got, want = append(got, r), append(want, alone)
		}
		for i := range got { // at the end: they stand until Reset
			if a, b := goldenText(&got[i]), goldenText(&want[i]); a != b {
				t.Fatalf("message %d: %s\nalone: %s", i, a, b)
			}
		}
	})
}

// The value's form may change on its way: a mirror that parses and writes JSON orders its members and escapes as it likes.
func TestDecode_ReadsTheSameJSONInAnotherForm(t *testing.T) {
	for _, c := range typeCases() {
		m := c.message(t)
		r, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		decoded := json.NewDecoder(bytesReader(r.Value))
		decoded.UseNumber()
		var value map[string]any
		if err = decoded.Decode(&value); err != nil {
			t.Fatal(err)
		}
		after, ok := value["after"].(map[string]any)
		if !ok {
			t.Fatalf("%s has no image", r.Value)
		}
		// encoding/json sorts members: the columns of these tables are in that order already.
		if len(after) != len(m.Change.Table.Columns) {
			t.Fatalf("%d members for %d columns", len(after), len(m.Change.Table.Columns))
		}
		if r.Value, err = json.MarshalIndent(value, "", "\t"); err != nil {
			t.Fatal(err)
		}
		back, err := Decode(&r)
		if err != nil {
			t.Errorf("%s: %v\n%s", c.name, err, r.Value)
			continue
		}
		if diff := difference(m, back); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}
