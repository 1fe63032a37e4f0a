package propagate

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"meridian/internal/bus"
	"meridian/internal/envelope"
)

// retryAtOnce is how many parked changes are tried again before the topics have their turn.
const retryAtOnce = 100

// RetryParked asks the worker to try the parked changes that are due. It does not wait.
func (w *Worker) RetryParked() {
	select {
	case w.again <- struct{}{}:
	default:
	}
}

// retryParked decides again on each parked change that is due: it is written, found superseded by a newer one, or refused
// once more.
func (w *Worker) retryParked(ctx context.Context) error {
	due, err := w.parked.Due(ctx, w.shard, w.clock.Now().Add(-w.cfg.RetryDelay), retryAtOnce)
	if err != nil {
		return w.tolerate(ctx, err)
	}
	for i := range due {
		if err := w.retryOne(ctx, &due[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *Worker) retryOne(ctx context.Context, p *ParkedChange) error {
	at := w.state[p.Source]
	if len(p.Record) == 0 { // a person has asked for it
		return w.tolerate(ctx, w.parked.Refused(ctx, p.ID, Dead, p.Attempts, "too_large", "no record of this change was kept, as the server did not take one so large "+
			"(max_allowed_packet): write the row again in the region that it came from"))
	}
	record, err := bus.UnmarshalRecord(p.Record)
	if err != nil || at == nil {
		return w.tolerate(ctx, w.parked.Refused(ctx, p.ID, Dead, p.Attempts, "malformed", "the record that is kept cannot be read, or its region is no longer configured"))
	}
	m, err := envelope.Decode(&record)
	var newer *envelope.NewerFormatError
	switch {
	case errors.As(err, &newer):
		return w.tolerate(ctx, w.parked.Refused(ctx, p.ID, Waiting, p.Attempts, "newer_format", err.Error()))
	case err != nil || m.Change == nil:
		return w.tolerate(ctx, w.parked.Refused(ctx, p.ID, Dead, p.Attempts, "malformed", "the record that is kept is no change"))
	case !w.cfg.Match(m.Change.Table.Schema, m.Change.Table.Name):
		return w.tolerate(ctx, w.parked.Refused(ctx, p.ID, Waiting, p.Attempts, "not_replicated", "the configuration of this region leaves the table out"))
	}
	b := gather(p.Source, []Inbound{{Offset: uint64(record.Offset), Message: m, Record: record, Bytes: record.Size()}}, at.committed, 0, nil)
	b.to, b.last, b.sourceEpoch, b.unpark, b.single = at.committed, at.last, at.epoch, p.ID, true
	err = w.apply(ctx, b)
	var refused *RefusedError
	switch {
	case errors.Is(err, ErrNotParked):
		w.log.Info("a parked change is not there any more: it is not tried again", zap.Uint64("id", p.ID), zap.String("source", p.Source), zap.Int("shard", w.shard))
		_, err = w.parked.IsParked(ctx, p.ID) // it is forgotten with this
		return w.tolerate(ctx, err)
	case errors.As(err, &refused):
		return w.tolerate(ctx, w.refusedAgain(ctx, p, refused))
	default:
		return err
	}
}

// refusedAgain notes it. A change that waits for a column or a table has not failed.
func (w *Worker) refusedAgain(ctx context.Context, p *ParkedChange, e *RefusedError) error {
	state, attempts, reason := Parked, p.Attempts+1, "refused"
	if len(e.Rows) > 0 {
		reason = e.Rows[0].Reason
	}
	switch {
	case reason == ReasonMissing || reason == reasonNoTable:
		state, attempts = Waiting, p.Attempts
	case attempts >= w.cfg.MaxAttempts:
		state = Dead
		w.log.Error("a change was refused for the last time: it is kept in meridian.parked as dead",
			zap.Uint64("id", p.ID), zap.String("source", p.Source), zap.String("reason", reason), zap.Error(e.Cause))
	}
	return w.parked.Refused(ctx, p.ID, state, attempts, reason, e.Cause.Error())
}
