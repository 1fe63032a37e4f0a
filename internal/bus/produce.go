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

// Produce appends the longest beginning of records that goes into one request to a partition, and returns the offset of the first of
// them and how many they are. The records have consecutive offsets, and all in-sync replicas have them (acks=all). Callers
// with more call again with the rest; one request at a time keeps the order.
//
// Errors, with which nothing is known to be written: *TransientError (Unknown says whether it may be written all the same; the caller
// tries the same records again, and may then have them twice), *TooLargeError (of the first record), *DeniedError,
// *TopicError, ErrClosed, the context's error (the outcome is unknown), and others that say the request was wrong.
func (c *Client) Produce(ctx context.Context, topic string, partition int, records []Record) (first int64, written int, err error) {
	if len(records) == 0 {
		return 0, 0, errors.New("bus: produce: no records")
	}
	for {
		n, err := c.fitting(topic, partition, records)
		if err != nil {
			return 0, 0, err
		}
		first, err = c.produce(ctx, topic, partition, records[:n])
		var refused *TooLargeError
		if !errors.As(err, &refused) {
			return first, n, err
		}
		if n == 1 {
			refused.Bytes = recordSize(&records[0])
			return 0, 0, err
		}
		c.learnLimit(topic, records[:n])
	}
}

// fitting counts the records that go into one request: at least one, if that is not too large.
func (c *Client) fitting(topic string, partition int, records []Record) (int, error) {
	limit := c.batchLimit(topic)
	size := recordSize(&records[0])
	if size > c.cfg.MaxRecordBytes {
		return 0, &TooLargeError{Topic: topic, Partition: partition, Bytes: size, Limit: c.cfg.MaxRecordBytes}
	}
	n := 1
	for ; n < len(records); n++ {
		if size += recordSize(&records[n]); size > limit {
			break
		}
	}
	return n, nil
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

// produce sends one request.
func (c *Client) produce(ctx context.Context, topic string, partition int, records []Record) (first int64, err error) {
	code, err := c.cfg.Compression.code()
	if err != nil {
		return 0, err
	}
	err = c.withLeader(ctx, opProduce, topic, partition, c.cfg.RequestTimeout, func(k *conn) error {
		version, err := k.version(protocol.Produce, produceVersions)
		if err != nil {
			return err
		}
		in, err := k.exchange(protocol.Produce, version, c.cfg.ClientID, func(b []byte) ([]byte, error) {
			return c.appendProduce(b, topic, partition, records, code)
		})
		if err != nil {
			return err
		}
		defer putScratch(in)
		first, err = readProduced(*in, version, topic, partition)
		return err
	})
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("bus: %s%s: %w (%w)", opProduce, place(topic, partition), context.Cause(ctx), err)
	}
	return first, err
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
	switch kafka.Error(code) { //nolint:exhaustive // the others are told apart in answerError
	case kafka.MessageSizeTooLarge, kafka.RecordListTooLarge:
		return 0, &TooLargeError{Topic: topic, Partition: partition}
	default:
		return first, answerError(opProduce, topic, partition, code, text)
	}
}
