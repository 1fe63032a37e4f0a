package envelope

import (
	"syscall"
	"testing"

	"meridian/internal/row"
)

// orders is a table of nine columns whose rows have about 200 bytes.
func orders() (*row.Table, []row.Value) {
	text := func(name string) row.Column {
		return row.Column{Name: name, Type: row.TypeText, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"}
	}
	t := row.NewTable("shop", "orders", []row.Column{
		{Name: "id", Type: row.TypeInt}, text("customer"), text("email"), text("address"),
		{Name: "amount", Type: row.TypeDecimal, Length: 12, Fraction: 2},
		{Name: "state", Type: row.TypeEnum, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"},
		{Name: "created_at", Type: row.TypeDatetime, Fraction: 6}, {Name: "updated_at", Type: row.TypeTimestamp, Fraction: 6}, text("note"),
	}, []int{0})
	return t, []row.Value{row.IntValue(123456), row.TextValue("Ada Lovelace"), row.TextValue("ada.lovelace@example.org"),
		row.TextValue("12 St James's Square, London SW1Y 4JH"), row.BytesValue(row.Decimal, []byte("1234.50")), row.TextValue("shipped"),
		row.DatetimeValue(2024, 2, 29, 12, 34, 56, 789012), row.TimestampValue(1709210096789012),
		row.TextValue("leave it with the neighbour; ring twice, she is rather hard of hearing, and \"thank you\"")}
}

func orderMessage(t testing.TB) *Message {
	table, image := orders()
	key, err := table.Key(image)
	if err != nil {
		t.Fatal(err)
	}
	return &Message{Kind: Change, Epoch: 3, Time: 1709210096999,
		Source: Source{Region: "us-east-1", GTID: "3e11fa47-71ca-11e1-9e33-c80aa9429562:23", Ordinal: 1, Last: true, ServerID: 1, File: "bin.000042", Position: 1234567, CommitTime: 1709210096789012},
		Change: &row.Change{Table: table, Op: row.Insert, Key: key, After: image, Digest: table.Digest(key, image),
			Version: row.Version{Time: 1709210096789012, Region: "us-east-1"}, Overwrote: row.Version{Time: 1709210096089012, Region: "eu-west-1"}}}
}

// perCore reports rows per second of processor time: what one core makes when nobody else uses it.
func perCore(b *testing.B) func() {
	used := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	start := used()
	return func() { b.ReportMetric(float64(b.N)*1e9/float64(used()-start), "rows/core-s") }
}

func BenchmarkEncode(b *testing.B) {
	m := orderMessage(b)
	var x Encoder
	b.ReportAllocs()
	report := perCore(b)
	for b.Loop() {
		x.Reset()
		if _, err := x.Encode(m); err != nil {
			b.Fatal(err)
		}
	}
	report()
	b.ReportMetric(float64(len(x.buf)), "bytes/row")
}

func BenchmarkDecode(b *testing.B) {
	r, err := Encode(orderMessage(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%s\n%s\n%q", r.Key, r.Value, r.Headers)
	b.ReportAllocs()
	report := perCore(b)
	for b.Loop() {
		if _, err := Decode(&r); err != nil {
			b.Fatal(err)
		}
	}
	report()
}
