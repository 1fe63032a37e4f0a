package row

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrNoPrimaryKey is returned for a key of a table that has no primary key.
var ErrNoPrimaryKey = errors.New("the table has no primary key")

// keyColumn says how one column of a primary key is written into a Key.
type keyColumn struct {
	at        int        // position in Table.Columns
	collation *collation // of a text column
	err       error      // why the column's collation cannot be used
}

// newKeyColumns looks up, once, what every key of the table needs. A collation that is not supported shows when a key is
// made: only then is it needed.
func newKeyColumns(columns []Column, primaryKey []int) []keyColumn {
	keys := make([]keyColumn, len(primaryKey))
	for i, at := range primaryKey {
		keys[i].at = at
		if c := &columns[at]; c.Type == TypeText {
			keys[i].collation, keys[i].err = lookupCollation(c.Collation)
		}
	}
	return keys
}

// Key gives the row's key from an image that holds a value for every column of the table.
//
// A Key is the canonical bytes of the key's values one after another (see AppendValue), except that text is written as
// the weights that its collation gives it, without the trailing spaces that a PAD SPACE collation ignores, and that -0.0
// is 0.0: what the database takes for one key is one Key. Integers and times keep their order.
func (t *Table) Key(image []Value) (Key, error) {
	if len(t.keys) == 1 {
		if at := t.keys[0].at; at < len(image) && image[at].Kind <= Uint && image[at].Kind != Null {
			return integerKey(image[at]), nil
		}
	}
	return t.makeKey(func(i int) (Value, bool) {
		at := t.keys[i].at
		if at >= len(image) {
			return Value{}, false
		}
		return image[at], true
	})
}

// KeyOf gives the key from the primary key's values, in the key's order: the same that Key makes from a whole row.
func (t *Table) KeyOf(values []Value) (Key, error) {
	if len(values) != len(t.keys) {
		return "", fmt.Errorf("table %s: %d values for a primary key of %d columns", t, len(values), len(t.keys))
	}
	if len(values) == 1 && values[0].Kind <= Uint && values[0].Kind != Null {
		return integerKey(values[0]), nil
	}
	return t.makeKey(func(i int) (Value, bool) { return values[i], true })
}

// makeKey builds a key in a pooled buffer; value gives the value of the key's i-th column.
func (t *Table) makeKey(value func(int) (Value, bool)) (Key, error) {
	if len(t.keys) == 0 {
		return "", fmt.Errorf("table %s: %w", t, ErrNoPrimaryKey)
	}
	buffer := takeBuffer()
	defer buffer.giveBack()
	for i := range t.keys {
		v, ok := value(i)
		if !ok {
			return "", fmt.Errorf("table %s: the row image ends before column %d, which the primary key needs", t, t.keys[i].at+1)
		}
		var err error
		if buffer.b, err = t.appendKey(buffer.b, &t.keys[i], v); err != nil {
			return "", err
		}
	}
	return Key(buffer.b), nil
}

// integerKey is AppendValue for a single integer, which most keys are.
func integerKey(v Value) Key {
	var b [9]byte
	b[0] = tagInteger
	if v.Kind == Int && int64(v.Num) < 0 {
		b[0] = tagNegative
	}
	binary.BigEndian.PutUint64(b[1:], v.Num)
	return Key(b[:])
}

func (t *Table) appendKey(dst []byte, k *keyColumn, v Value) ([]byte, error) {
	c := &t.Columns[k.at]
	if v.Kind == Null {
		return dst, fmt.Errorf("table %s: column %s of the primary key is NULL", t, c.Name)
	}
	switch c.Type {
	case TypeText:
		if v.Kind != Text && v.Kind != RawText {
			break
		}
		if k.err != nil {
			return dst, fmt.Errorf("table %s: column %s of the primary key: %w", t, c.Name, k.err)
		}
		return k.collation.appendKey(dst, v), nil
	case TypeSet:
		return appendSet(dst, v), nil
	case TypeFloat, TypeDouble:
		return AppendValue(dst, withoutNegativeZero(v)), nil
	default:
	}
	return AppendValue(dst, v), nil
}
