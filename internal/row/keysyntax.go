package row

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ParseKey reads a primary key as a person types it: its values in the key's order, separated by commas, quoted as in
// CSV, binary as 0x…; or a JSON array, in which {"base64": "…"} stands for bytes. The result goes to Table.KeyOf.
func ParseKey(t *Table, s string) ([]Value, error) {
	var fields []keyField
	var err error
	if strings.HasPrefix(s, "[") {
		fields, err = jsonFields(s)
	} else {
		fields, err = csvFields(s)
	}
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", s, err)
	}
	if len(fields) != len(t.PrimaryKey) {
		return nil, fmt.Errorf("key %q has %d values, the primary key of %s has %d: %s (quote a value that has a comma)",
			s, len(fields), t, len(t.PrimaryKey), t.keyNames())
	}
	values := make([]Value, len(fields))
	for i, f := range fields {
		c := &t.Columns[t.PrimaryKey[i]]
		if values[i], err = f.value(c); err != nil {
			return nil, fmt.Errorf("key %q: column %s of %s: %w", s, c.Name, t, err)
		}
	}
	return values, nil
}

// FormatKey writes the primary key's values, in the key's order, so that ParseKey reads the same values.
func FormatKey(t *Table, values []Value) string {
	for _, v := range values {
		if v.Kind == RawText || v.Kind == EnumZero || v.Kind == Null {
			return formatJSONKey(t, values)
		}
	}
	var b []byte
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		text := AppendText(nil, v, t.keyColumn(i))
		if v.Kind != Text || !needsQuotes(text, i == 0) {
			b = append(b, text...)
			continue
		}
		b = append(b, '"')
		b = append(b, bytes.ReplaceAll(text, []byte{'"'}, []byte(`""`))...)
		b = append(b, '"')
	}
	return string(b)
}

// needsQuotes tells whether a text must be quoted; first, whether it is the first value, where a bracket means JSON.
func needsQuotes(text []byte, first bool) bool {
	return len(text) == 0 || bytes.ContainsAny(text, "\",\r\n") || text[0] == ' ' || text[len(text)-1] == ' ' || (first && text[0] == '[')
}

func (t *Table) keyColumn(i int) *Column {
	if i < len(t.PrimaryKey) {
		return &t.Columns[t.PrimaryKey[i]]
	}
	return nil
}

func (t *Table) keyNames() string {
	names := make([]string, len(t.PrimaryKey))
	for i := range names {
		names[i] = t.keyColumn(i).Name
	}
	return strings.Join(names, ", ")
}

// KeyShape tells a person what a key of the table is made of: "id, a whole number; day, YYYY-MM-DD".
func (t *Table) KeyShape() string {
	parts := make([]string, len(t.PrimaryKey))
	for i := range parts {
		c := t.keyColumn(i)
		parts[i] = c.Name + ", " + c.shape()
	}
	return strings.Join(parts, "; ")
}

func (c *Column) shape() string {
	switch c.Type {
	case TypeInt, TypeUint, TypeYear:
		return "a whole number"
	case TypeDecimal, TypeFloat, TypeDouble:
		return "a number"
	case TypeBit:
		return "bits as a number"
	case TypeBinary:
		return "bytes as 0x…"
	case TypeDate:
		return "YYYY-MM-DD"
	case TypeTime:
		return "HH:MM:SS"
	case TypeDatetime, TypeTimestamp:
		return "YYYY-MM-DD HH:MM:SS"
	case TypeEnum, TypeSet:
		return "a label"
	case TypeText, TypeJSON, TypeGeometry, TypeVector, TypeUUID, TypeInet4, TypeInet6, TypeUnknown:
	}
	return "text"
}

func formatJSONKey(t *Table, values []Value) string {
	b := []byte{'['}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		switch v.Kind {
		case Int, Uint, Bit:
			b = AppendText(b, v, nil)
		case Null:
			b = append(b, "null"...)
		case RawText:
			b = append(base64.StdEncoding.AppendEncode(append(b, `{"base64":"`...), v.Bytes), `"}`...)
		case EnumZero:
			b = append(b, `{"literal":""}`...)
		default:
			b = appendJSONString(b, AppendText(nil, v, t.keyColumn(i)))
		}
	}
	return string(append(b, ']'))
}

// keyField is one value as it was typed.
type keyField struct {
	text   string
	form   fieldForm
	quoted bool // in quotes, so that 0x is text
}

// fieldForm tells what the text of a keyField is.
type fieldForm uint8

const (
	plainField   fieldForm = iota // as typed
	bytesField                    // bytes, {"base64": …}
	literalField                  // {"literal": …}
)

// csvFields reads one record of CSV. A quote within an unquoted value stands for itself.
func csvFields(s string) ([]keyField, error) {
	var fields []keyField
	for {
		var f keyField
		if rest, ok := strings.CutPrefix(s, `"`); ok {
			text, after, ok := unquote(rest)
			if !ok {
				return nil, errors.New("a quote is not closed")
			}
			f, s = keyField{text: text, quoted: true}, after
			if s != "" && s[0] != ',' {
				return nil, errors.New("a comma is missing behind a quoted value")
			}
		} else {
			comma := strings.IndexByte(s, ',')
			if comma < 0 {
				comma = len(s)
			}
			f, s = keyField{text: s[:comma]}, s[comma:]
		}
		fields = append(fields, f)
		if s == "" {
			return fields, nil
		}
		s = s[1:]
	}
}

// unquote reads up to the closing quote; a doubled one is a quote.
func unquote(s string) (text, after string, ok bool) {
	var b strings.Builder
	for {
		quote := strings.IndexByte(s, '"')
		if quote < 0 {
			return "", "", false
		}
		b.WriteString(s[:quote])
		s = s[quote+1:]
		if !strings.HasPrefix(s, `"`) {
			return b.String(), s, true
		}
		b.WriteByte('"')
		s = s[1:]
	}
}

func jsonFields(s string) ([]keyField, error) {
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	var items []any
	if err := d.Decode(&items); err != nil {
		return nil, fmt.Errorf("no JSON array: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands behind the JSON array")
	}
	fields := make([]keyField, len(items))
	for i, item := range items {
		switch item := item.(type) {
		case json.Number:
			fields[i] = keyField{text: item.String()}
		case string:
			fields[i] = keyField{text: item}
		case bool:
			fields[i] = keyField{text: strconv.FormatBool(item)}
		case map[string]any:
			f, err := objectField(item)
			if err != nil {
				return nil, err
			}
			fields[i] = f
		default:
			return nil, fmt.Errorf("value %d is neither a string, a number nor {\"base64\": …}", i+1)
		}
	}
	return fields, nil
}

func objectField(object map[string]any) (keyField, error) {
	if text, ok := object["literal"].(string); ok && len(object) == 1 {
		return keyField{text: text, form: literalField}, nil
	}
	text, ok := object["base64"].(string)
	if !ok || len(object) != 1 {
		return keyField{}, errors.New(`an object must be {"base64": "…"}`)
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return keyField{}, fmt.Errorf("base64: %w", err)
	}
	return keyField{text: string(b), form: bytesField}, nil
}

// value makes the Value of a column out of what was typed.
func (f keyField) value(c *Column) (Value, error) {
	switch f.form {
	case bytesField:
		switch c.Type {
		case TypeText, TypeEnum, TypeSet:
			return BytesValue(RawText, []byte(f.text)), nil
		case TypeBinary:
			return BytesValue(Binary, PadBinary([]byte(f.text), c.Length)), nil
		default:
			return Value{}, errors.New("the column does not hold bytes")
		}
	case literalField:
		if c.Type != TypeEnum || f.text != "" {
			return Value{}, errors.New("only an ENUM has the literal \"\"")
		}
		return Value{Kind: EnumZero}, nil
	case plainField:
	}
	switch c.Type {
	case TypeText, TypeEnum, TypeSet:
		if !utf8.ValidString(f.text) {
			return Value{}, errors.New(`it is no UTF-8: write [{"base64": "…"}]`)
		}
		return TextValue(f.text), nil
	case TypeBinary:
		return f.binary(c)
	case TypeBit:
		n, err := strconv.ParseUint(bitDigits(f.text), 0, 64)
		if err != nil {
			return Value{}, fmt.Errorf("%q is no number of 64 bits", f.text)
		}
		return Value{Kind: Bit, Num: n}, nil
	case TypeDatetime, TypeTimestamp:
		return f.scalar(c, strings.TrimSuffix(strings.Replace(f.text, "T", " ", 1), "Z"))
	case TypeJSON, TypeGeometry, TypeVector, TypeUnknown:
		return Value{}, errors.New("a column of this type is never part of a primary key")
	default:
		return f.scalar(c, f.text)
	}
}

func bitDigits(text string) string {
	switch text {
	case "true":
		return "1"
	case "false":
		return "0"
	}
	return text
}

func (f keyField) scalar(c *Column, text string) (Value, error) {
	v, err := fromText(c, []byte(text), false)
	if err != nil {
		var number *strconv.NumError
		if errors.As(err, &number) {
			err = number.Err
		}
		return Value{}, fmt.Errorf("%q: %w", f.text, err)
	}
	return v, nil
}

func (f keyField) binary(c *Column) (Value, error) {
	b := []byte(f.text)
	if digits, ok := strings.CutPrefix(f.text, "0x"); ok && !f.quoted {
		var err error
		if b, err = hex.DecodeString(digits); err != nil {
			return Value{}, fmt.Errorf("%q: %w", f.text, err)
		}
	}
	if c.Length > 0 && len(b) > c.Length {
		return Value{}, fmt.Errorf("%d bytes for BINARY(%d)", len(b), c.Length)
	}
	return BytesValue(Binary, PadBinary(b, c.Length)), nil
}
