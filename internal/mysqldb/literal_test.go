package mysqldb_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

func TestAppendLiteral_SpellsEveryKind(t *testing.T) {
	for want, v := range map[string]row.Value{
		"NULL":                         row.NullValue(),
		"-9223372036854775808":         row.IntValue(math.MinInt64),
		"18446744073709551615":         row.UintValue(math.MaxUint64),
		"-1.50":                        row.BytesValue(row.Decimal, []byte("-1.50")),
		"1.100000023841858e+00":        row.FloatValue(1.1),
		"1.1e+00":                      row.DoubleValue(1.1),
		"-0e+00":                       row.DoubleValue(math.Copysign(0, -1)),
		"3":                            {Kind: row.Bit, Num: 3},
		`'it''s \\ "x"'`:               row.TextValue(`it's \ "x"`),
		"''":                           row.TextValue(""),
		"_sjis x'93fa'":                row.BytesValue(row.RawText, []byte("\x93\xfa")),
		"x'00ff'":                      row.BytesValue(row.Binary, []byte("\x00\xff")),
		"x''":                          row.BytesValue(row.Binary, nil),
		"'0000-00-00'":                 row.DateValue(0, 0, 0),
		"'0020-02-31'":                 row.DateValue(20, 2, 31),
		"'-838:59:59'":                 row.TimeValue(-(838*3600 + 59*60 + 59) * second),
		"'-00:00:00.000001'":           row.TimeValue(-1),
		"'2020-02-31 01:02:03.000004'": row.DatetimeValue(2020, 2, 31, 1, 2, 3, 4),
		"'0000-00-00 00:00:00'":        row.TimestampValue(0),
		"'1970-01-01 00:00:01.500000'": row.TimestampValue(1500000),
		`'{"a": "\\""}'`:               row.BytesValue(row.JSON, []byte(`{"a": "\""}`)),
		"x'e610000001'":                row.BytesValue(row.Geometry, []byte("\xe6\x10\x00\x00\x01")),
		"x'0000803f'":                  row.BytesValue(row.Vector, []byte("\x00\x00\x80\x3f")),
		"0":                            {Kind: row.EnumZero},
	} {
		got, err := mysqldb.AppendLiteral([]byte("before "), v, &row.Column{Name: "c", Charset: "sjis"})
		if err != nil || string(got) != "before "+want {
			t.Errorf("%v: got %q, want %q (%v)", show(v), got, want, err)
		}
	}
	long := strings.Repeat("\x00'\\", 30)
	got, err := mysqldb.AppendLiteral(nil, row.BytesValue(row.Binary, []byte(long)), &row.Column{})
	if want := "_binary'" + strings.Repeat("\x00''\\\\", 30) + "'"; err != nil || string(got) != want {
		t.Errorf("long bytes: got %q (%v)", got, err)
	}
}

func TestAppendLiteral_RefusesWhatNoServerGave(t *testing.T) {
	for what, v := range map[string]row.Value{
		"a decimal with a comment": row.BytesValue(row.Decimal, []byte("1--2")),
		"a decimal in letters":     row.BytesValue(row.Decimal, []byte("1e5")),
		"an empty decimal":         row.BytesValue(row.Decimal, nil),
		"a lone sign":              row.BytesValue(row.Decimal, []byte("-")),
		"an unfinished decimal":    row.BytesValue(row.Decimal, []byte("1.")),
		"two points":               row.BytesValue(row.Decimal, []byte("1.2.3")),
		"no number":                row.DoubleValue(math.NaN()),
		"infinity":                 row.FloatValue(float32(math.Inf(1))),
		"text that is none":        row.BytesValue(row.Text, []byte("\xff")),
		"raw text of no charset":   row.BytesValue(row.RawText, []byte("x")),
		"an unknown kind":          {Kind: 99},
	} {
		_, err := mysqldb.AppendLiteral(nil, v, &row.Column{Name: "price", Charset: "no'charset"})
		if e, ok := errors.AsType[*mysqldb.LiteralError](err); !ok || e.Column != "price" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A value, whatever it holds, is one literal to a server: in the mode that our sessions have it reads as the value, and in
// the other nothing gets out of it either.
func FuzzAppendLiteral_StaysInItsQuotes(f *testing.F) {
	for _, s := range []string{"", "'", `\`, `\'`, `'\''`, "a\x00b", "日本'", `\\\`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, kind := range []row.Kind{row.Text, row.JSON, row.Binary} {
			got, err := mysqldb.AppendLiteral(nil, row.BytesValue(kind, b), &row.Column{})
			if err != nil || got[0] == 'x' {
				continue
			}
			literal := strings.TrimPrefix(string(got), "_binary")
			value, end := readLiteral(literal, true)
			if end != len(literal) || value != string(b) {
				t.Errorf("%q reads as %q, ending at %d", literal, value, end)
			}
			if _, end := readLiteral(literal, false); end != len(literal) {
				t.Errorf("without backslash escapes %q ends at %d", literal, end)
			}
		}
	})
}

// readLiteral reads a string literal as MySQL's lexer does, and tells where it ends.
func readLiteral(s string, escapes bool) (value string, end int) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && escapes && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == '\'' && i+1 < len(s) && s[i+1] == '\'':
			i++
			b.WriteByte(c)
		case c == '\'':
			return b.String(), i + 1
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), -1
}
