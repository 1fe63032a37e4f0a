package mysqldb

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"
)

// ReplicaDelay asks a replica how far it is behind its source: the most of all its channels. known is false where it does not
// know: replication is stopped, broken, or there is none.
//
// It takes REPLICATION CLIENT (MariaDB: REPLICA MONITOR).
func (s *Server) ReplicaDelay(ctx context.Context) (delay time.Duration, known bool, err error) {
	query := "SHOW REPLICA STATUS"
	switch {
	case s.Flavor == MariaDB:
		query = "SHOW ALL REPLICAS STATUS"
	case !s.AtLeast(8, 0, 22):
		query = "SHOW SLAVE STATUS"
	}
	rows, err := s.DB.QueryContext(ctx, query)
	if err != nil {
		return 0, false, fmt.Errorf("%s: asking how far it is behind: %w", s.Address, err)
	}
	defer func() { _ = rows.Close() }() // the error is the one that rows.Err gives
	columns, err := rows.Columns()
	if err != nil {
		return 0, false, fmt.Errorf("%s: asking how far it is behind: %w", s.Address, err)
	}
	known = true
	channels := 0
	for rows.Next() {
		channels++
		var behind sql.NullString
		into := make([]any, len(columns))
		for i, name := range columns {
			into[i] = new(sql.RawBytes)
			if name == "Seconds_Behind_Source" || name == "Seconds_Behind_Master" {
				into[i] = &behind
			}
		}
		if err = rows.Scan(into...); err != nil {
			return 0, false, fmt.Errorf("%s: reading how far it is behind: %w", s.Address, err)
		}
		seconds, failed := strconv.ParseUint(behind.String, 10, 32)
		known = known && behind.Valid && failed == nil
		delay = max(delay, time.Duration(seconds)*time.Second)
	}
	if err = rows.Err(); err != nil {
		return 0, false, fmt.Errorf("%s: reading how far it is behind: %w", s.Address, err)
	}
	return delay, known && channels > 0, nil
}
