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
	for _, bench := range []struct {
		name string
		key  []int
	}{{"integer", []int{0}}, {"composite", []int{1, 0}}, {"text_0900_ai_ci", []int{5}}, {"integer_and_datetime", []int{0, 7}}} {
		t := NewTable(t.Schema, t.Name, t.Columns, bench.key)
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := t.Key(image); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
