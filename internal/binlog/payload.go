package binlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Fields of a TRANSACTION_PAYLOAD event: Transaction_payload::fields in payload_event_buffer_istream.h of MySQL.
const (
	payloadEnd         = 0
	payloadCompression = 2 // 1 and 3 are the sizes before and after

	compressionZstd = 0
	compressionNone = 255

	maxWindow = 128 << 20 // what zstd's highest level looks back
)

// payload reads the events of compressed transactions one after another, without ever holding all of one. The zero value
// is ready; what it needs for inflating is kept from one transaction to the next.
type payload struct {
	from    io.Reader
	decoder *zstd.Decoder // nil until it is needed; it has no goroutines, so there is nothing to close
	header  [headerSize]byte
	body    bytes.Buffer
}

// open reads a TRANSACTION_PAYLOAD event's fields; next gives its events.
func (p *payload) open(body []byte) error {
	r := reader{b: body}
	compression := uint64(compressionZstd)
	for field := r.packed(); field != payloadEnd && !r.short; field = r.packed() {
		value := reader{b: r.text()}
		if field == payloadCompression {
			compression = value.packed()
		}
	}
	if r.short {
		return errShortEvent
	}
	p.from = bytes.NewReader(r.b)
	switch compression {
	case compressionNone:
		return nil
	case compressionZstd:
		return p.inflate()
	default:
		return fmt.Errorf("a compressed transaction uses compression %d, which is not known", compression)
	}
}

func (p *payload) inflate() error {
	var err error
	if p.decoder == nil {
		p.decoder, err = zstd.NewReader(p.from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	} else {
		err = p.decoder.Reset(p.from)
	}
	if err != nil {
		return fmt.Errorf("a compressed transaction: %w", err)
	}
	p.from = p.decoder
	return nil
}

// next gives one event, valid until the next call; io.EOF at the end. Its events have no checksums.
func (p *payload) next() (*event, error) {
	if _, err := io.ReadFull(p.from, p.header[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("a compressed transaction: %w", err)
	}
	size := binary.LittleEndian.Uint32(p.header[9:])
	if size < headerSize {
		return nil, errShortEvent
	}
	if p.body.Cap() > keepBuffer {
		p.body = bytes.Buffer{}
	}
	p.body.Reset()
	p.body.Write(p.header[:])
	if _, err := io.CopyN(&p.body, p.from, int64(size)-headerSize); err != nil { // memory grows with what is there
		return nil, fmt.Errorf("a compressed transaction: %w", err)
	}
	e, err := parseHeader(p.body.Bytes())
	if err != nil {
		return nil, err
	}
	return &e, nil
}
