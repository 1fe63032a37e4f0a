package bus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// fetchVersions: 11 is the last version without the flexible encoding and with topics by name.
var fetchVersions = apiRange{11, 11}

// fetched is what one fetch found.
type fetched struct {
	records       []Record // at consecutive offsets from the one asked for
	next          int64    // the offset to ask for next
	highWatermark int64
}

// Fetch reads a partition from an offset on. It waits up to maxWait for a first record, and returns about maxBytes bytes of compressed
// batches, but always at least one batch, however large. No offset is left out: the first record, if there is one, is at the offset asked
// for. next is the offset to ask for next, highWatermark the one that the partition's next record gets, as of the answer.
//
// Errors: *GapError when records at and after the offset are gone; *CorruptError when they cannot be read; *TransientError, *DeniedError,
// *TopicError, ErrClosed, the context's error. Records before a gap are returned first, without an error.
func (c *Client) Fetch(ctx context.Context, topic string, partition int, offset int64, maxBytes int, maxWait time.Duration) (records []Record, next, highWatermark int64, err error) {
	var f fetched
	err = c.withLeader(ctx, opFetch, topic, partition, maxWait+c.cfg.RequestTimeout, func(k *conn) (err error) {
		f, err = k.fetch(topic, partition, offset, maxBytes, maxWait)
		return err
	})
	if errors.Is(err, kafka.OffsetOutOfRange) {
		err = c.outOfRange(ctx, topic, partition, offset)
	}
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("bus: %s%s: %w (%w)", opFetch, place(topic, partition), context.Cause(ctx), err)
	}
	if err != nil {
		return nil, offset, 0, err
	}
	return f.records, f.next, f.highWatermark, nil
}

// fetch sends one request.
func (k *conn) fetch(topic string, partition int, offset int64, maxBytes int, maxWait time.Duration) (fetched, error) {
	version, err := k.version(protocol.Fetch, fetchVersions)
	if err != nil {
		return fetched{}, err
	}
	in, err := k.exchange(protocol.Fetch, version, func(b []byte) ([]byte, error) {
		return appendFetch(b, topic, partition, offset, maxBytes, maxWait), nil
	})
	if err != nil {
		return fetched{}, err
	}
	defer putScratch(in)
	return readFetched((*in)[frameStart:], topic, partition, offset)
}

func appendFetch(b []byte, topic string, partition int, offset int64, maxBytes int, maxWait time.Duration) []byte {
	const none = ^uint32(0)
	limit := uint32(min(max(maxBytes, 1), math.MaxInt32))
	b = binary.BigEndian.AppendUint32(b, none) // replica: a consumer
	b = binary.BigEndian.AppendUint32(b, uint32(max(maxWait, 0).Milliseconds()))
	b = binary.BigEndian.AppendUint32(b, 1) // answer as soon as there is a byte
	b = binary.BigEndian.AppendUint32(b, limit)
	b = append(b, 0)                           // isolation: all that is written
	b = binary.BigEndian.AppendUint32(b, 0)    // session: none,
	b = binary.BigEndian.AppendUint32(b, none) // and none wanted
	b = binary.BigEndian.AppendUint32(b, 1)
	b = appendString(b, topic)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint32(b, uint32(partition))
	b = binary.BigEndian.AppendUint32(b, none) // leader epoch
	b = binary.BigEndian.AppendUint64(b, uint64(offset))
	b = binary.BigEndian.AppendUint64(b, ^uint64(0)) // log start offset
	b = binary.BigEndian.AppendUint32(b, limit)
	b = binary.BigEndian.AppendUint32(b, 0) // topics forgotten in the session
	return appendString(b, "")              // rack: the leader answers
}

// readFetched reads an answer. The records' bytes are not the answer's: its buffer is used again.
func readFetched(b []byte, topic string, partition int, offset int64) (fetched, error) {
	f := fetched{next: offset}
	r := answerReader{b: b}
	r.int32() // throttle time: the broker delays our next answer by itself
	code := r.int16()
	r.int32() // session
	if code != 0 {
		return f, answerError(opFetch, topic, partition, code, "")
	}
	if err := r.onePartition(topic, partition); err != nil {
		return f, err
	}
	code = r.int16()
	f.highWatermark = r.int64()
	r.int64() // last stable offset
	r.int64() // log start offset
	for range max(r.int32(), 0) {
		r.bytes(16) // an aborted transaction
		if r.bad {
			break
		}
	}
	r.int32() // preferred read replica
	set := r.blob()
	if err := r.end(); err != nil {
		return f, err
	}
	if err := answerError(opFetch, topic, partition, code, ""); err != nil {
		return f, err
	}
	return readBatches(f, set, topic, partition, offset)
}

// readBatches takes the records from the offset on out of the batches of an answer, as far as they can be read and follow each other.
func readBatches(f fetched, set []byte, topic string, partition int, offset int64) (fetched, error) {
	var u unbatcher
	for {
		v, rest, ok, err := nextBatch(set)
		if !ok {
			return f, nil
		}
		set = rest
		if err == nil && v.next <= offset {
			continue // before what was asked for
		}
		had := len(f.records)
		if err == nil {
			f.records, err = u.records(f.records, &v, f.next)
		}
		if err != nil {
			f.records = f.records[:had]
			if had > 0 {
				return f, nil // the next call meets it first
			}
			return f, &CorruptError{Topic: topic, Partition: partition, Offset: v.base, Next: v.next, Err: err}
		}
		for i := had; i < len(f.records); i++ {
			if f.records[i].Offset == f.next {
				f.next++
				continue
			}
			gap := &GapError{Topic: topic, Partition: partition, Want: f.next, First: f.records[i].Offset, Next: f.highWatermark}
			if f.records = f.records[:i]; i > 0 {
				return f, nil // the next call meets it first
			}
			return f, gap
		}
		if v.next > f.next { // records taken out at the batch's end
			if len(f.records) > 0 {
				return f, nil
			}
			return f, &GapError{Topic: topic, Partition: partition, Want: f.next, First: v.next, Next: max(f.highWatermark, v.next)}
		}
	}
}

// outOfRange finds out what a broker means that has nothing at an offset.
func (c *Client) outOfRange(ctx context.Context, topic string, partition int, offset int64) error {
	first, next, err := c.Offsets(ctx, topic, partition)
	if err != nil {
		return err
	}
	if first <= offset && offset <= next {
		// A follower that became leader may not know yet how far its log counts as written.
		return &TransientError{Op: opFetch, Topic: topic, Partition: partition, Reason: "no_leader", Err: kafka.OffsetOutOfRange}
	}
	return &GapError{Topic: topic, Partition: partition, Want: offset, First: first, Next: next}
}
