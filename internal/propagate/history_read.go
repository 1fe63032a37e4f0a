package propagate

import (
	"context"
	"errors"
	"fmt"
	"math"

	"meridian/internal/row"
)

// ErrNoConflict is returned for an id that the history does not have (any more).
var ErrNoConflict = errors.New("the history of conflicts has no such entry (any more)")

// KeptConflict is one conflict as the history has it.
type KeptConflict struct {
	ID      uint64
	At      string // when it was decided here: RFC 3339 in UTC
	Source  string // the region whose change met a row of this one
	Shard   int
	Offset  uint64
	Table   string
	Key     row.Key
	Winner  row.Version
	Loser   row.Version
	Omitted string // why there is no record
	Record  []byte // of what has lost, see bus.Record.Marshal; empty: see Omitted
}

// mostInList is how many bytes a record has at most that is shown in a list.
const mostInList = 512 << 10

// selectConflicts takes the largest number of bytes that a record may have first.
const selectConflicts = "SELECT `id`, DATE_FORMAT(`decided_at`, '%Y-%m-%dT%H:%i:%s.%fZ'), `source`, `shard`, `bus_offset`, `table_name`, `row_key`, " +
	"`winner_time`, `winner_region`, `loser_time`, `loser_region`, IF(`bytes` > ?, '" + OmittedInList + "', `omitted`), IF(`bytes` > ?, '', `record`) FROM `meridian`.`conflicts` WHERE "

// Conflicts gives the newest conflicts of a row, the newest first, those that are too large for a list without their records.
func (t *MySQLTarget) Conflicts(ctx context.Context, table string, key row.Key, most int) ([]KeptConflict, error) {
	list, err := t.conflicts(ctx, selectConflicts+"`table_name` = ? AND `row_key` = ? ORDER BY `id` DESC LIMIT ?", mostInList, mostInList, table, []byte(key), most)
	if err != nil {
		return nil, fmt.Errorf("reading the conflicts of a row of %s: %w", table, err)
	}
	return list, nil
}

// Conflict gives one conflict. ErrNoConflict if it is not there.
func (t *MySQLTarget) Conflict(ctx context.Context, id uint64) (*KeptConflict, error) {
	list, err := t.conflicts(ctx, selectConflicts+"`id` = ?", math.MaxUint32, math.MaxUint32, id)
	if err != nil {
		return nil, fmt.Errorf("reading conflict %d: %w", id, err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: %d", ErrNoConflict, id)
	}
	return &list[0], nil
}

func (t *MySQLTarget) conflicts(ctx context.Context, query string, args ...any) (list []KeptConflict, err error) {
	rows, err := t.server.DB.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c KeptConflict
		var key []byte
		err := rows.Scan(&c.ID, &c.At, &c.Source, &c.Shard, &c.Offset, &c.Table, &key, &c.Winner.Time, &c.Winner.Region, &c.Loser.Time, &c.Loser.Region, &c.Omitted, &c.Record)
		if err != nil {
			return nil, err
		}
		c.Key = row.Key(key)
		list = append(list, c)
	}
	return list, rows.Err()
}

// Change reads what has lost. nil: the history has no record of it, see Omitted.
func (c *KeptConflict) Change() (*row.Change, error) {
	if len(c.Record) == 0 {
		return nil, nil
	}
	change, err := keptChange(c.Record)
	if err != nil {
		return nil, fmt.Errorf("conflict %d: %w", c.ID, err)
	}
	return change, nil
}
