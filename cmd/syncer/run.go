package main

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"meridian/internal/admin"
	"meridian/internal/binlog"
	"meridian/internal/bus"
	"meridian/internal/command"
	"meridian/internal/config"
	"meridian/internal/conflict"
	"meridian/internal/inspect"
	"meridian/internal/propagate"
	"meridian/internal/retry"
	"meridian/internal/syncer"
)

// runSyncer runs one region's process until the context ends.
func runSyncer(ctx context.Context, p *command.Process, o runOptions) (err error) {
	stopBus, err := serveBus(ctx, p, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopBus()) }()
	if err = requireFit(ctx, p, o.Config, o.Region, o.Replica); err != nil {
		return err
	}
	if err = refuseUnbuilt(o.Config, p.Logger); err != nil {
		return err
	}
	registry := command.NewRegistry()
	settings, err := settings(o, p.Logger, registry)
	if err != nil {
		return err
	}
	debug.SetMemoryLimit(int64(o.Config.Limits.Memory))
	debug.SetGCPercent(gcPercent)
	s := syncer.New(settings)
	server, err := listenAdmin(ctx, p, o, registry, s)
	if err != nil {
		return err
	}
	p.Logger.Info("the region's syncer starts", zap.String("region", o.Region.Name), zap.Int("replica", o.Replica),
		zap.Int("replicas", o.Replicas), zap.String("version", command.ThisBuild().Version), zap.Stringer("admin", server.Addr()))
	g, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g.Go(func() error { defer stop(); return server.Run(ctx) })
	g.Go(func() error { defer stop(); return s.Run(ctx) })
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("region %s: %w", o.Region.Name, err)
	}
	p.Logger.Info("the region's syncer has ended", zap.String("region", o.Region.Name))
	return nil
}

// refuseUnbuilt refuses rules that this version would not keep: to accept them and let the newest write win would lose
// what they are there to keep. A cache that is configured is only said to be left alone.
func refuseUnbuilt(c *config.Config, logger *zap.Logger) error {
	for _, rule := range c.Tables.Rules {
		if rule.UniqueConflicts == config.UniqueNewestWins {
			return &command.UsageError{Text: fmt.Sprintf("%s: tables.rules: unique_conflicts: newest_wins is not in this version yet; only park is", c.Path)}
		}
		if rule.Cache != nil {
			logger.Warn("caches are not kept by this version yet: rows in Redis are not touched", zap.String("file", c.Path))
		}
	}
	return nil
}

// skipped reads the GTIDs of --skip-transaction.
func skipped(gtids []string) ([]string, error) {
	list := make([]string, len(gtids))
	for i, text := range gtids {
		gtid, err := binlog.CanonicalGTID(text)
		if err != nil {
			return nil, &command.UsageError{Text: fmt.Sprintf("--skip-transaction: %v", err)}
		}
		list[i] = gtid
	}
	return list, nil
}

// serveBus starts the embedded bus where this process is the one to serve it.
func serveBus(ctx context.Context, p *command.Process, o runOptions) (stop func() error, err error) {
	e := o.Config.Bus.Embedded
	if e == nil || e.Region != o.Region.Name || o.Replica != 0 {
		return func() error { return nil }, nil
	}
	// It outlives the signal to end: what was captured is still to be acknowledged.
	b, err := bus.StartEmbedded(context.WithoutCancel(ctx), bus.EmbeddedConfig{
		Dir: o.Config.BusDirectory(), Listen: e.Listen, Retention: o.Config.Bus.Retention, Logger: p.Logger,
	})
	if err != nil {
		return nil, err
	}
	return b.Close, nil
}

func listenAdmin(ctx context.Context, p *command.Process, o runOptions, registry *prometheus.Registry, s *syncer.Syncer) (*admin.Server, error) {
	tls, err := o.Config.Admin.TLS.Server()
	if err != nil {
		return nil, fmt.Errorf("admin.tls: %w", err)
	}
	var token admin.TokenSource
	if o.Config.Admin.Token.IsSet() {
		token = o.Config.Admin.Token.Read
	}
	server, err := admin.Listen(ctx, admin.Config{
		Listen: o.Region.Admin.Listen, TLS: tls, Token: token, Metrics: registry, Logger: p.Logger,
		Ready:  s.Reasons,
		Status: func(context.Context) (any, error) { return map[string]any{"regions": []syncer.Status{s.Status()}}, nil },
	})
	if err != nil {
		return nil, err
	}
	// Keys and digests of rows are nobody else's business, and reading rows locks them.
	if at, ok := server.Addr().(*net.TCPAddr); token != nil || ok && at.IP.IsLoopback() {
		inspect.Mount(server.Mount, s.Inspector(), true)
		inspect.MountMender(server.Mount, s.Mender()) // without a token the server refuses what changes state
		inspect.MountScrub(server.Mount, s.Scrubber())
		inspect.MountRows(server.Mount, s.Explainer(), true)
		inspect.MountRestorer(server.Mount, s.Restorer())
		inspect.MountReviews(server.Mount, s.Reviewer(), true)
	}
	return server, nil
}

// settings turns the configuration into what the region's process needs to know.
func settings(o runOptions, logger *zap.Logger, registry prometheus.Registerer) (syncer.Config, error) {
	c, name := o.Config, o.Region.Name
	database, err := databaseConfig(o.Region, logger)
	if err != nil {
		return syncer.Config{}, err
	}
	home, err := busConfig(c, o.Region, logger)
	if err != nil {
		return syncer.Config{}, err
	}
	s := syncer.Config{
		Region: name, Replica: o.Replica, Replicas: o.Replicas, Shards: c.Bus.Partitions, Directory: c.ReplicaDirectory(name, o.Replica),
		MySQL: database, TailerID: tailerID(name, o.Replica), SkipTransactions: o.Skip, AcknowledgeWarnings: o.Acknowledge, Home: home,
		Topic: c.ChangeTopic(name), DeadTopic: c.DeadTopic(name), HeartbeatTopic: c.HeartbeatTopic(),
		Replication: c.Bus.ReplicationFactor, Retention: c.Bus.Retention, MaxRecordBytes: int(c.Bus.MaxRecordBytes),
		Tables:    replicated{&c.Tables},
		BatchRows: c.Apply.BatchRows, BatchBytes: int(c.Apply.BatchBytes), FenceTimeout: c.Apply.FenceTimeout, StatementTimeout: c.Apply.StatementTimeout,
		MaxAttempts: c.Retry.MaxAttempts, RetryDelay: c.Retry.Delay, MaxSkew: c.Clock.MaxSkew,
		TransactionSize: int(c.Limits.TransactionMemory), ReadyMaxLag: c.Limits.ReadyMaxLag,
		InboxBytes:   inboxBytes(c, o.Replicas),
		PendingBytes: min(syncer.DefaultPendingBytes, int(c.Limits.Memory)/8), FlushInterval: syncer.DefaultFlushInterval,
		FlushEntries: syncer.DefaultFlushEntries, PulseInterval: syncer.DefaultPulseInterval,
		ScrubPause: syncer.DefaultScrubPause, ScrubRows: c.Verify.ScrubRowsPerSecond, BaselineRows: c.Verify.BaselineRowsPerSecond,
		BusyThreads: c.Verify.BusyThreads, DatabaseReplicas: databaseReplicas(o.Region, database), BusyReplicaDelay: c.Verify.BusyReplicaDelay,
		History:      propagate.HistoryBounds{Age: c.Verify.ConflictHistory, Rows: syncer.DefaultHistoryRows, Bytes: syncer.DefaultHistoryBytes},
		HistoryPause: syncer.DefaultHistoryPause,
		Retry:        retry.Policy{Base: 20 * time.Millisecond, Max: 2 * time.Second, Jitter: 0.5, Settled: time.Minute},
		Clock:        retry.System{}, Log: logger, Metrics: syncer.NewMetrics(name, registry),
	}
	for _, other := range c.Others(name) {
		abroad, err := busConfig(c, other, logger)
		if err != nil {
			return syncer.Config{}, err
		}
		s.Sources = append(s.Sources, syncer.Source{Region: other.Name, Topic: c.ChangeTopic(other.Name), Bus: abroad})
	}
	return s, nil
}

// gcPercent trades a little time of the processor for memory: most of what a syncer allocates is gone at once.
const gcPercent = 50

// inboxBytes shares a quarter of the memory among all queues of what is read ahead.
func inboxBytes(c *config.Config, replicas int) int {
	queues := max(1, c.Bus.Partitions/replicas) * max(1, len(c.Regions)-1)
	const least, most = 256 << 10, 8 << 20
	return min(most, max(least, int(c.Limits.Memory)/4/queues))
}

// replicated tells the syncer what is replicated, and how.
type replicated struct{ tables *config.Tables }

// Match implements syncer.Tables.
func (t replicated) Match(schema, table string) bool { return t.tables.Match(schema, table) }

// VersionColumn implements syncer.Tables.
func (t replicated) VersionColumn(table string) string {
	schema, name, _ := strings.Cut(table, ".")
	return t.tables.Rule(schema, name).VersionColumn
}

// Rule implements syncer.Tables.
func (t replicated) Rule(table string) conflict.Rule {
	schema, name, _ := strings.Cut(table, ".")
	if t.tables.Rule(schema, name).Conflict == config.ConflictReview {
		return conflict.Review
	}
	return conflict.LastWriterWins
}

// tailerID is the server id under which a replica reads its database's binlog: the same at every start, so that the
// server ends a connection that was left behind, and far from the ids that people give to servers.
func tailerID(region string, replica int) uint32 {
	return 1<<31 | crc32.ChecksumIEEE(fmt.Appendf(nil, "%s/%d", region, replica))>>1
}
