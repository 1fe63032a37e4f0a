package syncer

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"meridian/internal/checksum"
	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

// How scrub finds rows that are not what the ledger says.

// doubt is a row that may not be what the ledger says.
type doubt struct {
	place  checksum.Place
	values []row.Value // of its key
}

// piece reads the next rows, and looks closer at those that are not what the ledger says.
func (s *scrub) piece(ctx context.Context, info *mysqldb.TableInfo, at *scrubbed) (int, error) {
	var after []row.Value
	var err error
	if len(at.After) > 0 {
		if after, err = info.KeyValues("", at.After); err != nil {
			return 0, err
		}
	}
	m, err := s.parts.server.Mapping(info, info.Table)
	if err != nil {
		return 0, err
	}
	query, err := m.ScanRows(nil, after, scrubPiece)
	if err != nil {
		return 0, err
	}
	var places []checksum.Place
	var found []checksum.Found
	var keys [][]row.Value
	n := 0
	err = mysqldb.QueryRows(ctx, s.parts.server.DB, string(query), info.Table, allColumns(info.Table), func(values []row.Value) error {
		n++
		key, failed := info.Key(values)
		if failed != nil {
			return failed
		}
		at.After = keyBytes(info.Table, values)
		if s.cfg.owned(row.Shard(info.String(), key, s.cfg.Shards)) {
			places = append(places, checksum.Place{Table: info.String(), Key: key})
			found = append(found, checksum.Found{Exists: true, Digest: info.Digest(key, values), Columns: info.ColumnsID()})
			keys = append(keys, keyValues(info.Table, values))
		}
		return nil
	})
	if err != nil {
		return n, err
	}
	entries, had, err := s.parts.ledger.Lookup(places)
	if err != nil {
		return n, err
	}
	var doubts []doubt
	for i := range places {
		if differs(entries[i], had[i], found[i]) != "" {
			doubts = append(doubts, doubt{places[i], keys[i]})
		}
	}
	at.Rows += uint64(n)
	if n < scrubPiece {
		at.After, at.Entries = nil, true
	}
	return n, s.confirm(ctx, info, doubts)
}

// entries goes over the next entries of live rows, and looks closer at those whose row is not there.
func (s *scrub) entries(ctx context.Context, info *mysqldb.TableInfo, at *scrubbed) (int, error) {
	for at.Shard < s.cfg.Shards && !s.cfg.owned(at.Shard) {
		at.Shard++
	}
	if at.Shard >= s.cfg.Shards {
		return 0, nil
	}
	snapshot, err := s.parts.ledger.Snapshot(info.String(), at.Shard)
	if err != nil {
		return 0, err
	}
	doubts, more := map[row.Key]doubt{}, false
	var images [][]row.Value
	var last row.Key
	var unreadable error
	err = snapshot.Each(row.Key(at.Key), func(key row.Key, e checksum.Entry) bool {
		if key == row.Key(at.Key) || e.Deleted {
			return true
		}
		if len(images) >= scrubPiece {
			more = true
			return false
		}
		last = key
		values, failed := info.KeyValues(key, []byte(e.Label))
		if failed != nil {
			unreadable = failed // the primary key was altered: the entry is of a row that was
			return true
		}
		doubts[key] = doubt{checksum.Place{Table: info.String(), Key: key}, values}
		images = append(images, values)
		return true
	})
	if err = errors.Join(err, snapshot.Close()); err != nil {
		return 0, err
	}
	if unreadable != nil {
		s.cfg.Log.Debug("an entry has a key that is none of the table's", zap.Stringer("table", info), zap.Error(unreadable))
	}
	if err = s.present(ctx, info, images, func(key row.Key) { delete(doubts, key) }); err != nil {
		return len(images), err
	}
	list := make([]doubt, 0, len(doubts))
	for _, d := range doubts {
		list = append(list, d)
	}
	if at.Key = []byte(last); !more {
		at.Shard, at.Key = at.Shard+1, nil
	}
	return len(images), s.confirm(ctx, info, list)
}

// present tells which of the rows are there.
func (s *scrub) present(ctx context.Context, info *mysqldb.TableInfo, images [][]row.Value, there func(row.Key)) error {
	m, err := mysqldb.NewKeyMapping(s.parts.server.Flavor, info)
	if err != nil {
		return err
	}
	for len(images) > 0 {
		query, n, err := m.ReadRows(nil, images, false)
		if err != nil {
			return err
		}
		err = mysqldb.QueryRows(ctx, s.parts.server.DB, string(query), info.Table, allColumns(info.Table), func(values []row.Value) error {
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

// confirm looks at rows under their locks, and marks those that are not what the ledger says.
func (s *scrub) confirm(ctx context.Context, info *mysqldb.TableInfo, doubts []doubt) error {
	for len(doubts) > 0 {
		const atOnce = 50 // rows that are locked
		n := min(len(doubts), atOnce)
		places, images := make([]checksum.Place, n), make([][]row.Value, n)
		for i, d := range doubts[:n] {
			places[i], images[i] = d.place, d.values
		}
		before, had, err := s.parts.ledger.Lookup(places)
		if err != nil {
			return err
		}
		read, err := s.rows.lockedRows(ctx, s.parts, info, images)
		if err != nil {
			return err
		}
		for i := range places {
			f := checksum.Found{Columns: info.ColumnsID()}
			if values, ok := read[places[i].Key]; ok {
				f.Exists, f.Digest, f.Label = true, info.Digest(places[i].Key, values), string(info.KeyLabel(values))
			}
			if err := s.mark(places[i], before[i], had[i], f); err != nil {
				return err
			}
		}
		doubts = doubts[n:]
	}
	return nil
}

func (s *scrub) mark(at checksum.Place, e checksum.Entry, had bool, f checksum.Found) error {
	kind := differs(e, had, f)
	if kind == "" {
		return nil
	}
	marked, err := s.parts.ledger.Suspect(at, e, had, f)
	if err != nil || !marked {
		return err
	}
	s.cfg.Metrics.scrub.found.WithLabelValues(at.Table, kind).Inc()
	s.cfg.Log.Warn("a row was changed past the binlog (sql_log_bin=0, a restore, a damaged page?): it is compared with the other regions'",
		zap.String("table", at.Table), zap.String("kind", kind), zap.Stringer("version", e.Version))
	s.show(at.Table, func(p *ScrubProgress) { p.Found++ })
	return nil
}

// differs says how a row differs from its entry; "": it does not, as far as one can tell.
func differs(e checksum.Entry, had bool, f checksum.Found) string {
	live := had && !e.Deleted
	switch {
	case f.Exists && !live:
		return "extra"
	case !f.Exists && live:
		return "missing"
	case f.Exists && e.Columns == f.Columns && e.Digest != f.Digest:
		return "different"
	default:
		return ""
	}
}

func keyValues(t *row.Table, image []row.Value) []row.Value {
	values := make([]row.Value, len(t.PrimaryKey))
	for i, at := range t.PrimaryKey {
		values[i] = image[at]
	}
	return values
}
