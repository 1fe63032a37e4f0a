package syncer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"meridian/internal/inspect"
	"meridian/internal/mysqldb"
	"meridian/internal/propagate"
	"meridian/internal/row"
)

// Restorer brings back what lost a conflict in this region; any of its processes can. It is safe for concurrent use.
func (s *Syncer) Restorer() inspect.Restorer { return inspector{s} }

// RestorePlan implements inspect.Restorer.
func (i inspector) RestorePlan(ctx context.Context, number uint64) (*inspect.Restore, error) {
	return i.restore(ctx, number, "")
}

// Restore implements inspect.Restorer.
func (i inspector) Restore(ctx context.Context, number uint64, over string) (*inspect.Restore, error) {
	r, err := i.restore(ctx, number, over)
	if err == nil && r.Done {
		i.s.cfg.Log.Info("what lost a conflict has been brought back, as a local write", zap.String("region", i.s.cfg.Region), zap.Uint64("conflict", number),
			zap.String("table", r.Table), zap.String("lost", r.Conflict.Loser))
	}
	return r, err
}

// restoring is one lost row on its way back.
type restoring struct {
	change  *row.Change // what was lost
	mapping *mysqldb.Mapping
	plan    *inspect.Restore
	now     []row.Value // the row as it is, by the table's columns; nil: there is none
}

// restore makes the plan, with the row under its lock; and unless over is empty, carries it out if the row is what over names.
//
// It is a write like the application's: without provenance, so that the tailer stamps it above everything that is known of the
// row here, the winner of the conflict included, and it goes to all regions as any other. Foreign keys are checked.
func (i inspector) restore(ctx context.Context, number uint64, over string) (*inspect.Restore, error) {
	p, err := i.parts()
	if err != nil {
		return nil, err
	}
	r, err := i.lost(ctx, p, number)
	if err != nil {
		return nil, err
	}
	// REPEATABLE READ, so that the key of a row that is not there is locked, too.
	tx, err := p.server.DB.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return nil, i.refusal(err, r.plan.Table)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing; before one the error that led here counts
	if err = r.look(ctx, tx); err != nil {
		return nil, i.refusal(err, r.plan.Table)
	}
	if err = r.cascades(); err != nil || over == "" || over == r.plan.Over && r.plan.Already {
		return r.plan, err
	}
	if over != r.plan.Over {
		return nil, inspect.ErrRowChanged
	}
	if err = r.write(ctx, tx); err != nil {
		return nil, i.refusal(err, r.plan.Table)
	}
	if err = tx.Commit(); err != nil {
		if mysqldb.Lost(err) || errors.Is(err, sql.ErrTxDone) {
			return nil, fmt.Errorf("the connection to the database of %s was lost at COMMIT: whether conflict %d has been brought back shows `verifier explain`: %w", i.s.cfg.Region, number, err)
		}
		return nil, i.refusal(err, r.plan.Table)
	}
	r.plan.Done = true
	return r.plan, nil
}

// lost reads what was lost, and finds out whether the table can still take it.
func (i inspector) lost(ctx context.Context, p *parts, number uint64) (*restoring, error) {
	kept, err := p.target.Conflict(ctx, number)
	if errors.Is(err, propagate.ErrNoConflict) {
		return nil, &inspect.QuestionError{Detail: fmt.Sprintf("%s keeps no conflict %d (any more): verify.conflict_history says for how long; `verifier explain --history` lists those that are kept", i.s.cfg.Region, number)}
	}
	if err != nil {
		return nil, err
	}
	conflict, change, err := i.conflict(kept)
	if err != nil {
		return nil, err
	}
	if change == nil || change.Row() == nil {
		why := map[string]string{propagate.OmittedTooLarge: "the row was too large", propagate.OmittedNotThere: "there was no row, though the ledger knew of one"}[kept.Omitted]
		if why == "" {
			why = "no record could hold the row"
		}
		return nil, &inspect.UnrestorableError{Why: fmt.Sprintf("conflict %s: what was lost was not kept: %s; nothing can be brought back", conflict.ID, why)}
	}
	info, err := i.replicatedTable(ctx, p, kept.Table)
	var question *inspect.QuestionError
	if errors.As(err, &question) {
		return nil, &inspect.UnrestorableError{Why: fmt.Sprintf("conflict %s: %s; nothing was changed", conflict.ID, question.Detail)}
	}
	if err != nil {
		return nil, err
	}
	r := &restoring{change: change, plan: &inspect.Restore{ID: conflict.ID, Table: kept.Table, Conflict: *conflict, Then: *conflict.Lost, Different: []string{}, Kept: []string{}}}
	r.plan.Key = keyText(change.Table, change.KeyValues())
	if r.mapping, err = p.server.Mapping(info, change.Table); err != nil {
		return nil, i.refusal(err, kept.Table)
	}
	return r, nil
}

// look reads the row under its lock, and completes the plan.
func (r *restoring) look(ctx context.Context, tx *sql.Tx) error {
	target := r.mapping.Target().Table
	query, _, err := r.mapping.ReadRows(nil, [][]row.Value{r.change.Row()}, true)
	if err != nil {
		return err
	}
	err = mysqldb.QueryRows(ctx, tx, string(query), target, allColumns(target), func(values []row.Value) error {
		r.now = values
		return nil
	})
	if err != nil {
		return err
	}
	p, deletes := r.plan, r.change.Op == row.Delete
	p.Over, p.Now = "none", inspect.Image{Deleted: true}
	if r.now != nil {
		key, err := target.Key(r.now)
		if err != nil {
			return err
		}
		p.Over = fmt.Sprintf("%x-%x", target.ColumnsID(), target.Digest(key, r.now))
		p.Now = inspect.Image{Values: columnsOf(target, r.now)}
	}
	if deletes {
		p.Already = r.now == nil
		return nil
	}
	for at := range target.Columns {
		c := &target.Columns[at]
		from := r.change.Table.Column(c.Name)
		switch {
		case c.Generated:
		case from < 0:
			p.Kept = append(p.Kept, c.Name)
		case r.now == nil || string(row.AppendValue(nil, r.now[at])) != string(row.AppendValue(nil, r.change.After[from])):
			p.Different = append(p.Different, c.Name)
		}
	}
	p.Already = r.now != nil && len(p.Different) == 0
	return nil
}

// cascades refuses what would change other tables' rows beneath the binlog: no region would hear of it.
func (r *restoring) cascades() error {
	acts := func(rule string) bool { return rule == "CASCADE" || rule == "SET NULL" || rule == "SET DEFAULT" }
	for _, f := range r.mapping.Target().ReferencedBy {
		deletes := r.change.Op == row.Delete && acts(f.OnDelete)
		updates := r.change.Op != row.Delete && r.now != nil && acts(f.OnUpdate) &&
			slices.ContainsFunc(f.ReferencedColumns, func(name string) bool {
				return slices.ContainsFunc(r.plan.Different, func(c string) bool { return strings.EqualFold(c, name) })
			})
		if !r.plan.Already && (deletes || updates) {
			return &inspect.UnrestorableError{Why: fmt.Sprintf("conflict %s: rows of %s.%s may refer to the row of %s, and the foreign key %s would change them with it, which the binlog does not show: nothing was changed. Change those rows first, and then this one by a statement of your own",
				r.plan.ID, f.Schema, f.Table, r.plan.Table, f.Name)}
		}
	}
	return nil
}

// write writes the row that was lost over the one that is there.
func (r *restoring) write(ctx context.Context, tx *sql.Tx) error {
	images := [][]row.Value{r.change.Row()}
	statement := r.mapping.InsertRows
	switch {
	case r.change.Op == row.Delete:
		statement = r.mapping.DeleteRows
	case r.now != nil:
		statement = r.mapping.UpdateRows
	}
	query, _, err := statement(nil, images)
	if err != nil {
		return err
	}
	result, err := tx.ExecContext(ctx, string(query))
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fmt.Errorf("%d rows were written instead of one", n)) //nolint:err113 // nobody decides on it: it is rolled back
	}
	return nil
}

// refusal says in words what the database has against it.
func (i inspector) refusal(err error, table string) error {
	var why string
	switch reason := mysqldb.Reason(err); reason {
	case "read_only":
		why = "the database is read-only: bring it back in a region whose database takes writes, or when this one does again"
	case "foreign_key":
		why = "a foreign key forbids it: bring back the row that it refers to first, or take away those that refer to it"
	case "duplicate_key":
		why = "another row has its value in a unique key: change that row first"
	case "missing_column", "key_mismatch", "unknown_column":
		why = "the table is not what it was: write the values that still fit by a statement of your own"
	default:
		if mysqldb.Classify(err) != mysqldb.Refused {
			return fmt.Errorf("bringing back a row of %s in %s: nothing was changed: %w", table, i.s.cfg.Region, err)
		}
		why = "the database does not accept the row"
	}
	return &inspect.UnrestorableError{Why: fmt.Sprintf("a row of %s cannot be brought back in %s, nothing was changed: %s (%v)", table, i.s.cfg.Region, why, err)}
}
