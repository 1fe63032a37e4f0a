package row

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// keyTable has a key of an integer, a text and a binary column.
func keyTable() *Table {
	return NewTable("shop", "orders", []Column{{Name: "id", Type: TypeInt}, {Name: "code", Type: TypeText, Charset: "utf8mb4", Collation: "utf8mb4_bin"}, {Name: "raw", Type: TypeBinary}}, []int{0, 1, 2})
}

func TestParseKey_ReadsWhatPeopleType(t *testing.T) {
	three := func(id int64, code, raw string) []Value {
		return []Value{IntValue(id), TextValue(code), BytesValue(Binary, []byte(raw))}
	}
	table := keyTable()
	for text, want := range map[string][]Value{
		`42,abc,0x00ff`:                   three(42, "abc", "\x00\xff"),
		`-1,"a,b ""c""",xyz`:              three(-1, `a,b "c"`, "xyz"),
		`1,0x41,"0x41"`:                   three(1, "0x41", "0x41"),
		`1,,""`:                           three(1, "", ""),
		`1, a ,0x`:                        three(1, " a ", ""),
		`[1, "a", "0x00"]`:                three(1, "a", "\x00"),
		`[-9223372036854775808,"[", "b"]`: three(-1<<63, "[", "b"),
		`["7", "é", {"base64": "/wA="}]`:  three(7, "é", "\xff\x00"),
		`1,[a,b`:                          three(1, "[a", "b"),
	} {
		got, err := ParseKey(table, text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	}
	raw, err := ParseKey(table, `[1, {"base64": "/w=="}, "x"]`)
	if err != nil || raw[1].Kind != RawText || string(raw[1].Bytes) != "\xff" {
		t.Errorf("bytes for a text column: %+v, %v", raw, err)
	}
}

func TestParseKey_ReadsEveryTypeOfColumn(t *testing.T) {
	for _, c := range []struct {
		column Column
		text   string
		want   Value
	}{
		{Column{Type: TypeUint}, "18446744073709551615", UintValue(1<<64 - 1)},
		{Column{Type: TypeYear}, "2024", UintValue(2024)},
		{Column{Type: TypeDecimal}, "-1.50", BytesValue(Decimal, []byte("-1.50"))},
		{Column{Type: TypeDouble}, "1e-7", DoubleValue(1e-7)},
		{Column{Type: TypeFloat}, "0.1", FloatValue(0.1)},
		{Column{Type: TypeBit, Length: 8}, "0b101", Value{Kind: Bit, Num: 5}},
		{Column{Type: TypeBit, Length: 8}, "0xff", Value{Kind: Bit, Num: 255}},
		{Column{Type: TypeBinary, Length: 4}, "0x6100", BytesValue(Binary, []byte("a\x00\x00\x00"))},
		{Column{Type: TypeEnum, Labels: []string{"new"}}, "new", TextValue("new")},
		{Column{Type: TypeSet}, `"a,b"`, TextValue("a,b")},
		{Column{Type: TypeDate}, "2024-02-29", DateValue(2024, 2, 29)},
		{Column{Type: TypeTime}, "-01:00:00.5", TimeValue(-3600500000)},
		{Column{Type: TypeDatetime}, "2024-02-29T01:02:03Z", DatetimeValue(2024, 2, 29, 1, 2, 3, 0)},
		{Column{Type: TypeTimestamp}, "1970-01-01 00:00:01", TimestampValue(1000000)},
		{Column{Type: TypeUUID}, "00FF", TextValue("00ff")},
	} {
		c.column.Name = "k"
		table := NewTable("s", "t", []Column{c.column}, []int{0})
		got, err := ParseKey(table, c.text)
		if err != nil || !reflect.DeepEqual(got, []Value{c.want}) {
			t.Errorf("type %d, %s: %+v, %v, want %+v", c.column.Type, c.text, got, err, c.want)
			continue
		}
		text := FormatKey(table, got)
		if again, err := ParseKey(table, text); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("type %d, %s: written as %s, which is %+v, %v", c.column.Type, c.text, text, again, err)
		}
	}
}

func TestParseKey_SaysWhatIsWrong(t *testing.T) {
	table := keyTable()
	for text, want := range map[string]string{
		`1,2`:                    "has 2 values, the primary key of shop.orders has 3: id, code, raw",
		`x,a,b`:                  `column id of shop.orders: "x": invalid syntax`,
		`1,"a,b`:                 "a quote is not closed",
		`1,"a"b,c`:               "a comma is missing behind a quoted value",
		`1,a,0xg0`:               "encoding/hex",
		"1,\xff,c":               "it is no UTF-8",
		`[1, "a"`:                "no JSON array",
		`[1,"a","b"]x`:           "something stands behind the JSON array",
		`[1,null,"b"]`:           "value 2 is neither a string, a number",
		`[1,{"x":1},"b"]`:        `an object must be {"base64": "…"}`,
		`[1,{"literal":""},"b"]`: `only an ENUM has the literal ""`,
	} {
		if _, err := ParseKey(table, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestFormatKey_IsReadBackAsTheSameKey(t *testing.T) {
	table := NewTable("s", "t", []Column{
		{Name: "a", Type: TypeText, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"}, {Name: "b", Type: TypeBinary}, {Name: "c", Type: TypeDatetime, Fraction: 3},
		{Name: "d", Type: TypeEnum, Labels: []string{"x"}}, {Name: "e", Type: TypeUint}, {Name: "f", Type: TypeTime},
	}, []int{0, 1, 2, 3, 4, 5})
	rapid.Check(t, func(t *rapid.T) {
		text := TextValue(rapid.StringOf(rapid.SampledFrom([]rune("a\",[]0x \n\té"))).Draw(t, "text"))
		if rapid.IntRange(0, 9).Draw(t, "raw") == 0 {
			text = BytesValue(RawText, []byte{0xff})
		}
		enum := TextValue("x")
		if rapid.IntRange(0, 9).Draw(t, "zero") == 0 {
			enum = Value{Kind: EnumZero}
		}
		values := []Value{
			text, BytesValue(Binary, rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "bytes")),
			DatetimeValue(rapid.IntRange(0, 9999).Draw(t, "year"), 2, 31, 1, 2, 3, rapid.SampledFrom([]int{0, 1000, 123456}).Draw(t, "micros")),
			enum, UintValue(rapid.Uint64().Draw(t, "n")), TimeValue(rapid.Int64Range(-3020399999999, 3020399999999).Draw(t, "time")),
		}
		written := FormatKey(table, values)
		got, err := ParseKey(table, written)
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		want, err := table.KeyOf(values)
		if err != nil {
			t.Fatal(err)
		}
		if key, err := table.KeyOf(got); err != nil || key != want {
			t.Fatalf("%s: %+v, %v, want %+v", written, got, err, values)
		}
	})
}
