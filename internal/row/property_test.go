package row

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var allKinds = []Kind{Null, Int, Uint, Decimal, Float, Double, Bit, Text, RawText, Binary, Date, Time, Datetime, Timestamp, JSON, Geometry, Vector, EnumZero}

// anyValue draws a value of one of the kinds, from a small range often enough that two draws are equal now and then.
func anyValue(kinds ...Kind) *rapid.Generator[Value] {
	return rapid.Custom(func(t *rapid.T) Value {
		small := rapid.Bool().Draw(t, "small")
		number := func() uint64 {
			if small {
				return rapid.Uint64Range(0, 3).Draw(t, "n")
			}
			return rapid.Uint64().Draw(t, "n")
		}
		text := func() []byte {
			if small {
				return []byte(rapid.SampledFrom([]string{"", "a", "ab", "b"}).Draw(t, "text"))
			}
			return rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		}
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		switch kind {
		case Null, EnumZero:
			return Value{Kind: kind}
		case Decimal:
			return BytesValue(Decimal, []byte(rapid.StringMatching(`-?[0-9]{1,4}(\.[0-9]{1,4})?`).Draw(t, "decimal")))
		case Text, RawText, Binary, Geometry, Vector:
			return BytesValue(kind, text())
		case JSON:
			return BytesValue(JSON, []byte(anyJSON(1).Draw(t, "json")))
		case Float:
			return Value{Kind: Float, Num: number() & math.MaxUint32}
		case Date:
			return Value{Kind: Date, Num: number() & math.MaxUint32}
		default:
			return Value{Kind: kind, Num: number()}
		}
	})
}

// anyJSON draws JSON text in any spelling.
func anyJSON(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		blank := rapid.SampledFrom([]string{"", " ", "\n\t"})
		kinds := 4
		if depth > 0 {
			kinds = 6
		}
		switch rapid.IntRange(1, kinds).Draw(t, "kind") {
		case 1:
			return rapid.SampledFrom([]string{"null", "true", "false", "1", "1.0", "10e-1", "-0", "0", "18446744073709551615", "1.8446744073709551615e19"}).Draw(t, "word")
		case 2:
			return rapid.StringMatching(`-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "number")
		case 3, 4:
			return anyJSONString(t)
		case 5:
			items := rapid.SliceOfN(anyJSON(depth-1), 0, 4).Draw(t, "items")
			return "[" + blank.Draw(t, "b") + strings.Join(items, blank.Draw(t, "b")+",") + blank.Draw(t, "b") + "]"
		default:
			var members []string
			for range rapid.IntRange(0, 4).Draw(t, "members") {
				members = append(members, blank.Draw(t, "b")+anyJSONString(t)+blank.Draw(t, "b")+":"+anyJSON(depth-1).Draw(t, "member"))
			}
			return "{" + strings.Join(members, ",") + blank.Draw(t, "b") + "}"
		}
	})
}

func anyJSONString(t *rapid.T) string {
	parts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "é", "\\u00e9", "\\u0061", "\\/", "/", "\\n", "\\u000a", "\\ud83d\\ude00", "😀", "\\ud800", "\\\""}), 0, 3)
	return `"` + strings.Join(parts.Draw(t, "parts"), "") + `"`
}

// plainJSON is what a document means, told by encoding/json and not by the code under test: numbers by value, the last of
// members with one name, no order.
func plainJSON(t *rapid.T, text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return plainNumbers(v)
}

func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		text := v.String()
		if i, ok := new(big.Int).SetString(text, 10); ok && (i.IsInt64() || i.IsUint64()) {
			return json.Number(i.String())
		}
		f, err := v.Float64()
		if err != nil {
			return text
		}
		if i, accuracy := big.NewFloat(f).Int(nil); accuracy == big.Exact && (i.IsInt64() || i.IsUint64()) {
			return json.Number(i.String())
		}
		return f
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plainNumbers(v[k])
		}
	}
	return v
}

func marshal(t *rapid.T, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// same tells whether two values are the same value, without the code under test.
func same(t *rapid.T, a, b Value) bool {
	integer := func(v Value) (*big.Int, bool) {
		switch v.Kind {
		case Int:
			return big.NewInt(v.Int64()), true
		case Uint:
			return new(big.Int).SetUint64(v.Num), true
		default:
			return nil, false
		}
	}
	if x, ok := integer(a); ok {
		y, ok := integer(b)
		return ok && x.Cmp(y) == 0
	}
	if a.Kind != b.Kind {
		return false
	}
	switch a.Kind {
	case Decimal:
		x, _ := new(big.Rat).SetString(string(a.Bytes))
		y, _ := new(big.Rat).SetString(string(b.Bytes))
		return x.Cmp(y) == 0
	case JSON:
		if bytes.Contains(a.Bytes, []byte(`\ud800`)) || bytes.Contains(b.Bytes, []byte(`\ud800`)) {
			return bytes.Equal(AppendValue(nil, a), AppendValue(nil, b)) // encoding/json makes U+FFFD of it
		}
		return marshal(t, plainJSON(t, a.Bytes)) == marshal(t, plainJSON(t, b.Bytes))
	default:
		return a.Num == b.Num && bytes.Equal(a.Bytes, b.Bytes)
	}
}

func TestAppendValue_SameBytesExactlyForTheSameValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kinds := allKinds
		if rapid.Bool().Draw(t, "of one kind") {
			kinds = rapid.SampledFrom([][]Kind{{Int, Uint}, {Decimal}, {JSON}, {Text}, {Text, RawText, Binary}, {Float, Double}}).Draw(t, "kinds")
		}
		a, b := anyValue(kinds...).Draw(t, "a"), anyValue(kinds...).Draw(t, "b")
		if one, other := AppendValue(nil, a), AppendValue(nil, b); bytes.Equal(one, other) != same(t, a, b) {
			t.Fatalf("%+v is %x, %+v is %x", a, one, b, other)
		}
	})
}

// skip gives what stands behind the first value in canonical bytes.
func skip(t *rapid.T, b []byte) []byte {
	switch b[0] {
	case tagNull, tagEnumZero:
		return b[1:]
	case tagFloat, tagDate:
		return b[5:]
	case tagNegative, tagInteger, tagDouble, tagBit, tagTime, tagDatetime, tagTimestamp:
		return b[9:]
	case tagDecimal, tagText, tagRawText, tagBinary, tagJSON, tagGeometry, tagVector, tagBrokenJSON:
		n, used := binary.Uvarint(b[1:])
		return b[1+used+int(n):]
	}
	t.Fatalf("unknown tag %x", b[0])
	return nil
}

func TestAppendValue_TellsWhereAValueEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOf(anyValue(allKinds...)).Draw(t, "values")
		var b []byte
		for _, v := range values {
			b = AppendValue(b, v)
		}
		for i, v := range values {
			rest := skip(t, b)
			if own := b[:len(b)-len(rest)]; !bytes.Equal(own, AppendValue(nil, v)) {
				t.Fatalf("value %d, %+v, ends in another place: %x", i, v, own)
			}
			b = rest
		}
		if len(b) > 0 {
			t.Fatalf("%x is left", b)
		}
	})
}

func TestKey_KeepsTheOrderOfNumbersAndTimes(t *testing.T) {
	compare := map[string]func(a, b Value) int{
		"signed":    func(a, b Value) int { return cmp.Compare(a.Int64(), b.Int64()) },
		"unsigned":  func(a, b Value) int { return cmp.Compare(a.Num, b.Num) },
		"time":      func(a, b Value) int { return cmp.Compare(a.Int64(), b.Int64()) },
		"datetime":  func(a, b Value) int { return cmp.Compare(a.Num, b.Num) },
		"timestamp": func(a, b Value) int { return cmp.Compare(a.Int64(), b.Int64()) },
	}
	kinds := map[string]Kind{"signed": Int, "unsigned": Uint, "time": Time, "datetime": Datetime, "timestamp": Timestamp}
	types := map[string]Type{"signed": TypeInt, "unsigned": TypeUint, "time": TypeTime, "datetime": TypeDatetime, "timestamp": TypeTimestamp}
	for name := range compare {
		t.Run(name, func(t *testing.T) {
			table := NewTable("s", "t", []Column{{Name: "a", Type: types[name]}, {Name: "b", Type: types[name]}}, []int{0, 1})
			rapid.Check(t, func(t *rapid.T) {
				draw := func(label string) []Value {
					return []Value{{Kind: kinds[name], Num: rapid.Uint64().Draw(t, label)}, {Kind: kinds[name], Num: rapid.Uint64().Draw(t, label)}}
				}
				a, b := draw("a"), draw("b")
				one, err := table.KeyOf(a)
				if err != nil {
					t.Fatal(err)
				}
				other, err := table.Key(b)
				if err != nil {
					t.Fatal(err)
				}
				want := slices.CompareFunc(a, b, compare[name])
				if got := strings.Compare(string(one), string(other)); got != want {
					t.Fatalf("%v and %v: keys compare as %d", a, b, got)
				}
			})
		})
	}
}

func TestAppendNormalJSON_IsValidAndItsOwnNormalForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := anyJSON(4).Draw(t, "json")
		normal, err := AppendNormalJSON([]byte("before"), []byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		normal = normal[len("before"):]
		if !json.Valid(normal) {
			t.Fatalf("%q has the normal form %q, which is no JSON", text, normal)
		}
		again, err := AppendNormalJSON(nil, normal)
		if err != nil || !bytes.Equal(again, normal) {
			t.Fatalf("%q has the normal form %q, and that %q, %v", text, normal, again, err)
		}
	})
}

func TestDigest_DoesNotDependOnTheColumnsPlaceOrTheLabelsNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels := rapid.Permutation([]string{"c", "a", "b"}).Draw(t, "labels")
		columns := []Column{{Name: "ID", Type: TypeInt}, {Name: "s", Type: TypeSet}, {Name: "v", Type: TypeText}, {Name: "g", Type: TypeInt, Generated: true}}
		image := []Value{IntValue(1), TextValue("a,b,c"), anyValue(allKinds...).Draw(t, "v"), IntValue(3)}
		want := NewTable("s", "t", columns, []int{0}).Digest("k", image)

		other := []Column{{Name: "id", Type: TypeUint}, {Name: "S", Type: TypeSet, Labels: labels}, {Name: "v", Type: TypeText}}
		values := []Value{UintValue(1), TextValue(strings.Join(labels, ",")), image[2]}
		order := rapid.Permutation([]int{0, 1, 2}).Draw(t, "order")
		var moved []Column
		var row []Value
		for _, i := range order {
			moved, row = append(moved, other[i]), append(row, values[i])
		}
		table := NewTable("elsewhere", "t", moved, []int{slices.Index(order, 0)})
		if got := table.Digest("k", row); got != want {
			t.Fatalf("%d, want %d", got, want)
		}
		row[slices.Index(order, 0)] = UintValue(2)
		if got := table.Digest("k", row); got == want {
			t.Fatal("another row has the same digest")
		}
	})
}

// packDecimal writes a decimal as the server does (decimal2bin), digit by digit.
func packDecimal(whole, fraction string, negative bool) []byte {
	var b []byte
	group := func(digits string) {
		n := 0
		for _, c := range digits {
			n = n*10 + int(c-'0')
		}
		for i := packedDigits[len(digits)] - 1; i >= 0; i-- {
			b = append(b, byte(n>>(8*i)))
		}
	}
	if first := len(whole) % 9; first > 0 {
		group(whole[:first])
		whole = whole[first:]
	}
	for ; len(whole) > 0; whole = whole[9:] {
		group(whole[:9])
	}
	for ; len(fraction) > 0; fraction = fraction[min(9, len(fraction)):] {
		group(fraction[:min(9, len(fraction))])
	}
	b[0] ^= 0x80
	if negative {
		for i := range b {
			b[i] ^= 0xff
		}
	}
	return b
}

func TestAppendPackedDecimal_ReadsWhatTheServerPacks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scale := rapid.IntRange(0, 30).Draw(t, "scale")
		precision := rapid.IntRange(max(1, scale), 65).Draw(t, "precision")
		digit := rapid.SampledFrom([]rune("0001239"))
		whole := rapid.StringOfN(digit, precision-scale, precision-scale, -1).Draw(t, "whole")
		fraction := rapid.StringOfN(digit, scale, scale, -1).Draw(t, "fraction")
		negative := rapid.Bool().Draw(t, "negative")
		want := strings.TrimLeft(whole, "0")
		if want == "" {
			want = "0"
		}
		if scale > 0 {
			want += "." + fraction
		}
		if negative {
			want = "-" + want
		}
		got, rest, err := AppendPackedDecimal(nil, append(packDecimal(whole, fraction, negative), 7), precision, scale)
		if err != nil || string(got) != want || len(rest) != 1 {
			t.Fatalf("%s, %d bytes left, %v, want %s", got, len(rest), err, want)
		}
	})
}
