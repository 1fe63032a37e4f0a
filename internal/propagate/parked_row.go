package propagate

import (
	"context"
	"errors"
	"fmt"

	"meridian/internal/bus"
	"meridian/internal/envelope"
	"meridian/internal/row"
)

// ParkedOfRow is a parked change to one row, for those who look at the row.
type ParkedOfRow struct {
	ID       uint64
	State    ParkState
	Reason   string
	Detail   string
	Source   string
	Version  row.Version
	Attempts int
	Since    string // RFC 3339 in UTC
	Record   []byte // see bus.Record.Marshal
}

// ParkedOf gives the parked changes to a row, the oldest first.
func (t *MySQLTarget) ParkedOf(ctx context.Context, table string, key row.Key) (list []ParkedOfRow, err error) {
	rows, err := t.server.DB.QueryContext(ctx, "SELECT `id`, `state`, `reason`, `detail`, `source`, `version_time`, `version_region`, `attempts`, "+
		"DATE_FORMAT(`first_at`, '%Y-%m-%dT%H:%i:%s.%fZ'), `record` FROM `meridian`.`parked` WHERE `table_name` = ? AND `row_key` = ? AND `state` <> ? ORDER BY `id`",
		table, []byte(key), string(Rejected))
	if err != nil {
		return nil, fmt.Errorf("looking for parked changes to a row of %s: %w", table, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var p ParkedOfRow
		var state string
		if err := rows.Scan(&p.ID, &state, &p.Reason, &p.Detail, &p.Source, &p.Version.Time, &p.Version.Region, &p.Attempts, &p.Since, &p.Record); err != nil {
			return nil, fmt.Errorf("looking for parked changes to a row of %s: %w", table, err)
		}
		p.State = ParkState(state)
		list = append(list, p)
	}
	return list, rows.Err()
}

// Change reads what waits. nil: no record of it was kept, see Detail.
func (p *ParkedOfRow) Change() (*row.Change, error) {
	if len(p.Record) == 0 {
		return nil, nil
	}
	c, err := keptChange(p.Record)
	if err != nil {
		return nil, fmt.Errorf("parked change %d: %w", p.ID, err)
	}
	return c, nil
}

// keptChange reads a change out of a record that was kept.
func keptChange(record []byte) (*row.Change, error) {
	r, err := bus.UnmarshalRecord(record)
	if err != nil {
		return nil, err
	}
	m, err := envelope.Decode(&r)
	if err != nil {
		return nil, err
	}
	return m.Change, nil
}
