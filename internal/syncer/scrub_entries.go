package syncer

import (
	"context"
	"errors"

	"meridian/internal/checksum"
	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

// How scrub finds entries whose row is gone.

// entries goes over the next entries of live rows, and looks closer at those whose row is not there. Buckets all of whose
// entries the rows have met are left out.
func (p *scrubPass) entries(ctx context.Context, info *mysqldb.TableInfo) (int, error) {
	list, err := p.next(p.size)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	doubts := map[row.Key]doubt{}
	images := make([][]row.Value, 0, len(list))
	for _, e := range list {
		values, failed := info.KeyValues(e.key, []byte(e.entry.Label))
		if failed != nil {
			continue // the primary key was altered: the table is being read from the start (baseline), which ends such entries
		}
		doubts[e.key] = doubt{checksum.Place{Table: info.String(), Key: e.key}, values}
		images = append(images, values)
	}
	if err = p.present(ctx, info, images, func(key row.Key) { delete(doubts, key) }); err != nil {
		return len(list), err
	}
	rest := make([]doubt, 0, len(doubts))
	for _, d := range doubts {
		rest = append(rest, d)
	}
	return len(list), p.confirm(ctx, info, rest)
}

// listed is an entry of the ledger.
type listed struct {
	key   row.Key
	entry checksum.Entry
}

// next gives the next live entries, at most n, of one shard, and moves behind them.
func (p *scrubPass) next(n int) ([]listed, error) {
	for p.at.Shard < p.cfg.Shards && !p.cfg.owned(p.at.Shard) {
		p.at.Shard++
	}
	if p.at.Shard >= p.cfg.Shards {
		return nil, nil
	}
	snapshot, err := p.parts.ledger.Snapshot(p.table, p.at.Shard)
	if err != nil {
		return nil, err
	}
	var met map[int]bool
	if p.seen != nil && len(p.at.Key) == 0 {
		met, err = p.met(snapshot)
		p.skip = met
	}
	var list []listed
	more := false
	if err == nil {
		err = snapshot.Each(row.Key(p.at.Key), func(key row.Key, e checksum.Entry) bool {
			if key == row.Key(p.at.Key) || e.Deleted || p.skip[checksum.BucketOf(key)] {
				return true
			}
			if len(list) >= n {
				more = true
				return false
			}
			list = append(list, listed{key, e})
			return true
		})
	}
	if err = errors.Join(err, snapshot.Close()); err != nil {
		return nil, err
	}
	if more {
		p.at.Key = []byte(list[len(list)-1].key)
	} else {
		p.at.Shard, p.at.Key, p.skip = p.at.Shard+1, nil, nil
	}
	return list, nil
}

// met gives the buckets of a shard whose live entries are those that the rows have met.
func (p *scrubPass) met(snapshot *checksum.Snapshot) (map[int]bool, error) {
	var has [checksum.Buckets]checksum.Sum
	err := snapshot.Each("", func(key row.Key, e checksum.Entry) bool {
		if !e.Deleted {
			addKey(&has, key)
		}
		return true
	})
	seen := p.seen[p.at.Shard]
	if seen == nil {
		seen = &[checksum.Buckets]checksum.Sum{}
	}
	met := make(map[int]bool, checksum.Buckets)
	for b := range has {
		if has[b] == seen[b] {
			met[b] = true
		}
	}
	return met, err
}

// present tells which of the rows are there.
func (p *scrubPass) present(ctx context.Context, info *mysqldb.TableInfo, images [][]row.Value, there func(row.Key)) error {
	m, err := mysqldb.NewKeyMapping(p.parts.server.Flavor, info)
	if err != nil {
		return err
	}
	for len(images) > 0 {
		query, n, err := m.ReadRows(nil, images, false)
		if err != nil {
			return err
		}
		err = mysqldb.QueryRows(ctx, p.parts.server.DB, string(query), info.Table, allColumns(info.Table), func(values []row.Value) error {
			key, failed := info.Key(values)
			there(key)
			return failed
		})
		if err != nil {
			return err
		}
		images = images[n:]
	}
	return nil
}

// gone goes over the next entries of a table that is not there any more. Only where a DDL statement was seen that explains it
// are they said to be without a row: a table that nobody may see any more is not there either.
func (p *scrubPass) gone(ctx context.Context) (int, error) {
	list, err := p.next(p.size)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	schema, name := tableNames(p.table)
	if _, err = p.parts.server.LoadTable(ctx, schema, name); !errors.Is(err, mysqldb.ErrNoTable) {
		return len(list), errors.Join(err, mysqldb.ErrDefinitionChanged) // it is there again
	}
	behind, err := p.parts.server.Coordinates(ctx, p.parts.server.DB)
	if err != nil {
		return len(list), err
	}
	if err = p.parts.ledger.WaitPassed(ctx, behind); err != nil {
		return len(list), err
	}
	l := look{p.parts.ledger.Generation(p.table), p.parts.ledger.Alterations(p.table)}
	for _, e := range list {
		f := checksum.Found{Columns: e.entry.Columns, Generation: l.generation}
		v := p.judge(&l, e.entry, true, &f, nil, e.key, nil)
		if v.ddl == "" {
			continue
		}
		s := checksum.Sighting{Place: checksum.Place{Table: p.table, Key: e.key}, Was: e.entry, Had: true, Found: f}
		if err = p.settle(nil, &s, v); err != nil {
			return len(list), err
		}
	}
	return len(list), nil
}
