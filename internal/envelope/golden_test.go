package envelope

import (
	"encoding/hex"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/internal/bus"
	"meridian/internal/row"
)

var update = flag.Bool("update", false, "write the golden records anew")

// typeCase is one column and values that it can have.
type typeCase struct {
	name   string // of the golden file
	column row.Column
	values []row.Value
}

// typeCases has every column type, with the values at its borders and those that JSON cannot hold.
func typeCases() []typeCase {
	raw := func(k row.Kind, s string) row.Value { return row.BytesValue(k, []byte(s)) }
	text := func(t row.Type) row.Column {
		return row.Column{Type: t, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"}
	}
	num := func(k row.Kind, n uint64) row.Value { return row.Value{Kind: k, Num: n} }
	return []typeCase{
		{"int", row.Column{Type: row.TypeInt}, []row.Value{row.IntValue(0), row.IntValue(-1), row.IntValue(math.MinInt64), row.IntValue(math.MaxInt64)}},
		{"uint", row.Column{Type: row.TypeUint}, []row.Value{row.UintValue(0), row.UintValue(1<<53 + 1), row.UintValue(math.MaxUint64)}},
		{"year", row.Column{Type: row.TypeYear}, []row.Value{row.UintValue(0), row.UintValue(1901), row.UintValue(2155)}},
		{"decimal", row.Column{Type: row.TypeDecimal, Length: 65, Fraction: 30}, []row.Value{raw(row.Decimal, "-0.10"),
			raw(row.Decimal, "99999999999999999999999999999999999.999999999999999999999999999999")}},
		{"float", row.Column{Type: row.TypeFloat}, []row.Value{row.FloatValue(0), row.FloatValue(0.1), row.FloatValue(16777216), row.FloatValue(math.MaxFloat32),
			row.FloatValue(math.SmallestNonzeroFloat32), row.FloatValue(float32(math.Copysign(0, -1)))}},
		{"double", row.Column{Type: row.TypeDouble}, []row.Value{row.DoubleValue(0), row.DoubleValue(0.1), row.DoubleValue(1e21), row.DoubleValue(-1e-7),
			row.DoubleValue(math.MaxFloat64), row.DoubleValue(math.SmallestNonzeroFloat64), row.DoubleValue(math.Copysign(0, -1))}},
		{"bit1", row.Column{Type: row.TypeBit, Length: 1}, []row.Value{num(row.Bit, 0), num(row.Bit, 1)}},
		{"bit12", row.Column{Type: row.TypeBit, Length: 12}, []row.Value{num(row.Bit, 0), num(row.Bit, 0xabc)}},
		{"bit64", row.Column{Type: row.TypeBit, Length: 64}, []row.Value{num(row.Bit, math.MaxUint64), num(row.Bit, 1)}},
		{"text", text(row.TypeText), []row.Value{row.TextValue(""), row.TextValue("O'Brien <b>&amp;</b> \"\\/\b\f\n\r\t\x00\x1f\x7f"),
			row.TextValue("Grüße, 世界 🙂 \u2028\ufffd\u200b"), raw(row.RawText, "\xff\xfe")}},
		{"latin1", row.Column{Type: row.TypeText, Charset: "latin1", Collation: "latin1_swedish_ci"}, []row.Value{row.TextValue("Grüße")}},
		{"enum", text(row.TypeEnum), []row.Value{row.TextValue("shipped"), row.TextValue(""), num(row.EnumZero, 0)}},
		{"set", text(row.TypeSet), []row.Value{row.TextValue(""), row.TextValue("a,b")}},
		{"binary", row.Column{Type: row.TypeBinary, Length: 4}, []row.Value{raw(row.Binary, "\x00\xff\x00\x00"), raw(row.Binary, "")}},
		{"date", row.Column{Type: row.TypeDate}, []row.Value{row.DateValue(1970, 1, 1), row.DateValue(1, 1, 1), row.DateValue(9999, 12, 31), row.DateValue(2024, 2, 29),
			row.DateValue(0, 0, 0), row.DateValue(2024, 2, 30), row.DateValue(2024, 0, 0), row.DateValue(0, 2, 29)}},
		{"time", row.Column{Type: row.TypeTime, Fraction: 6}, []row.Value{row.TimeValue(0), row.TimeValue(-1), row.TimeValue(-3020399_000000), row.TimeValue(3020399_000000)}},
		{"datetime0", row.Column{Type: row.TypeDatetime}, []row.Value{row.DatetimeValue(2024, 2, 29, 23, 59, 59, 0), row.DatetimeValue(1969, 12, 31, 23, 59, 59, 0),
			row.DatetimeValue(0, 0, 0, 0, 0, 0, 0), row.DatetimeValue(2024, 2, 30, 10, 0, 0, 0)}},
		{"datetime3", row.Column{Type: row.TypeDatetime, Fraction: 3}, []row.Value{row.DatetimeValue(1969, 12, 31, 23, 59, 59, 999000), row.DatetimeValue(9999, 12, 31, 23, 59, 59, 999000)}},
		{"datetime6", row.Column{Type: row.TypeDatetime, Fraction: 6}, []row.Value{row.DatetimeValue(1, 1, 1, 0, 0, 0, 1), row.DatetimeValue(9999, 12, 31, 23, 59, 59, 999999),
			row.DatetimeValue(2024, 2, 30, 10, 0, 0, 123456)}},
		{"timestamp0", row.Column{Type: row.TypeTimestamp}, []row.Value{row.TimestampValue(1), row.TimestampValue(1000000), row.TimestampValue(0)}},
		{"timestamp3", row.Column{Type: row.TypeTimestamp, Fraction: 3}, []row.Value{row.TimestampValue(1709210096250000), row.TimestampValue(1000)}},
		{"timestamp6", row.Column{Type: row.TypeTimestamp, Fraction: 6}, []row.Value{row.TimestampValue(4294967295999999), row.TimestampValue(1)}},
		{"json", row.Column{Type: row.TypeJSON}, []row.Value{raw(row.JSON, `{"a": [1, 2.50, "x"], "ü": null}`), raw(row.JSON, `"\u0000"`), raw(row.JSON, "no json \xff")}},
		{"geometry", row.Column{Type: row.TypeGeometry}, []row.Value{
			raw(row.Geometry, "\xe6\x10\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf0?\x00\x00\x00\x00\x00\x00\x00@"), raw(row.Geometry, "\x00")}},
		{"vector", row.Column{Type: row.TypeVector}, []row.Value{raw(row.Vector, "\x00\x00\x80\x3f\xcd\xcc\xcc\x3d\x00\x00\x00\x80"), raw(row.Vector, ""), raw(row.Vector, "\x00\x00\xc0\x7f")}},
		{"uuid", row.Column{Type: row.TypeUUID}, []row.Value{row.TextValue("3e11fa47-71ca-11e1-9e33-c80aa9429562")}},
		{"inet4", row.Column{Type: row.TypeInet4}, []row.Value{row.TextValue("192.0.2.1")}},
		{"inet6", row.Column{Type: row.TypeInet6}, []row.Value{row.TextValue("2001:db8::1")}},
	}
}

// message gives a change that inserts a row with the case's values, and NULL, in columns v0, v1, …
func (c *typeCase) message(t testing.TB) *Message {
	t.Helper()
	columns := []row.Column{{Name: "id", Type: row.TypeInt}}
	image := []row.Value{row.IntValue(42)}
	for i, v := range append(c.values, row.NullValue()) {
		column := c.column
		column.Name = "v" + string(rune('a'+i))
		columns, image = append(columns, column), append(image, v)
	}
	m := orderMessage(t)
	table := row.NewTable("shop", c.name, columns, []int{0})
	key, err := table.Key(image)
	if err != nil {
		t.Fatal(err)
	}
	m.Change = &row.Change{Table: table, Op: row.Insert, Key: key, After: image, Digest: table.Digest(key, image), Version: m.Change.Version}
	return m
}

// goldenText writes a record for people to read: a part a line.
func goldenText(r *bus.Record) string {
	var b strings.Builder
	b.WriteString("key " + string(r.Key) + "\nvalue " + string(r.Value) + "\n")
	for _, h := range r.Headers {
		value := string(h.Value)
		if h.Key == headerMeta {
			value = hex.EncodeToString(h.Value)
		}
		b.WriteString(h.Key + " " + value + "\n")
	}
	return b.String()
}

// parseGolden is goldenText's inverse.
func parseGolden(t *testing.T, text string) *bus.Record {
	t.Helper()
	r := new(bus.Record)
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch name {
		case "key":
			r.Key = []byte(value)
		case "value":
			r.Value = []byte(value)
		case headerMeta:
			b, err := hex.DecodeString(value)
			if err != nil {
				t.Fatal(err)
			}
			r.Headers = append(r.Headers, bus.Header{Key: name, Value: b})
		default:
			r.Headers = append(r.Headers, bus.Header{Key: name, Value: []byte(value)})
		}
	}
	return r
}

// checkGolden compares a message's record with the golden one, in both directions.
func checkGolden(t *testing.T, name string, m *Message) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	r, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err = os.WriteFile(path, []byte(goldenText(&r)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := goldenText(&r); got != string(want) {
		t.Errorf("the record is not the one in %s, which older versions have written.\ngot:  %s\nwant: %s", path, got, want)
	}
	back, err := Decode(parseGolden(t, string(want)))
	if err != nil {
		t.Fatalf("decoding %s: %v", path, err)
	}
	if diff := difference(m, back); diff != "" {
		t.Errorf("%s decodes to another message:\n%s", path, diff)
	}
}

func TestGolden_RecordsOfEveryColumnTypeStayAsTheyAre(t *testing.T) {
	for _, c := range typeCases() {
		t.Run(c.name, func(t *testing.T) { checkGolden(t, c.name, c.message(t)) })
	}
}

func TestGolden_RecordsOfEveryKindStayAsTheyAre(t *testing.T) {
	change := func(edit func(*Message)) *Message {
		m := orderMessage(t)
		edit(m)
		return m
	}
	source := Source{Region: "eu-west-1", CommitTime: 1709210096789012}
	for name, m := range map[string]*Message{
		"kind-insert": change(func(*Message) {}),
		"kind-update": change(func(m *Message) {
			m.Change.Op, m.Change.Before = row.Update, m.Change.After
			m.Source.Last = false
		}),
		"kind-delete": change(func(m *Message) {
			m.Change.Op, m.Change.Before, m.Change.After, m.Change.Digest = row.Delete, m.Change.After, nil, 0
		}),
		"kind-tombstone": change(func(m *Message) {
			m.Kind, m.Source = Seed, source
			m.Change.Op, m.Change.After, m.Change.Digest = row.Delete, nil, 0
		}),
		"kind-repair": change(func(m *Message) { m.Kind, m.Source, m.Change.Op = Repair, source, row.Update }),
		"kind-baseline": change(func(m *Message) {
			m.Kind, m.Source, m.Change.Version, m.Change.Overwrote = Seed, source, row.Version{}, row.Version{}
		}),
		"kind-epoch": {Kind: Epoch, Epoch: 7, Time: 1709210096999, Source: source,
			Start: &EpochStart{Region: "eu-west-1", Shard: 3, Epoch: 7, Replica: 1, Time: 1709210096999000}},
		"kind-watermark": {Kind: Watermark, Epoch: 7, Time: 1709210096999, Source: source,
			Watermark: &WatermarkMark{Region: "eu-west-1", Shard: 3, Epoch: 7, Time: 1709210096999000, Checkpoint: "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23",
				Applied: map[string]int64{"us-east-1": 12, "ap-south-1": 0}, Published: 99}},
	} {
		t.Run(name, func(t *testing.T) { checkGolden(t, name, m) })
	}
}
