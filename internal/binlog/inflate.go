package binlog

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
)

var errInflate = errors.New("compressed bytes cannot be read")

// inflateColumn reads the value of a COMPRESSED column of MariaDB: an empty value is no bytes at all; otherwise a byte
// 0 before bytes as they are, or a byte 0x80 | 8 (no zlib header) | size of the length, the length big-endian, and zlib's
// output. sql/field_comp.cc.
func inflateColumn(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return b, nil
	}
	if b[0] == 0 {
		return b[1:], nil
	}
	sizeOfLength := int(b[0] & 7)
	if b[0]&0xf0 != 0x80 || sizeOfLength < 1 || sizeOfLength > 4 || len(b) < 1+sizeOfLength {
		return nil, fmt.Errorf("%w: method %#x", errInflate, b[0])
	}
	length := big(b[1 : 1+sizeOfLength])
	return inflate(b[1+sizeOfLength:], length, b[0]&8 != 0)
}

// inflateEvent reads the compressed part of MariaDB's *_COMPRESSED events: a byte 0x80 | size of the length, the length
// big-endian, and zlib's output. sql/log_event.cc, binlog_buf_uncompress.
func inflateEvent(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, errShortEvent
	}
	sizeOfLength := int(b[0] & 7)
	if b[0]&0x70 != 0 || b[0]&0x80 == 0 || sizeOfLength < 1 || sizeOfLength > 4 || len(b) < 1+sizeOfLength {
		return nil, fmt.Errorf("%w: method %#x", errInflate, b[0])
	}
	return inflate(b[1+sizeOfLength:], big(b[1:1+sizeOfLength]), false)
}

// inflate reads exactly length bytes. Memory grows with what is really there, whatever length says.
func inflate(b []byte, length uint64, raw bool) ([]byte, error) {
	var from io.ReadCloser
	if raw {
		from = flate.NewReader(bytes.NewReader(b))
	} else {
		var err error
		if from, err = zlib.NewReader(bytes.NewReader(b)); err != nil {
			return nil, fmt.Errorf("%w: %w", errInflate, err)
		}
	}
	var out bytes.Buffer
	out.Grow(int(min(length, uint64(8*len(b)))))
	n, err := io.Copy(&out, io.LimitReader(from, int64(length)+1))
	if err = errors.Join(err, from.Close()); err != nil {
		return nil, fmt.Errorf("%w: %w", errInflate, err)
	}
	if uint64(n) != length {
		return nil, fmt.Errorf("%w: %d bytes instead of %d", errInflate, n, length)
	}
	return out.Bytes(), nil
}
