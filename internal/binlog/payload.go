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
	payloadSize        = 1
	payloadCompression = 2
	payloadPlainSize   = 3

	compressionZstd = 0
	compressionNone = 255
)

// payload reads the events of a compressed transaction one after another, without ever holding all of it.
type payload struct {
	from    io.Reader
	decoder *zstd.Decoder // nil: not compressed
	header  [headerSize]byte
	body    bytes.Buffer
}

// openPayload reads a TRANSACTION_PAYLOAD event's fields.
func openPayload(body []byte) (*payload, error) {
	r := reader{b: body}
	compression := uint64(compressionZstd)
	for field := r.packed(); field != payloadEnd && !r.short; field = r.packed() {
		value := reader{b: r.text()}
		if field == payloadCompression {
			compression = value.packed()
		}
	}
	if r.short {
		return nil, errShortEvent
	}
	p := &payload{from: bytes.NewReader(r.b)}
	switch compression {
	case compressionNone:
	case compressionZstd:
		var err error
		if p.decoder, err = zstd.NewReader(p.from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(1<<28)); err != nil {
			return nil, fmt.Errorf("a compressed transaction: %w", err)
		}
		p.from = p.decoder
	default:
		return nil, fmt.Errorf("a compressed transaction uses compression %d, which is not known", compression)
	}
	return p, nil
}

func (p *payload) close() {
	if p.decoder != nil {
		p.decoder.Close()
	}
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
