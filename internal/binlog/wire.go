package binlog

import "encoding/binary"

// reader takes fields off the front of a byte slice. Past the end it gives zeroes and remembers that it did, so that a
// parser checks once.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.short, r.b = true, nil
		return nil
	}
	t := r.b[:n:n]
	r.b = r.b[n:]
	return t
}

// number reads an unsigned little-endian integer of n bytes, at most 8.
func (r *reader) number(n int) uint64 {
	return little(r.take(n))
}

// packed reads MySQL's length-encoded integer.
func (r *reader) packed() uint64 {
	switch first := r.number(1); first {
	case 0xfc:
		return r.number(2)
	case 0xfd:
		return r.number(3)
	case 0xfe:
		return r.number(8)
	case 0xfb, 0xff: // NULL and an error packet: no lengths
		r.short, r.b = true, nil
		return 0
	default:
		return first
	}
}

// text reads a string behind its packed length.
func (r *reader) text() []byte {
	n := r.packed()
	if n > uint64(len(r.b)) {
		r.short, r.b = true, nil
		return nil
	}
	return r.take(int(n))
}

func (r *reader) err() error {
	if r.short {
		return errShortEvent
	}
	return nil
}

// little and big read unsigned integers of 0 to 8 bytes.
func little(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.LittleEndian.Uint64(b)
	}
	var n uint64
	for i := len(b) - 1; i >= 0; i-- {
		n = n<<8 | uint64(b[i])
	}
	return n
}

func big(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.BigEndian.Uint64(b)
	}
	var n uint64
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}
