package propagate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

// group is a plan's writes to one table from one description of its rows.
type group struct {
	mapping *mysqldb.Mapping
	writes  []*Write
}

// write writes the plan's rows, in multi-row statements, keys sorted: first the deletes of all tables, then the updates,
// then the inserts, so that a secondary unique key that moves from one row to another is free when it is needed. The last
// statements may still wait in the packet when it returns.
func (x *mysqlTransaction) write(ctx context.Context, p *Plan) error {
	groups, err := x.groups(ctx, p)
	if err != nil {
		return err
	}
	exists, err := x.look(ctx, groups)
	if err != nil {
		return err
	}
	steps := [3][]step{}
	for i, g := range groups {
		if err := g.sort(exists[i], &steps); err != nil {
			return err
		}
	}
	all := slices.Concat(steps[0], steps[1], steps[2])
	if p.Single {
		return x.writeSingly(ctx, all)
	}
	for i := range all {
		if err := x.add(ctx, &all[i]); err != nil {
			return err
		}
	}
	return nil
}

// groups sorts the writes by table, and finds those that cannot be written at all: the table, a column is missing.
func (x *mysqlTransaction) groups(ctx context.Context, p *Plan) ([]*group, error) {
	var list []*group
	by := map[*row.Table]*group{}
	refused := &RefusedError{}
	reasons := map[*row.Table]error{}
	for i := range p.Writes {
		w := &p.Writes[i]
		source := w.Change.Table
		g, err := by[source], reasons[source]
		if g == nil && err == nil {
			if g, err = x.group(ctx, source); err == nil {
				by[source] = g
				list = append(list, g)
			} else if reasons[source] = err; mysqldb.Classify(err) != mysqldb.Refused {
				return nil, err
			}
		}
		if err == nil {
			err = g.checkKey(w.Change)
		}
		if err != nil {
			refused.add(w.Change, err)
			continue
		}
		g.writes = append(g.writes, w)
	}
	if len(refused.Rows) > 0 {
		return nil, refused
	}
	slices.SortFunc(list, func(a, b *group) int {
		return strings.Compare(a.mapping.Source().String(), b.mapping.Source().String())
	})
	for _, g := range list {
		slices.SortFunc(g.writes, func(a, b *Write) int { return strings.Compare(string(a.Change.Key), string(b.Change.Key)) })
	}
	return list, nil
}

func (e *RefusedError) add(c *row.Change, cause error) {
	reason := mysqldb.Reason(cause)
	e.Rows = append(e.Rows, RefusedRow{Change: c, Reason: reason, Cause: cause})
	e.Cause = cause
}

func (x *mysqlTransaction) group(ctx context.Context, source *row.Table) (*group, error) {
	info, err := x.target.schema.Table(ctx, source.Schema, source.Name)
	if err != nil {
		return nil, err
	}
	m, err := x.target.server.Mapping(info, source)
	if err != nil {
		return nil, err
	}
	return &group{mapping: m}, nil
}

// checkKey makes sure that the row's key is the same here as where the change came from. Where the collations differ it
// would not be: the tailer would not know the row again as the one that was replayed.
func (g *group) checkKey(c *row.Change) error {
	target := g.mapping.Target()
	if len(target.KeyCollations()) == 0 {
		return nil
	}
	values, image := make([]row.Value, len(target.PrimaryKey)), c.Row()
	for i, at := range target.PrimaryKey {
		from := c.Table.Column(target.Columns[at].Name)
		if from < 0 {
			return &mysqldb.KeyMismatchError{Table: target.String()}
		}
		values[i] = image[from]
	}
	key, err := target.KeyOf(values)
	if err != nil {
		return fmt.Errorf("%w: %w", &mysqldb.KeyMismatchError{Table: target.String()}, err)
	}
	if key != c.Key {
		return &mysqldb.KeyMismatchError{Table: target.String(), Source: collations(c.Table), Target: collations(target.Table)}
	}
	return nil
}

func collations(t *row.Table) []string {
	var list []string
	for _, at := range t.PrimaryKey {
		list = append(list, t.Columns[at].Name+" COLLATE "+t.Columns[at].Collation)
	}
	return list
}

// look reads, with locks, which of the rows are there of which the ledger knows nothing certain, or which it believes to
// be gone: by group. Where none is there, its gap is locked. What is done with the rows depends on it, so it is a round trip.
func (x *mysqlTransaction) look(ctx context.Context, groups []*group) ([]map[row.Key]bool, error) {
	exists, looks := make([]map[row.Key]bool, len(groups)), false
	for i, g := range groups {
		var images [][]row.Value
		for _, w := range g.writes {
			if w.Expect == Unknown || w.Change.Op == row.Delete && w.Expect == Absent {
				images = append(images, w.Change.Row())
			}
		}
		looks = looks || len(images) > 0
		exists[i] = map[row.Key]bool{}
		if err := x.addLook(ctx, g, images, exists[i]); err != nil {
			return nil, err
		}
	}
	if !looks {
		return exists, nil
	}
	return exists, x.send(ctx)
}

func (x *mysqlTransaction) addLook(ctx context.Context, g *group, images [][]row.Value, exists map[row.Key]bool) error {
	target := g.mapping.Target()
	for len(images) > 0 {
		query, n, err := g.mapping.LockRows(nil, images)
		if err != nil {
			return err
		}
		if err = x.makeRoom(ctx, len(query)); err != nil {
			return err
		}
		x.packet.Query(query, func(rows *sql.Rows) error {
			return mysqldb.ReadRows(rows, target.Table, target.PrimaryKey, func(values []row.Value) error {
				key, failed := target.KeyOf(values)
				exists[key] = true
				return failed
			})
		}, failing("locking rows of "+target.String()))
		images = images[n:]
	}
	return nil
}

// step is some rows of one table and what is done with them.
type step struct {
	mapping *mysqldb.Mapping
	kind    int // index in write's steps
	writes  []*Write
}

// The kinds of steps, in their order.
const (
	stepDelete = iota
	stepUpdate
	stepInsert
)

// sort says what is done with each row, given which of those that were looked for are there.
func (g *group) sort(exists map[row.Key]bool, steps *[3][]step) error {
	var by [3][]*Write
	for _, w := range g.writes {
		deletes, there := w.Change.Op == row.Delete, w.Expect == Present
		if w.Expect == Unknown || deletes && w.Expect == Absent {
			there = exists[w.Change.Key]
			if there && w.Expect == Absent {
				return &UnexpectedRowsError{Table: w.Change.Table.String(), Wanted: 0, Found: 1}
			}
		}
		switch {
		case deletes && there:
			by[stepDelete] = append(by[stepDelete], w)
		case deletes: // it is gone already, and its key is locked
		case there:
			by[stepUpdate] = append(by[stepUpdate], w)
		default:
			by[stepInsert] = append(by[stepInsert], w)
		}
	}
	for kind, writes := range by {
		if len(writes) > 0 {
			steps[kind] = append(steps[kind], step{g.mapping, kind, writes})
		}
	}
	return nil
}

// add puts a step into the packet, in as few statements as possible. The number of rows matched must be what was expected.
// What does not fit is sent before, so an error may be of an earlier step.
func (x *mysqlTransaction) add(ctx context.Context, s *step) error {
	images := make([][]row.Value, len(s.writes))
	for i, w := range s.writes {
		images[i] = w.Change.Row()
	}
	for len(images) > 0 {
		statement, n, err := s.statement(nil, images)
		if err != nil {
			return x.refuse(s, err)
		}
		if err = x.makeRoom(ctx, len(statement)); err != nil {
			return err
		}
		matched := func(found int64) error {
			if found != int64(n) {
				return &UnexpectedRowsError{Table: s.mapping.Source().String(), Wanted: int64(n), Found: found}
			}
			return nil
		}
		if x.packet.Holds(len(statement)) {
			x.packet.Exec(statement, matched, func(err error) error { return x.refuse(s, err) })
		} else if err := x.alone(ctx, s, statement, matched); err != nil {
			return err
		}
		images = images[n:]
	}
	return nil
}

// alone sends a statement that is as large as the server takes, or larger.
func (x *mysqlTransaction) alone(ctx context.Context, s *step, statement []byte, matched func(found int64) error) error {
	r, err := x.conn.ExecContext(ctx, string(statement))
	if err != nil {
		return x.refuse(s, err)
	}
	found, err := r.RowsAffected()
	if err != nil {
		return err
	}
	return matched(found)
}

func (s *step) statement(dst []byte, images [][]row.Value) ([]byte, int, error) {
	switch s.kind {
	case stepDelete:
		return s.mapping.DeleteRows(dst, images)
	case stepUpdate:
		return s.mapping.UpdateRows(dst, images)
	default:
		return s.mapping.InsertRows(dst, images)
	}
}

// refuse says what an error of a statement means: a row that was there unexpectedly, a row that the database does not
// accept (which one is not known yet), or anything else.
func (x *mysqlTransaction) refuse(s *step, err error) error {
	if duplicate, ok := mysqldb.DuplicateKey(err, s.mapping.Target()); ok && duplicate.Primary() && !x.plan.Looked {
		return &UnexpectedRowsError{Table: s.mapping.Source().String(), Wanted: 0, Found: 1}
	}
	if mysqldb.Classify(err) == mysqldb.Refused {
		if len(s.writes) == 1 {
			e := &RefusedError{}
			e.add(s.writes[0].Change, err)
			return e
		}
		return &RefusedError{Cause: err}
	}
	return fmt.Errorf("writing rows of %s: %w", s.mapping.Source(), err)
}

// writeSingly executes the steps row by row, and goes over the refused ones again while that gets any further.
func (x *mysqlTransaction) writeSingly(ctx context.Context, steps []step) error {
	var pending []step
	for _, s := range steps {
		for _, w := range s.writes {
			pending = append(pending, step{s.mapping, s.kind, []*Write{w}})
		}
	}
	for {
		var left []step
		refused := &RefusedError{}
		for i := range pending {
			err := x.add(ctx, &pending[i])
			if err == nil {
				err = x.send(ctx)
			}
			var r *RefusedError
			switch {
			case err == nil:
			case errors.As(err, &r):
				left = append(left, pending[i])
				refused.Rows = append(refused.Rows, r.Rows...)
				refused.Cause = r.Cause
			default:
				return err
			}
		}
		if len(left) == 0 {
			return nil
		}
		if len(left) == len(pending) {
			return refused
		}
		pending = left
	}
}
