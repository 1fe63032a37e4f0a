package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go/protocol"
)

// maxAnswer bounds an answer: a batch of the largest record, as somebody else may have configured it, and framing.
const maxAnswer = 256 << 20

// exchange sends a request that appendBody appends to its header (request header version 1,
// https://kafka.apache.org/protocol#protocol_messages) and reads the answer's body into a pooled buffer, which the
// caller puts back. Errors are *transportError, or appendBody's own.
func (k *conn) exchange(key protocol.ApiKey, version int16, clientID string, appendBody func([]byte) ([]byte, error)) (*[]byte, error) {
	out := getScratch()
	defer putScratch(out)
	k.sequence++
	b := append((*out)[:0], 0, 0, 0, 0) // the size, set below
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(k.sequence))
	b = appendString(b, clientID)
	b, err := appendBody(b)
	if b != nil {
		*out = b
	}
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	if _, err = k.wire.Write(b); err != nil {
		return nil, &transportError{err: err}
	}
	return k.answer(k.sequence)
}

// answer reads the answer to the request with that number.
func (k *conn) answer(sequence int32) (*[]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(k.wire, head[:]); err != nil {
		return nil, &transportError{err: err}
	}
	size := int64(binary.BigEndian.Uint32(head[:])) - 4
	if size < 0 || size > maxAnswer {
		return nil, &transportError{err: fmt.Errorf("an answer of %d bytes", size)}
	}
	if got := int32(binary.BigEndian.Uint32(head[4:])); got != sequence {
		return nil, &transportError{err: fmt.Errorf("the answer to request %d, want %d", got, sequence)}
	}
	in := getScratch()
	if int64(cap(*in)) < size {
		*in = make([]byte, size)
	}
	*in = (*in)[:size]
	if _, err := io.ReadFull(k.wire, *in); err != nil {
		putScratch(in)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, &transportError{err: err}
	}
	return in, nil
}

func appendString(dst []byte, s string) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(s)))
	return append(dst, s...)
}

// answerReader reads an answer's fields; once bad, it gives zeros.
type answerReader struct {
	b   []byte
	bad bool
}

func (r *answerReader) bytes(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *answerReader) int16() int16 {
	if b := r.bytes(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *answerReader) int32() int32 {
	if b := r.bytes(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *answerReader) int64() int64 {
	if b := r.bytes(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// string reads a string or a null one.
func (r *answerReader) string() string {
	n := r.int16()
	if n < 0 {
		return ""
	}
	return string(r.bytes(int(n)))
}

// blob reads bytes or null ones.
func (r *answerReader) blob() []byte {
	n := r.int32()
	if n < 0 {
		return nil
	}
	return r.bytes(int(n))
}

// onePartition reads the beginning of an array of topics that has one topic with one partition, up to its index.
func (r *answerReader) onePartition(topic string, partition int) error {
	topics := r.int32()
	name := r.string()
	partitions := r.int32()
	index := r.int32()
	if r.bad || topics != 1 || partitions != 1 || name != topic || index != int32(partition) {
		return &transportError{err: fmt.Errorf("an answer about %d topics, %s/%d", topics, name, index)}
	}
	return nil
}

// end checks that the answer had all that was read from it.
func (r *answerReader) end() error {
	if r.bad {
		return &transportError{err: errors.New("an answer that is too short")}
	}
	return nil
}
