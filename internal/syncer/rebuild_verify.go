package syncer

import (
	"context"
	"errors"
	"slices"

	"meridian/internal/checksum"
	"meridian/internal/envelope"
	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

// verifyRows is how many rows are read at once.
const verifyRows = 500

// verify finds the entries whose row, as of the resume point, is not the change's.
//
// The rows are read first and the binlog behind the resume point afterwards: a row that was written in between is judged
// by its before-image, whichever of the two came first.
func (r *rebuild) verify(ctx context.Context, _ string) error {
	pending := map[*row.Table][]*row.Change{}
	err := r.each(ctx, func(m *envelope.Message) error {
		c := m.Change
		known, found, err := r.p.ledger.Lookup([]checksum.Place{placeOf(c)})
		if err != nil || !found[0] || known[0].Version != c.Version {
			return err
		}
		if pending[c.Table] = append(pending[c.Table], c); len(pending[c.Table]) >= verifyRows {
			err = r.verifyRows(ctx, c.Table, pending[c.Table])
			delete(pending, c.Table)
		}
		return err
	})
	if err != nil {
		return err
	}
	for table, changes := range pending {
		if err := r.verifyRows(ctx, table, changes); err != nil {
			return err
		}
	}
	return r.verifyTouched(ctx)
}

// verifyRows reads the rows of the changes, and notes those that are otherwise.
func (r *rebuild) verifyRows(ctx context.Context, source *row.Table, changes []*row.Change) error {
	info, err := r.p.target.Schema().Table(ctx, source.Schema, source.Name)
	var mapping *mysqldb.Mapping
	if err == nil {
		mapping, err = r.p.server.Mapping(info, source)
	}
	if err != nil {
		if mysqldb.Classify(err) != mysqldb.Refused && !errors.Is(err, mysqldb.ErrNoTable) {
			return err
		}
		for _, c := range changes { // the table has changed so much that nothing can be said
			r.wrong[placeOf(c)] = true
		}
		return nil
	}
	columns := make([]int, len(info.Columns))
	for i := range columns {
		columns[i] = i
	}
	images := make([][]row.Value, len(changes))
	for i, c := range changes {
		images[i] = c.Row()
	}
	digests := map[row.Key]uint64{}
	for len(images) > 0 {
		query, n, err := mapping.ReadRows(nil, images, false)
		if err != nil {
			return err
		}
		err = mysqldb.QueryRows(ctx, r.p.server.DB, string(query), info.Table, columns, func(values []row.Value) error {
			key, failed := info.Key(values)
			if failed == nil {
				digests[key] = info.Digest(key, values)
			}
			return failed
		})
		if err != nil {
			return err
		}
		images = images[n:]
	}
	for _, c := range changes {
		digest, there := digests[c.Key]
		deleted := c.Op == row.Delete
		if there == deleted || there && digest != c.Digest {
			r.wrong[placeOf(c)] = true
		}
	}
	return nil
}

// verifyTouched judges the rows that were written behind the resume point by what they were before.
func (r *rebuild) verifyTouched(ctx context.Context) error {
	touched := map[checksum.Place]bool{}
	return r.tail(ctx, &historian{change: func(c *row.Change, own bool) error {
		at := placeOf(c)
		if own || touched[at] {
			return nil
		}
		touched[at] = true
		known, found, err := r.p.ledger.Lookup([]checksum.Place{at})
		if err != nil || !found[0] {
			return err
		}
		was := c.Before != nil
		same := was != known[0].Deleted
		if same && was {
			same = known[0].Digest == c.Table.Digest(c.Key, slices.Clip(c.Before))
		}
		if same {
			delete(r.wrong, at)
		} else {
			r.wrong[at] = true
		}
		return nil
	}})
}
