package syncer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"meridian/internal/bus"
	"meridian/internal/envelope"
)

// leastEpochs gives, for each owned shard, an epoch above all that stand in the own topic. The database raises the epoch with
// each claim; but one that was restored, or failed over to a replica that was behind, has forgotten some. So epochs are
// never below the time in milliseconds either, nor below what the topic ends with, should the clock have gone back, too.
func (s *Syncer) leastEpochs(ctx context.Context, home *bus.Client) (map[int]uint64, error) {
	least := map[int]uint64{}
	for _, shard := range s.cfg.ownedShards() {
		least[shard] = uint64(max(s.cfg.Clock.Now().UnixMilli(), 1))
		first, end, err := home.Offsets(ctx, s.cfg.Topic, shard)
		if err != nil {
			return nil, s.again(fmt.Errorf("looking at the end of %s/%d: %w", s.cfg.Topic, shard, err))
		}
		err = s.eachOwn(ctx, home, shard, max(first, end-1), end, 0, func(_ int64, m *envelope.Message) error {
			least[shard] = max(least[shard], m.Epoch+1)
			return nil
		})
		if err != nil {
			return nil, s.again(fmt.Errorf("reading the end of %s/%d: %w", s.cfg.Topic, shard, err))
		}
	}
	return least, nil
}

// mark puts this process's epoch marker into each owned partition, and returns the offsets behind the markers.
func (s *Syncer) mark(ctx context.Context, p *parts) (map[int]int64, error) {
	ends := map[int]int64{}
	for _, shard := range s.cfg.ownedShards() {
		now := s.cfg.Clock.Now()
		r, err := envelope.Encode(&envelope.Message{
			Kind: envelope.Epoch, Epoch: p.epochs[shard], Time: now.UnixMilli(),
			Source: envelope.Source{Region: s.cfg.Region, CommitTime: now.UnixMicro()},
			Start: &envelope.EpochStart{
				Region: s.cfg.Region, Shard: shard, Epoch: p.epochs[shard], Replica: s.cfg.Replica, Time: now.UnixMicro(),
			},
		})
		if err != nil {
			return nil, err
		}
		at, err := p.home.Produce(ctx, s.cfg.Topic, shard, []bus.Record{r})
		if err != nil {
			return nil, s.again(fmt.Errorf("publishing the epoch marker of shard %d: %w", shard, err))
		}
		ends[shard] = at + 1
	}
	return ends, nil
}

// eachOf reads a partition of a topic up to an offset, leaving out what readers ignore; from -1: from its oldest record. epoch
// is the one in force at the offset, as far as it is known: what an older owner publishes after its successor's marker does
// not count. A record of a newer epoch tells as much as its marker, which may be gone.
func (s *Syncer) eachOf(ctx context.Context, c *bus.Client, topic string, shard int, from, end int64, epoch uint64, f func(offset int64, m *envelope.Message) error) error {
	first, _, err := c.Offsets(ctx, topic, shard)
	if err != nil {
		return err
	}
	from = max(from, first)
	for from < end {
		records, next, _, err := c.Fetch(ctx, topic, shard, from, 4<<20, time.Second)
		if err != nil {
			return err
		}
		for i := range records {
			m, err := envelope.Decode(&records[i])
			var newer *envelope.NewerFormatError
			if errors.As(err, &newer) && newer.Origin == s.ownerOf(topic) && records[i].Offset < end {
				return fmt.Errorf("%s/%d, offset %d: %w", topic, shard, records[i].Offset, err) // without it old changes might win
			}
			if err != nil || !belongs(m, s.ownerOf(topic), shard) || m.Epoch < epoch || records[i].Offset >= end {
				continue // no record of ours, another region's, or of an epoch that is over: readers pass over all of them
			}
			epoch = m.Epoch
			if err := f(records[i].Offset, m); err != nil {
				return err
			}
		}
		from = next
	}
	return nil
}

// ownerOf gives the region that publishes in a topic.
func (s *Syncer) ownerOf(topic string) string {
	for i := range s.cfg.Sources {
		if s.cfg.Sources[i].Topic == topic {
			return s.cfg.Sources[i].Region
		}
	}
	return s.cfg.Region
}

// belongs tells whether a record stands where its region publishes it.
func belongs(m *envelope.Message, region string, shard int) bool {
	switch {
	case m.Source.Region != region:
		return false
	case m.Start != nil:
		return m.Start.Region == region && m.Start.Shard == shard
	case m.Watermark != nil:
		return m.Watermark.Region == region && m.Watermark.Shard == shard
	default:
		return true
	}
}

// eachOwn is eachOf for the region's own topic.
func (s *Syncer) eachOwn(ctx context.Context, c *bus.Client, shard int, from, end int64, epoch uint64, f func(offset int64, m *envelope.Message) error) error {
	return s.eachOf(ctx, c, s.cfg.Topic, shard, from, end, epoch, f)
}
