package row

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzAppendBinaryJSON(f *testing.F) {
	for _, seed := range []string{
		"", "\x04\x00", "\x04\x01", "\x05\xff\xff", "\x0b\x00\x00\x00\x00\x00\x00\xf8\x3f", "\x0c\x03abc", "\x0c\x80\x01",
		"\x02\x01\x00\x0d\x00\x0f\x07\x00\xf6\x04\x03\x02\x81\x0a",                         // [1.10]
		"\x00\x01\x00\x0c\x00\x0b\x00\x01\x00\x05\x01\x00a",                                // {"a": 1}
		"\x02\x01\x00\x07\x00\x02\x00\x00", "\x02\x02\x00\x0a\x00\x02\x04\x00\x02\x04\x00", // elements that point into their own container
		"\x0f\x0c\x08\x00\x00\x00\x00\x00\x00\x00\x80", "\x0f\x0a\x08\x00\x00\x00\x00\x00\x42\xb2\x19", "\x0f\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff", "\x0f\xf6\x02\x42\x1e",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		text, err := AppendBinaryJSON([]byte("x"), b)
		if err != nil {
			if string(text) != "x" {
				t.Fatalf("an error leaves %q", text)
			}
			return
		}
		if utf8.Valid(text) && !json.Valid(text[1:]) {
			t.Fatalf("%x is %q, which is no JSON", b, text[1:])
		}
	})
}

func FuzzAppendNormalJSON(f *testing.F) {
	for _, seed := range []string{
		``, `null`, `{"b":1,"a":[1.0,2e3,-0.0],"a":"\u00e9\ud83d\ude00\ud800"}`, `[`, `{"a"`, `"\`, `"\u12`, `01`, `-`, `1.`, `1e`, `1e999`, `[1,]`, `{"a":1,}`, ` [ ] `,
		`123456789012345678901234567890`, `1e19`, `-9223372036854775808`, `-9223372036854775809`, strings.Repeat("[", 2000), "\"\x00\"", "\"\xff\"", `{"a":1}x`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		normal, err := AppendNormalJSON(nil, text)
		if err != nil {
			if utf8.Valid(text) && json.Valid(text) && bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) < maxNormalDepth {
				t.Fatalf("%q is refused: %v", text, err)
			}
			return
		}
		if !json.Valid(normal) {
			t.Fatalf("%q has the normal form %q, which is no JSON", text, normal)
		}
		if again, err := AppendNormalJSON(nil, normal); err != nil || !bytes.Equal(again, normal) {
			t.Fatalf("%q has the normal form %q, and that %q, %v", text, normal, again, err)
		}
	})
}

func FuzzDecodeText(f *testing.F) {
	for _, set := range []string{"utf8mb4", "utf8mb3", "ascii", "latin1", "latin2", "sjis", "cp932", "ujis", "eucjpms", "euckr", "gbk", "big5", "gb2312", "gb18030",
		"utf16", "utf16le", "utf32", "ucs2", "swe7", "tis620", "geostd8", "binary", "unheard"} {
		for _, b := range []string{"", "abc", "\x5c", "\x81", "\x8f\xa1", "é😀", "\xd8\x00\xdc\x00", "\x81\x30\x81\x30", "\xff\xfe"} {
			f.Add(set, []byte(b))
		}
	}
	f.Fuzz(func(t *testing.T, set string, b []byte) {
		before := bytes.Clone(b)
		text, ok := DecodeText(set, b)
		if !bytes.Equal(b, before) {
			t.Fatal("the bytes were changed")
		}
		if !ok {
			return
		}
		if !utf8.Valid(text) {
			t.Fatalf("%s: %x is %x, which is no UTF-8", set, b, text)
		}
		if s := charsetByName(set); s != nil && s.set.Name() != "utf8mb3" {
			if back, ok := encodeText(nil, s.set, text); !ok || !bytes.Equal(back, b) {
				t.Fatalf("%s: %x is %q and comes back as %x", set, b, text, back)
			}
		}
	})
}

// keyCollations are one of each kind that a Key treats in its own way.
var keyCollations = []string{"utf8mb4_0900_ai_ci", "utf8mb4_0900_as_cs", "utf8mb4_ja_0900_as_cs_ks", "utf8mb4_zh_0900_as_cs", "utf8mb4_bin", "utf8mb4_general_ci",
	"utf8mb4_unicode_ci", "utf8mb4_unicode_520_ci", "utf8mb4_uca1400_ai_ci", "utf8mb4_uca1400_as_cs", "utf8mb4_uca1400_nopad_as_ci", "latin1_swedish_ci",
	"sjis_japanese_ci", "ujis_japanese_ci", "euckr_korean_ci", "gbk_chinese_ci", "big5_chinese_ci", "utf16_general_ci", "ucs2_unicode_ci", "gb18030_unicode_520_ci"}

func FuzzKey_OfText(f *testing.F) {
	for _, text := range []string{"", "a", "A  ", "é\u0301", "\uffff", "\xff", "\x81", "\x8f\xa1", "\xd8", "ß\u00a0", "\U0010ffff"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, collation := range keyCollations {
			set, _, _ := strings.Cut(collation, "_")
			table := NewTable("s", "t", []Column{{Name: "k", Type: TypeText, Charset: set, Collation: collation}}, []int{0})
			v, err := FromText(&table.Columns[0], b)
			if err != nil {
				t.Fatal(err)
			}
			key, err := table.KeyOf([]Value{v})
			if err != nil {
				t.Fatalf("%s: %v", collation, err)
			}
			if again, err := table.KeyOf([]Value{v}); err != nil || again != key {
				t.Fatalf("%s: %x, then %x, %v", collation, key, again, err)
			}
		}
	})
}

func FuzzFromText(f *testing.F) {
	for _, seed := range []string{"", "0", "-1", "18446744073709551615", "1.50", "-0.0", ".", "1e5", "nan", "2024-02-30", "0000-00-00 00:00:00", "2024-01-01 00:00:00.123456",
		"-838:59:59.000001", "839:00:00", "12:34", "a,b", "\xff", "{}", "x'00'"} {
		for typ := TypeUnknown; typ <= TypeInet6; typ++ {
			f.Add(uint8(typ), []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, typ uint8, raw []byte) {
		c := Column{Name: "c", Type: Type(typ % uint8(TypeInet6+1)), Charset: "utf8mb4", Fraction: 6}
		v, err := FromText(&c, raw)
		if err != nil {
			return
		}
		switch v.Kind {
		case Int, Uint, Decimal, Date, Time, Datetime, Timestamp, Float, Double:
			text := AppendText(nil, v, &c)
			if again, err := FromText(&c, text); err != nil || !reflect.DeepEqual(v, again) {
				t.Fatalf("%q is %+v, shown as %q, which is %+v, %v", raw, v, text, again, err)
			}
		default:
			AppendText(nil, v, &c)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	table := keyTable()
	for _, seed := range []string{"", "1", `1,a,0x00`, `-1,"a,""b""",0xff00`, `[1, "a", "0x00"]`, `[1,{"base64":"/w=="},"b"]`, `[`, `["x"`, `"`, `1,"a"b,c`, `1,[x,y`, "1,\xff,x", `[1,"a",{"base64":"AA=="}] x`, `1,,`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		values, err := ParseKey(table, s)
		if err != nil {
			if len(err.Error()) == 0 {
				t.Fatal("an error that says nothing")
			}
			return
		}
		text := FormatKey(table, values)
		again, err := ParseKey(table, text)
		if err != nil || !reflect.DeepEqual(values, again) {
			t.Fatalf("%q is %+v, written %q, which is %+v, %v", s, values, text, again, err)
		}
	})
}

func FuzzParseColumn(f *testing.F) {
	for _, seed := range []string{"int", "int(10) unsigned", "decimal(10,2)", "decimal(", "enum('a','b''c')", `set('a\\b')`, "enum('a", "enum(a)", "varchar(20) /*M!100301 COMPRESSED*/", "bit()", "x)("} {
		name, _, _ := strings.Cut(seed, "(")
		f.Add(name, seed)
	}
	f.Fuzz(func(t *testing.T, dataType, columnType string) {
		c, err := ParseColumn(ColumnInfo{Name: "c", DataType: dataType, ColumnType: columnType})
		if err == nil && c.Type == TypeUnknown {
			t.Fatalf("%q has no type", columnType)
		}
	})
}

func FuzzAppendPackedDecimal(f *testing.F) {
	f.Add([]byte{0x81, 0x0a}, 3, 2)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, 9, 0)
	f.Add([]byte{}, 65, 30)
	f.Add([]byte{1}, -1, 99)
	f.Fuzz(func(t *testing.T, b []byte, precision, scale int) {
		text, rest, err := AppendPackedDecimal(nil, b, precision, scale)
		if err != nil {
			return
		}
		if _, err := decimalFromText(text, false); err != nil || len(rest) > len(b) {
			t.Fatalf("%x as DECIMAL(%d,%d) is %q", b, precision, scale, text)
		}
	})
}
