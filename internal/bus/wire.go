package bus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/segmentio/kafka-go/protocol"
)

// maxAnswer bounds an answer: a batch of the largest record, as somebody else may have configured it, and framing.
const maxAnswer = 256 << 20

// frameError says that what a broker sent is no answer of Kafka's protocol: its first four bytes are no size.
type frameError struct{ size uint32 }

func (e *frameError) Error() string {
	head := binary.BigEndian.AppendUint32(nil, e.size)
	if head[0] == 0x15 && head[1] == 3 { // a TLS record that holds an alert
		return "the broker expects TLS"
	}
	return fmt.Sprintf("the answer begins with %q: this is no Kafka broker, or not its port", head)
}

// exchange sends a request that appendBody appends to its header (request header version 1,
// https://kafka.apache.org/protocol#protocol_messages) and reads the answer's body into a pooled buffer, which the
// caller puts back. Errors are *transportError, or appendBody's own.
func (k *conn) exchange(key protocol.ApiKey, version int16, appendBody func([]byte) ([]byte, error)) (*[]byte, error) {
	out := getScratch()
	defer putScratch(out)
	k.sequence++
	b := binary.BigEndian.AppendUint32((*out)[:0], 0) // the size, set below
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(k.sequence))
	b = appendString(b, k.clientID)
	b, err := appendBody(b)
	if b != nil {
		*out = b
	}
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	if _, err = k.net.Write(b); err != nil {
		return nil, &transportError{err: err}
	}
	return k.answer(k.sequence)
}

// roundTrip sends a request of kafka-go's, in the highest version that it and the broker know, and waits for the answer. Errors are
// *transportError.
func roundTrip[T protocol.Message](k *conn, req protocol.Message) (res T, err error) {
	key := req.ApiKey()
	have := k.versions[key]
	version := key.SelectVersion(have.min, have.max)
	k.sequence++
	if err = protocol.WriteRequest(k.net, version, k.sequence, k.clientID, req); err != nil {
		return res, &transportError{err: err}
	}
	in, err := k.frame()
	if err != nil {
		return res, err
	}
	defer putScratch(in)
	sequence, msg, err := protocol.ReadResponse(bytes.NewReader(*in), key, version)
	if err != nil {
		return res, &transportError{err: err}
	}
	res, ok := msg.(T)
	if !ok || sequence != k.sequence {
		return res, &transportError{err: fmt.Errorf("answer %d is a %T, want %d", sequence, msg, k.sequence)}
	}
	return res, nil
}

// answer reads the body of the answer to the request with that number.
func (k *conn) answer(sequence int32) (*[]byte, error) {
	in, err := k.frame()
	if err != nil {
		return nil, err
	}
	if got := int32(binary.BigEndian.Uint32((*in)[sizeBytes:])); got != sequence {
		putScratch(in)
		return nil, &transportError{err: fmt.Errorf("the answer to request %d, want %d", got, sequence)}
	}
	return in, nil
}

// A frame is a size, a request's number, and the answer's body.
const (
	sizeBytes  = 4
	frameStart = sizeBytes + 4
)

// frame reads an answer, its size included, into a pooled buffer. The size is looked at before anything is allocated or decoded: what is
// no Kafka broker would make us allocate gigabytes.
func (k *conn) frame() (*[]byte, error) {
	head, err := k.in.Peek(sizeBytes)
	if err != nil {
		return nil, &transportError{err: err}
	}
	size := binary.BigEndian.Uint32(head)
	if size < frameStart-sizeBytes || size > maxAnswer {
		return nil, &transportError{err: &frameError{size}}
	}
	in := getScratch()
	*in = slices.Grow((*in)[:0], sizeBytes+int(size))[:sizeBytes+int(size)]
	if _, err := io.ReadFull(k.in, *in); err != nil {
		putScratch(in)
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
