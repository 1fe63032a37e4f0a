package row

import (
	"bytes"
	"compress/flate"
	_ "embed" // the tables
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// tableFile holds what no library has: the weights of MariaDB's uca1400 collations, and the characters of gbk, big5,
// tis620 and gb18030. It was read from the servers themselves; TestTables compares it with them, and with -update writes
// it again. Its form, deflated: named sections, each a list of columns, each a list of varints (zigzag), every length a
// uvarint before what it counts.
//
//go:embed tables.bin
var tableFile []byte

// table is one section of the file.
type table [][]int64

// tables reads the file when the first of its sections is needed: most programs need none.
var tables = sync.OnceValues(func() (map[string]table, error) {
	data, err := io.ReadAll(flate.NewReader(bytes.NewReader(tableFile)))
	if err != nil {
		return nil, fmt.Errorf("tables: %w", err)
	}
	r := tableReader{data: data}
	sections := make(map[string]table)
	for range r.length() {
		name := string(r.take(r.length()))
		columns := make(table, r.length())
		for i := range columns {
			columns[i] = make([]int64, r.length())
			for j := range columns[i] {
				columns[i][j] = r.varint()
			}
		}
		sections[name] = columns
	}
	return sections, r.err
})

// section gives a section of the file, nil if there is none.
func section(name string) table {
	sections, err := tables()
	if err != nil {
		return nil
	}
	return sections[name]
}

var errTables = errors.New("the tables end early")

type tableReader struct {
	data []byte
	err  error
}

func (r *tableReader) length() int {
	n, used := binary.Uvarint(r.data)
	if used <= 0 || n > 1<<24 {
		r.err, r.data = errTables, nil
		return 0
	}
	r.data = r.data[used:]
	return int(n)
}

func (r *tableReader) varint() int64 {
	n, used := binary.Varint(r.data)
	if used <= 0 {
		r.err, r.data = errTables, nil
		return 0
	}
	r.data = r.data[used:]
	return n
}

func (r *tableReader) take(n int) []byte {
	if n > len(r.data) {
		r.err, r.data = errTables, nil
		return nil
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}
