package syncer

import (
	"context"
	"fmt"
	"time"
)

// binlogExpiry gives after how long the server purges a binlog, 0 for never.
func binlogExpiry(ctx context.Context, p *parts) (time.Duration, error) {
	rows, err := p.server.DB.QueryContext(ctx, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('binlog_expire_logs_seconds', 'expire_logs_days')")
	if err != nil {
		return 0, fmt.Errorf("asking how long binlogs are kept: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err has said it
	settings := map[string]float64{}
	for rows.Next() {
		var name string
		var value float64
		if err := rows.Scan(&name, &value); err != nil {
			return 0, fmt.Errorf("asking how long binlogs are kept: %w", err)
		}
		settings[name] = value
	}
	if err := rows.Err(); err != nil {
		return 0, fmt.Errorf("asking how long binlogs are kept: %w", err)
	}
	return expiry(settings), nil
}

// expiry judges a server's settings. MySQL 8.0 has both, of which at most one is not 0. MariaDB's are two names of one thing,
// whose days have a fraction; before 10.6 it only has the days.
func expiry(settings map[string]float64) time.Duration {
	const day = 24 * time.Hour
	return max(time.Duration(settings["binlog_expire_logs_seconds"]*float64(time.Second)), time.Duration(settings["expire_logs_days"]*float64(day)))
}
