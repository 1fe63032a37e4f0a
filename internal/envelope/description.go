package envelope

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"unicode/utf8"

	"meridian/internal/row"
)

// described is a table with what is derived from it for records.
type described struct {
	table *row.Table
	text  []byte   // the description, see appendDescription
	keys  [][]byte // by column: its name as it begins a member of a JSON object, `"id":`
}

// A description, as it stands in the header meridian-meta of every record. Strings are a uvarint length and UTF-8:
//
//	string   schema
//	string   name
//	uvarint  number of pairs of character set and collation that follow; a column refers to them by number
//	         2 strings each
//	uvarint  number of columns; for each:
//	         string   name
//	         byte     type, a row.Type; the bit 0x80 when it is generated
//	         uvarint  length
//	         byte     fraction
//	         uvarint  number of its pair, from 1; 0 for none
//	uvarint  number of columns of the primary key; for each:
//	         uvarint  position
//
// The labels of an ENUM or a SET are not in it: values travel by label.
const generatedBit = 0x80

// maxColumns is how many columns a table can have (https://dev.mysql.com/doc/refman/9.7/en/column-count-limit.html). It bounds
// what a made-up description can cost.
const maxColumns = 4096

type textPair struct{ charset, collation string }

func appendDescription(dst []byte, t *row.Table) []byte {
	numbers := make(map[textPair]int)
	var pairs []textPair
	for i := range t.Columns {
		p := textPair{t.Columns[i].Charset, t.Columns[i].Collation}
		if _, ok := numbers[p]; !ok && p != (textPair{}) {
			pairs = append(pairs, p)
			numbers[p] = len(pairs)
		}
	}
	dst = appendString(dst, t.Schema)
	dst = appendString(dst, t.Name)
	dst = binary.AppendUvarint(dst, uint64(len(pairs)))
	for _, p := range pairs {
		dst = appendString(appendString(dst, p.charset), p.collation)
	}
	dst = binary.AppendUvarint(dst, uint64(len(t.Columns)))
	for i := range t.Columns {
		c := &t.Columns[i]
		kind := byte(c.Type)
		if c.Generated {
			kind |= generatedBit
		}
		dst = append(appendString(dst, c.Name), kind)
		dst = binary.AppendUvarint(dst, uint64(c.Length))
		dst = append(dst, byte(c.Fraction))
		dst = binary.AppendUvarint(dst, uint64(numbers[textPair{c.Charset, c.Collation}]))
	}
	dst = binary.AppendUvarint(dst, uint64(len(t.PrimaryKey)))
	for _, at := range t.PrimaryKey {
		dst = binary.AppendUvarint(dst, uint64(at))
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// parseDescription is appendDescription's inverse.
func parseDescription(b []byte) (*row.Table, error) {
	r := fieldReader{b: b}
	schema, name := r.string(), r.string()
	pairs := make([]textPair, 1, 1+r.count(2))
	for range cap(pairs) - 1 {
		pairs = append(pairs, textPair{r.string(), r.string()})
	}
	columns := make([]row.Column, min(r.count(5), maxColumns))
	for i := range columns {
		c := &columns[i]
		c.Name = r.string()
		kind := r.byte()
		c.Type, c.Generated = row.Type(kind&^generatedBit), kind&generatedBit != 0
		c.Length = int(r.uvarint() & (1<<62 - 1))
		c.Fraction = int(r.byte())
		pair := r.uvarint()
		if c.Type > row.TypeInet6 || pair >= uint64(len(pairs)) {
			r.bad = true
			break
		}
		c.Charset, c.Collation = pairs[pair].charset, pairs[pair].collation
	}
	key := make([]int, r.count(1))
	for i := range key {
		at := r.uvarint()
		if at >= uint64(len(columns)) {
			r.bad = true
			break
		}
		key[i] = int(at)
	}
	if r.bad || len(r.b) != 0 {
		return nil, foreign("the description of its columns cannot be read")
	}
	return row.NewTable(schema, name, columns, key), nil
}

func newDescribed(t *row.Table, text []byte) *described {
	d := &described{table: t, text: text, keys: make([][]byte, len(t.Columns))}
	for i := range t.Columns {
		d.keys[i] = append(appendQuoted(nil, t.Columns[i].Name), ':')
	}
	return d
}

// cache remembers what was derived, up to a number of entries and bytes; then it begins anew. Tables change rarely, but whoever
// makes a new row.Table for each event, or sends garbage, must not fill the memory.
type cache[K comparable] struct {
	mu      sync.RWMutex
	entries map[K]*described
	bytes   int
}

const (
	maxCached      = 4096
	maxCachedBytes = 32 << 20
)

func (c *cache[K]) add(key K, d *described) *described {
	c.mu.Lock()
	defer c.mu.Unlock()
	if have, ok := c.entries[key]; ok {
		return have
	}
	if c.entries == nil || len(c.entries) >= maxCached || c.bytes > maxCachedBytes {
		c.entries = make(map[K]*described)
		c.bytes = 0
	}
	c.entries[key] = d
	c.bytes += 8 * len(d.text) // the table, its columns and the names are that much, about
	return d
}

var (
	byTable cache[*row.Table]
	byText  cache[string]
)

// describe gives a table's description, from the cache if it is there.
func describe(t *row.Table) (*described, error) {
	byTable.mu.RLock()
	d, ok := byTable.entries[t]
	byTable.mu.RUnlock()
	if ok {
		return d, nil
	}
	if len(t.Columns) > maxColumns || !utf8.ValidString(t.String()) {
		return nil, fmt.Errorf("envelope: table %q with %d columns, which no record can hold", t.String(), len(t.Columns))
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.Length < 0 || c.Fraction < 0 || c.Fraction > math.MaxUint8 || c.Type > row.TypeInet6 || !utf8.ValidString(c.Name+c.Charset+c.Collation) {
			return nil, fmt.Errorf("envelope: table %s: column %q has type %d, length %d, fraction %d, which no record can hold",
				t, c.Name, c.Type, c.Length, c.Fraction)
		}
	}
	return byTable.add(t, newDescribed(t, appendDescription(nil, t))), nil
}

// tableOf gives the table of a description: the same one each time.
func tableOf(text []byte) (*described, error) {
	byText.mu.RLock()
	d, ok := byText.entries[string(text)]
	byText.mu.RUnlock()
	if ok {
		return d, nil
	}
	t, err := parseDescription(text)
	if err != nil {
		return nil, err
	}
	own := append([]byte(nil), text...)
	return byText.add(string(own), newDescribed(t, own)), nil
}

// fieldReader reads the fields of a binary header; once bad, it gives zeros.
type fieldReader struct {
	b   []byte
	bad bool
}

func (r *fieldReader) uvarint() uint64 {
	n, size := binary.Uvarint(r.b)
	if r.bad || size <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *fieldReader) varint() int64 {
	n, size := binary.Varint(r.b)
	if r.bad || size <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[size:]
	return n
}

// count reads a number of things that take at least size bytes each, so that nobody makes us allocate for more than there are.
func (r *fieldReader) count(size int) int {
	n := r.uvarint()
	if r.bad || n > uint64(len(r.b)/size) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *fieldReader) bytes() []byte {
	n := r.uvarint()
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// string reads a string; what is no UTF-8 is none.
func (r *fieldReader) string() string {
	b := r.bytes()
	if !utf8.Valid(b) {
		r.bad = true
	}
	return string(b)
}

func (r *fieldReader) byte() byte {
	if r.bad || len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *fieldReader) uint64() uint64 {
	if r.bad || len(r.b) < 8 {
		r.bad = true
		return 0
	}
	n := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return n
}
