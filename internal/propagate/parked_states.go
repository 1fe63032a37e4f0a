package propagate

import (
	"context"
	"fmt"

	"meridian/internal/row"
)

// ParkedStates gives the states of the parked changes to a row, each once.
func (t *MySQLTarget) ParkedStates(ctx context.Context, table string, key row.Key) (states []string, err error) {
	if !t.Holds(table, key) {
		return nil, nil
	}
	rows, err := t.server.DB.QueryContext(ctx, "SELECT DISTINCT `state` FROM `meridian`.`parked` WHERE `table_name` = ? AND `row_key` = ? ORDER BY 1", table, []byte(key))
	if err != nil {
		return nil, fmt.Errorf("looking for parked changes to a row of %s: %w", table, err)
	}
	defer func() { _ = rows.Close() }() // Err has the error
	for rows.Next() {
		var state string
		if err := rows.Scan(&state); err != nil {
			return nil, fmt.Errorf("looking for parked changes to a row of %s: %w", table, err)
		}
		states = append(states, state)
	}
	return states, rows.Err()
}
