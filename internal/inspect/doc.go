// Package inspect is how a region's ledger and rows are looked at from outside: questions and answers over HTTP, both ends
// of it.
//
// In the flow: each syncer answers for the shards that it owns (Handler, mounted on its admin server); the verifier asks all
// of them (Client) and compares. Answers name one moment: what is in them belongs to one place in the region's binlog.
package inspect

import (
	"context"
	"errors"
	"time"

	"github.com/cespare/xxhash/v2"

	"meridian/internal/row"
)

// Protocol is the version of these questions and answers. Both ends name theirs with each message, and understand their own only:
// a question that is understood half could pass for an answer that says "equal".
const Protocol = 2

// ErrNotReady is returned by a Region that cannot answer yet: it starts, or its ledger is being rebuilt.
var ErrNotReady = errors.New("the region is not ready to answer")

// Region is what a syncer can be asked. Its methods are called from many goroutines.
type Region interface {
	// Overview says what there is to compare.
	Overview(ctx context.Context) (*Overview, error)
	// Buckets gives the checksums of a table's shard.
	Buckets(ctx context.Context, table string, shard int) (*Buckets, error)
	// Entries gives what the ledger says of some rows of a table's shard.
	Entries(ctx context.Context, q EntriesQuestion) (*Entries, error)
	// Rows reads rows from the database, each with what the ledger says of it: at most MaxKeys.
	Rows(ctx context.Context, table string, keys []KeyRef) (*Rows, error)
}

// Overview is what one process of a region can be asked about.
type Overview struct {
	Region  string   `json:"region"`
	Replica int      `json:"replica"`
	Reasons []string `json:"reasons"` // why it is not ready; none: it is
	Shards  int      `json:"shards"`  // of the region
	Owned   []int    `json:"owned"`   // by this process
	Tables  []Table  `json:"tables"`
}

// Table is one replicated table.
type Table struct {
	Table string `json:"table"`
	// Scanned: the rows that were there before have all been read. Until then an entry that is missing says nothing.
	Scanned bool `json:"scanned"`
	// Key is what the keys are made from (row.Table.KeyID), "" where it is not known. Entries and rows of two regions whose Keys
	// differ cannot be compared: an ALTER TABLE of the primary key has run in one of them only.
	Key string `json:"key,omitempty"`
	// DDL is the last DDL statement that is known to have removed, brought or rewritten rows without a trace in the binlog; nil: none.
	DDL  *DDL       `json:"ddl,omitempty"`
	Sums []ShardSum `json:"sums"` // of the owned shards
}

// DDL is a DDL statement that a region has run: it is not replayed elsewhere.
type DDL struct {
	Kind string    `json:"kind"` // "TRUNCATE"
	Seen time.Time `json:"seen"`
}

// ShardSum stands for all live rows of a table's shard.
type ShardSum struct {
	Shard int    `json:"shard"`
	Rows  uint64 `json:"rows"`
	Sum   uint64 `json:"sum,string"` // over its buckets' numbers of rows and sums
}

// BucketOf gives the bucket of a row: the same in every region.
func BucketOf(key row.Key) int { return int(xxhash.Sum64String(string(key)) >> (64 - bucketBits)) }

const bucketBits = 10 // MaxBuckets is 1 << bucketBits

// Buckets are a shard's checksums, by bucket.
type Buckets struct {
	Rows    []uint64 `json:"rows"`
	Digests []uint64 `json:"digests"` // sums modulo 2^64
}

// At is the moment of an answer about one shard, told in offsets of the regions' topics.
type At struct {
	// Includes: every change in the source's partition before the offset is in the answer.
	Includes map[string]uint64 `json:"includes"`
	// Within: every change in the answer that came through the source's partition stands before the offset. For the region
	// itself, what the bus has acknowledged of everything in the answer.
	Within map[string]uint64 `json:"within"`
	// BehindSeconds is by how much the region is behind each source, where its watermarks tell.
	BehindSeconds map[string]float64 `json:"behind_seconds,omitempty"`
}

// EntriesQuestion names rows of a table's shard: those in Buckets from the key From on, or those with Keys.
type EntriesQuestion struct {
	Table   string   `json:"table"`
	Shard   int      `json:"shard"`
	Buckets []int    `json:"buckets,omitempty"`
	From    []byte   `json:"from,omitempty"` // none: from the beginning
	Keys    [][]byte `json:"keys,omitempty"` // at most MaxLookups; then the others do not count
}

// Entries are a ledger's, of one moment, in the order of their keys.
type Entries struct {
	At      At      `json:"at"`
	Entries []Entry `json:"entries"`
	// Next is the key to go on from: the answer was full before it, and has every entry that is below it. None: that was all.
	Next []byte `json:"next,omitempty"`
}

// KeyRef names a row: its key, and where that has collation weights only, the values' bytes (row.Table.KeyLabel).
type KeyRef struct {
	Key   []byte `json:"key"`
	Label []byte `json:"label,omitempty"`
}

// Entry is what a ledger says of a row.
type Entry struct {
	KeyRef
	Version string `json:"version"` // row.Version.String
	Digest  uint64 `json:"digest,string"`
	// Columns are those that the digest was made from (row.Table.ColumnsID: names and types). Digests that are equal say that rows
	// are equal, whatever the columns; digests that differ say something only where Columns are equal and neither is Older.
	Columns uint64 `json:"columns,string"`
	Deleted bool   `json:"deleted,omitempty"`
	Suspect bool   `json:"suspect,omitempty"`
	// ByDDL: it is suspect because of a DDL statement that the region has run (Table.DDL), and not altered past the binlog.
	ByDDL bool `json:"by_ddl,omitempty"`
	// Older: the digest is from before an ALTER TABLE that may have rewritten the row. That it differs from another's says nothing.
	Older bool `json:"older,omitempty"`
}

// ParsedVersion gives the version; the baseline's if it cannot be read, which a syncer does not write.
func (e *Entry) ParsedVersion() row.Version {
	v, err := row.ParseVersion(e.Version)
	if err != nil {
		return row.Version{}
	}
	return v
}

// Rows are rows as they stand in the database.
type Rows struct {
	Rows   []Row `json:"rows"`             // in the order of the keys that were asked for
	Hidden bool  `json:"hidden,omitempty"` // the values' texts are left out, as no token is configured
}

// Row is a row as it stands in the database, and what the ledger says of it. Entry and row are of one moment, unless Moved.
type Row struct {
	KeyRef
	Text    []string `json:"text"`            // the key's values, as people read them
	Error   string   `json:"error,omitempty"` // why the row could not be read; then nothing below says anything
	Exists  bool     `json:"exists"`
	Moved   bool     `json:"moved,omitempty"` // it was written while it was read: ask again
	Gone    bool     `json:"gone,omitempty"`  // the table is not there: neither is Text
	Digest  uint64   `json:"digest,string"`
	Columns uint64   `json:"columns,string"`
	Values  []Value  `json:"values,omitempty"`
	Entry   *Entry   `json:"entry"`            // nil: there is none
	Parked  []string `json:"parked,omitempty"` // the states of parked changes to it: parked, waiting, dead
}

// Agrees tells whether the row is what its entry says. Digests of different column lists say nothing about each other.
func (r *Row) Agrees() bool {
	if r.Exists != (r.Entry != nil && !r.Entry.Deleted) {
		return false
	}
	return !r.Exists || r.Columns != r.Entry.Columns || r.Entry.Older || r.Digest == r.Entry.Digest
}

// Value is one column of a row, as people read it.
type Value struct {
	Column string  `json:"column"`
	Type   string  `json:"type"` // row.Column.ValueType: values of two types cannot be compared
	Text   *string `json:"text"` // nil: NULL
	Digest uint64  `json:"digest,string"`
}
