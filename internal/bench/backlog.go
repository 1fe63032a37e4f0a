package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// backlog measures how long B and C need, each alone, for transactions that wait for them.
func (b *bench) backlog(ctx context.Context) error {
	n := b.options.of(100_000)
	if err := b.pileUp(ctx, n); err != nil {
		return err
	}
	b.say("B applies %d transactions", n)
	ours, err := b.drain(ctx, b.b, n, func() error { return b.sb.start(ctx) })
	if err != nil {
		return err
	}
	b.say("B: %v with the process's start, %v of them before the first row; C applies them", ours.total.Round(time.Millisecond), ours.first.Round(time.Millisecond))
	theirs, err := b.drain(ctx, b.c, n, func() error { return b.c.exec(ctx, "START REPLICA SQL_THREAD") })
	if err != nil {
		return err
	}
	b.report.backlog(n, ours, theirs)
	return nil
}

// pileUp lets transactions wait: for B on Kafka, for C in its relay log.
func (b *bench) pileUp(ctx context.Context, n int) error {
	const chunk = 500
	b.say("%d rows in all three databases", n)
	err := b.a.hurried(ctx, func() error {
		for from := 1; from <= n; from += chunk {
			err := b.a.exec(ctx, "INSERT INTO bench.account WITH RECURSIVE s(n) AS (SELECT ? UNION ALL SELECT n+1 FROM s WHERE n < ?) "+
				"SELECT n, 0, CONCAT('account number ', n) FROM s", from, min(from+chunk-1, n))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, d := range []*database{b.b, b.c} {
		if err = d.counts(ctx, n, "SELECT COUNT(*) FROM bench.account"); err != nil {
			return err
		}
	}
	if err = b.sb.stop(ctx); err != nil {
		return err
	}
	if err = b.c.exec(ctx, "STOP REPLICA SQL_THREAD"); err != nil {
		return err
	}
	captured, err := b.sa.counter(ctx, changesMetric)
	if err != nil {
		return err
	}
	b.say("%d transactions in A", n)
	if err := b.a.hurried(ctx, func() error { return b.updateAll(ctx, n) }); err != nil {
		return err
	}
	if err := b.c.received(ctx, b.a); err != nil {
		return err
	}
	return b.acknowledged(ctx, int(captured)+n)
}

// updateAll updates every row once, in any order, each in a transaction of its own.
func (b *bench) updateAll(ctx context.Context, n int) error {
	order := rand.Perm(n)
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	const writers = 64
	for range writers {
		g.Go(func() error {
			statement, err := b.a.db.PrepareContext(ctx, "UPDATE bench.account SET n = 1 WHERE id = ?")
			if err != nil {
				return err
			}
			defer func() { _ = statement.Close() }() // the server forgets it with the connection
			for {
				k := int(next.Add(1)) - 1
				if k >= n {
					return nil
				}
				if _, err := statement.ExecContext(ctx, order[k]+1); err != nil {
					return fmt.Errorf("updating in a: %w", err)
				}
			}
		})
	}
	return g.Wait()
}

// drained is how long a backlog took.
type drained struct {
	first time.Duration // until any of it was seen
	total time.Duration // until all of it was
	cpu   time.Duration // of the syncer; 0 for the replica
}

// drain starts who applies, and waits until the database has all n.
func (b *bench) drain(ctx context.Context, d *database, n int, start func() error) (drained, error) {
	const interval = 100 * time.Millisecond
	var took drained
	began := time.Now()
	if err := start(); err != nil {
		return took, err
	}
	if d == b.b {
		const length = 10 * time.Second // no longer than the backlog lasts at a tenth of its size
		profile := b.sb.profileWhenUp(ctx, "backlog", time.Duration(float64(length)*min(b.options.scale, 1)))
		defer func() { _ = profile() }() // the measurement counts, with or without it
	}
	got := 0
	err := until(ctx, interval, func() (bool, error) {
		n1, failed := d.count(ctx, "SELECT COUNT(*) FROM bench.account WHERE n = 1")
		if n1 > 0 && got == 0 {
			took.first = time.Since(began)
		}
		got = n1
		return got >= n, failed
	})
	took.total = time.Since(began)
	if d == b.b {
		took.cpu = b.sb.cpu()
	}
	if err != nil {
		return took, fmt.Errorf("database %s: %d of %d transactions applied after %v: %w", d.name, got, n, took.total, err)
	}
	return took, nil
}
