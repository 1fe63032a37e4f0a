package syncer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"meridian/internal/bus"
	"meridian/internal/envelope"
	"meridian/internal/retry"
)

// errClockOff is what a region says of itself while its clock is off.
var errClockOff = errors.New("this region's database clock is off: it publishes nothing until that is mended (check NTP on the database's host)")

// databaseNow is the database's time: versions are made of it.
func (s *Syncer) databaseNow() time.Time {
	return s.cfg.Clock.Now().Add(time.Duration(s.ahead.Load()))
}

// heartbeats says once an interval, on a topic of its own, that the region lives and how it sees the others' clocks, and
// judges its own clock by what it has heard. One replica speaks for the region; all of them judge, as each publishes.
func (s *Syncer) heartbeats(ctx context.Context, p *parts) error {
	for {
		if err := s.heartbeat(ctx, p); err != nil && ctx.Err() == nil {
			s.cfg.Log.Debug("no heartbeat for the clocks this time", zap.Error(err))
		}
		s.judgeClock(p)
		if err := s.cfg.Clock.Sleep(ctx, s.cfg.PulseInterval); err != nil {
			return err
		}
	}
}

func (s *Syncer) heartbeat(ctx context.Context, p *parts) error {
	ahead, _, err := p.server.Clock(ctx)
	if err != nil {
		return err
	}
	s.ahead.Store(int64(ahead))
	if s.cfg.Replica != 0 {
		return nil
	}
	h := &envelope.Heartbeat{Region: s.cfg.Region, Replica: s.cfg.Replica, Time: s.databaseNow().UnixMicro(), Observed: map[string]int64{}}
	for region, least := range s.skew.Observed() {
		h.Observed[region] = least.Microseconds()
	}
	r, err := envelope.EncodeHeartbeat(h)
	if err != nil {
		return err
	}
	if _, err := p.home.Produce(ctx, s.cfg.HeartbeatTopic, 0, []bus.Record{r}); err != nil {
		return fmt.Errorf("sending a heartbeat: %w", err)
	}
	return nil
}

// judgeClock stops the publisher while this region's clock is the one that is off: one bad clock must not win every
// conflict.
func (s *Syncer) judgeClock(p *parts) {
	for region, ahead := range s.skew.Ahead() {
		s.cfg.Metrics.skew.WithLabelValues(region).Set(ahead.Seconds())
	}
	by, off := s.skew.Off()
	if was := p.publisher.Pause(off); was == off {
		return
	}
	if !off {
		s.health.trouble("clock", nil)
		s.cfg.Log.Info("this region's clock is right again: it publishes", zap.String("region", s.cfg.Region))
		return
	}
	err := fmt.Errorf("%w: %v away from the others', clock.max_skew is %v", errClockOff, by, s.cfg.MaxSkew)
	s.health.trouble("clock", err)
	s.cfg.Log.Error("clock", zap.String("region", s.cfg.Region), zap.Error(err))
}

// listen hears another region's heartbeats, from now on.
func (s *Syncer) listen(ctx context.Context, c *bus.Client, region string) error {
	backoff := retry.NewBackoff(s.cfg.Retry, s.cfg.Clock)
	next := int64(-1)
	for {
		err := s.hear(ctx, c, region, &next)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			backoff.Succeeded()
			continue
		}
		next = -1 // old heartbeats say nothing about clocks: after any failure, from the end again
		if err = backoff.Failed(ctx, err); err != nil {
			return err
		}
	}
}

func (s *Syncer) hear(ctx context.Context, c *bus.Client, region string, next *int64) error {
	if *next < 0 {
		_, end, err := c.Offsets(ctx, s.cfg.HeartbeatTopic, 0)
		if err != nil {
			return err
		}
		*next = end
	}
	records, after, _, err := c.Fetch(ctx, s.cfg.HeartbeatTopic, 0, *next, 1<<20, 5*time.Second)
	if err != nil {
		return err
	}
	*next = after
	received := s.databaseNow()
	for i := range records {
		h, err := envelope.DecodeHeartbeat(&records[i])
		if err != nil || h.Region != region {
			continue // another region's, or nobody's: there is one listener for each
		}
		observed := map[string]time.Duration{}
		for name, micros := range h.Observed {
			observed[name] = time.Duration(micros) * time.Microsecond
		}
		s.skew.Heard(region, time.UnixMicro(h.Time), received, observed)
	}
	return nil
}
