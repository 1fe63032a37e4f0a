package syncer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"meridian/internal/checksum"
	"meridian/internal/inspect"
	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

// Inspector answers a verifier's questions about this process's shards. It is safe for concurrent use, and answers
// inspect.ErrNotReady between two starts.
func (s *Syncer) Inspector() inspect.Region { return inspector{s} }

type inspector struct{ s *Syncer }

// acknowledgeTime is how long an answer waits for the bus; without its acknowledgement nothing can be proven by it.
const acknowledgeTime = 2 * time.Second

func (i inspector) parts() (*parts, error) {
	i.s.view.mu.Lock()
	defer i.s.view.mu.Unlock()
	if i.s.view.parts == nil {
		return nil, fmt.Errorf("%s: %w", i.s.cfg.Region, inspect.ErrNotReady)
	}
	return i.s.view.parts, nil
}

func (i inspector) owned(shard int) error {
	if shard >= i.s.cfg.Shards || !i.s.cfg.owned(shard) {
		return fmt.Errorf("replica %d of %d of %s does not own shard %d: %w", i.s.cfg.Replica, i.s.cfg.Replicas, i.s.cfg.Region, shard, inspect.ErrNotReady)
	}
	return nil
}

// Overview implements inspect.Region.
func (i inspector) Overview(context.Context) (*inspect.Overview, error) {
	p, err := i.parts()
	if err != nil {
		return nil, err
	}
	c := &i.s.cfg
	if !p.baseline.knowsTables() {
		return nil, fmt.Errorf("%s has not looked yet which tables there are: %w", c.Region, inspect.ErrNotReady)
	}
	o := &inspect.Overview{Region: c.Region, Replica: c.Replica, Reasons: i.s.Reasons(), Shards: c.Shards, Owned: c.ownedShards(), Tables: []inspect.Table{}}
	scanned := map[string]bool{}
	for _, t := range p.baseline.Progress() {
		scanned[t.Table] = t.Done
	}
	all := p.baseline.lookedAround()
	for _, name := range p.ledger.Tables() {
		if _, ok := scanned[name]; !ok {
			scanned[name] = all // it is gone: there is nothing to read
		}
	}
	for name, done := range scanned {
		t := inspect.Table{Table: name, Scanned: done, Key: p.baseline.keyID(name), DDL: lastDDL(p.ledger.Alterations(name))}
		for _, shard := range o.Owned {
			t.Sums = append(t.Sums, total(shard, p.ledger.Sums(name, shard)))
		}
		o.Tables = append(o.Tables, t)
	}
	slices.SortFunc(o.Tables, func(a, b inspect.Table) int {
		if a.Table < b.Table {
			return -1
		}
		return 1
	})
	return o, nil
}

func lastDDL(list []checksum.Alteration) *inspect.DDL {
	if len(list) == 0 {
		return nil
	}
	last := list[len(list)-1]
	return &inspect.DDL{Kind: last.Kind, Seen: last.Seen}
}

// total sums a shard up: two shards with the same total have the same sums, but for a chance of 2^-64.
func total(shard int, sums []checksum.Sum) inspect.ShardSum {
	t := inspect.ShardSum{Shard: shard}
	b := make([]byte, 0, 18*len(sums))
	for n, s := range sums {
		if s == (checksum.Sum{}) {
			continue // as where there never was a row
		}
		t.Rows += s.Rows
		b = binary.BigEndian.AppendUint16(b, uint16(n))
		b = binary.BigEndian.AppendUint64(b, s.Rows)
		b = binary.BigEndian.AppendUint64(b, s.Digests)
	}
	t.Sum = xxhash.Sum64(b)
	return t
}

// Buckets implements inspect.Region.
func (i inspector) Buckets(_ context.Context, table string, shard int) (*inspect.Buckets, error) {
	p, err := i.parts()
	if err = errors.Join(err, i.owned(shard)); err != nil {
		return nil, err
	}
	return bucketsOf(p.ledger, table, shard), nil
}

func bucketsOf(ledger *checksum.Ledger, table string, shard int) *inspect.Buckets {
	b := &inspect.Buckets{Rows: make([]uint64, checksum.Buckets), Digests: make([]uint64, checksum.Buckets)}
	for n, s := range ledger.Sums(table, shard) {
		b.Rows[n], b.Digests[n] = s.Rows, s.Digests
	}
	return b
}

// Rows implements inspect.Region.
//
// A row counts only if its entry is the same before and after its reading, and the tailer has passed the place that the
// binlog had under the rows' locks: a transaction is in the binlog before its rows can be seen, but not before it has
// locked them.
func (i inspector) Rows(ctx context.Context, table string, keys []inspect.KeyRef) (answer *inspect.Rows, err error) {
	for range 3 { // the table may be altered just now
		if answer, err = i.rowsAsOf(ctx, table, keys); !altered(err) {
			break
		}
	}
	return answer, err
}

func (i inspector) rowsAsOf(ctx context.Context, table string, keys []inspect.KeyRef) (*inspect.Rows, error) {
	p, err := i.parts()
	if err != nil {
		return nil, err
	}
	info, err := i.table(ctx, p, table)
	if errors.Is(err, mysqldb.ErrNoTable) {
		return i.rowsOfNone(ctx, p, table, keys)
	}
	if err != nil {
		return nil, err
	}
	generation := p.ledger.Generation(table)
	places := make([]checksum.Place, len(keys))
	images := make([][]row.Value, len(keys))
	unread := make([]error, len(keys)) // a key that cannot be looked for takes the others nothing
	var wanted [][]row.Value
	for n, k := range keys {
		places[n] = checksum.Place{Table: info.String(), Key: row.Key(k.Key)}
		if images[n], unread[n] = info.KeyValues(row.Key(k.Key), k.Label); unread[n] == nil {
			wanted = append(wanted, images[n])
		}
	}
	before, had, err := p.ledger.Lookup(places)
	if err != nil {
		return nil, err
	}
	found, err := i.lockedRows(ctx, p, info, wanted)
	if err != nil {
		return nil, err
	}
	parked, err := i.parked(ctx, p, places)
	if err != nil {
		return nil, err
	}
	after, have, err := p.ledger.Lookup(places)
	if err != nil {
		return nil, err
	}
	answer := &inspect.Rows{}
	for n, k := range keys {
		if unread[n] != nil {
			answer.Rows = append(answer.Rows, inspect.Row{KeyRef: k, Text: []string{fmt.Sprintf("0x%x", k.Key)}, Error: unread[n].Error()})
			continue
		}
		r := inspect.Row{KeyRef: k, Text: keyText(info.Table, images[n]), Columns: info.ColumnsID(), Parked: parked[places[n]]}
		before[n].Sequence, after[n].Sequence = 0, 0 // a write that was acknowledged meanwhile is the same write
		// A key that the table does not give to rows any more tells nothing of them: its primary key was altered, and is being read anew.
		r.Moved = had[n] != have[n] || before[n] != after[n] || !info.OwnsKey(places[n].Key, k.Label)
		if values, ok := found[places[n].Key]; ok {
			r.Exists, r.Digest, r.Values = true, info.Digest(places[n].Key, values), columnsOf(info.Table, values)
		}
		if have[n] {
			e := entryOf(places[n].Key, after[n], generation)
			e.Older = e.Older || e.Columns != r.Columns
			r.Entry = &e
		}
		answer.Rows = append(answer.Rows, r)
	}
	return answer, nil
}

// rowsOfNone answers for a table that is not there: neither are its rows.
func (i inspector) rowsOfNone(ctx context.Context, p *parts, table string, keys []inspect.KeyRef) (*inspect.Rows, error) {
	behind, err := p.server.Coordinates(ctx, p.server.DB)
	if err == nil {
		err = p.ledger.WaitPassed(ctx, behind)
	}
	if err != nil {
		return nil, err
	}
	places := make([]checksum.Place, len(keys))
	for n, k := range keys {
		places[n] = checksum.Place{Table: table, Key: row.Key(k.Key)}
	}
	entries, had, err := p.ledger.Lookup(places)
	if err != nil {
		return nil, err
	}
	answer := &inspect.Rows{}
	for n, k := range keys {
		r := inspect.Row{KeyRef: k, Text: []string{}, Gone: true}
		if had[n] {
			e := entryOf(places[n].Key, entries[n], p.ledger.Generation(table))
			r.Entry = &e
		}
		answer.Rows = append(answer.Rows, r)
	}
	return answer, nil
}

// lockedRows reads rows under their locks, and waits until the tailer has passed what was in the binlog then. The rows are what
// info says: while they were read nobody could alter the table, and it was not altered before.
func (i inspector) lockedRows(ctx context.Context, p *parts, info *mysqldb.TableInfo, images [][]row.Value) (map[row.Key][]row.Value, error) {
	tx, err := p.server.DB.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("reading rows of %s: %w", info, err)
	}
	defer func() { _ = tx.Rollback() }() // it has only read
	found, err := i.readRows(ctx, p, tx, info, images, (*mysqldb.Mapping).ReadShared)
	if err != nil {
		return nil, err
	}
	at, err := p.server.Coordinates(ctx, tx)
	if err != nil {
		return nil, err
	}
	_ = tx.Rollback() // as above; the locks are not needed any more
	return found, p.ledger.WaitPassed(ctx, at)
}

// reading makes the statement that reads rows under their locks.
type reading func(m *mysqldb.Mapping, dst []byte, images [][]row.Value) (sql []byte, n int, err error)

// readForUpdate reads rows that nobody else may even read under a lock until the transaction ends.
func readForUpdate(m *mysqldb.Mapping, dst []byte, images [][]row.Value) ([]byte, int, error) {
	return m.ReadRows(dst, images, true)
}

// readRows reads rows under their locks, in a transaction. They are what info says, as lockedRows has it.
func (i inspector) readRows(ctx context.Context, p *parts, tx mysqldb.Queryer, info *mysqldb.TableInfo, images [][]row.Value, read reading) (map[row.Key][]row.Value, error) {
	m, err := mysqldb.NewKeyMapping(p.server.Flavor, info)
	if err != nil {
		return nil, err
	}
	found := map[row.Key][]row.Value{}
	for len(images) > 0 {
		query, n, failed := read(m, nil, images)
		if failed != nil {
			return nil, failed
		}
		err = mysqldb.QueryRows(ctx, tx, string(query), info.Table, allColumns(info.Table), func(values []row.Value) error {
			key, failed := info.Key(values)
			found[key] = values
			return failed
		})
		if err != nil {
			return nil, err
		}
		images = images[n:]
	}
	if err = p.server.CheckDefinition(ctx, tx, info); err != nil {
		if errors.Is(err, mysqldb.ErrDefinitionChanged) {
			p.target.Forget(info.Schema, info.Name)
		}
		return nil, err
	}
	return found, nil
}

// parked gives the states of the parked changes to rows.
func (i inspector) parked(ctx context.Context, p *parts, places []checksum.Place) (map[checksum.Place][]string, error) {
	states := map[checksum.Place][]string{}
	for _, at := range places {
		list, err := p.target.ParkedStates(ctx, at.Table, at.Key)
		if err != nil {
			return nil, err
		}
		if len(list) > 0 {
			states[at] = list
		}
	}
	return states, nil
}

func keyText(t *row.Table, values []row.Value) []string {
	list := make([]string, len(values))
	for n, v := range values {
		list[n] = string(row.AppendText(nil, v, &t.Columns[t.PrimaryKey[n]]))
	}
	return list
}

func columnsOf(t *row.Table, values []row.Value) []inspect.Value {
	list := make([]inspect.Value, 0, len(values))
	for n, v := range values {
		c := inspect.Value{Column: t.Columns[n].Name, Type: t.Columns[n].ValueType(), Digest: xxhash.Sum64(row.AppendValue(nil, v))}
		if !v.IsNull() {
			text := string(row.AppendText(nil, v, &t.Columns[n]))
			c.Text = &text
		}
		list = append(list, c)
	}
	return list
}
