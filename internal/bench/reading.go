package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// readTable is the table that is read: it is filled past the binlog, so that only the first reading brings it into the ledger.
const readTable = "bench.there"

// unhindered is the configuration in which nothing but the machine bounds both readings.
const unhindered = "verify: {baseline_rows_per_second: 100000000, scrub_rows_per_second: 100000000, busy_threads: 0}\n"

// reading measures how fast A's syncer reads a table of nine columns for the first time, and again.
func (b *bench) reading(ctx context.Context) (err error) {
	n := b.options.of(1_000_000)
	for _, s := range []*syncer{b.sb, b.sa} {
		if err = s.stop(ctx); err != nil {
			return err
		}
	}
	if err = b.fillPastBinlog(ctx, n); err != nil {
		return err
	}
	plain := b.sa.config
	text, err := os.ReadFile(plain)
	if err != nil {
		return err
	}
	b.sa.config = strings.TrimSuffix(plain, ".yml") + "-reading.yml"
	defer func() { b.sa.config = plain }()
	if err = os.WriteFile(b.sa.config, append(text, unhindered...), 0o600); err != nil { //nolint:gosec // in the bench's own folder
		return err
	}
	b.say("A reads %d rows of 9 columns, and again", n)
	if err = b.sa.start(ctx); err != nil {
		return err
	}
	if err = b.sa.ready(ctx); err != nil {
		return err
	}
	const rate = 150_000
	profile := b.sa.profile(ctx, "reading", time.Duration(2*float64(n)/rate*float64(time.Second)))
	var first, last time.Time
	var cpu time.Duration
	rows := 0
	err = b.reads(ctx, func(st *status) bool {
		for _, t := range st.Baseline {
			if t.Table != readTable {
				continue
			}
			if first.IsZero() && t.Rows > 0 {
				first, rows, cpu = time.Now(), t.Rows, b.sa.cpu()
			}
			last = time.Now()
			return t.Done
		}
		return false
	})
	if err != nil {
		return err
	}
	b.report.reading("first reading", n-rows, last.Sub(first), b.sa.cpu()-cpu)
	cpu = b.sa.cpu()
	var from, to time.Time
	if err = b.reads(ctx, func(st *status) bool {
		for _, t := range st.Scrub {
			if t.Table == readTable && t.Covered != nil && t.CoveredFrom.After(last) {
				from, to = *t.CoveredFrom, *t.Covered
				return true
			}
		}
		return false
	}); err != nil {
		return err
	}
	b.report.reading("reading again (scrub)", n, to.Sub(from), b.sa.cpu()-cpu)
	return errors.Join(profile(), b.sa.stop(ctx)) // whatever comes next starts it as it was
}

// reads asks A's syncer for its status until enough says so.
func (b *bench) reads(ctx context.Context, enough func(*status) bool) error {
	const interval = 20 * time.Millisecond
	return until(ctx, interval, func() (bool, error) {
		if !b.sa.runs() {
			return false, b.sa.endError()
		}
		st, err := b.sa.status(ctx)
		return err == nil && enough(&st), err
	})
}

// fillPastBinlog makes the table with n rows, of which the binlog has none.
func (b *bench) fillPastBinlog(ctx context.Context, n int) error {
	const chunk = 20_000
	conn, err := b.a.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // it goes back to the pool
	if err = b.a.exec(ctx, "CREATE TABLE IF NOT EXISTS "+readTable+" LIKE bench.wide"); err != nil {
		return err
	}
	if _, err = conn.ExecContext(ctx, "SET SESSION sql_log_bin = 0, cte_max_recursion_depth = 4000000000"); err != nil {
		return err
	}
	for from := 1; from <= n; from += chunk {
		if _, err = conn.ExecContext(ctx, "INSERT INTO "+readTable+" "+wideRows, from, min(from+chunk-1, n)); err != nil {
			return fmt.Errorf("filling %s: %w", readTable, err)
		}
	}
	_, err = conn.ExecContext(ctx, "SET SESSION sql_log_bin = 1")
	return err
}
