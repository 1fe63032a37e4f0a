package syncer_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"meridian/internal/retry"
	"meridian/internal/testenv"
)

// aheadClock is a machine whose clock, and with it the database's, is ahead.
type aheadClock struct {
	retry.System
	by time.Duration
}

// Now implements retry.Clock.
func (c aheadClock) Now() time.Time { return c.System.Now().Add(c.by) }

// Each replica publishes with the region's clock, so each of them has to stop when it is off, not only the one that speaks for
// the region.
func TestSkew_StopsEveryReplicaOfTheRegionThatIsOff(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(ordersDDL)
	a, b := r.list[0], r.list[1]
	a.cfg.Clock = aheadClock{by: time.Hour}
	a.cfg.Replicas = 2
	second := &region{t: t, all: r, name: a.name, db: a.db, cfg: a.cfg}
	second.cfg.Replica, second.cfg.Directory = 1, t.TempDir()
	second.cfg.TailerID += 1000
	for _, g := range []*region{a, second, b} {
		g.start()
	}
	for replica, g := range []*region{a, second} {
		eventually(t, fmt.Sprintf("replica %d of a does not publish", replica), func() error {
			if reasons := strings.Join(g.syncer.Reasons(), "; "); !strings.Contains(reasons, "this region's database clock is off") {
				return errors.New(reasons)
			}
			return nil
		})
	}
	if reasons := strings.Join(b.syncer.Reasons(), "; "); strings.Contains(reasons, "clock") {
		t.Errorf("b, whose clock is right, says %s", reasons)
	}
}

// A source that has not been heard from is no source without a lag: an alert on the lag has to see it.
func TestLag_OfASourceThatIsNotThereGrows(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(ordersDDL)
	a := r.list[0]
	a.start()
	a.waitCount("replication_lag_seconds", map[string]string{"source": "b", "target": "a"}, 0.2)
	if st := a.syncer.Status(); st.Sources[0].LagSeconds != -1 {
		t.Errorf("the status says %v, want that it is not known", st.Sources[0].LagSeconds)
	}
}

// Every server says how long it keeps its binlogs, each in its own way; one without that setting keeps them for ever.
func TestHeadroom_IsWhatTheServerKeeps(t *testing.T) {
	for kind, set := range map[testenv.Kind]string{
		testenv.KindMySQL: "SET GLOBAL binlog_expire_logs_seconds = 86400", testenv.KindMariaDB1011: "SET GLOBAL expire_logs_days = 1",
	} {
		t.Run(string(kind), func(t *testing.T) {
			r := newRegions(t, 1, kind)
			a := r.list[0]
			was := strings.Trim(a.rows("SELECT @@GLOBAL.binlog_expire_logs_seconds"), "\" \n")
			defer a.exec("SET GLOBAL binlog_expire_logs_seconds = " + was)
			a.exec(set)
			r.start()
			eventually(t, "the headroom is a day", func() error {
				if room := a.syncer.Status().Headroom; math.Abs(room-86400) > 60 {
					return fmt.Errorf("it is %v s", room)
				}
				return nil
			})
		})
	}
}

// Logs hold no values of rows: neither a key's nor what a database's error repeats of them. They say where the row is found.
func TestLogs_OfConflictsAndParkedChangesHoldNoValues(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	a, b := r.list[0], r.list[1]
	b.cfg.Log = b.cfg.Log.WithOptions(zap.WrapCore(func(was zapcore.Core) zapcore.Core { return zapcore.NewTee(was, core) }))
	r.exec("CREATE TABLE orders (id VARCHAR(30) PRIMARY KEY, code VARCHAR(30), UNIQUE KEY code (code))")
	r.start()
	b.execOutOfBand("INSERT INTO orders VALUES ('other', 'TAKEN-SECRET')")
	a.exec("INSERT INTO orders VALUES ('KEY-SECRET-1', 'TAKEN-SECRET')")
	entry := func(text string) map[string]any {
		t.Helper()
		var found map[string]any
		eventually(t, text+" is logged", func() error {
			list := logs.FilterMessageSnippet(text).All()
			if len(list) == 0 {
				return errors.New("not yet")
			}
			found = list[0].ContextMap()
			return nil
		})
		return found
	}
	if parked := entry("set aside"); parked["table"] != r.schema+".orders" || parked["source"] != "a" || parked["offset"] == nil || parked["version"] == "" || parked["reason"] != "duplicate_key" {
		t.Errorf("the parked change is logged as %v", parked)
	}
	if err := b.end(); err != nil {
		t.Fatal(err)
	}
	a.exec("INSERT INTO orders VALUES ('KEY-SECRET-2', 'a')")
	b.exec("INSERT INTO orders VALUES ('KEY-SECRET-2', 'b')")
	b.start()
	if conflict := entry("conflict: "); conflict["table"] != r.schema+".orders" || conflict["source"] != "a" || conflict["offset"] == nil || conflict["winner"] == "" {
		t.Errorf("the conflict is logged as %v", conflict)
	}
	for _, e := range logs.All() {
		if text := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(text, "SECRET") || strings.Contains(text, "KEY-") {
			t.Errorf("a row's value is in the log: %s", text)
		}
	}
}
