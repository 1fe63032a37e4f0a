package propagate

import (
	"fmt"
	"sync"

	"go.uber.org/zap"

	"meridian/internal/envelope"
	"meridian/internal/row"
)

// Rejection says why a record is not for this shard and region: it is set aside with its offset.
type Rejection struct {
	Reason string // a word for lists
	Err    error
	// Counted is set for what is counted alone, and not kept: enough of its like have been kept.
	Counted bool
}

// Admission knows which of the other regions' records are for this region. All consumers of a process share one.
//
// Invariants: a change is applied only to a table whose local writes are in the ledger (else nothing could keep it from
// overwriting a newer one), and in the shard whose worker owns the key. What another region or another shard says of
// itself is never taken for the topic's owner's word: a foreign epoch marker would silence it.
type Admission struct {
	match  func(schema, table string) bool
	shards int
	log    *zap.Logger

	mu     sync.Mutex
	tables map[*row.Table]bool // what match said
	seen   map[string]int      // by table: how many changes of one that is not replicated here; by "": control records
}

// keepRejected bounds what is kept in a process's life of what is rejected for a whole table, and of control records that are
// not for the shard: they come as long as the configurations differ, and each looks like the others.
const keepRejected = 10

// maxJudged bounds what is remembered of tables: an ALTER TABLE anywhere makes a new one.
const maxJudged = 4096

// NewAdmission makes one for the tables that match, in topics of that many partitions.
func NewAdmission(match func(schema, table string) bool, shards int, log *zap.Logger) *Admission {
	return &Admission{match: match, shards: shards, log: log, tables: map[*row.Table]bool{}, seen: map[string]int{}}
}

// judge tells why a message that stands in that partition of the source's topic is not for us; nil: it is.
func (a *Admission) judge(m *envelope.Message, source string, shard int) *Rejection {
	if m.Source.Region != source {
		return a.reject(m, "other_region", fmt.Errorf("the record says that it is of %q, and stands in the topic of %q", m.Source.Region, source))
	}
	switch {
	case m.Start != nil && (m.Start.Region != source || m.Start.Shard != shard):
		return a.reject(m, "other_region", fmt.Errorf("the epoch marker is of %q, shard %d, and stands in the topic of %q, partition %d", m.Start.Region, m.Start.Shard, source, shard))
	case m.Watermark != nil && (m.Watermark.Region != source || m.Watermark.Shard != shard):
		return a.reject(m, "other_region", fmt.Errorf("the watermark is of %q, shard %d, and stands in the topic of %q, partition %d", m.Watermark.Region, m.Watermark.Shard, source, shard))
	case m.Change == nil:
		return nil
	}
	c := m.Change
	if !a.replicated(c.Table) {
		return a.notReplicated(c, source)
	}
	if is := row.Shard(c.Table.String(), c.Key, a.shards); is != shard {
		return &Rejection{Reason: "other_shard", Err: fmt.Errorf("the change to a row of %s is of shard %d of %d, and stands in partition %d", c.Table, is, a.shards, shard)}
	}
	return nil
}

func (a *Admission) replicated(t *row.Table) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	is, ok := a.tables[t]
	if !ok {
		if len(a.tables) >= maxJudged {
			clear(a.tables)
		}
		is = a.match(t.Schema, t.Name)
		a.tables[t] = is
	}
	return is
}

// reject is for what claims to be of another region or shard. Changes are all kept; control records have nothing to keep.
func (a *Admission) reject(m *envelope.Message, reason string, err error) *Rejection {
	r := &Rejection{Reason: reason, Err: err}
	if m.Change == nil {
		r.Counted = a.count("") > keepRejected
	}
	return r
}

func (a *Admission) notReplicated(c *row.Change, source string) *Rejection {
	n := a.count(c.Table.String())
	if n == 1 {
		a.log.Error("another region publishes changes to a table that this region's configuration leaves out: they are passed over and counted, "+
			"and only the first of them are kept in meridian.parked; give all regions the same configuration, restart them, and then repair this table here",
			zap.String("table", c.Table.String()), zap.String("source", source), zap.Int("kept", keepRejected))
	}
	return &Rejection{
		Reason: "not_replicated", Counted: n > keepRejected,
		Err: fmt.Errorf("table %s is not among those that this region replicates (tables.include, tables.exclude)", c.Table),
	}
}

func (a *Admission) count(what string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen[what]++
	return a.seen[what]
}
