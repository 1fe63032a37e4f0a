package bus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"go.uber.org/zap"
)

// keepTrimmed trims the log from time to time until ctx ends.
func (e *Embedded) keepTrimmed(ctx context.Context) {
	tick := time.NewTicker(trimInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := e.trim(ctx); err != nil && ctx.Err() == nil {
				e.cfg.Logger.Warn("embedded broker: trimming the log", zap.Error(err))
			}
		}
	}
}

// partitionLog is the extent of one partition's log.
type partitionLog struct {
	topic       string
	partition   int32
	first, next int64
	bytes       int64
}

// trim removes records that are older than the retention, then the oldest records of the largest partitions until the log fits.
// The last record of a partition always stays: the broker finds its next offset by it.
func (e *Embedded) trim(ctx context.Context) error {
	logs, err := e.extents(ctx)
	if err != nil {
		return err
	}
	var failures []error
	oldest := e.cfg.Now().Add(-e.cfg.Retention).UnixMilli()
	for i := range logs {
		l := &logs[i]
		if l.next-l.first < 2 {
			continue
		}
		to, err := e.client.offsetAt(ctx, l.topic, int(l.partition), oldest)
		if err != nil {
			return err
		}
		if to < 0 { // nothing is younger
			to = l.next
		}
		failures = append(failures, e.cut(l, to))
	}
	limit := fairShare(logs, e.cfg.MaxBytes)
	for i := range logs {
		if l := &logs[i]; l.bytes > limit {
			count := float64(l.next - l.first)
			failures = append(failures, e.cut(l, l.next-int64(count*float64(limit)/float64(l.bytes))))
		}
	}
	return errors.Join(failures...)
}

// cut removes the records before an offset, but for the last one of the partition.
func (e *Embedded) cut(l *partitionLog, to int64) error {
	to = min(to, l.next-1)
	if to <= l.first {
		return nil
	}
	if err := e.cluster.DeleteRecords(l.topic, l.partition, to); err != nil {
		return fmt.Errorf("removing the records of %s/%d before offset %d: %w", l.topic, l.partition, to, err)
	}
	count := l.next - l.first
	l.bytes = l.bytes * (l.next - to) / count
	l.first = to
	return nil
}

func (e *Embedded) extents(ctx context.Context) ([]partitionLog, error) {
	topics, err := e.client.ListTopics(ctx)
	if err != nil {
		return nil, err
	}
	var logs []partitionLog
	for topic := range topics {
		for _, p := range e.cluster.PartitionInfos(topic) {
			logs = append(logs, partitionLog{topic: topic, partition: p.Partition, first: p.LogStartOffset, next: p.HighWatermark, bytes: p.NumBytes})
		}
	}
	return logs, nil
}

// fairShare gives the size that each partition may have so that all fit into total; small ones leave their part to the large ones.
func fairShare(logs []partitionLog, total int64) int64 {
	sizes := make([]int64, len(logs))
	for i := range logs {
		sizes[i] = logs[i].bytes
	}
	slices.Sort(sizes)
	for i, size := range sizes {
		share := total / int64(len(sizes)-i)
		if size > share {
			return share
		}
		total -= size
	}
	return math.MaxInt64 // all fit
}
