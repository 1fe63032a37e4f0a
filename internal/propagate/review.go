package propagate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"meridian/internal/conflict"
	"meridian/internal/envelope"
	"meridian/internal/row"
)

// How changes wait for a person where a table's rule is conflict.Review, and how that ends.
//
// A change that met a write of this region's which it had not seen is parked with the state Review, beside the row as it stood
// here. So is all that comes for the row behind it. It ends with a repair, which is what a person's decision is on the bus, or
// with an adoption, which is what it is in the region whose row was taken: in that very transaction.

// Reviews tells which rows have changes that wait for a person's decision.
type Reviews interface {
	// InReview gives those of the places that have.
	InReview(ctx context.Context, places []Place) (map[Place]bool, error)
}

// reasonConflict is the reason of a change that waits for a person's decision.
const reasonConflict = "conflict"

// repair notes a repair of the row.
func (c *candidate) repair(m *envelope.Message) {
	if m.Kind == envelope.Repair && m.Change.Version.Newer(c.repaired) {
		c.repaired = m.Change.Version
	}
}

// judge applies the table's rule. A repair that is newer than what is here is a decision: what waits ends with it, and what its
// source wrote behind it was written over it. What was written long ago and is published again meets nothing, but overwrites no
// row that is in review. What was sent twice waits already.
func (c *candidate) judge(here string, rule conflict.Rule, k Known) conflict.Verdict {
	have := conflict.Have{Known: k.Found, Version: k.Version, InReview: k.InReview}
	verdict := rule.Resolve(here, c.incoming, have)
	if verdict.Outcome != conflict.Wait {
		return verdict
	}
	kind, newest := c.item.Message.Kind, conflict.LastWriterWins.Resolve(here, c.incoming, have)
	switch {
	case c.repaired.Newer(k.Version):
		newest.Concurrent = false
		return newest
	case kind == envelope.Repair, kind == envelope.Seed && newest.Outcome == conflict.Lost, kind == envelope.Seed && !k.InReview:
		return newest
	case c.repeated:
		if newest.Outcome == conflict.Write {
			newest.Outcome = conflict.Duplicate
		}
		return newest
	default:
		return verdict
	}
}

// review is the candidate as it waits for a person, given what is here.
func (c *candidate) review(k Known, concurrent bool) Park {
	m := c.item.Message
	p := Park{
		Offset: c.item.Offset, State: Review, Reason: reasonConflict, Table: m.Change.Table.String(), Key: m.Change.Key,
		Version: m.Change.Version, Digest: m.Change.Digest, Record: c.item.Record.Marshal(),
		Here: &Loser{Change: m.Change, Version: k.Version, Gone: k.Found && k.Deleted},
	}
	if concurrent {
		p.Detail = fmt.Sprintf("it and the write that stands here (version %s) did not see each other", k.Version)
	} else {
		p.Detail = fmt.Sprintf("it is newer than what stands here (version %s), which is in review", k.Version)
	}
	p.Detail += "; `verifier review resolve --take REGION` ends it everywhere"
	return p
}

// keepHere reads the rows whose changes are to wait, under their locks, and keeps each as it stands beside its change. The row
// is that of the entry on which was decided: as for keepLosers, the fence comes behind.
func (x *mysqlTransaction) keepHere(ctx context.Context, p *Plan) error {
	var here []Loser
	for i := range p.Parks {
		if p.Parks[i].Here != nil {
			here = append(here, *p.Parks[i].Here)
		}
	}
	if len(here) == 0 {
		return nil
	}
	found, err := x.overwritten(ctx, here)
	if err != nil {
		return err
	}
	for i := range p.Parks {
		if l := p.Parks[i].Here; l != nil {
			p.Parks[i].local = x.keep(l, found).record
		}
	}
	return nil
}

// Decided is a row whose reviews end: it has this version from here on.
type Decided struct {
	Place
	Version row.Version
}

// ended says which reviews a transaction ends.
type ended struct {
	places   map[uint64]Place  // of those that a newer version supersedes, by their ids
	bySource map[string]uint64 // how many they are
}

// execQueryer is a *sql.Tx, or a *sql.Conn in a transaction.
type execQueryer interface {
	execer
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// endReviews ends the reviews of rows, in the transaction that gives these their new version and holds their locks: what is
// older is superseded, and counted as such for the source that it came from; what is newer, since it was written over the
// decision or beside it, is decided on again like any other change that was parked.
//
// Invariant: of a shard's sources all provenance rows are this process's, and no other transaction of it is open on them.
func endReviews(ctx context.Context, q execQueryer, shard int, rows []Decided) (e ended, err error) {
	e = ended{places: map[uint64]Place{}, bySource: map[string]uint64{}}
	for i := range rows {
		if err := e.find(ctx, q, &rows[i]); err != nil {
			return e, err
		}
	}
	for source, n := range e.bySource {
		r, err := q.ExecContext(ctx, "UPDATE `meridian`.`provenance` SET `superseded` = `superseded` + ? WHERE `source` = ? AND `shard` = ?", n, source, shard)
		if err != nil {
			return e, fmt.Errorf("counting what was in review: %w", err)
		}
		if matched, err := r.RowsAffected(); err != nil || matched != 1 {
			return e, errors.Join(err, fmt.Errorf("%w: the provenance row of %s, shard %d is gone", ErrFenced, source, shard))
		}
	}
	return e, nil
}

// find ends the reviews of one row. Nobody adds to them meanwhile: who does has the row's lock.
func (e *ended) find(ctx context.Context, q execQueryer, d *Decided) error {
	list, err := reviewsOf(ctx, q, d.Place)
	if err != nil {
		return err
	}
	for _, r := range list {
		if r.version.Newer(d.Version) {
			_, err = q.ExecContext(ctx, "UPDATE `meridian`.`parked` SET `state` = ?, `attempts` = 0, `tried_at` = '2000-01-01 00:00:00' WHERE `id` = ?", string(Parked), r.id)
		} else {
			_, err = q.ExecContext(ctx, "DELETE FROM `meridian`.`parked` WHERE `id` = ?", r.id)
			e.bySource[r.source]++
			e.places[r.id] = d.Place
		}
		if err != nil {
			return fmt.Errorf("ending the review of a row of %s: %w", d.Table, err)
		}
	}
	return nil
}

type reviewOfRow struct {
	id      uint64
	source  string
	version row.Version
}

func reviewsOf(ctx context.Context, q execQueryer, at Place) (list []reviewOfRow, err error) {
	rows, err := q.QueryContext(ctx, "SELECT `id`, `source`, `version_time`, `version_region` FROM `meridian`.`parked` WHERE `table_name` = ? AND `row_key` = ? AND `state` = ?",
		at.Table, []byte(at.Key), string(Review))
	if err != nil {
		return nil, fmt.Errorf("looking for reviews of a row of %s: %w", at.Table, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r reviewOfRow
		if err := rows.Scan(&r.id, &r.source, &r.version.Time, &r.version.Region); err != nil {
			return nil, fmt.Errorf("looking for reviews of a row of %s: %w", at.Table, err)
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// forgetEnded notes that reviews have ended. One that was parked since the start is not known by its id: it has been remembered
// once at least.
func (t *MySQLTarget) forgetEnded(e ended) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, at := range e.places {
		delete(t.ids, id)
		if t.held[at]--; t.held[at] <= 0 {
			delete(t.held, at)
		}
	}
}

// askAtOnce is how many rows one statement asks for.
const askAtOnce = 200

// InReview implements Reviews. What is held is more than what is in review, so that most rows need no question.
func (t *MySQLTarget) InReview(ctx context.Context, places []Place) (map[Place]bool, error) {
	held := t.heldOf(places)
	found := map[Place]bool{}
	for len(held) > 0 {
		n := min(len(held), askAtOnce)
		if err := t.inReview(ctx, held[:n], found); err != nil {
			return nil, fmt.Errorf("looking for rows that are in review: %w", err)
		}
		held = held[n:]
	}
	return found, nil
}

func (t *MySQLTarget) inReview(ctx context.Context, places []Place, found map[Place]bool) (err error) {
	args := []any{string(Review)}
	for _, p := range places {
		args = append(args, p.Table, []byte(p.Key))
	}
	rows, err := t.server.DB.QueryContext(ctx, "SELECT DISTINCT `table_name`, `row_key` FROM `meridian`.`parked` WHERE `state` = ? AND (`table_name` = ? AND `row_key` = ?"+ //nolint:gosec // placeholders only
		strings.Repeat(" OR `table_name` = ? AND `row_key` = ?", len(places)-1)+")", args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var table string
		var key []byte
		if err := rows.Scan(&table, &key); err != nil {
			return err
		}
		found[Place{table, row.Key(key)}] = true
	}
	return rows.Err()
}

// heldOf gives those of the places that have parked changes, or may have.
func (t *MySQLTarget) heldOf(places []Place) (held []Place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range places {
		if t.held[p] > 0 {
			held = append(held, p)
		}
	}
	return held
}
