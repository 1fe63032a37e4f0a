package row

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// A key and its label give the values back: those that the row is found by, and, with text, those that people wrote.
func TestKeyValues_GivesBackWhatTheKeyWasMadeFrom(t *testing.T) {
	kinds := map[Type][]Kind{
		TypeInt: {Int}, TypeUint: {Uint}, TypeYear: {Uint}, TypeDecimal: {Decimal}, TypeFloat: {Float}, TypeDouble: {Double}, TypeBit: {Bit}, TypeText: {Text, RawText},
		TypeEnum: {Text, EnumZero}, TypeSet: {Text}, TypeBinary: {Binary}, TypeDate: {Date}, TypeTime: {Time}, TypeDatetime: {Datetime},
		TypeTimestamp: {Timestamp}, TypeUUID: {Text},
	}
	var types []Type
	for c := TypeInt; c <= TypeInet6; c++ {
		if kinds[c] != nil {
			types = append(types, c)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		var columns []Column
		var image []Value
		var key []int
		for i := range rapid.IntRange(1, 4).Draw(t, "columns") {
			c := Column{Name: string(rune('a' + i)), Type: rapid.SampledFrom(types).Draw(t, "type")}
			if c.Type == TypeText {
				c.Charset, c.Collation = "utf8mb4", "utf8mb4_0900_ai_ci"
			}
			columns, key = append(columns, c), append(key, i)
			image = append(image, anyValue(kinds[c.Type]...).Draw(t, "value"))
		}
		table := NewTable("s", "t", columns, key)
		made, err := table.Key(image)
		if err != nil {
			t.Fatal(err)
		}
		values, err := table.KeyValues(made, table.KeyLabel(image))
		if err != nil {
			t.Fatalf("%+v: %v", image, err)
		}
		if again, err := table.KeyOf(values); err != nil || again != made {
			t.Fatalf("%+v came back as %+v: %v", image, values, err)
		}
		for i, v := range values {
			if columns[i].Type == TypeText && (v.Kind != image[i].Kind || string(v.Bytes) != string(image[i].Bytes)) {
				t.Fatalf("text %q came back as %q", image[i].Bytes, v.Bytes)
			}
		}
	})
}

func TestKeyLabel_IsOnlyThereWhereTheKeyHasWeights(t *testing.T) {
	number := NewTable("s", "t", []Column{{Name: "id", Type: TypeInt}}, []int{0})
	if label := number.KeyLabel([]Value{IntValue(-5)}); label != nil {
		t.Errorf("an integer key has the label %x", label)
	}
	text := NewTable("s", "t", []Column{{Name: "id", Type: TypeText, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"}}, []int{0})
	image := []Value{TextValue("Zoë")}
	key, err := text.Key(image)
	if err != nil {
		t.Fatal(err)
	}
	if values, err := text.KeyValues(key, text.KeyLabel(image)); err != nil || string(values[0].Bytes) != "Zoë" {
		t.Errorf("%+v, %v", values, err)
	}
	if _, err := text.KeyValues(key, nil); !errors.Is(err, ErrKeyUnreadable) {
		t.Errorf("weights alone: %v", err)
	}
}

func FuzzKeyValues(f *testing.F) {
	table := NewTable("s", "t", []Column{{Name: "a", Type: TypeInt}, {Name: "b", Type: TypeDecimal}}, []int{0, 1})
	f.Add([]byte("\x03\x00\x00\x00\x00\x00\x00\x00\x01\x04\x031.5"))
	f.Fuzz(func(t *testing.T, b []byte) {
		values, err := table.KeyValues(Key(b), nil)
		if err == nil && len(values) != 2 {
			t.Errorf("%x: %+v", b, values)
		}
	})
}
