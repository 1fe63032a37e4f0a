package bus

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go/protocol/listoffsets"
)

// Offsets gives the offset of the oldest record that a partition still has, and the one that its next record will get.
// They are equal when the partition is empty. Errors are those of Fetch, without gaps.
func (c *Client) Offsets(ctx context.Context, topic string, partition int) (first, next int64, err error) {
	const earliest, latest = -2, -1
	if first, err = c.offsetAt(ctx, topic, partition, earliest); err != nil {
		return 0, 0, err
	}
	if next, err = c.offsetAt(ctx, topic, partition, latest); err != nil {
		return 0, 0, err
	}
	return first, next, nil
}

// offsetAt gives the offset of the first record with that time (ms since 1970) or a later one, -1 when there is none.
// -1 and -2 stand for the log's end and its start.
func (c *Client) offsetAt(ctx context.Context, topic string, partition int, at int64) (int64, error) {
	var offset int64
	err := c.withLeader(ctx, opOffsets, topic, partition, c.cfg.RequestTimeout, func(k *conn) error {
		res, err := roundTrip[*listoffsets.Response](k, &listoffsets.Request{ReplicaID: -1, Topics: []listoffsets.RequestTopic{{Topic: topic,
			Partitions: []listoffsets.RequestPartition{{Partition: int32(partition), CurrentLeaderEpoch: -1, Timestamp: at}}}}})
		if err != nil {
			return err
		}
		if len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
			return &transportError{err: fmt.Errorf("an answer that is not about one partition: %+v", res)}
		}
		p := &res.Topics[0].Partitions[0]
		offset = p.Offset
		return answerError(opOffsets, topic, partition, p.ErrorCode, "")
	})
	return offset, err
}
