package propagate

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// HistoryBounds says how much of the history of conflicts is kept. The oldest go first.
type HistoryBounds struct {
	Age   time.Duration // 0: nothing is kept
	Rows  int64
	Bytes int64
}

// How much one statement of a purge deletes: little enough that nobody notices it.
const (
	purgeRows  = 200
	purgeBytes = 4 << 20
)

// PurgeConflicts deletes what is beyond the bounds, the oldest first, in pieces, each a transaction of its own; between two of
// them it calls pause. The apply transactions only add at the other end of the table, and do not wait for it. What is
// deleted is known by what was read: several processes of a region may do this at the same time.
func (t *MySQLTarget) PurgeConflicts(ctx context.Context, b HistoryBounds, pause func(ctx context.Context) error) (deleted int64, err error) {
	var rows, bytes int64
	err = t.server.DB.QueryRowContext(ctx, "SELECT COUNT(*), COALESCE(SUM(`bytes`), 0) FROM `meridian`.`conflicts` FORCE INDEX (`size`)").Scan(&rows, &bytes)
	if err != nil {
		return 0, fmt.Errorf("measuring the history of conflicts: %w", err)
	}
	for {
		piece, err := t.oldest(ctx, b, rows, bytes)
		if err != nil || piece.rows == 0 {
			return deleted, err
		}
		r, err := t.server.DB.ExecContext(ctx, "DELETE FROM `meridian`.`conflicts` WHERE `id` BETWEEN ? AND ? ORDER BY `id` LIMIT ?", piece.first, piece.last, piece.rows)
		if err != nil {
			return deleted, fmt.Errorf("deleting from the history of conflicts: %w", err)
		}
		n, err := r.RowsAffected()
		if err != nil {
			return deleted, fmt.Errorf("deleting from the history of conflicts: %w", err)
		}
		deleted += n
		rows, bytes = rows-piece.rows, bytes-piece.bytes
		if err := pause(ctx); err != nil {
			return deleted, err
		}
	}
}

// piece is what one statement deletes.
type piece struct {
	first, last uint64 // ids
	rows, bytes int64
}

// oldest gives the oldest of a history of so many rows and bytes that are beyond the bounds.
func (t *MySQLTarget) oldest(ctx context.Context, b HistoryBounds, rows, bytes int64) (p piece, err error) {
	found, err := t.server.DB.QueryContext(ctx, "SELECT `id`, `bytes`, `decided_at` <= CURRENT_TIMESTAMP(6) - INTERVAL ? MICROSECOND FROM `meridian`.`conflicts` ORDER BY `id` LIMIT ?",
		b.Age.Microseconds(), purgeRows)
	if err != nil {
		return piece{}, fmt.Errorf("looking for old conflicts: %w", err)
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	for found.Next() {
		var id uint64
		var size int64
		var old bool
		if err := found.Scan(&id, &size, &old); err != nil {
			return piece{}, fmt.Errorf("looking for old conflicts: %w", err)
		}
		within := rows-p.rows <= b.Rows && bytes-p.bytes <= b.Bytes
		if !old && within || p.rows > 0 && p.bytes+size > purgeBytes {
			break
		}
		if p.rows == 0 {
			p.first = id
		}
		p.last, p.rows, p.bytes = id, p.rows+1, p.bytes+size
	}
	return p, found.Err()
}
