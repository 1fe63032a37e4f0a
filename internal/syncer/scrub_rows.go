package syncer

import (
	"context"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"

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
func (p *scrubPass) piece(ctx context.Context, info *mysqldb.TableInfo) (int, error) {
	if p.estimate == 0 {
		var err error
		if p.estimate, err = p.parts.server.EstimateRows(ctx, mysqldb.TableName{Schema: info.Schema, Name: info.Name}); err != nil {
			return 0, err
		}
	}
	conn, err := p.parts.server.DB.Conn(ctx)
	if err != nil {
		return 0, fmt.Errorf("reading rows of %s: %w", info, err)
	}
	places, found := make([]checksum.Place, 0, p.size), make([]checksum.Found, 0, p.size)
	table, columns := info.String(), info.ColumnsID()
	n, after, err := p.parts.scan(ctx, p.cfg, conn, info, p.at.After, p.size, func(key row.Key, values []row.Value) {
		places = append(places, checksum.Place{Table: table, Key: key})
		found = append(found, checksum.Found{
			Exists: true, Digest: info.Digest(key, values), Columns: columns, Generation: p.looks.generation, Label: string(info.KeyLabel(values)),
		})
	})
	err = errors.Join(err, conn.Close())
	if err != nil {
		return n, err
	}
	entries, had, err := p.parts.ledger.Lookup(places)
	if err != nil {
		return n, err
	}
	var doubts []doubt
	var adopted []checksum.Sighting
	for i := range places {
		f := &found[i]
		if had[i] && !entries[i].Deleted {
			p.meet(places[i])
		}
		switch v := p.judge(&p.looks, entries[i], had[i], f, info.Table, places[i].Key, nil); {
		case v.kind == "" && !v.adopt:
		case v.adopt && entries[i].Digest == f.Digest:
			adopted = append(adopted, checksum.Sighting{Place: places[i], Was: entries[i], Had: true, Found: *f})
		default:
			values, failed := info.KeyValues(places[i].Key, []byte(f.Label))
			if failed != nil {
				return n, failed
			}
			doubts = append(doubts, doubt{places[i], values})
		}
	}
	if err = p.adopt(info, adopted); err != nil {
		return n, err
	}
	p.at.Rows += uint64(n)
	p.at.After = after
	if n < p.size {
		p.at.After, p.at.Entries = nil, true
	}
	return n, p.confirm(ctx, info, doubts)
}

// adopt enters rows that are what their entries say, whose entries are from before an ALTER TABLE.
func (p *scrubPass) adopt(info *mysqldb.TableInfo, rows []checksum.Sighting) error {
	if len(rows) == 0 {
		return nil
	}
	p.parts.ledger.Describe(info.ColumnsID(), info.DigestedColumns())
	n, err := p.parts.ledger.Adopt(rows)
	p.at.Adopted += uint64(n)
	return err
}

// confirm looks at rows under their locks, and marks those that are not what the ledger says.
func (p *scrubPass) confirm(ctx context.Context, info *mysqldb.TableInfo, doubts []doubt) error {
	for len(doubts) > 0 {
		const atOnce = 50 // rows that are locked
		n := min(len(doubts), atOnce)
		places, images := make([]checksum.Place, n), make([][]row.Value, n)
		for i, d := range doubts[:n] {
			places[i], images[i] = d.place, d.values
		}
		ledger := p.parts.ledger
		l := look{ledger.Generation(p.table), ledger.Alterations(p.table)}
		before, had, err := ledger.Lookup(places)
		if err != nil {
			return err
		}
		read, err := p.rows.lockedRows(ctx, p.parts, info, images)
		if err != nil {
			return err
		}
		for i := range places {
			f := checksum.Found{Columns: info.ColumnsID(), Generation: l.generation}
			values, there := read[places[i].Key]
			if there {
				f.Exists, f.Digest, f.Label = true, info.Digest(places[i].Key, values), string(info.KeyLabel(values))
			}
			s := checksum.Sighting{Place: places[i], Was: before[i], Had: had[i], Found: f}
			if err := p.settle(info, &s, p.judge(&l, before[i], had[i], &f, info.Table, places[i].Key, values)); err != nil {
				return err
			}
		}
		doubts = doubts[n:]
	}
	return nil
}

// settle enters what a row was found to be.
func (p *scrubPass) settle(info *mysqldb.TableInfo, s *checksum.Sighting, v verdict) error {
	switch {
	case v.adopt:
		return p.adopt(info, []checksum.Sighting{*s})
	case v.kind == "":
		return nil
	}
	marked, err := p.parts.ledger.Suspect(s, v.ddl != "")
	if err != nil || !marked {
		return err
	}
	if p.at.Found == nil {
		p.at.Found = map[string]uint64{}
	}
	p.at.Found[v.kind]++
	p.show(p.table, func(s *ScrubProgress) {
		found := map[string]uint64{v.kind: 1} // readers have the old one
		for kind, n := range s.Found {
			found[kind] += n
		}
		s.Found = found
	})
	cause := "unknown"
	if v.ddl != "" {
		p.at.DDL, cause = v.ddl, "ddl"
	}
	p.cfg.Metrics.scrub.found.WithLabelValues(p.table, v.kind, cause).Inc()
	return nil
}

// addKey counts a key in its bucket.
func addKey(sums *[checksum.Buckets]checksum.Sum, key row.Key) {
	b := &sums[checksum.BucketOf(key)]
	b.Rows++
	b.Digests += xxhash.Sum64String("scrub" + string(key)) // another hash than the bucket's
}
