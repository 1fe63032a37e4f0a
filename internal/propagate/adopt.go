package propagate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"meridian/internal/mysqldb"
)

// Adoption is a transaction that gives rows of one shard a new version, and writes nothing else: the owner row says which rows
// they are, the tailer reads it there. So a row that stands in the database already becomes the newest everywhere, without a write
// that triggers, auditors and other replicas would take for one.
//
// Invariant: like an apply transaction it holds the rows' locks from their reading on, is fenced and validated by its caller, and
// commits only under the epoch that owns the shard.
type Adoption struct {
	target *MySQLTarget
	tx     *sql.Tx
}

// Adopt begins one. Rows that are not there are locked by their gaps (REPEATABLE READ).
func (t *MySQLTarget) Adopt(ctx context.Context) (*Adoption, error) {
	tx, err := t.server.DB.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return nil, fmt.Errorf("beginning an adoption: %w", err)
	}
	return &Adoption{target: t, tx: tx}, nil
}

// Queryer is the transaction, for reading the rows with their locks.
func (a *Adoption) Queryer() mysqldb.Queryer { return a.tx }

// Record writes which rows get which versions, and gives the binlog's coordinates, to be waited for with the locks held.
// ErrFenced: the shard is another process's by now.
func (a *Adoption) Record(ctx context.Context, shard int, epoch uint64, written []Written) (at mysqldb.Coordinates, err error) {
	r, err := a.tx.ExecContext(ctx, "UPDATE `meridian`.`owner` SET `adoptions` = `adoptions` + 1, `batch` = ? WHERE `shard` = ? AND `epoch` = ?",
		AppendBatch(nil, written), shard, epoch)
	if err != nil {
		return at, fmt.Errorf("writing an adoption: %w", err)
	}
	n, err := r.RowsAffected()
	if err != nil {
		return at, fmt.Errorf("writing an adoption: %w", err)
	}
	if n != 1 {
		return at, fmt.Errorf("%w: shard %d", ErrFenced, shard)
	}
	return a.target.server.Coordinates(ctx, a.tx)
}

// Commit makes it durable. ErrOutcomeUnknown when the answer did not come: it may have been done, which a comparison shows.
func (a *Adoption) Commit() error {
	err := a.tx.Commit()
	if err != nil && (mysqldb.Lost(err) || errors.Is(err, sql.ErrTxDone)) {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return err
}

// Rollback ends it without effect; after Commit it does nothing.
func (a *Adoption) Rollback() {
	if err := a.tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		a.target.cfg.Log.Debug("rolling back an adoption", zap.Error(err)) // the server does it when the connection ends
	}
}
