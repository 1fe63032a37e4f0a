package bus

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/segmentio/kafka-go/protocol"
)

// deleteRecords does what retention does, at once: it removes a partition's records before an offset (DeleteRecords version 1).
func deleteRecords(t *testing.T, c *Client, topic string, partition int, before int64) {
	t.Helper()
	mustEventually(t, func(ctx context.Context) error {
		return c.withLeader(ctx, "delete records", topic, partition, patience, func(k *conn) error {
			in, err := k.exchange(protocol.DeleteRecords, 1, func(b []byte) ([]byte, error) {
				b = appendString(binary.BigEndian.AppendUint32(b, 1), topic)
				b = binary.BigEndian.AppendUint32(b, 1)
				b = binary.BigEndian.AppendUint32(b, uint32(partition))
				b = binary.BigEndian.AppendUint64(b, uint64(before))
				return binary.BigEndian.AppendUint32(b, 10000), nil
			})
			if err != nil {
				return err
			}
			defer putScratch(in)
			r := answerReader{b: (*in)[frameStart:]}
			r.int32() // throttle time
			if err := r.onePartition(topic, partition); err != nil {
				return err
			}
			r.int64() // low watermark
			return answerError("delete records", topic, partition, r.int16(), "")
		})
	})
}
