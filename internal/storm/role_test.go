package storm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"meridian/internal/bus"
	"meridian/internal/conflict"
	"meridian/internal/inspect"
	"meridian/internal/mysqldb"
	"meridian/internal/retry"
	"meridian/internal/syncer"
)

// role is what one process of the storm is: a region's syncer, or the bus if Listen is set.
type role struct {
	Region    string
	Index     int
	Shards    int
	Directory string

	MySQL, User, Password string
	Schema                string
	Home                  string            // the line to the bus on which it publishes
	Abroad                map[string]string // the lines to the bus on which it reads, by source
	BatchRows             int
	FlushEntries          int

	Crash   string // the step at which the process kills itself
	CrashAt int    // the how many-th time it comes there

	Listen string // the bus
}

func topicOf(region string) string { return "storm." + region + ".changes" }

func (r *role) ledger() string { return filepath.Join(r.Directory, "ledger.db") }

// answer is what a syncer's process says about itself.
type answer struct {
	Now    time.Time
	Status syncer.Status
}

type oneSchema string

func (s oneSchema) Match(schema, _ string) bool { return schema == string(s) }

func (oneSchema) VersionColumn(string) string { return "" }
func (oneSchema) Rule(string) conflict.Rule   { return conflict.LastWriterWins }

func newLogger() *zap.Logger {
	cfg := zap.NewProductionEncoderConfig()
	cfg.EncodeTime = zapcore.ISO8601TimeEncoder
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(cfg), zapcore.Lock(os.Stderr), zap.DebugLevel))
}

// busConfig reaches the bus over one line only, whatever address the broker gives.
func busConfig(line string, log *zap.Logger) bus.Config {
	return bus.Config{
		Brokers: []string{line}, Logger: log, DialTimeout: time.Second, RequestTimeout: 3 * time.Second,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, line)
		},
	}
}

func (r *role) mysql() mysqldb.Config {
	return mysqldb.Config{
		Address: r.MySQL, User: r.User, Password: func() (string, error) { return r.Password, nil },
		LockTimeout: 2 * time.Second, DialTimeout: 2 * time.Second,
	}
}

func (r *role) config(log *zap.Logger) syncer.Config {
	c := syncer.Config{
		Region: r.Region, Replicas: 1, Shards: r.Shards, Directory: r.Directory, MySQL: r.mysql(),
		TailerID: 90_000 + uint32(r.Index), Home: busConfig(r.Home, log),
		Topic: topicOf(r.Region), DeadTopic: "storm." + r.Region + ".dead", HeartbeatTopic: "storm.heartbeats", Replication: 1,
		MaxRecordBytes: 4 << 20, Tables: oneSchema(r.Schema),
		BatchRows: r.BatchRows, BatchBytes: 8 << 20, FenceTimeout: time.Second, StatementTimeout: 5 * time.Second,
		MaxAttempts: 1000, RetryDelay: 100 * time.Millisecond,
		MaxSkew: time.Minute, TransactionSize: 64 << 20, ReadyMaxLag: 30 * time.Second, PendingBytes: 32 << 20, InboxBytes: 4 << 20,
		FlushInterval: 150 * time.Millisecond, FlushEntries: r.FlushEntries, PulseInterval: 50 * time.Millisecond,
		ScrubRows: 5000, ScrubPause: 300 * time.Millisecond,
		Retry: retry.Policy{Base: 5 * time.Millisecond, Max: 300 * time.Millisecond, Jitter: 0.5}, Clock: retry.System{}, Log: log,
		Metrics: syncer.NewMetrics(r.Region, prometheus.NewRegistry()),
	}
	for source, line := range r.Abroad {
		c.Sources = append(c.Sources, syncer.Source{Region: source, Topic: topicOf(source), Bus: busConfig(line, log)})
	}
	if r.Crash != "" {
		c.Reached = r.crash(log)
	}
	return c
}

// crash kills the process when it comes to its step for the CrashAt-th time: nothing is written, nothing is said.
func (r *role) crash(log *zap.Logger) func(step string) {
	var mu sync.Mutex
	seen := 0
	return func(step string) {
		if step != r.Crash {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if seen++; seen == r.CrashAt {
			log.Info("the process kills itself", zap.String("step", step), zap.Int("time", seen))
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the lock is held: nobody gets any further
		}
	}
}

func (r *role) runSyncer(ctx context.Context) error {
	log := newLogger()
	s := syncer.New(r.config(log))
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) {
		now := time.Now() // before the status, so that what is derived from both is on the safe side
		if failed := json.NewEncoder(w).Encode(answer{now, s.Status()}); failed != nil {
			log.Debug("nobody listens to the status", zap.Error(failed))
		}
	})
	inspect.Mount(mux.Handle, s.Inspector(), false)
	inspect.MountMender(mux.Handle, s.Mender())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if _, err = fmt.Fprintln(os.Stdout, listener.Addr()); err != nil {
		return err
	}
	err = s.Run(ctx)
	err = errors.Join(err, server.Close())
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

func (r *role) runBus(ctx context.Context) error {
	e, err := bus.StartEmbedded(ctx, bus.EmbeddedConfig{Dir: r.Directory, Listen: r.Listen, Logger: newLogger()})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(os.Stdout, e.Addr()); err != nil {
		return err
	}
	<-ctx.Done()
	return e.Close()
}
