package syncer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"meridian/internal/inspect"
	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

// Explainer tells what this process knows of single rows of its shards. It is safe for concurrent use.
func (s *Syncer) Explainer() inspect.Explainer { return inspector{s} }

const (
	// explainAgain is how often a row that is being written is read again until row and entry are of one moment.
	explainAgain = 5
	// mostConflicts bounds an answer: a row that all regions write all the time has a long history.
	mostConflicts = 50
)

// Explain implements inspect.Explainer.
func (i inspector) Explain(ctx context.Context, table, key string) (*inspect.Explained, error) {
	p, err := i.parts()
	if err != nil {
		return nil, err
	}
	info, err := i.replicatedTable(ctx, p, table)
	if err != nil {
		return nil, err
	}
	ref, at, err := keyRef(info.Table, key)
	if err != nil {
		return nil, err
	}
	x := &inspect.Explained{Ref: ref, Region: i.s.cfg.Region, Replica: i.s.cfg.Replica, Table: info.String(), Shard: row.Shard(info.String(), at, i.s.cfg.Shards)}
	if !i.s.cfg.owned(x.Shard) {
		return nil, fmt.Errorf("replica %d of %d of %s: %w", i.s.cfg.Replica, i.s.cfg.Replicas, i.s.cfg.Region, inspect.ErrNotOwned)
	}
	for _, column := range info.PrimaryKey {
		x.Columns = append(x.Columns, info.Columns[column].Name)
	}
	if err = i.explainRow(ctx, x, ref); err != nil {
		return nil, err
	}
	if x.Parked, err = i.waiting(ctx, p, x.Table, at); err != nil {
		return nil, err
	}
	x.Conflicts, err = i.history(ctx, p, x.Table, at)
	return x, err
}

// table finds a replicated table, as it is remembered. Where there is none the error is mysqldb.ErrNoTable as well.
func (i inspector) table(ctx context.Context, p *parts, table string) (*mysqldb.TableInfo, error) {
	return i.findTable(ctx, table, p.target.Schema().Table)
}

// replicatedTable finds a replicated table, as it is now: what is remembered of it may not know yet who refers to it.
func (i inspector) replicatedTable(ctx context.Context, p *parts, table string) (*mysqldb.TableInfo, error) {
	return i.findTable(ctx, table, p.server.LoadTable)
}

func (i inspector) findTable(ctx context.Context, table string,
	load func(ctx context.Context, schema, name string) (*mysqldb.TableInfo, error)) (*mysqldb.TableInfo, error) {
	schema, name, dotted := strings.Cut(table, ".")
	if !dotted {
		return nil, &inspect.QuestionError{Detail: fmt.Sprintf("%q is no SCHEMA.TABLE", table)}
	}
	if !i.s.cfg.Tables.Match(schema, name) {
		return nil, &inspect.QuestionError{Detail: fmt.Sprintf("table %s is not replicated in %s (tables.include and tables.exclude of its configuration)", table, i.s.cfg.Region)}
	}
	info, err := load(ctx, schema, name)
	switch {
	case errors.Is(err, mysqldb.ErrNoTable):
		return nil, &inspect.QuestionError{Detail: fmt.Sprintf("there is no table %s in %s", table, i.s.cfg.Region), Cause: err}
	case err != nil:
		return nil, fmt.Errorf("looking at table %s: %w", table, err)
	case len(info.PrimaryKey) == 0:
		return nil, &inspect.QuestionError{Detail: fmt.Sprintf("table %s has no primary key in %s", table, i.s.cfg.Region)}
	}
	return info, nil
}

// keyRef reads a key as a person types it.
func keyRef(t *row.Table, text string) (ref inspect.KeyRef, key row.Key, err error) {
	values, err := row.ParseKey(t, text)
	if err == nil {
		key, err = t.KeyOf(values)
	}
	if err != nil {
		return ref, "", &inspect.QuestionError{Detail: fmt.Sprintf("%v; the primary key of %s is (%s)", err, t, t.KeyShape())}
	}
	image := make([]row.Value, len(t.Columns))
	for n, at := range t.PrimaryKey {
		image[at] = values[n]
	}
	return inspect.KeyRef{Key: []byte(key), Label: t.KeyLabel(image)}, key, nil
}

// explainRow reads the row and its ledger entry, as of one moment where that can be had.
func (i inspector) explainRow(ctx context.Context, x *inspect.Explained, ref inspect.KeyRef) error {
	var r *inspect.Row
	for range explainAgain {
		rows, err := i.Rows(ctx, x.Table, []inspect.KeyRef{ref})
		if err != nil {
			return err
		}
		if r = &rows.Rows[0]; !r.Moved {
			break
		}
	}
	x.Key, x.Exists, x.Values, x.Digest, x.Digests, x.Entry, x.Moved = r.Text, r.Exists, r.Values, r.Digest, r.Columns, r.Entry, r.Moved
	for n, column := range x.Columns { // as the row spells it, not the asker
		for _, v := range r.Values {
			if v.Column == column && v.Text != nil {
				x.Key[n] = *v.Text
			}
		}
	}
	x.Agrees = r.Agrees() && (r.Entry == nil || !r.Entry.Suspect)
	if r.Entry != nil {
		v := r.Entry.ParsedVersion()
		x.Version, x.Origin, x.WrittenAt = r.Entry.Version, v.Region, writtenAt(v)
	}
	return nil
}

// writtenAt gives a version's time; "" for the baseline, of which it is not known.
func writtenAt(v row.Version) string {
	if v.IsBaseline() {
		return ""
	}
	return time.UnixMicro(v.Time).UTC().Format("2006-01-02T15:04:05.000000Z")
}

// waiting gives the parked changes to a row.
func (i inspector) waiting(ctx context.Context, p *parts, table string, key row.Key) ([]inspect.Waiting, error) {
	parked, err := p.target.ParkedOf(ctx, table, key)
	if err != nil {
		return nil, err
	}
	list := make([]inspect.Waiting, 0, len(parked))
	for n := range parked {
		c := &parked[n]
		w := inspect.Waiting{ID: c.ID, State: string(c.State), Reason: c.Reason, Detail: c.Detail, Source: c.Source, Version: c.Version.String(), Attempts: c.Attempts, Since: c.Since}
		change, err := c.Change()
		if err != nil {
			w.Detail += " (its record cannot be read: " + err.Error() + ")"
		}
		w.Change = imageOf(change)
		list = append(list, w)
	}
	return list, nil
}

// history gives the conflicts that a row was in here.
func (i inspector) history(ctx context.Context, p *parts, table string, key row.Key) ([]inspect.Conflict, error) {
	kept, err := p.target.Conflicts(ctx, table, key, mostConflicts)
	if err != nil {
		return nil, err
	}
	list := make([]inspect.Conflict, 0, len(kept))
	for n := range kept {
		c, _, err := i.conflict(&kept[n])
		if err != nil {
			return nil, err
		}
		list = append(list, *c)
	}
	return list, nil
}
