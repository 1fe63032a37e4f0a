package propagate

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"meridian/internal/bus"
	"meridian/internal/envelope"
	"meridian/internal/retry"
)

// send publishes a batch, for as long as it takes: when it returns, the bus has all of it, but for what is set aside.
func (p *Publisher) send(ctx context.Context, l *lane, batch []Outbound) error {
	l.encoder.Reset()
	s := &shipment{lane: l, next: l.next, parcels: make([]parcel, 0, len(batch)), records: make([]bus.Record, 0, len(batch))}
	for i := range batch {
		if err := p.pack(ctx, s, batch[i].Message); err != nil {
			return err
		}
	}
	if len(s.records) > 0 {
		p.reach("publish.begin")
		if err := p.produce(ctx, s); err != nil {
			return err
		}
		p.reach("publish.acknowledged")
	}
	if m := lastChange(s.parcels); m != nil {
		l.open = m
	}
	for i := range s.parcels {
		if !s.parcels[i].repeated {
			p.acked(s.parcels[i].message)
		}
	}
	p.mu.Lock()
	l.next = s.next
	l.flying = nil
	for i := range batch {
		p.pending -= batch[i].Bytes
	}
	close(p.room)
	p.room = make(chan struct{})
	p.mu.Unlock()
	return nil
}

// pack adds a message to what is sent, unless it is larger than the configuration allows.
func (p *Publisher) pack(ctx context.Context, s *shipment, m *envelope.Message) error {
	if err := s.add(m); err != nil {
		return err
	}
	i := len(s.records) - 1
	size := s.records[i].Size()
	if size <= p.cfg.MaxRecordBytes {
		return nil
	}
	why := &bus.TooLargeError{Topic: p.cfg.Topic, Partition: s.lane.shard, Bytes: size, Limit: p.cfg.MaxRecordBytes}
	if m.Change == nil {
		return fmt.Errorf("a control record of %d bytes is larger than the bus accepts: %w", size, why)
	}
	return p.setAside(ctx, s, i, why)
}

// produce repeats the request until the bus has all records that it takes.
func (p *Publisher) produce(ctx context.Context, s *shipment) error {
	shard := s.lane.shard
	backoff := retry.NewBackoff(p.cfg.Retry, p.clock)
	for tries := 0; s.sent < len(s.records); {
		err := p.request(ctx, s)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.answered(shard, err)
		if err == nil {
			if tries > 0 {
				p.log.Info("the bus acknowledges again", zap.String("topic", p.cfg.Topic), zap.Int("partition", shard), zap.Int("tries", tries))
			}
			tries = 0
			backoff.Succeeded()
			continue
		}
		if tries == 0 { // the metric counts the others
			p.log.Warn("the bus did not acknowledge; trying again until it does, capture waits when memory is full",
				zap.String("topic", p.cfg.Topic), zap.Int("partition", shard), zap.Int("records", len(s.records)-s.sent), zap.Error(err))
		}
		tries++
		if err = backoff.Failed(ctx, err); err != nil {
			return err
		}
	}
	return nil
}

// request asks the bus once to take what it does not have yet. A row that is all that it refuses is set aside: that is no
// failure, and what was written before it is not sent again.
func (p *Publisher) request(ctx context.Context, s *shipment) error {
	left := s.records[s.sent:]
	first, err := p.producer.Produce(ctx, p.cfg.Topic, s.lane.shard, left)
	if err == nil {
		s.sent, s.next = len(s.records), first+int64(len(left))
		return nil
	}
	var refused *bus.TooLargeError
	if !errors.As(err, &refused) || ctx.Err() != nil {
		return err
	}
	i := s.sent + refused.Index
	if refused.Written > 0 {
		s.sent, s.next = s.sent+refused.Written, refused.Next
	}
	if s.parcels[i].message.Change == nil {
		return err // a control record cannot be done without: the lane waits until the topic takes it
	}
	return p.setAside(ctx, s, i, refused)
}

// setAside keeps the change of the parcel at i in this region, and takes it out of what is sent.
func (p *Publisher) setAside(ctx context.Context, s *shipment, i int, why *bus.TooLargeError) error {
	if set := &s.parcels[i]; !set.repeated {
		if err := p.keep(ctx, s.lane.shard, set, why); err != nil {
			return err
		}
	}
	s.leaveOut(i)
	return nil
}

func (p *Publisher) keep(ctx context.Context, shard int, set *parcel, why *bus.TooLargeError) error {
	c := set.message.Change
	p.log.Error("a row is larger than the bus accepts: it stays in this region as a dead change (SELECT * FROM meridian.parked), the other regions do not get it",
		zap.Stringer("table", c.Table), zap.Stringer("version", c.Version), zap.Error(why))
	backoff := retry.NewBackoff(p.cfg.Retry, p.clock)
	for {
		err := p.dead.TooLarge(ctx, shard, set.message, set.record, why)
		if err == nil || ctx.Err() != nil {
			return err
		}
		p.log.Warn("a dead change could not be stored; trying again", zap.Stringer("table", c.Table), zap.Stringer("version", c.Version), zap.Error(err))
		if err = backoff.Failed(ctx, err); err != nil {
			return err
		}
	}
}
