package syncer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"meridian/internal/binlog"
	"meridian/internal/bus"
	"meridian/internal/checksum"
	"meridian/internal/envelope"
	"meridian/internal/mysqldb"
	"meridian/internal/propagate"
	"meridian/internal/row"
)

// open brings everything up to the point where the actors may run, in the order that the protocol needs:
//
//  1. where the database stands now: a first start begins there, and the claim below must lie behind it;
//  2. the claim: from now on no older process of these shards commits;
//  3. the epoch marker in each owned partition: from now on readers ignore what an older process publishes;
//  4. the ledger, rebuilt if it is lost;
//  5. the stamps that stand in the own topic behind the checkpoint: a version is given once.
func (s *Syncer) open(ctx context.Context, p *parts) error {
	if err := s.openServers(ctx, p); err != nil {
		return err
	}
	executed, err := p.server.ExecutedGTIDs(ctx)
	if err != nil {
		return s.again(err)
	}
	ahead, _, err := p.server.Clock(ctx)
	if err != nil {
		return s.again(err)
	}
	s.ahead.Store(int64(ahead))
	least, err := s.leastEpochs(ctx, p.home)
	if err != nil {
		return err
	}
	epochs, states, err := p.target.Claim(ctx, fmt.Sprintf("%s-%d", s.cfg.Region, s.cfg.Replica), s.cfg.ownedShards(), s.cfg.sourceNames(), least)
	if err != nil {
		return s.again(fmt.Errorf("claiming the shards: %w", err))
	}
	p.epochs = epochs
	ends, err := s.mark(ctx, p)
	if err != nil {
		return err
	}
	if p.tip, err = p.server.Coordinates(ctx, p.server.DB); err != nil {
		return s.again(err)
	}
	if err = s.openLedger(ctx, p, ends, executed, states); err != nil {
		return err
	}
	known, err := s.readBack(ctx, p, ends)
	if err != nil {
		return err
	}
	s.join(p, ends, states, known)
	return nil
}

// again wraps what a new start may cure: lost connections, a server that is not up yet.
func (s *Syncer) again(err error) error {
	if err == nil {
		return nil
	}
	var other *mysqldb.AnotherServerError
	var transient *bus.TransientError
	if errors.As(err, &other) || errors.As(err, &transient) || errors.Is(err, binlog.ErrConnection) || errors.Is(err, checksum.ErrDamaged) || mysqldb.Classify(err) == mysqldb.Transient {
		return &againError{err}
	}
	return err
}

func (s *Syncer) openServers(ctx context.Context, p *parts) (err error) {
	if p.server, err = mysqldb.Open(ctx, s.cfg.MySQL); err != nil {
		return s.again(err)
	}
	if p.target, err = propagate.NewMySQLTarget(ctx, s.targetConfig()); err != nil {
		return s.again(err)
	}
	if p.home, err = bus.Dial(s.cfg.Home); err != nil {
		return err
	}
	for _, topic := range s.topics() {
		if err = p.home.EnsureTopic(ctx, topic); err != nil {
			return s.again(fmt.Errorf("topic %s: %w", topic.Name, err))
		}
	}
	for _, source := range s.cfg.Sources {
		if p.abroad[source.Region], err = bus.Dial(source.Bus); err != nil {
			return err
		}
	}
	return nil
}

func (s *Syncer) topics() []bus.Topic {
	topic := func(name string, partitions int) bus.Topic {
		return bus.Topic{
			Name: name, Partitions: partitions, ReplicationFactor: s.cfg.Replication,
			Retention: s.cfg.Retention, MaxRecordBytes: s.cfg.MaxRecordBytes,
		}
	}
	return []bus.Topic{topic(s.cfg.Topic, s.cfg.Shards), topic(s.cfg.DeadTopic, 1), topic(s.cfg.HeartbeatTopic, 1)}
}

// openLedger opens the ledger and finds where to read on. A ledger that is lost or damaged is rebuilt; where this region
// has never published anything there is nothing to rebuild it from, and nothing was lost: a first start.
func (s *Syncer) openLedger(ctx context.Context, p *parts, ends map[int]int64, executed string, states map[int]map[string]propagate.State) error {
	body, err := s.openFile(p)
	if err != nil {
		return err
	}
	switch {
	case len(body) > 0:
		if err := json.Unmarshal(body, &p.start); err != nil {
			return fmt.Errorf("%s: %w: the checkpoint cannot be read: %w", s.ledgerPath(), checksum.ErrDamaged, err)
		}
	case s.lost == nil && isNew(ends):
		if err := s.firstStart(ctx, p, executed); err != nil {
			return err
		}
	default:
		if err := s.rebuild(ctx, p, ends, executed, states); err != nil {
			return err
		}
	}
	s.words.setCheckpoint(p.start.Position.GTIDs)
	return nil
}

// isNew tells whether the region's topic held nothing before this process's markers.
func isNew(ends map[int]int64) bool {
	for _, end := range ends {
		if end > 1 {
			return false
		}
	}
	return true
}

// firstStart begins behind the last transaction that the server had before the claim, and writes that down before
// anything else: what is committed from here on is captured, whatever happens.
func (s *Syncer) firstStart(ctx context.Context, p *parts, gtids string) error {
	p.start.Position.GTIDs = gtids
	body, err := json.Marshal(p.start)
	if err != nil {
		return fmt.Errorf("writing down the checkpoint: %w", err)
	}
	p.ledger.Freeze(checksum.Cut{Checkpoint: body, Own: make([]uint64, s.cfg.Shards)})
	if _, err := p.ledger.Flush(ctx); err != nil {
		return err
	}
	s.cfg.Log.Info("first start: capture begins behind the last transaction", zap.String("region", s.cfg.Region), zap.String("gtids", gtids))
	return nil
}

// readBack reads what this region has published behind its checkpoint, up to the markers: these stamps are kept. What an
// older process published after its successor's marker does not count.
func (s *Syncer) readBack(ctx context.Context, p *parts, ends map[int]int64) (map[stampKey]stamp, error) {
	known := map[stampKey]stamp{}
	_, own, err := p.ledger.Checkpoint()
	if err != nil {
		return nil, err
	}
	for shard, end := range ends {
		from := int64(0)
		if shard < len(own) {
			from = int64(own[shard])
		}
		err := s.eachOwn(ctx, p.home, shard, from, end, p.start.Epochs[shard], func(_ int64, m *envelope.Message) error {
			if m.Kind == envelope.Change {
				known[stampKey{m.Source.GTID, m.Source.Ordinal}] = stamp{m.Change.Version, fingerprint(m.Change)}
			}
			return nil
		})
		if err != nil {
			return nil, s.again(fmt.Errorf("reading back what this region has published: %w", err))
		}
	}
	return known, nil
}

// join makes the actors.
func (s *Syncer) join(p *parts, ends map[int]int64, states map[int]map[string]propagate.State, known map[stampKey]stamp) {
	c := &s.cfg
	p.publisher = propagate.NewPublisher(propagate.PublisherConfig{
		Topic: c.Topic, Shards: c.ownedShards(), MaxRecordBytes: c.MaxRecordBytes,
		RequestBytes: 1 << 20, PendingBytes: c.PendingBytes, Retry: c.Retry,
	}, ends, propagate.PublisherDeps{
		Producer: p.home, Undeliverable: p.target, Clock: c.Clock, Log: c.Log, Reached: c.Reached,
		Acknowledged: s.acknowledged, Answered: s.answered,
	})
	p.collector = checksum.NewCollector(p.ledger, append(c.sourceNames(), c.Region))
	p.capture = newCapture(s, p, known)
	p.load = newLoad(&s.cfg, p.server)
	p.baseline = newBaseline(s, p)
	p.scrub = newScrub(s, p)
	var acks propagate.Acknowledgements
	if p.server.Flavor == mysqldb.MariaDB {
		acks = p.publisher
	}
	for shard, sources := range states {
		p.workers[shard] = propagate.NewWorker(propagate.ApplierConfig{
			Region: c.Region, BatchRows: c.BatchRows, BatchBytes: c.BatchBytes, InboxBytes: c.InboxBytes,
			// The provenance names all rows of a transaction in one statement; their records are always larger than that.
			TransactionBytes: min(c.TransactionSize, p.target.MaxPacket()),
			MaxAttempts:      c.MaxAttempts, RetryDelay: c.RetryDelay, FenceTimeout: c.FenceTimeout, Whole: c.Shards == 1, Retry: c.Retry, Match: c.Tables.Match,
		}, shard, p.epochs[shard], sources, propagate.WorkerDeps{
			Target: p.target, Parking: p.target, Reviews: p.target, Ledger: ledgerForApply{p.ledger}, Acks: acks, Rules: c.Tables,
			Observer: &observer{s, p}, Clock: c.Clock, Log: c.Log, Reached: c.Reached,
		})
	}
}

// fetchBytes is how much is fetched at once, compressed: several times as much in memory.
const fetchBytes = 256 << 10

func (s *Syncer) consumers(p *parts) []*propagate.Consumer {
	var list []*propagate.Consumer
	decide := decideTables(s.cfg.Tables)
	admission := propagate.NewAdmission(func(schema, table string) bool { return decide(schema, table) == binlog.Replicated }, s.cfg.Shards, s.cfg.Log)
	for _, source := range s.cfg.Sources {
		for shard, w := range p.workers {
			from, last := w.Next(source.Region)
			list = append(list, propagate.NewConsumer(propagate.ConsumerConfig{
				Source: source.Region, Topic: source.Topic, Shard: shard, From: from, Last: last,
				Bytes: fetchBytes, Wait: 5 * time.Second, Retry: s.cfg.Retry, Admission: admission,
			}, p.abroad[source.Region], w.Put, s.cfg.Clock, s.cfg.Log, s.consumed))
		}
	}
	return list
}

func (s *Syncer) flusher(p *parts) *flusher {
	return &flusher{
		region: s.cfg.Region, ledger: p.ledger, publisher: p.publisher, collector: p.collector,
		held: func(table string, key row.Key) bool {
			return s.cfg.Tables.VersionColumn(table) != "" || p.target.Holds(table, key)
		},
		flushing: p.flushing, words: &s.words, policy: s.cfg.Retry, clock: s.cfg.Clock, log: s.cfg.Log,
		collected: func(n int) { s.cfg.Metrics.collected.Add(float64(n)) },
		observe:   func(d time.Duration) { s.cfg.Metrics.flush.Observe(d.Seconds()) },
		trouble:   func(err error) { s.health.trouble("ledger", err) },
		retried:   func() { s.cfg.Metrics.retries.WithLabelValues("flush", "file").Inc() },
	}
}

func (s *Syncer) pulse(p *parts) *pulse {
	return &pulse{
		region: s.cfg.Region, epochs: p.epochs, interval: s.cfg.PulseInterval, server: serverClock{p.server, s.cfg.Clock},
		ledger: p.ledger, publisher: p.publisher, words: &s.words, clock: s.cfg.Clock, log: s.cfg.Log, beaten: func() { s.health.trouble("capture", nil) },
		trouble: func(err error) { s.health.trouble("heartbeat", err) },
	}
}

func (s *Syncer) targetConfig() propagate.MySQLTargetConfig {
	mysql := s.cfg.MySQL
	mysql.NoForeignKeyChecks = true
	mysql.AbandonAfter = 30 * time.Second
	mysql.MaxConnections = len(s.cfg.ownedShards()) + 4
	return propagate.MySQLTargetConfig{MySQL: mysql, StatementTimeout: s.cfg.StatementTimeout, KeepConflicts: s.cfg.History.Age > 0, Log: s.cfg.Log}
}
