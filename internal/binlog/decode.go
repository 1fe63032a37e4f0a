package binlog

import (
	"encoding/binary"
	"errors"
	"fmt"

	"meridian/internal/row"
)

// decoder reads the row images of one rows event. The values that it makes point into data, which belongs to them from
// then on, or into text.
type decoder struct {
	layout *layout
	data   []byte
	at     int
	text   []byte // of values that are not in data as they are: appended to, never changed
}

var errShortRow = errors.New("the row image is shorter than its columns")

// image reads one row into values, which must have room for every column. present tells which columns are in it, nil for
// all; the others become NULL.
func (d *decoder) image(present []byte, values []row.Value) error {
	l := d.layout
	count := len(l.fields)
	if present != nil {
		count = ones(present, len(l.fields))
	}
	size := (count + 7) / 8
	if size > len(d.data)-d.at {
		return errShortRow
	}
	nulls := d.data[d.at : d.at+size]
	d.at += size
	bit := 0
	for i := range l.fields {
		if present != nil && present[i>>3]&(1<<(i&7)) == 0 {
			values[i] = row.Value{}
			continue
		}
		null := nulls[bit>>3]&(1<<(bit&7)) != 0
		bit++
		if null {
			values[i] = row.Value{}
			continue
		}
		if err := d.value(&l.fields[i], &values[i]); err != nil {
			return fmt.Errorf("column %s: %w", l.fields[i].name, err)
		}
	}
	return nil
}

// value reads one value that is not NULL.
func (d *decoder) value(f *field, v *row.Value) error {
	rest := d.data[d.at:]
	if len(rest) < f.width {
		return errShortRow
	}
	d.at += f.width
	b := rest[:f.width]
	switch f.form {
	case formInt:
		v.Kind, v.Num = row.Int, signed(b)
	case formUint:
		v.Kind, v.Num = row.Uint, little(b)
	case formBytes:
		return d.bytes(f, little(b), v)
	case formYear:
		v.Kind, v.Num = row.Uint, uint64(b[0])
		if b[0] != 0 {
			v.Num += 1900
		}
	case formDecimal:
		return d.decimal(f, b, v)
	case formFloat:
		v.Kind, v.Num = row.Float, uint64(binary.LittleEndian.Uint32(b))
	case formDouble:
		v.Kind, v.Num = row.Double, binary.LittleEndian.Uint64(b)
	case formBit:
		v.Kind, v.Num = row.Bit, big(b)
	case formEnum:
		return enum(f, little(b), v)
	case formSet:
		return d.set(f, little(b), v)
	default:
		return temporal(f, b, v)
	}
	return nil
}

// signed reads a little-endian two's complement integer of 1 to 8 bytes.
func signed(b []byte) uint64 {
	switch len(b) {
	case 4:
		return uint64(int32(binary.LittleEndian.Uint32(b)))
	case 8:
		return binary.LittleEndian.Uint64(b)
	default:
		shift := 64 - 8*len(b)
		return uint64(int64(little(b)<<shift) >> shift)
	}
}

func (d *decoder) decimal(f *field, b []byte, v *row.Value) error {
	start := len(d.text)
	text, _, err := row.AppendPackedDecimal(d.text, b, f.size, f.fraction)
	if err != nil {
		return err
	}
	d.text = text
	v.Kind, v.Bytes = row.Decimal, text[start:len(text):len(text)]
	return nil
}

func enum(f *field, index uint64, v *row.Value) error {
	switch {
	case index == 0:
		v.Kind = row.EnumZero
	case index > uint64(len(f.labels)):
		return fmt.Errorf("label %d of %d", index, len(f.labels))
	default:
		v.Kind, v.Bytes = row.Text, f.labels[index-1]
	}
	return nil
}

// set makes the labels of the bits that are set, joined by commas.
func (d *decoder) set(f *field, bits uint64, v *row.Value) error {
	if len(f.labels) < 64 && bits>>len(f.labels) != 0 {
		return fmt.Errorf("bits %#x of %d labels", bits, len(f.labels))
	}
	start := len(d.text)
	for i, label := range f.labels {
		if bits&(1<<i) == 0 {
			continue
		}
		if len(d.text) > start {
			d.text = append(d.text, ',')
		}
		d.text = append(d.text, label...)
	}
	v.Kind, v.Bytes = row.Text, d.text[start:len(d.text):len(d.text)]
	return nil
}

// bytes reads a value behind its length.
func (d *decoder) bytes(f *field, length uint64, v *row.Value) error {
	if length > uint64(len(d.data)-d.at) {
		return errShortRow
	}
	end := d.at + int(length)
	b := d.data[d.at:end:end]
	d.at = end
	if f.compressed {
		var err error
		if b, err = inflateColumn(b); err != nil {
			return err
		}
	}
	v.Bytes = b
	switch f.content {
	case contentUTF8:
		v.Kind = row.Text
		if _, ok := row.DecodeText("utf8mb4", b); !ok {
			v.Kind = row.RawText
		}
	case contentText:
		text, ok := row.DecodeText(f.charset, b)
		v.Kind, v.Bytes = row.Text, text
		if !ok {
			v.Kind, v.Bytes = row.RawText, b
		}
	case contentBinary:
		v.Kind = row.Binary
	case contentPadded:
		v.Kind, v.Bytes = row.Binary, d.padded(b, f.size)
	case contentTextJSON:
		text, ok := row.DecodeText(f.charset, b)
		v.Kind, v.Bytes = row.JSON, text
		if !ok {
			v.Kind, v.Bytes = row.RawText, b
		}
	case contentBinaryJSON:
		return d.json(b, v)
	case contentGeometry:
		v.Kind = row.Geometry
	case contentVector:
		v.Kind = row.Vector
	case contentUUID:
		d.fixed(row.AppendUUID, b, v)
	case contentInet4:
		d.fixed(row.AppendInet4, b, v)
	case contentInet6:
		d.fixed(row.AppendInet6, b, v)
	}
	return nil
}

// fixed turns one of MariaDB's types that are stored in binary into text.
func (d *decoder) fixed(text func(dst, stored []byte) []byte, b []byte, v *row.Value) {
	start := len(d.text)
	d.text = text(d.text, b)
	v.Kind, v.Bytes = row.Text, d.text[start:len(d.text):len(d.text)]
}

// padded gives back the zero bytes that the server cuts off at the end of a BINARY(size).
func (d *decoder) padded(b []byte, size int) []byte {
	if len(b) >= size {
		return b
	}
	whole := make([]byte, size)
	copy(whole, b)
	return whole
}

// json turns MySQL's binary JSON into text. No bytes at all is what INSERT IGNORE leaves for a NULL in a NOT NULL column:
// the server reads it as the JSON null.
func (d *decoder) json(b []byte, v *row.Value) error {
	start := len(d.text)
	if len(b) == 0 {
		d.text = append(d.text, "null"...)
	} else {
		text, err := row.AppendBinaryJSON(d.text, b)
		if err != nil {
			return err
		}
		d.text = text
	}
	v.Kind, v.Bytes = row.JSON, d.text[start:len(d.text):len(d.text)]
	return nil
}

// ones counts the bits of the first n columns.
func ones(bitmap []byte, n int) int {
	count := 0
	for i := range n {
		if bitmap[i>>3]&(1<<(i&7)) != 0 {
			count++
		}
	}
	return count
}
