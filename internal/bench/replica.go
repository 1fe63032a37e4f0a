package main

import (
	"context"
	"database/sql"
	"fmt"

	"meridian/internal/servers"
)

// follow makes the database MySQL's own replica of another.
func (d *database) follow(ctx context.Context, source *database) error {
	err := d.exec(ctx, fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=%s, SOURCE_USER='%s', SOURCE_PASSWORD='%s', "+
		"SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1", port(source.server.Address()), servers.User, servers.Password))
	if err != nil {
		return err
	}
	return d.exec(ctx, "START REPLICA")
}

// port is the part of host:port after the colon.
func port(address string) string {
	for i := len(address) - 1; i >= 0; i-- {
		if address[i] == ':' {
			return address[i+1:]
		}
	}
	return address
}

// received waits until the replica holds, applied or not, all that its source has committed.
func (d *database) received(ctx context.Context, source *database) error {
	executed, err := source.text(ctx, "SELECT @@GLOBAL.gtid_executed")
	if err != nil {
		return err
	}
	return until(ctx, countInterval, func() (bool, error) {
		status, err := d.replicaStatus(ctx)
		if err != nil {
			return false, err
		}
		n, err := d.count(ctx, "SELECT GTID_SUBSET(?, CONCAT(@@GLOBAL.gtid_executed, ',', ?))", executed, status["Retrieved_Gtid_Set"])
		return n == 1, err
	})
}

func (d *database) text(ctx context.Context, query string) (s string, err error) {
	if err = d.db.QueryRowContext(ctx, query).Scan(&s); err != nil {
		err = fmt.Errorf("database %s: %.60q: %w", d.name, query, err)
	}
	return s, err
}

// replicaStatus is SHOW REPLICA STATUS by column. A replica that has stopped with an error is an error.
func (d *database) replicaStatus(ctx context.Context) (status map[string]string, err error) {
	rows, err := d.db.QueryContext(ctx, "SHOW REPLICA STATUS")
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", d.name, err)
	}
	defer func() { _ = rows.Close() }() // Err has the error
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	status = map[string]string{}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		for i, c := range columns {
			status[c] = values[i].String
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for _, c := range []string{"Last_IO_Error", "Last_SQL_Error"} {
		if status[c] != "" {
			return nil, fmt.Errorf("MySQL's own replica has stopped: %s: %s", c, status[c])
		}
	}
	return status, nil
}
