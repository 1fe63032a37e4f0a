package row

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// ErrKeyUnreadable is returned for bytes that are no key of the table.
var ErrKeyUnreadable = errors.New("the bytes are no key of this table")

// KeyLabel gives what a row's Key does not tell of the primary key's values: for keys with collated text, in which there
// are weights only, the canonical bytes of the values; nil for all others. image has a value for every column.
func (t *Table) KeyLabel(image []Value) []byte {
	if !slices.ContainsFunc(t.keys, func(k keyColumn) bool { return k.collation != nil }) {
		return nil
	}
	var b []byte
	for i := range t.keys {
		if at := t.keys[i].at; at < len(image) {
			b = AppendValue(b, image[at])
		}
	}
	return b
}

// KeyValues gives the values of the primary key, in its order, from a Key and its KeyLabel: what a person reads, and what a
// statement looks the row up by.
func (t *Table) KeyValues(key Key, label []byte) ([]Value, error) {
	b := []byte(key)
	if len(label) > 0 {
		b = label
	}
	values := make([]Value, 0, len(t.keys))
	for i := range t.keys {
		v, rest, err := readCanonical(b)
		if err != nil {
			return nil, fmt.Errorf("table %s, column %s: %w", t, t.Columns[t.keys[i].at].Name, err)
		}
		if c := &t.Columns[t.keys[i].at]; v.Kind == Uint && c.Type == TypeInt {
			v.Kind = Int // a number that is not negative counts the same in signed and unsigned columns
		}
		values, b = append(values, v), rest
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("table %s: %w: %d bytes too many", t, ErrKeyUnreadable, len(b))
	}
	return values, nil
}

// readCanonical is the inverse of AppendValue, for the values that a primary key can have.
func readCanonical(b []byte) (v Value, rest []byte, err error) {
	if len(b) == 0 {
		return v, nil, fmt.Errorf("%w: it ends too early", ErrKeyUnreadable)
	}
	tag, b := b[0], b[1:]
	kind, ok := kindOfTag[tag]
	if !ok {
		return v, nil, fmt.Errorf("%w: tag %#x", ErrKeyUnreadable, tag)
	}
	v.Kind = kind
	switch tag {
	case tagEnumZero:
		return v, b, nil
	case tagFloat, tagDate:
		if len(b) < 4 {
			break
		}
		v.Num = uint64(binary.BigEndian.Uint32(b))
		return v, b[4:], nil
	case tagDecimal, tagText, tagRawText, tagBinary:
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			break
		}
		end := size + int(n)
		v.Bytes = b[size:end:end]
		return v, b[end:], nil
	default:
		if len(b) < 8 {
			break
		}
		v.Num = binary.BigEndian.Uint64(b)
		if tag == tagTime || tag == tagTimestamp {
			v.Num ^= signBit
		}
		return v, b[8:], nil
	}
	return v, nil, fmt.Errorf("%w: it ends too early", ErrKeyUnreadable)
}

var kindOfTag = map[byte]Kind{
	tagNegative: Int, tagInteger: Uint, tagDecimal: Decimal, tagFloat: Float, tagDouble: Double, tagBit: Bit, tagText: Text, tagRawText: RawText,
	tagBinary: Binary, tagDate: Date, tagTime: Time, tagDatetime: Datetime, tagTimestamp: Timestamp, tagEnumZero: EnumZero,
}

// OwnsKey tells whether a Key with its label is one that this table gives to a row. Where it is not, the primary key was another
// one when the Key was made: other columns, types or collations.
func (t *Table) OwnsKey(key Key, label []byte) bool {
	values, err := t.KeyValues(key, label)
	if err != nil {
		return false
	}
	for i := range values {
		if !t.Columns[t.keys[i].at].holds(values[i].Kind) {
			return false
		}
	}
	again, err := t.KeyOf(values)
	return err == nil && again == key
}

// holds tells whether a column of a primary key can have values of a kind.
func (c *Column) holds(k Kind) bool {
	switch c.Type {
	case TypeInt, TypeUint, TypeYear:
		return k == Int || k == Uint
	case TypeText:
		return k == Text || k == RawText
	case TypeEnum:
		return k == Text || k == RawText || k == EnumZero
	case TypeSet, TypeUUID, TypeInet4, TypeInet6:
		return k == Text || k == RawText
	default:
		return k == keyKinds[c.Type]
	}
}

var keyKinds = map[Type]Kind{
	TypeDecimal: Decimal, TypeFloat: Float, TypeDouble: Double, TypeBit: Bit, TypeBinary: Binary, TypeDate: Date, TypeTime: Time,
	TypeDatetime: Datetime, TypeTimestamp: Timestamp,
}

// KeyOnly is the table with the columns of its primary key alone, in the key's order: images of its rows are key values.
func (t *Table) KeyOnly() *Table {
	columns := make([]Column, len(t.PrimaryKey))
	order := make([]int, len(columns))
	for i, at := range t.PrimaryKey {
		columns[i], order[i] = t.Columns[at], i
	}
	return NewTable(t.Schema, t.Name, columns, order)
}
