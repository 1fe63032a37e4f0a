package main

import (
	"context"
	"time"
)

// memory lets one transaction of many rows go from A to B. The peaks are noted by whoever runs the phases.
func (b *bench) memory(ctx context.Context) error {
	n := b.options.of(1_000_000)
	wide, err := b.a.count(ctx, "SELECT COUNT(*) FROM bench.wide")
	if err != nil {
		return err
	}
	if err = b.c.exec(ctx, "STOP REPLICA"); err != nil {
		return err
	}
	b.say("B catches up with the %d rows of the phase before", wide)
	began := time.Now()
	if err = b.b.counts(ctx, wide, "SELECT COUNT(*) FROM bench.wide"); err != nil {
		return err
	}
	b.say("that took %v more; one transaction of %d rows", time.Since(began).Round(time.Millisecond), n)
	connection, err := b.a.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close() }() // it goes back to the pool
	if _, err := connection.ExecContext(ctx, "SET SESSION cte_max_recursion_depth = 4000000000"); err != nil {
		return err
	}
	if _, err := connection.ExecContext(ctx, "INSERT INTO bench.bulk "+wideRows, 1, n); err != nil {
		return err
	}
	committed, cpu := time.Now(), b.sb.cpu()
	profiles := []func() error{b.sa.profile(ctx, "bulk", bulkProfile), b.sb.profile(ctx, "bulk", bulkProfile)}
	if err := b.b.counts(ctx, n, "SELECT COUNT(*) FROM bench.bulk"); err != nil {
		return err
	}
	b.report.bulk(n, time.Since(committed), b.sb.cpu()-cpu)
	for _, wait := range profiles {
		if err := wait(); err != nil {
			return err
		}
	}
	return nil
}

// bulkProfile is how long the profiles of one large transaction are.
const bulkProfile = 10 * time.Second
