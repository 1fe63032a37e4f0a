package propagate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"meridian/internal/row"
)

// PendingReview is a change that waits for a person's decision.
type PendingReview struct {
	ID      uint64
	Source  string
	Shard   int
	Table   string
	Key     row.Key
	Version row.Version
	Since   string // RFC 3339 in UTC
	Detail  string
	Record  []byte // of the change, see bus.Record.Marshal; empty: it could not be kept
	Local   []byte // of the row as it stood here; empty: it could not be kept
}

// reviewBytes bounds what is read at once, but for the last.
const reviewBytes = 8 << 20

// PendingReviews gives the changes to rows of some shards that wait for a person's decision, by id from behind one; more tells
// that there are others behind the last.
func (t *MySQLTarget) PendingReviews(ctx context.Context, shards []int, after uint64, most int) (list []PendingReview, more bool, err error) {
	args := []any{string(Review), after}
	for _, s := range shards {
		args = append(args, s)
	}
	rows, err := t.server.DB.QueryContext(ctx, "SELECT `id`, `source`, `shard`, `table_name`, `row_key`, `version_time`, `version_region`, "+ //nolint:gosec // placeholders only
		"DATE_FORMAT(`first_at`, '%Y-%m-%dT%H:%i:%s.%fZ'), `detail`, `record`, `local_record` FROM `meridian`.`parked` WHERE `state` = ? AND `id` > ? AND `shard` IN ("+
		strings.Join(slices.Repeat([]string{"?"}, len(shards)), ", ")+") ORDER BY `id` LIMIT ?", append(args, most+1)...)
	if err != nil {
		return nil, false, fmt.Errorf("reading what is in review: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	bytes := 0
	for rows.Next() {
		if len(list) == most || bytes > reviewBytes {
			return list, true, nil
		}
		var p PendingReview
		var key []byte
		if err := rows.Scan(&p.ID, &p.Source, &p.Shard, &p.Table, &key, &p.Version.Time, &p.Version.Region, &p.Since, &p.Detail, &p.Record, &p.Local); err != nil {
			return nil, false, fmt.Errorf("reading what is in review: %w", err)
		}
		p.Key = row.Key(key)
		bytes += len(p.Record) + len(p.Local)
		list = append(list, p)
	}
	return list, false, rows.Err()
}

// Changes reads the change that waits, and the row as it stood here; nil where it could not be kept.
func (p *PendingReview) Changes() (remote, local *row.Change, err error) {
	if len(p.Record) > 0 {
		if remote, err = keptChange(p.Record); err != nil {
			return nil, nil, fmt.Errorf("the change in review with id %d: %w", p.ID, err)
		}
	}
	if len(p.Local) > 0 {
		if local, err = keptChange(p.Local); err != nil {
			return nil, nil, fmt.Errorf("the row beside the change in review with id %d: %w", p.ID, err)
		}
	}
	return remote, local, nil
}
