package propagate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Claim takes the shards for this process: it raises their epoch, in the provenance rows too, which waits for any apply
// transaction of an older owner that is still open. From its return on no older owner commits. Rows of sources that are
// new begin at offset 0. It returns the epochs, and where each source of each shard stands.
//
// An epoch is at least what least gives for the shard: a database that was restored has forgotten some that stand in the
// topic, and under one of them again everything that the region publishes would pass for an older owner's.
func (t *MySQLTarget) Claim(ctx context.Context, holder string, shards []int, sources []string, least map[int]uint64) (map[int]uint64, map[int]map[string]State, error) {
	tx, err := t.server.DB.BeginTx(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing; before one the error that led here counts
	epochs, states := map[int]uint64{}, map[int]map[string]State{}
	for _, shard := range shards {
		epoch, err := claimShard(ctx, tx, holder, shard, sources, max(least[shard], 1))
		if err != nil {
			return nil, nil, fmt.Errorf("shard %d: %w", shard, err)
		}
		epochs[shard], states[shard] = epoch, map[string]State{}
	}
	for _, shard := range shards {
		for _, source := range sources {
			st, err := readState(ctx, tx, source, shard, "")
			if err != nil {
				return nil, nil, err
			}
			states[shard][source] = st
		}
	}
	if err := tx.Commit(); err != nil {
		return nil, nil, fmt.Errorf("claiming shards: %w", err)
	}
	return epochs, states, nil
}

func claimShard(ctx context.Context, tx *sql.Tx, holder string, shard int, sources []string, least uint64) (epoch uint64, err error) {
	_, err = tx.ExecContext(ctx, "INSERT INTO `meridian`.`owner` (`shard`, `epoch`, `holder`, `since`, `batch`) VALUES (?, ?, ?, CURRENT_TIMESTAMP(6), '') "+
		"ON DUPLICATE KEY UPDATE `epoch` = GREATEST(`epoch` + 1, VALUES(`epoch`)), `holder` = VALUES(`holder`), `since` = VALUES(`since`), `batch` = ''", shard, least, holder)
	if err != nil {
		return 0, err
	}
	if err = tx.QueryRowContext(ctx, "SELECT `epoch` FROM `meridian`.`owner` WHERE `shard` = ? FOR UPDATE", shard).Scan(&epoch); err != nil {
		return 0, err
	}
	for _, source := range sources {
		_, err = tx.ExecContext(ctx, "INSERT INTO `meridian`.`provenance` (`source`, `shard`, `next_offset`, `epoch`, `batch`) VALUES (?, ?, 0, ?, '') "+
			"ON DUPLICATE KEY UPDATE `epoch` = VALUES(`epoch`), `batch` = ''", source, shard, epoch)
		if err != nil {
			return 0, err
		}
	}
	return epoch, nil
}

// CheckOwner returns ErrFenced when another process has claimed one of the shards since: one that has nothing to apply would not
// notice, and go on publishing what nobody reads.
func (t *MySQLTarget) CheckOwner(ctx context.Context, epochs map[int]uint64) error {
	rows, err := t.server.DB.QueryContext(ctx, "SELECT `shard`, `epoch`, `holder`, `since` FROM `meridian`.`owner`")
	if err != nil {
		return fmt.Errorf("looking for the shards' owners: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err has the error
	for rows.Next() {
		var shard int
		var epoch uint64
		var holder, since string
		if err := rows.Scan(&shard, &epoch, &holder, &since); err != nil {
			return fmt.Errorf("looking for the shards' owners: %w", err)
		}
		if ours, ok := epochs[shard]; ok && epoch > ours {
			return fmt.Errorf("%w: shard %d, since %s UTC, is %s's (epoch %d, ours is %d)", ErrFenced, shard, since, holder, epoch, ours)
		}
	}
	return rows.Err()
}

// State implements Target.
func (t *MySQLTarget) State(ctx context.Context, source string, shard int) (State, error) {
	tx, err := t.server.DB.BeginTx(ctx, nil)
	if err != nil {
		return State{}, err
	}
	defer func() { _ = tx.Rollback() }() // it has only read
	return readState(ctx, tx, source, shard, " FOR UPDATE")
}

// rowQueryer is a *sql.Tx, or a *sql.Conn in a transaction.
type rowQueryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func readState(ctx context.Context, q rowQueryer, source string, shard int, lock string) (State, error) {
	var st State
	c := &st.Counts
	err := q.QueryRowContext(ctx, "SELECT `next_offset`, `last_record`, `epoch`, `source_epoch`, `changes_read`, `applied`, `duplicate`, `lost`, `coalesced`, "+
		"`superseded`, `discarded`, `rejected` FROM `meridian`.`provenance` WHERE `source` = ? AND `shard` = ?"+lock, source, shard).
		Scan(&st.Next, &st.Last, &st.Epoch, &st.SourceEpoch, &c.Read, &c.Applied, &c.Duplicate, &c.Lost, &c.Coalesced, &c.Superseded, &c.Discarded, &c.Rejected)
	if errors.Is(err, sql.ErrNoRows) {
		return State{}, fmt.Errorf("%w: the provenance row of %s, shard %d is gone", ErrFenced, source, shard)
	}
	if err != nil {
		return State{}, fmt.Errorf("reading the provenance of %s, shard %d: %w", source, shard, err)
	}
	return st, nil
}
