package row

import (
	"encoding/hex"
	"math"
	"testing"
)

// goldenValues are values with their canonical bytes. The bytes are in ledgers and provenance rows of running systems:
// a line may be added here, none may change.
var goldenValues = []struct {
	name  string
	value Value
	want  string
}{
	{"NULL", NullValue(), "01"},
	{"zero", IntValue(0), "030000000000000000"},
	{"unsigned zero", UintValue(0), "030000000000000000"},
	{"one", IntValue(1), "030000000000000001"},
	{"minus one", IntValue(-1), "02ffffffffffffffff"},
	{"least", IntValue(math.MinInt64), "028000000000000000"},
	{"greatest signed", IntValue(math.MaxInt64), "037fffffffffffffff"},
	{"greatest unsigned", UintValue(math.MaxUint64), "03ffffffffffffffff"},
	{"decimal", BytesValue(Decimal, []byte("1.50")), "0403312e35"},
	{"decimal with more digits", BytesValue(Decimal, []byte("001.5000")), "0403312e35"},
	{"negative decimal", BytesValue(Decimal, []byte("-0.10")), "04042d302e31"},
	{"decimal zero", BytesValue(Decimal, []byte("-0.00")), "040130"},
	{"whole decimal", BytesValue(Decimal, []byte("100")), "0403313030"},
	{"long decimal", BytesValue(Decimal, []byte("12345678901234567890123456789012345.123456789012345678901234567891")),
		"044231323334353637383930313233343536373839303132333435363738393031323334352e313233343536373839303132333435363738393031323334353637383931"},
	{"float", FloatValue(0.1), "053dcccccd"},
	{"float -0.0", FloatValue(float32(math.Copysign(0, -1))), "0580000000"},
	{"double", DoubleValue(0.1), "063fb999999999999a"},
	{"double 0.0", DoubleValue(0), "060000000000000000"},
	{"double -0.0", DoubleValue(math.Copysign(0, -1)), "068000000000000000"},
	{"bits", Value{Kind: Bit, Num: math.MaxUint64}, "07ffffffffffffffff"},
	{"empty text", TextValue(""), "0800"},
	{"text", TextValue("é "), "0803c3a920"},
	{"bytes that are no text", BytesValue(RawText, []byte{0xff}), "0901ff"},
	{"binary", BytesValue(Binary, []byte{'a', 0}), "0a026100"},
	{"date", DateValue(2024, 2, 30), "0b000fd05e"},
	{"zero date", DateValue(0, 0, 0), "0b00000000"},
	{"time", TimeValue(838*3600*1e6 + 1), "0c800002be674ad801"},
	{"negative time", TimeValue(-1), "0c7fffffffffffffff"},
	{"datetime", DatetimeValue(2024, 2, 29, 23, 59, 59, 999999), "0d01fa0bb7efbf423f"},
	{"zero datetime", DatetimeValue(0, 0, 0, 0, 0, 0, 0), "0d0000000000000000"},
	{"timestamp", TimestampValue(1700000000000001), "0e80060a24181e4001"},
	{"zero timestamp", TimestampValue(0), "0e8000000000000000"},
	{"JSON", BytesValue(JSON, []byte(`{"bb": [1.0, 1.10], "a" : "\u00e9"}`)), "0f177b2261223a22c3a9222c226262223a5b312c312e315d7d"},
	{"broken JSON", BytesValue(JSON, []byte(`{"a"`)), "13047b226122"},
	{"geometry", BytesValue(Geometry, []byte{0, 0, 0, 0, 1}), "10050000000001"},
	{"vector", BytesValue(Vector, []byte{0, 0, 0x80, 0x3f}), "11040000803f"},
	{"ENUM 0", Value{Kind: EnumZero}, "12"},
}

func TestAppendValue_GoldenBytes(t *testing.T) {
	for _, g := range goldenValues {
		if got := hex.EncodeToString(AppendValue(nil, g.value)); got != g.want {
			t.Errorf("%s: %s, want %s", g.name, got, g.want)
		}
	}
}

func TestAppendValue_LengthOfLongValues(t *testing.T) {
	for _, size := range []int{127, 128, 16383, 16384} {
		text := make([]byte, size)
		for i := range text {
			text[i] = 'x'
		}
		document := append(append([]byte{'"'}, text[2:]...), '"')
		for _, v := range []Value{BytesValue(Text, text), BytesValue(JSON, document)} {
			prefix := hex.EncodeToString(AppendValue([]byte("before"), v)[6:10])
			want := map[int]string{127: "7f", 128: "8001", 16383: "ff7f", 16384: "808001"}[size]
			if got := prefix[2 : 2+len(want)]; got != want {
				t.Errorf("kind %d of %d bytes: length %s, want %s", v.Kind, size, got, want)
			}
		}
	}
}

// text is a text column of a collation.
func textColumn(collation string) Column {
	return Column{Name: "k", Type: TypeText, Charset: "utf8mb4", Collation: collation}
}

var goldenKeys = []struct {
	name   string
	column Column
	value  Value
	want   string
}{
	{"integer", Column{Name: "k", Type: TypeInt}, IntValue(-5), "02fffffffffffffffb"},
	{"unsigned integer", Column{Name: "k", Type: TypeUint}, UintValue(1 << 63), "038000000000000000"},
	{"double -0.0", Column{Name: "k", Type: TypeDouble}, DoubleValue(math.Copysign(0, -1)), "060000000000000000"},
	{"float -0.0", Column{Name: "k", Type: TypeFloat}, FloatValue(float32(math.Copysign(0, -1))), "0500000000"},
	{"decimal", Column{Name: "k", Type: TypeDecimal}, BytesValue(Decimal, []byte("7.10")), "0403372e31"},
	{"binary", Column{Name: "k", Type: TypeBinary}, BytesValue(Binary, []byte("a ")), "0a026120"},
	{"enum", Column{Name: "k", Type: TypeEnum}, TextValue("Red"), "0803526564"},
	{"set", Column{Name: "k", Type: TypeSet}, TextValue("b,a"), "0803612c62"},
	{"uuid", Column{Name: "k", Type: TypeUUID}, TextValue("00ff"), "080430306666"},
	{"0900_ai_ci", textColumn("utf8mb4_0900_ai_ci"), TextValue("Ä b"), "14061c4702091c60"},
	{"0900_ai_ci keeps spaces", textColumn("utf8mb4_0900_ai_ci"), TextValue("a "), "14041c470209"},
	{"0900_as_cs", textColumn("utf8mb4_0900_as_cs"), TextValue("á"), "140e1c47000000200024000000020002"},
	{"0900_bin keeps spaces", textColumn("utf8mb4_0900_bin"), TextValue("A "), "08024120"},
	{"bin", textColumn("utf8mb4_bin"), TextValue("A "), "080141"},
	{"general_ci", textColumn("utf8mb4_general_ci"), TextValue("ä😀  "), "14040041fffd"},
	{"general_nopad_ci", textColumn("utf8mb4_general_nopad_ci"), TextValue("a "), "140400410020"},
	{"unicode_ci ignores a no-break space at the end", textColumn("utf8mb4_unicode_ci"), TextValue("a\u00a0"), "14020e33"},
	{"uca1400_ai_ci", textColumn("utf8mb4_uca1400_ai_ci"), TextValue("Ä "), "14022075"},
	{"uca1400_as_cs", textColumn("utf8mb4_uca1400_as_cs"), TextValue("Ä"), "140c207500000020002b00000008"},
	{"latin1_swedish_ci", Column{Name: "k", Type: TypeText, Charset: "latin1", Collation: "latin1_swedish_ci"}, TextValue("é "), "140145"},
	{"no text", textColumn("utf8mb4_general_ci"), BytesValue(RawText, []byte{0xff}), "0901ff"},
	{"sjis", Column{Name: "k", Type: TypeText, Charset: "sjis", Collation: "sjis_japanese_ci"}, TextValue("aブ"), "1403418375"},
}

func TestKey_GoldenBytes(t *testing.T) {
	for _, g := range goldenKeys {
		table := NewTable("shop", "t", []Column{g.column}, []int{0})
		key, err := table.KeyOf([]Value{g.value})
		if got := hex.EncodeToString([]byte(key)); err != nil || got != g.want {
			t.Errorf("%s: %s, %v, want %s", g.name, got, err, g.want)
		}
		if fromImage, err := table.Key([]Value{g.value}); err != nil || fromImage != key {
			t.Errorf("%s: from a row %x, %v", g.name, fromImage, err)
		}
	}
}

func TestDigest_Golden(t *testing.T) {
	table, image := benchTable()
	key, err := table.Key(image)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := table.ColumnsID(), uint64(0x7e9b134316063d5c); got != want {
		t.Errorf("ColumnsID %#x, want %#x", got, want)
	}
	if got, want := table.Digest(key, image), uint64(0xe99045744d354c37); got != want {
		t.Errorf("digest %#x, want %#x", got, want)
	}
	var all []Column
	var values []Value
	for i, g := range goldenValues {
		all = append(all, Column{Name: string(rune('A' + i)), Type: TypeInt})
		values = append(values, g.value)
	}
	if got, want := NewTable("s", "t", all, []int{1}).Digest("key", values), uint64(0x6e803c70b3a2703); got != want {
		t.Errorf("digest of every kind %#x, want %#x", got, want)
	}
}

func TestShard_Golden(t *testing.T) {
	for _, g := range []struct {
		table  string
		key    Key
		shards int
		want   int
	}{
		{"shop.orders", "", 16, 13}, {"shop.orders", "\x03\x00\x00\x00\x00\x00\x00\x00\x01", 16, 5}, {"shop.orders", "\x03\x00\x00\x00\x00\x00\x00\x00\x02", 16, 11},
		{"shop.customers", "\x03\x00\x00\x00\x00\x00\x00\x00\x01", 16, 5}, {"shop.orders", "\x08\x03abc", 7, 6}, {"shop.orders", "\x08\x03abc", 1000, 250},
		{"shop.orders", "x", 1, 0}, {"shop.orders", "x", 0, 0},
	} {
		if got := Shard(g.table, g.key, g.shards); got != g.want {
			t.Errorf("Shard(%q, %q, %d) = %d, want %d", g.table, g.key, g.shards, got, g.want)
		}
	}
}

func TestShard_SpreadsNeighbouringKeys(t *testing.T) {
	const shards, keys = 16, 16000
	var counts [shards]int
	for i := range keys {
		counts[Shard("shop.orders", integerKey(IntValue(int64(i))), shards)]++
	}
	for shard, n := range counts {
		if n < keys/shards*8/10 || n > keys/shards*12/10 {
			t.Errorf("shard %d has %d of %d keys", shard, n, keys)
		}
	}
}
