package row

import "testing"

func benchTable() (*Table, []Value) {
	columns := []Column{
		{Name: "id", Type: TypeInt}, {Name: "customer", Type: TypeUint}, {Name: "state", Type: TypeEnum, Labels: []string{"new", "paid"}},
		{Name: "total", Type: TypeDecimal, Length: 10, Fraction: 2}, {Name: "note", Type: TypeText, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"},
		{Name: "email", Type: TypeText, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"}, {Name: "rate", Type: TypeDouble},
		{Name: "created", Type: TypeDatetime, Fraction: 6}, {Name: "touched", Type: TypeTimestamp},
	}
	image := []Value{
		IntValue(42), UintValue(7), TextValue("paid"), BytesValue(Decimal, []byte("1234.50")), TextValue("left at the neighbour's, second floor"),
		TextValue("somebody@example.com"), DoubleValue(0.25), DatetimeValue(2024, 2, 29, 12, 30, 0, 0), TimestampValue(1700000000000000),
	}
	return NewTable("shop", "orders", columns, []int{0}), image
}

func BenchmarkDigest(b *testing.B) {
	t, image := benchTable()
	key, err := t.Key(image)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		t.Digest(key, image)
	}
}

func BenchmarkKey(b *testing.B) {
	t, image := benchTable()
	columns := t.Columns
	for _, collation := range []string{"utf8mb4_uca1400_ai_ci", "utf8mb4_general_ci", "utf8mb4_bin"} {
		columns = append(columns, Column{Name: collation, Type: TypeText, Charset: "utf8mb4", Collation: collation})
		image = append(image, image[5])
	}
	for _, bench := range []struct {
		name string
		key  []int
	}{{"integer", []int{0}}, {"composite", []int{1, 0}}, {"text_0900_ai_ci", []int{5}}, {"integer_and_datetime", []int{0, 7}}, {"text_uca1400_ai_ci", []int{9}}, {"text_general_ci", []int{10}}, {"text_bin", []int{11}}} {
		keyed := NewTable(t.Schema, t.Name, columns, bench.key)
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := keyed.Key(image); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDigest_JSON(b *testing.B) {
	t := NewTable("shop", "events", []Column{{Name: "id", Type: TypeInt}, {Name: "d", Type: TypeJSON}}, []int{0})
	image := []Value{IntValue(1), BytesValue(JSON, []byte(`{"id": 4711, "tags": ["a", "b"], "price": 12.50, "customer": {"name": "Zoë", "city": "Köln"}}`))}
	b.ReportAllocs()
	for b.Loop() {
		t.Digest("k", image)
	}
}

func BenchmarkAppendBinaryJSON(b *testing.B) {
	// {"a": [1, 2.5, "text"], "b": null}
	document := []byte("\x00\x02\x00\x2e\x00\x12\x00\x01\x00\x13\x00\x01\x00\x02\x14\x00\x04\x00\x00ab" +
		"\x03\x00\x1a\x00\x05\x01\x00\x0b\x0d\x00\x0c\x15\x00\x00\x00\x00\x00\x00\x00\x04\x40\x04text")
	var room []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if room, err = AppendBinaryJSON(room[:0], document); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeText(b *testing.B) {
	for _, bench := range []struct{ name, set, text string }{
		{"utf8mb4", "utf8mb4", "left at the neighbour's, Zoë, second floor"}, {"latin1_ascii", "latin1", "left at the neighbour's"},
		{"latin1", "latin1", "Zo\xeb"}, {"sjis", "sjis", "\x83u\x83u"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			text := []byte(bench.text)
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := DecodeText(bench.set, text); !ok {
					b.Fatal("no text")
				}
			}
		})
	}
}

func BenchmarkShard(b *testing.B) {
	key := integerKey(IntValue(42))
	for b.Loop() {
		Shard("shop.orders", key, 16)
	}
}
