package propagate

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"meridian/internal/mysqldb"
	"meridian/internal/retry"
)

var (
	// errChanged is returned by an attempt when a local write came in between: decide again.
	errChanged = errors.New("the row was written locally meanwhile")
	// errFenceTimeout is returned when the tailer did not pass the fence in time: locks are not held any longer.
	errFenceTimeout = errors.New("the tailer did not reach the fence in time")
)

// attempt is the five steps: decide, write, fence, validate, commit.
func (w *Worker) attempt(ctx context.Context, b *batch) error {
	if err := w.ledger.WaitApplied(ctx, b.source, w.shard, b.from); err != nil {
		return err
	}
	d, err := w.decide(ctx, b)
	if err != nil {
		return err
	}
	b.decided = d
	w.reach("apply.decided")
	tx, err := w.target.Begin(ctx, d.plan.LocksGaps())
	if err != nil {
		return fmt.Errorf("beginning an apply transaction: %w", err)
	}
	if err := w.writeAndValidate(ctx, tx, b, d); err != nil {
		tx.Rollback(ctx)
		return err
	}
	w.reach("apply.validated")
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	w.reach("apply.committed")
	return nil
}

// report tells what the batch's transaction did, once it is known to have been committed.
func (w *Worker) report(b *batch) {
	d := b.decided
	w.watch.Committed(Report{
		Source: b.source, Shard: w.shard, Next: b.to, Counts: d.plan.Counts,
		Applied: d.applied, Conflicts: d.conflicts, Parks: d.plan.Parks, Ended: d.plan.Ended,
	})
}

// lookup gives what is known of the batch's rows. What the database says of reviews may be older than the ledger, or newer: a
// transaction that ends them gives their rows a new version, too, and is noticed by that (validate).
func (w *Worker) lookup(ctx context.Context, b *batch) ([]Known, error) {
	known, err := w.ledger.Lookup(b.order)
	if err != nil {
		return nil, err
	}
	reviewed, err := w.review.InReview(ctx, b.order)
	if err != nil || len(reviewed) == 0 {
		return known, err
	}
	for i, at := range b.order {
		known[i].InReview = reviewed[at]
	}
	return known, nil
}

func (w *Worker) decide(ctx context.Context, b *batch) (*decision, error) {
	known, err := w.lookup(ctx, b)
	if err != nil {
		return nil, err
	}
	if w.acks != nil {
		// A stamp that the bus has not acknowledged may be given anew after a crash (MariaDB): nothing is decided on it.
		for _, k := range known {
			if k.Sequence == 0 {
				continue
			}
			if err := w.acks.WaitAcknowledged(ctx, k.Sequence); err != nil {
				return nil, err
			}
		}
	}
	d := b.decide(w.cfg.Region, w.rules, known)
	d.plan.Shard, d.plan.Epoch = w.shard, w.epoch
	return d, nil
}

func (w *Worker) writeAndValidate(ctx context.Context, tx Transaction, b *batch, d *decision) error {
	at, err := tx.Run(ctx, &d.plan)
	if err != nil {
		return err
	}
	w.reach("apply.written")
	// The fence. Row locks are held, and binlog coordinates move before locks are released: once the tailer has passed
	// them, every local write to these rows that was committed before ours is in the ledger.
	fence, cancel := context.WithTimeout(ctx, w.cfg.FenceTimeout)
	err = w.ledger.WaitPassed(fence, at)
	cancel()
	switch {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return fmt.Errorf("%w (%s)", errFenceTimeout, at)
	case err != nil:
		return err
	}
	w.reach("apply.fenced")
	known, err := w.lookup(ctx, b)
	if err != nil {
		return err
	}
	for i := range known {
		if !known[i].same(d.known[i]) {
			return fmt.Errorf("%w: table %s", errChanged, b.order[i].Table)
		}
	}
	return nil
}

// settle finds out what became of a COMMIT without an answer, for as long as it takes: a further attempt before that is
// known would be decided against what the lost one has done, and its counts would be reported instead of those.
func (w *Worker) settle(ctx context.Context, b *batch) (done bool, err error) {
	backoff := retry.NewBackoff(w.cfg.Retry, w.clock)
	for {
		done, err = w.outcome(ctx, b)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		var another *mysqldb.AnotherServerError
		if err == nil || errors.Is(err, ErrFenced) || errors.Is(err, ErrMoved) || errors.As(err, &another) {
			return done, err
		}
		w.watch.Retried(b.source, w.shard, mysqldb.Reason(err), err)
		if backoff.Failures() == 0 { // the metric counts the others
			w.log.Warn("the outcome of a COMMIT is still unknown; asking until it is known", zap.String("source", b.source), zap.Int("shard", w.shard), zap.Error(err))
		}
		if err = backoff.Failed(ctx, err); err != nil {
			return false, err
		}
	}
}

// outcome asks what became of it. State waits for the orphaned transaction's lock.
func (w *Worker) outcome(ctx context.Context, b *batch) (committed bool, err error) {
	st, err := w.target.State(ctx, b.source, w.shard)
	switch {
	case err != nil:
		return false, err
	case st.Epoch != w.epoch:
		return false, fmt.Errorf("%w: epoch %d, ours is %d", ErrFenced, st.Epoch, w.epoch)
	case b.unpark != 0 && st.Next == b.from: // the place does not move with it
		there, err := w.parked.IsParked(ctx, b.unpark)
		return err == nil && !there, err
	case st.Next == b.to:
		return true, nil
	case st.Next == b.from:
		return false, nil
	default:
		return false, fmt.Errorf("%w: next is %d, this process committed %d last", ErrMoved, st.Next, b.from)
	}
}

// catchUp follows rows that were not as the ledger said: it waits until the tailer has passed all that is committed now.
// If the ledger has nothing new then, the row itself differs from it, and the next attempt looks at the rows.
func (w *Worker) catchUp(ctx context.Context, b *batch) error {
	before, err := w.ledger.Lookup(b.order)
	if err != nil {
		return err
	}
	if err = w.waitTailer(ctx); err != nil {
		return err
	}
	after, err := w.ledger.Lookup(b.order)
	if err != nil {
		return err
	}
	for i := range after {
		if !after[i].same(before[i]) {
			return nil
		}
	}
	b.look = true
	return nil
}

// waitTailer waits, without locks, until the tailer has passed what is committed now.
func (w *Worker) waitTailer(ctx context.Context) error {
	at, err := w.target.Coordinates(ctx)
	if err != nil {
		return w.tolerate(ctx, err)
	}
	return w.tolerate(ctx, w.ledger.WaitPassed(ctx, at))
}

// tolerate keeps what only a further attempt can cure from ending the worker.
func (w *Worker) tolerate(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil {
		w.log.Debug("will try again", zap.Int("shard", w.shard), zap.Error(err))
		return nil
	}
	return err
}
