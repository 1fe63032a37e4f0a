package syncer_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"meridian/internal/binlog"
	"meridian/internal/testenv"
)

// refused waits until the syncer ends at a transaction that it cannot take, and gives its GTID.
func (g *region) refused() string {
	g.t.Helper()
	select {
	case err := <-g.done:
		g.done <- nil
		var refused *binlog.RefusedError
		if !errors.As(err, &refused) {
			g.t.Fatalf("%s ended with %v", g.name, err)
		}
		if !strings.Contains(err.Error(), "syncer run --skip-transaction "+refused.GTID+"`") {
			g.t.Errorf("it does not say how to go on: %v", err)
		}
		return refused.GTID
	case <-time.After(time.Minute):
		g.t.Fatalf("the syncer of %s runs on", g.name)
		return ""
	}
}

// session runs statements in one session.
func (g *region) session(statements ...string) {
	g.t.Helper()
	conn, err := g.open().Conn(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	for _, q := range statements {
		if _, err := conn.ExecContext(g.t.Context(), q); err != nil {
			g.t.Fatalf("%s: %s: %v", g.name, q, err)
		}
	}
}

// A region that has met an XA transaction goes on behind it when it is named, and so does the rebuild of its ledger. The
// rows that were passed over differ until they are written again, wherever that is.
func TestSkip_AnXATransactionIsPassedOver(t *testing.T) {
	for _, rebuild := range []bool{false, true} {
		t.Run(fmt.Sprintf("rebuild %v", rebuild), func(t *testing.T) {
			r := newRegions(t, 2, testenv.KindMySQL, testenv.KindMySQL)
			r.exec(ordersDDL)
			r.start()
			a, b := r.list[0], r.list[1]
			b.exec("INSERT INTO orders VALUES (1, 'b', 1), (2, 'b', 2)")
			r.waitSettled()
			b.waitFlushes(2)
			b.session("XA START 'x'", "UPDATE orders SET n = 100 WHERE id = 1", "INSERT INTO orders VALUES (3, 'secret', 3), (4, 'secret', 4)",
				"XA END 'x'", "XA PREPARE 'x'", "XA COMMIT 'x'")
			gtid := b.refused()
			if rebuild {
				if err := os.Remove(filepath.Join(b.cfg.Directory, "ledger.db")); err != nil {
					t.Fatal(err)
				}
			}
			b.start()
			if again := b.refused(); again != gtid {
				t.Fatalf("it ended at %s, and then at %s", gtid, again)
			}

			core, logs := observer.New(zap.WarnLevel)
			b.cfg.Log = b.cfg.Log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return zapcore.NewTee(c, core) }))
			b.cfg.SkipTransactions = []string{gtid}
			b.start()
			b.waitReady()
			b.exec("INSERT INTO orders VALUES (5, 'behind', 5)")
			r.waitSettled()
			const before = "\"1\" \"b\" \"1\" \n\"2\" \"b\" \"2\" \n\"5\" \"behind\" \"5\" \n"
			if got := a.rows(all); got != before {
				t.Errorf("%s has\n%s", a.name, got)
			}
			if n := value(t, b, "capture_skipped_transactions_total", nil); n != 1 {
				t.Errorf("%v transactions were passed over", n)
			}
			said := logs.FilterMessageSnippet("is passed over").All()
			if len(said) != 1 {
				t.Fatalf("said %d times: %v", len(said), said)
			}
			fields := said[0].ContextMap()
			if fields["gtid"] != gtid || fmt.Sprint(fields["tables"]) != "["+r.schema+".orders]" || fmt.Sprint(fields["row_events"]) != "2" {
				t.Errorf("said: %v", fields)
			}
			if strings.Contains(fmt.Sprint(said), "secret") {
				t.Errorf("it tells a value: %v", said)
			}

			shown := func(want int) {
				t.Helper()
				got := b.syncer.Status().Warnings
				if len(got) != want || want == 1 && (!strings.Contains(got[0], gtid) || !strings.Contains(got[0], r.schema+".orders") || strings.Contains(got[0], "secret")) {
					t.Errorf("the warnings are %q", got)
				}
				b.waitCount("warnings", nil, float64(want))
			}
			again := func(acknowledge bool) {
				t.Helper()
				if err := b.end(); err != nil {
					t.Fatal(err)
				}
				b.cfg.AcknowledgeWarnings = acknowledge
				b.start()
				b.waitReady()
			}
			shown(1)
			again(false) // the flag stays, as it may
			shown(1)

			a.exec("UPDATE orders SET n = 11 WHERE id = 1")
			a.exec("INSERT INTO orders VALUES (3, 'again', 33)")
			b.exec("UPDATE orders SET n = 44 WHERE id = 4")
			r.waitRows(all, "\"1\" \"b\" \"11\" \n\"2\" \"b\" \"2\" \n\"3\" \"again\" \"33\" \n\"4\" \"secret\" \"44\" \n\"5\" \"behind\" \"5\" \n")
			r.waitSettled()
			r.checkLedgers()
			again(true)
			shown(0)
		})
	}
}

// The flag may stay where it was: what has been passed over already is not met again, which is said.
func TestSkip_WhatIsBehindHasNoEffect(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(ordersDDL)
	r.start()
	a, b := r.list[0], r.list[1]
	a.exec("INSERT INTO orders VALUES (1, 'a', 1)")
	r.waitSettled()
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	gtids := strings.Trim(a.rows("SELECT @@GLOBAL.server_uuid"), "\" \n") + ":1"
	core, logs := observer.New(zap.WarnLevel)
	a.cfg.Log = a.cfg.Log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return zapcore.NewTee(c, core) }))
	a.cfg.SkipTransactions = []string{gtids}
	a.start()
	a.waitReady()
	a.exec("UPDATE orders SET n = 2")
	b.waitCount("apply_changes_total", nil, 2)
	r.waitRows(all, "\"1\" \"a\" \"2\" \n")
	if n := value(t, a, "capture_skipped_transactions_total", nil); n != 0 {
		t.Errorf("%v transactions were passed over", n)
	}
	if logs.FilterMessageSnippet("has no effect").Len() != 1 {
		t.Errorf("said: %v", logs.All())
	}
}
