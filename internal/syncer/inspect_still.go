package syncer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"meridian/internal/checksum"
	"meridian/internal/inspect"
	"meridian/internal/row"
)

// StillRegion is a region at rest: everything is applied and acknowledged everywhere, and the database holds what the ledger says.
// It answers from a ledger alone, as a syncer does. For measurements and tests of what is asked: a ledger of millions of rows is
// made directly much sooner than through a database.
type StillRegion struct {
	Name    string
	Regions []string // all
	Shards  int
	Ledger  *checksum.Ledger
}

// Overview implements inspect.Region.
func (s *StillRegion) Overview(context.Context) (*inspect.Overview, error) {
	o := &inspect.Overview{Region: s.Name, Shards: s.Shards, Tables: []inspect.Table{}}
	for shard := range s.Shards {
		o.Owned = append(o.Owned, shard)
	}
	for _, name := range s.Ledger.Tables() {
		t := inspect.Table{Table: name, Scanned: true}
		for _, shard := range o.Owned {
			t.Sums = append(t.Sums, total(shard, s.Ledger.Sums(name, shard)))
		}
		o.Tables = append(o.Tables, t)
	}
	return o, nil
}

// Buckets implements inspect.Region.
func (s *StillRegion) Buckets(_ context.Context, table string, shard int) (*inspect.Buckets, error) {
	return bucketsOf(s.Ledger, table, shard), nil
}

// Entries implements inspect.Region.
func (s *StillRegion) Entries(ctx context.Context, q inspect.EntriesQuestion) (answer *inspect.Entries, err error) {
	answer = &inspect.Entries{At: inspect.At{Includes: map[string]uint64{}, Within: map[string]uint64{}}, Entries: []inspect.Entry{}}
	for _, region := range s.Regions {
		answer.At.Includes[region], answer.At.Within[region] = 1, 1
	}
	generation := s.Ledger.Generation(q.Table)
	if len(q.Keys) > 0 {
		answer.Entries, err = lookUp(s.Ledger, q.Table, q.Keys, generation)
		return answer, err
	}
	snapshot, err := s.Ledger.Snapshot(q.Table, q.Shard)
	if err != nil {
		return nil, err
	}
	return answer, errors.Join(collect(ctx, snapshot, q, generation, answer), snapshot.Close())
}

// Rows implements inspect.Region.
func (s *StillRegion) Rows(_ context.Context, table string, keys []inspect.KeyRef) (*inspect.Rows, error) {
	asked := make([][]byte, len(keys))
	for i := range keys {
		asked[i] = keys[i].Key
	}
	entries, err := lookUp(s.Ledger, table, asked, s.Ledger.Generation(table))
	if err != nil {
		return nil, err
	}
	answer := &inspect.Rows{}
	for _, k := range keys {
		r := inspect.Row{KeyRef: k, Text: []string{fmt.Sprintf("0x%x", k.Key)}}
		if i := slices.IndexFunc(entries, func(e inspect.Entry) bool { return row.Key(e.Key) == row.Key(k.Key) }); i >= 0 {
			r.Entry = &entries[i]
			r.Exists, r.Digest, r.Columns = !entries[i].Deleted, entries[i].Digest, entries[i].Columns
		}
		answer.Rows = append(answer.Rows, r)
	}
	return answer, nil
}
