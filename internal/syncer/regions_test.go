package syncer_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"meridian/internal/bus"
	rules "meridian/internal/conflict"
	"meridian/internal/mysqldb"
	"meridian/internal/propagate"
	"meridian/internal/retry"
	"meridian/internal/syncer"
	"meridian/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// regions is several regions on this machine: a database, a syncer each, and one bus.
type regions struct {
	t      *testing.T
	schema string
	broker *bus.Embedded
	list   []*region
}

// region is one of them.
type region struct {
	t       *testing.T
	all     *regions
	name    string
	db      *testenv.Database
	cfg     syncer.Config
	syncer  *syncer.Syncer
	metrics *prometheus.Registry
	pool    *sql.DB
	stop    context.CancelFunc
	done    chan error
}

// tables replicates one schema.
type tables struct {
	schema   string
	versions map[string]string
	review   []string // the tables whose conflicts wait for a person
}

func (s tables) Match(schema, _ string) bool { return schema == s.schema }

func (s tables) VersionColumn(table string) string { return s.versions[table] }

func (s tables) Rule(table string) rules.Rule {
	if slices.Contains(s.review, table) {
		return rules.Review
	}
	return rules.LastWriterWins
}

var testPolicy = retry.Policy{Base: 5 * time.Millisecond, Max: 200 * time.Millisecond, Jitter: 0.5}

// newRegions makes regions on shared servers of the kinds, with fresh topics and state, without starting their syncers.
func newRegions(t *testing.T, shards int, kinds ...testenv.Kind) *regions {
	t.Helper()
	var dbs []*testenv.Database
	for i, kind := range kinds {
		dbs = append(dbs, testenv.Shared(t, kind, regionName(i)))
	}
	return newRegionsOn(t, shards, dbs...)
}

func regionName(i int) string { return string(rune('a' + i)) }

// newRegionsOn makes them on these servers.
func newRegionsOn(t *testing.T, shards int, dbs ...*testenv.Database) *regions {
	t.Helper()
	r := &regions{t: t}
	var err error
	r.broker, err = bus.StartEmbedded(context.WithoutCancel(t.Context()), bus.EmbeddedConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.broker.Close(); err != nil {
			t.Error(err)
		}
	})
	for i, db := range dbs {
		db.Exec("DROP DATABASE IF EXISTS meridian")
		if r.schema == "" {
			r.schema = db.FreshSchema(t)
		} else {
			db.Exec("CREATE DATABASE " + r.schema)
		}
		r.list = append(r.list, &region{t: t, all: r, name: regionName(i), db: db})
	}
	for i, g := range r.list {
		g.cfg = r.config(i, shards)
	}
	return r
}

func (r *regions) config(i, shards int) syncer.Config {
	g := r.list[i]
	log := zaptest.NewLogger(r.t, zaptest.Level(zap.WarnLevel)).With(zap.String("at", g.name))
	prefix := strings.ReplaceAll(r.schema, "_", "-")
	topic := func(name string) string { return prefix + "." + name + ".changes" }
	c := syncer.Config{
		Region: g.name, Replicas: 1, Shards: shards, Directory: filepath.Join(r.t.TempDir(), g.name),
		MySQL: mysqldb.Config{
			Address: g.db.Address, User: g.db.User, Password: func() (string, error) { return g.db.Password, nil }, LockTimeout: 2 * time.Second,
		},
		TailerID: 90_000 + uint32(i), Home: r.broker.ClientConfig(),
		Topic: topic(g.name), DeadTopic: prefix + "." + g.name + ".dead", HeartbeatTopic: prefix + ".heartbeats", Replication: 1,
		MaxRecordBytes: 4 << 20, Tables: tables{schema: r.schema},
		BatchRows: 1000, BatchBytes: 8 << 20, FenceTimeout: 2 * time.Second, MaxAttempts: 1000, RetryDelay: 50 * time.Millisecond,
		MaxSkew: time.Minute, TransactionSize: 64 << 20, ReadyMaxLag: 30 * time.Second, PendingBytes: 32 << 20, InboxBytes: 4 << 20,
		FlushInterval: 100 * time.Millisecond, FlushEntries: 10_000, PulseInterval: 20 * time.Millisecond, ScrubPause: 20 * time.Millisecond,
		History: propagate.HistoryBounds{Age: time.Hour, Rows: 1000, Bytes: 8 << 20}, HistoryPause: 20 * time.Millisecond,
		Retry: testPolicy, Clock: retry.System{}, Log: log,
	}
	for j, other := range r.list {
		if j != i {
			c.Sources = append(c.Sources, syncer.Source{Region: other.name, Topic: topic(other.name), Bus: r.broker.ClientConfig()})
		}
	}
	return c
}

// start starts all syncers and waits until they are ready.
func (r *regions) start() *regions {
	r.t.Helper()
	for _, g := range r.list {
		g.start()
	}
	for _, g := range r.list {
		g.waitReady()
	}
	return r
}

// start starts the region's syncer; it ends with the test at the latest.
func (g *region) start() {
	g.t.Helper()
	g.metrics = prometheus.NewRegistry()
	cfg := g.cfg
	cfg.Metrics = syncer.NewMetrics(g.name, g.metrics)
	g.syncer = syncer.New(cfg)
	ctx, stop := context.WithCancel(context.WithoutCancel(g.t.Context()))
	g.stop, g.done = sync.OnceFunc(stop), make(chan error, 1)
	go func() { g.done <- g.syncer.Run(ctx) }()
	done := g.done
	g.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			g.t.Errorf("the syncer of %s ended with: %v", g.name, err)
		}
		done <- nil
	})
}

// end ends the syncer and returns what it ended with.
func (g *region) end() error {
	g.stop()
	err := <-g.done
	g.done <- nil
	return err
}

func (g *region) waitReady() {
	g.t.Helper()
	eventually(g.t, g.name+" is ready", func() error {
		if reasons := g.syncer.Reasons(); len(reasons) > 0 {
			for _, other := range g.all.list {
				if other.syncer != nil {
					reasons = append(reasons, other.name+": "+strings.Join(other.syncer.Reasons(), ", "))
				}
			}
			return fmt.Errorf("%s", strings.Join(reasons, "; "))
		}
		return nil
	})
}

// eventually waits for a condition; it fails the test when that takes a minute.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waiting until %s: %v", what, err)
		}
	}
}

// exec runs a statement in every region.
func (r *regions) exec(query string) {
	r.t.Helper()
	for _, g := range r.list {
		g.exec(query)
	}
}

// exec runs a statement with the test's schema as the default.
func (g *region) exec(query string, args ...any) {
	g.t.Helper()
	if _, err := g.open().ExecContext(g.t.Context(), query, args...); err != nil {
		g.t.Fatalf("%s: %s: %v", g.name, query, err)
	}
}

// execOutOfBand runs a statement that leaves no trace in the binlog.
func (g *region) execOutOfBand(query string) {
	g.t.Helper()
	conn, err := g.open().Conn(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	for _, q := range []string{"SET sql_log_bin = 0", query, "SET sql_log_bin = 1"} {
		if _, err := conn.ExecContext(g.t.Context(), q); err != nil {
			g.t.Fatalf("%s: %s: %v", g.name, q, err)
		}
	}
}

func (g *region) open() *sql.DB {
	g.t.Helper()
	if g.pool == nil {
		g.pool = g.db.Open(g.all.schema)
	}
	return g.pool
}

// rows gives all rows of a table as text, in the key's order.
func (g *region) rows(query string) string {
	g.t.Helper()
	rows, err := g.open().QueryContext(g.t.Context(), query)
	if err != nil {
		g.t.Fatalf("%s: %s: %v", g.name, query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		g.t.Fatal(err)
	}
	var b strings.Builder
	into, values := make([]any, len(columns)), make([]sql.NullString, len(columns))
	for i := range into {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			g.t.Fatal(err)
		}
		for _, v := range values {
			if v.Valid {
				fmt.Fprintf(&b, "%q ", v.String)
			} else {
				b.WriteString("NULL ")
			}
		}
		b.WriteByte('\n')
	}
	if err := rows.Err(); err != nil {
		g.t.Fatal(err)
	}
	return b.String()
}

// waitEqual waits until the query gives the same in all regions, and returns it.
func (r *regions) waitEqual(query string) string {
	r.t.Helper()
	var first string
	eventually(r.t, "all regions hold the same rows", func() error {
		first = r.list[0].rows(query)
		for _, g := range r.list[1:] {
			if got := g.rows(query); got != first {
				return fmt.Errorf("%s has\n%s%s has\n%s", r.list[0].name, first, g.name, got)
			}
		}
		return nil
	})
	return first
}

// waitRows waits until the query gives the rows in all regions.
func (r *regions) waitRows(query, want string) {
	r.t.Helper()
	for _, g := range r.list {
		eventually(r.t, g.name+" has the rows", func() error {
			if got := g.rows(query); got != want {
				return fmt.Errorf("got\n%swant\n%s", got, want)
			}
			return nil
		})
	}
}
