package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// load is a paced stream of single-row inserts in A, each a transaction of its own, and when they were seen.
type load struct {
	rate     int           // transactions a second
	length   time.Duration // of the load
	writers  int
	base     int // ids are base+1 to base+n
	n        int
	began    time.Time
	acked    []atomic.Int64 // ns after began, by number: when the commit had returned
	ended    time.Duration  // after began: when the last commit had returned
	b, c     seen           // Meridian's other region; MySQL's own replica
	interval time.Duration  // of asking
	effort   effort         // while it was written
}

// seen is what was seen of a load in another database.
type seen struct {
	at  []time.Duration // after the load began, by number; 0: never
	all time.Duration   // when the last was seen; 0: not all were
}

// warmUp is how much of a load's beginning does not count.
const warmUp = time.Second

// catchUp is how long B and C may be behind at the end of a load before they are given up.
const catchUp = 90 * time.Second

// latency measures from the commit in A to the row's being visible in B and in C, at two rates, after a load that does not
// count: Kafka's Java machine and the caches are cold before it.
func (b *bench) latency(ctx context.Context) error {
	const perSecond, length = 1000, 8 * time.Second
	b.say("warming up")
	warm := &load{rate: perSecond, length: b.options.lasting(length), writers: 64, interval: b.options.poll}
	if err := b.load(ctx, warm); err != nil {
		return err
	}
	base := warm.n
	for _, rate := range []struct {
		perSecond, writers int
		targets            latencyTargets
	}{
		{200, 32, latencyTargets{p50Ratio: 4}},
		{1000, 64, latencyTargets{p50: 10 * time.Millisecond, p99: 50 * time.Millisecond}},
	} {
		l := &load{rate: rate.perSecond, length: b.options.lasting(15*time.Second) + warmUp, writers: rate.writers, base: base, interval: b.options.poll}
		base += l.count()
		b.say("%d transactions a second for %v", l.rate, l.length)
		var profiles []func() error
		for _, s := range []*syncer{b.sa, b.sb} {
			profiles = append(profiles, s.profile(ctx, fmt.Sprintf("latency%d", l.rate), l.length))
		}
		if err := b.load(ctx, l); err != nil {
			return err
		}
		for _, wait := range profiles {
			if err := wait(); err != nil {
				return err
			}
		}
		b.report.latency(l, rate.targets)
	}
	return nil
}

// load runs one, and waits until C has all of it.
func (b *bench) load(ctx context.Context, l *load) error {
	if err := l.run(ctx, b); err != nil {
		return err
	}
	if err := b.c.received(ctx, b.a); err != nil {
		return err
	}
	return b.c.counts(ctx, l.base+l.n, "SELECT COUNT(*) FROM bench.latency")
}

func (l *load) count() int { return int(l.length.Seconds() * float64(l.rate)) }

// run writes and watches.
func (l *load) run(ctx context.Context, b *bench) error {
	l.n = l.count()
	l.acked = make([]atomic.Int64, l.n)
	before, err := b.effort(ctx)
	if err != nil {
		return err
	}
	l.began = time.Now()
	watching, stop := context.WithTimeout(ctx, l.length+catchUp)
	defer stop()
	var watchers errgroup.Group
	watchers.Go(func() error { return l.watch(watching, b.b, &l.b) })
	watchers.Go(func() error { return l.watch(watching, b.c, &l.c) })
	err = l.write(ctx, b.a)
	after, failed := b.effort(ctx)
	if err = errors.Join(err, failed); err != nil {
		stop()
		_ = watchers.Wait() // it was stopped because of err
		return err
	}
	l.effort = after.since(before)
	return watchers.Wait()
}

// write inserts at the rate. When the writers are not fast enough the rows wait: a commit's time counts from its return.
func (l *load) write(ctx context.Context, a *database) error {
	g, ctx := errgroup.WithContext(ctx)
	due := make(chan int, l.n)
	for range l.writers {
		g.Go(func() error { return l.insert(ctx, a, due) })
	}
	g.Go(func() error { return l.pace(ctx, due) })
	err := g.Wait()
	l.ended = time.Since(l.began)
	return err
}

// pace hands out the rows that are due.
func (l *load) pace(ctx context.Context, due chan<- int) error {
	defer close(due)
	clock := time.NewTicker(time.Millisecond)
	defer clock.Stop()
	for next := 0; next < l.n; {
		select {
		case <-clock.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		for until := min(int(time.Since(l.began).Seconds()*float64(l.rate)), l.n); next < until; next++ {
			due <- next
		}
	}
	return nil
}

func (l *load) insert(ctx context.Context, a *database, due <-chan int) (err error) {
	statement, err := a.db.PrepareContext(ctx, "INSERT INTO bench.latency VALUES (?, ?)")
	if err != nil {
		return err
	}
	defer func() { _ = statement.Close() }() // the server forgets it with the connection
	note := strings.Repeat("x", 40)
	for k := range due {
		if _, err := statement.ExecContext(ctx, l.base+1+k, note); err != nil {
			return fmt.Errorf("inserting in a: %w", err)
		}
		l.acked[k].Store(int64(time.Since(l.began)))
	}
	return nil
}

// watch asks a database for rows that it has not seen, until it has seen them all.
func (l *load) watch(ctx context.Context, d *database, s *seen) error {
	s.at = make([]time.Duration, l.n)
	statement, err := d.db.PrepareContext(ctx, "SELECT id FROM bench.latency WHERE id > ? AND id <= ? ORDER BY id")
	if err != nil {
		return err
	}
	defer func() { _ = statement.Close() }() // the server forgets it with the connection
	low := 0                                 // all below were seen
	err = until(ctx, l.interval, func() (bool, error) {
		ids, failed := column(ctx, statement, l.base+low, l.base+l.n)
		now := time.Since(l.began)
		for _, id := range ids {
			if k := id - l.base - 1; s.at[k] == 0 {
				s.at[k] = now
			}
		}
		for low < l.n && s.at[low] != 0 {
			low++
		}
		return low == l.n, failed
	})
	if err == nil {
		s.all = slices.Max(s.at)
		return nil
	}
	if ctx.Err() != nil { // given up: what was seen counts, and that not all was
		return nil
	}
	return fmt.Errorf("watching %s: %w", d.name, err)
}

func column(ctx context.Context, statement *sql.Stmt, args ...any) (list []int, err error) {
	rows, err := statement.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err has the error
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		list = append(list, id)
	}
	return list, rows.Err()
}

// delays are the times from the commit's return to the row's being seen, sorted; a row that was never seen took until the
// watcher gave up.
func (l *load) delays(s *seen) []time.Duration {
	var list []time.Duration
	for k := int(warmUp.Seconds() * float64(l.rate)); k < l.n; k++ {
		acked := time.Duration(l.acked[k].Load())
		at := s.at[k]
		if at == 0 {
			at = l.length + catchUp
		}
		list = append(list, at-acked)
	}
	slices.Sort(list)
	return list
}

// behind is how much later than the last commit's return the last row was seen; false: it never was.
func (l *load) behind(s *seen) (time.Duration, bool) { return s.all - l.ended, s.all != 0 }

// quantile gives the value that the share of a sorted list is not above.
func quantile(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}
