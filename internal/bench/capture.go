package main

import (
	"context"
	"fmt"
	"time"
)

// changesMetric counts the row changes that a syncer has read from its database's binlog.
const changesMetric = "meridian_capture_changes_total"

// changeTopic is where the changes of A go.
const changeTopic = "meridian.a.changes"

// wideRows fills the nine columns for numbers from ? to ?.
const wideRows = "WITH RECURSIVE s(n) AS (SELECT ? UNION ALL SELECT n+1 FROM s WHERE n < ?) SELECT n, n*7919*104729, CONCAT('name number ', n), " +
	"n/100, TIMESTAMPADD(MICROSECOND, n*1000003, '2024-01-01'), CONCAT('the note of this row, fifty bytes long or so: ', n), SQRT(n), " +
	"DATE_ADD('2000-01-01', INTERVAL n % 9000 DAY), n % 100 FROM s"

// capture measures from the binlog to Kafka's acknowledgement, with nobody but A's syncer at work.
func (b *bench) capture(ctx context.Context) error {
	const chunk = 500
	n := b.options.of(1_000_000)
	for _, s := range []*syncer{b.sb, b.sa} {
		if err := s.stop(ctx); err != nil {
			return err
		}
	}
	if err := b.c.exec(ctx, "STOP REPLICA"); err != nil {
		return err
	}
	b.say("%d rows of 9 columns into A, %d in a transaction", n, chunk)
	err := b.a.hurried(ctx, func() error {
		for from := 1; from <= n; from += chunk {
			if err := b.a.exec(ctx, "INSERT INTO bench.wide "+wideRows, from, min(from+chunk-1, n)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	before, err := b.published(ctx)
	if err != nil {
		return err
	}
	b.say("A captures")
	began := time.Now()
	if err = b.sa.start(ctx); err != nil {
		return err
	}
	const rate = 50_000 // rows a second: about as long as a capture takes
	profile := b.sa.profileWhenUp(ctx, "capture", time.Duration(float64(n)/rate*float64(time.Second)))
	first, err := b.firstChange(ctx)
	if err != nil {
		return err
	}
	if err = b.acknowledged(ctx, n); err != nil {
		return err
	}
	took, cpu := time.Since(first), b.sa.cpu()
	b.say("%v from the first row on, %v with the process's start", took.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	after, err := b.published(ctx)
	if err != nil {
		return err
	}
	if after-before < int64(n) {
		return fmt.Errorf("the topic has %d records more, of %d changes that are said to be acknowledged", after-before, n)
	}
	b.report.capture(n, took, first.Sub(began), cpu)
	return profile()
}

// firstChange waits until A's syncer has read a change, and gives the moment before that.
func (b *bench) firstChange(ctx context.Context) (time.Time, error) {
	const interval = 10 * time.Millisecond
	last := time.Now()
	err := until(ctx, interval, func() (bool, error) {
		asked := time.Now()
		n, err := b.sa.counter(ctx, changesMetric)
		if err == nil && n > 0 {
			return true, nil
		}
		last = asked
		if !b.sa.runs() {
			return false, b.sa.endError()
		}
		return false, nil // it does not listen yet
	})
	return last, err
}

// acknowledged waits until A's syncer has read so many changes since it started, and Kafka has acknowledged them.
func (b *bench) acknowledged(ctx context.Context, n int) error {
	const interval = 100 * time.Millisecond
	got := 0.0
	err := until(ctx, interval, func() (bool, error) {
		var err error
		if got, err = b.sa.counter(ctx, changesMetric); err != nil || int(got) < n {
			return false, err
		}
		s, err := b.sa.status(ctx)
		return s.Capture.PendingBytes == 0, err
	})
	if err != nil {
		return fmt.Errorf("%.0f of %d changes captured: %w", got, n, err)
	}
	return nil
}

// published is how many records the topic of A has had.
func (b *bench) published(ctx context.Context) (sum int64, err error) {
	for p := range b.options.partitions {
		_, next, err := b.bus.Offsets(ctx, changeTopic, p)
		if err != nil {
			return 0, err
		}
		sum += next
	}
	return sum, nil
}
