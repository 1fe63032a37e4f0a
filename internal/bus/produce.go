package bus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
)

// produceVersions: 8 adds an error's text; later ones differ only in their encoding and for transactions.
var produceVersions = apiRange{7, 8}

// Produce appends records to a partition, in their order, and returns when all in-sync replicas have them (acks=all). It sends them in one
// request if they are no more than MaxBatchBytes and what the broker takes, else in several, one after the other.
//
// The result is the offset of the first record; first + len(records) is the offset after the last one. (Should somebody else's records come
// between the requests of a long list, the second holds, and the first record is before first.)
//
// Errors: *TransientError (Unknown says whether records may be written all the same; the caller tries the same records again, and may
// then have them twice), *TooLargeError (names a record, and how many before it were written), *DeniedError, *TopicError, ErrClosed, the context's
// error (the outcome is unknown), and others that say that the request was wrong.
func (c *Client) Produce(ctx context.Context, topic string, partition int, records []Record) (first int64, err error) {
	if len(records) == 0 {
		return 0, errors.New("bus: produce: no records")
	}
	for i := range records {
		if size := recordSize(&records[i]); size > c.cfg.MaxRecordBytes {
			return 0, &TooLargeError{Topic: topic, Partition: partition, Index: i, Bytes: size, Limit: c.cfg.MaxRecordBytes}
		}
	}
	next := int64(0) // the offset behind what is done
	for done := 0; done < len(records); {
		n := c.fitting(topic, records[done:])
		first, err = c.produce(ctx, topic, partition, records[done:done+n])
		var refused *TooLargeError
		switch {
		case err == nil:
			done += n
			next = first + int64(n)
		case !errors.As(err, &refused):
			return 0, partly(err, done)
		case n == 1:
			refused.Index, refused.Bytes, refused.Written, refused.Next = done, recordSize(&records[done]), done, next
			return 0, err
		default:
			c.learnLimit(topic, records[done:done+n])
		}
	}
	return next - int64(len(records)), nil
}

// partly makes an error say that records have been written before it happened.
func partly(err error, written int) error {
	var t *TransientError
	if written > 0 && errors.As(err, &t) {
		t.Unknown = true
	}
	return err
}

// fitting counts the records that go into one request: at least one.
func (c *Client) fitting(topic string, records []Record) int {
	limit := c.batchLimit(topic)
	size := recordSize(&records[0])
	n := 1
	for ; n < len(records); n++ {
		if size += recordSize(&records[n]); size > limit {
			break
		}
	}
	return n
}

func (c *Client) batchLimit(topic string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if limit, ok := c.limits[topic]; ok {
		return min(limit, c.cfg.MaxBatchBytes)
	}
	return c.cfg.MaxBatchBytes
}

// learnLimit halves what goes into one batch of the topic, after the broker refused one that large.
func (c *Client) learnLimit(topic string, records []Record) {
	size := 0
	for i := range records {
		size += recordSize(&records[i])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limits[topic] = size / 2
}

// produce sends one request to whoever leads the partition.
func (c *Client) produce(ctx context.Context, topic string, partition int, records []Record) (first int64, err error) {
	code, err := c.cfg.Compression.code()
	if err != nil {
		return 0, err
	}
	err = c.withLeader(ctx, opProduce, topic, partition, c.cfg.RequestTimeout, func(k *conn) (err error) {
		first, err = c.produceOn(k, topic, partition, records, code)
		return err
	})
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("bus: %s%s: %w (%w)", opProduce, place(topic, partition), context.Cause(ctx), err)
	}
	return first, err
}

func (c *Client) produceOn(k *conn, topic string, partition int, records []Record, code compress.Compression) (int64, error) {
	version, err := k.version(protocol.Produce, produceVersions)
	if err != nil {
		return 0, err
	}
	in, err := k.exchange(protocol.Produce, version, func(b []byte) ([]byte, error) {
		return c.appendProduce(b, topic, partition, records, code)
	})
	if err != nil {
		return 0, err
	}
	defer putScratch(in)
	return readProduced((*in)[frameStart:], version, topic, partition)
}

func (c *Client) appendProduce(b []byte, topic string, partition int, records []Record, code compress.Compression) ([]byte, error) {
	const noTransaction, allReplicas = ^uint16(0), ^uint16(0)
	b = binary.BigEndian.AppendUint16(b, noTransaction)
	b = binary.BigEndian.AppendUint16(b, allReplicas)
	// How long the broker waits for the replicas: shorter than we wait for its answer, so that we hear of it.
	b = binary.BigEndian.AppendUint32(b, uint32(c.cfg.RequestTimeout.Milliseconds()/2))
	b = binary.BigEndian.AppendUint32(b, 1)
	b = appendString(b, topic)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint32(b, uint32(partition))
	b = append(b, 0, 0, 0, 0) // the batch's size, set below
	start := len(b)
	b, err := appendBatch(b, records, code, c.cfg.Now())
	if err != nil {
		return b, err
	}
	binary.BigEndian.PutUint32(b[start-4:], uint32(len(b)-start))
	return b, nil
}

func readProduced(b []byte, version int16, topic string, partition int) (int64, error) {
	r := answerReader{b: b}
	if err := r.onePartition(topic, partition); err != nil {
		return 0, err
	}
	code := r.int16()
	first := r.int64()
	r.int64() // log append time
	r.int64() // log start offset
	text := ""
	if version >= 8 {
		for range max(r.int32(), 0) {
			r.int32() // index of a refused record
			text = r.string()
			if r.bad {
				break
			}
		}
		if s := r.string(); s != "" {
			text = s
		}
	}
	r.int32() // throttle time: the broker delays our next answer by itself
	if err := r.end(); err != nil {
		return 0, err
	}
	switch kafka.Error(code) {
	case kafka.MessageSizeTooLarge, kafka.RecordListTooLarge:
		return 0, &TooLargeError{Topic: topic, Partition: partition}
	default:
		return first, answerError(opProduce, topic, partition, code, text)
	}
}
