package propagate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"meridian/internal/mysqldb"
)

// Adoption is a transaction that gives rows of one shard a new version, and writes nothing else: the owner row says which rows
// they are, the tailer reads it there. So a row that stands in the database already becomes the newest everywhere, without a write
// that triggers, auditors and other replicas would take for one.
//
// Invariant: like an apply transaction it holds the rows' locks from their reading on, is fenced and validated by its caller, and
// commits only under the epoch that owns the shard.
//
// The reviews of the rows end with it: they are as the person has decided from here on.
type Adoption struct {
	target *MySQLTarget
	tx     *sql.Tx
	shard  int
	ended  ended
}

// Adopt begins one of rows of a shard, which has these sources. Rows that are not there are locked by their gaps (REPEATABLE
// READ). Apply transactions of the shard take the provenance first, and then the rows: so does it, and neither waits for the
// other with what that needs.
func (t *MySQLTarget) Adopt(ctx context.Context, shard int, sources []string) (*Adoption, error) {
	tx, err := t.server.DB.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return nil, fmt.Errorf("beginning an adoption: %w", err)
	}
	a := &Adoption{target: t, tx: tx, shard: shard}
	for _, source := range slices.Sorted(slices.Values(sources)) {
		if _, err := readState(ctx, tx, source, shard, " FOR UPDATE"); err != nil {
			a.Rollback()
			return nil, err
		}
	}
	return a, nil
}

// Queryer is the transaction, for reading the rows with their locks.
func (a *Adoption) Queryer() mysqldb.Queryer { return a.tx }

// Record writes which rows get which versions, and gives the binlog's coordinates, to be waited for with the locks held.
// ErrFenced: the shard is another process's by now.
func (a *Adoption) Record(ctx context.Context, epoch uint64, written []Written) (at mysqldb.Coordinates, err error) {
	r, err := a.tx.ExecContext(ctx, "UPDATE `meridian`.`owner` SET `adoptions` = `adoptions` + 1, `batch` = ? WHERE `shard` = ? AND `epoch` = ?",
		AppendBatch(nil, written), a.shard, epoch)
	if err != nil {
		return at, fmt.Errorf("writing an adoption: %w", err)
	}
	n, err := r.RowsAffected()
	if err != nil {
		return at, fmt.Errorf("writing an adoption: %w", err)
	}
	if n != 1 {
		return at, fmt.Errorf("%w: shard %d", ErrFenced, a.shard)
	}
	if err := a.endReviews(ctx, written); err != nil {
		return at, err
	}
	return a.target.server.Coordinates(ctx, a.tx)
}

// endReviews ends the reviews of the rows. What is in review is held from before it is committed: rows that are not held have none.
func (a *Adoption) endReviews(ctx context.Context, written []Written) (err error) {
	var rows []Decided
	for i := range written {
		if w := &written[i]; a.target.Holds(w.Table, w.Key) {
			rows = append(rows, Decided{Place{w.Table, w.Key}, w.Version})
		}
	}
	a.ended, err = endReviews(ctx, a.tx, a.shard, rows)
	return err
}

// Superseded tells how many changes in review have ended, by source.
func (a *Adoption) Superseded() map[string]uint64 { return a.ended.bySource }

// Commit makes it durable. ErrOutcomeUnknown when the answer did not come: it may have been done, which a comparison shows.
func (a *Adoption) Commit() error {
	err := a.tx.Commit()
	if err != nil && (mysqldb.Lost(err) || errors.Is(err, sql.ErrTxDone)) {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	if err == nil {
		a.target.forgetEnded(a.ended)
	}
	return err
}

// Rollback ends it without effect; after Commit it does nothing.
func (a *Adoption) Rollback() {
	if err := a.tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		a.target.cfg.Log.Debug("rolling back an adoption", zap.Error(err)) // the server does it when the connection ends
	}
}
