package syncer

import (
	"context"
	"database/sql"

	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

// How tables are read in the order of their primary key, by the first reading (baseline) and by scrub.

// scan reads up to limit rows behind the row with the key bytes after, and hands over those whose shard this process owns, which
// are its own only until it returns. It gives how many rows it read, and, if they were limit, the last one's key bytes.
func (p *parts) scan(ctx context.Context, cfg *Config, conn *sql.Conn, info *mysqldb.TableInfo, after []byte, limit int,
	each func(key row.Key, values []row.Value),
) (n int, last []byte, err error) {
	var behind []row.Value
	if len(after) > 0 {
		if behind, err = info.KeyValues("", after); err != nil {
			return 0, after, err
		}
	}
	m, err := p.server.Mapping(info, info.Table)
	if err != nil {
		return 0, after, err
	}
	query, err := m.ScanRows(nil, behind, limit)
	if err != nil {
		return 0, after, err
	}
	last = after
	table := info.String()
	err = mysqldb.StreamRows(ctx, conn, string(query), info.Table, allColumns(info.Table), func(values []row.Value) error {
		if n++; n == limit {
			last = keyBytes(info.Table, values)
		}
		key, failed := info.Key(values)
		if failed == nil && cfg.owned(row.Shard(table, key, cfg.Shards)) {
			each(key, values)
		}
		return failed
	})
	return n, last, err
}

// room waits while the ledger's memory is full: that is capture's.
func (p *parts) room(ctx context.Context, cfg *Config) error {
	for p.ledger.Recent() >= cfg.FlushEntries {
		done := p.capture.flushing.done()
		if err := p.capture.flushNow(ctx); err != nil {
			return err
		}
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// keyBytes gives the canonical bytes of the primary key's values, from which KeyValues reads them.
func keyBytes(t *row.Table, image []row.Value) []byte {
	var b []byte
	for _, at := range t.PrimaryKey {
		b = row.AppendValue(b, image[at])
	}
	return b
}

func allColumns(t *row.Table) []int {
	columns := make([]int, len(t.Columns))
	for i := range columns {
		columns[i] = i
	}
	return columns
}
