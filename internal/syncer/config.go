package syncer

import (
	"time"

	"go.uber.org/zap"

	"meridian/internal/bus"
	"meridian/internal/conflict"
	"meridian/internal/mysqldb"
	"meridian/internal/propagate"
	"meridian/internal/retry"
)

// Config is everything that one region's process needs to know. cmd makes it from the configuration file.
type Config struct {
	Region            string
	Replica, Replicas int
	Shards            int    // partitions of every region's topic
	Directory         string // of this replica: the ledger

	MySQL    mysqldb.Config
	TailerID uint32 // the server id that the tailer registers with
	// SkipTransactions are the GTIDs of transactions that capture passes over, whatever is in them.
	SkipTransactions []string
	// AcknowledgeWarnings forgets the warnings that the ledger has at the start.
	AcknowledgeWarnings bool

	Home    bus.Config // this region's own Kafka
	Sources []Source   // the other regions

	Topic          string // this region's changes
	DeadTopic      string
	HeartbeatTopic string
	Replication    int
	Retention      time.Duration
	MaxRecordBytes int
	Tables         Tables
	BatchRows      int
	BatchBytes     int
	FenceTimeout   time.Duration
	// StatementTimeout bounds each statement of an apply transaction.
	StatementTimeout time.Duration
	MaxAttempts      int           // of a change that the database refuses
	RetryDelay       time.Duration // between them
	MaxSkew          time.Duration
	TransactionSize  int // bytes: with one shard, the largest transaction that is kept whole elsewhere
	ReadyMaxLag      time.Duration
	PendingBytes     int // of local changes that wait for Kafka
	InboxBytes       int // of the other regions' changes read ahead, for each shard and source
	FlushInterval    time.Duration
	FlushEntries     int
	PulseInterval    time.Duration
	ScrubRows        int           // a second, of all replicas together, re-read to find what was changed past the binlog; 0: none
	ScrubPause       time.Duration // between two passes over everything, and while the database is busy
	BaselineRows     int           // a second, of all replicas together, at the first reading; 0: half of the time is left to others
	BusyThreads      int           // running threads in the database beyond which it is busy; 0: it never is
	// DatabaseReplicas are the database's own replicas that are asked how far they are behind, and BusyReplicaDelay what is too far.
	DatabaseReplicas []mysqldb.Config
	BusyReplicaDelay time.Duration
	// History bounds what is kept of the lost sides of conflicts. Its age is zero: nothing is.
	History      propagate.HistoryBounds
	HistoryPause time.Duration // between two looks at what is to go of it

	Retry   retry.Policy // of everything that passes by itself
	Clock   retry.Clock
	Log     *zap.Logger
	Metrics *Metrics
	// Reached is called at the named steps; tests end the process there. nil outside of tests.
	Reached func(step string)
}

// Source is another region.
type Source struct {
	Region string
	Topic  string
	Bus    bus.Config
}

// Tables says what is replicated and how.
type Tables interface {
	// Match tells whether the table is replicated.
	Match(schema, table string) bool
	// VersionColumn names the column that a table's versions are taken from; "" for none. table is "schema.table".
	VersionColumn(table string) string
	// Rule says how a table's conflicts are decided.
	Rule(table string) conflict.Rule
}

// The defaults of what the configuration file does not name.
const (
	DefaultFlushInterval = 2 * time.Second
	DefaultFlushEntries  = 100_000
	DefaultPulseInterval = time.Second
	DefaultScrubPause    = 5 * time.Second
	DefaultPendingBytes  = 32 << 20
	DefaultHistoryRows   = 100_000
	DefaultHistoryBytes  = 256 << 20
	DefaultHistoryPause  = 10 * time.Second
)

func (c *Config) owned(shard int) bool { return shard%c.Replicas == c.Replica }

func (c *Config) ownedShards() []int {
	var shards []int
	for s := range c.Shards {
		if c.owned(s) {
			shards = append(shards, s)
		}
	}
	return shards
}

func (c *Config) sourceNames() []string {
	names := make([]string, len(c.Sources))
	for i := range c.Sources {
		names[i] = c.Sources[i].Region
	}
	return names
}
