package binlog

import (
	"context"
	"errors"
	"fmt"
)

// open begins a transaction. The Handler is told only when there is something for it.
func (a *assembler) open(ctx context.Context, e *event, start place) error {
	if a.tx != nil {
		return a.corrupt("", errors.New("the transaction has no end"))
	}
	var h transactionHeader
	var err error
	switch e.kind {
	case eventGTIDTagged:
		h, err = parseTaggedGTID(e)
	case eventMariaGTID:
		h, err = parseMariaGTIDEvent(e)
	default:
		h, err = parseGTID(e)
	}
	if err != nil {
		return a.corrupt("", fmt.Errorf("the GTID event: %w", err))
	}
	a.tx = &openTransaction{transactionHeader: h, serverID: e.serverID, explicit: h.isMaria && !h.standalone, inXA: h.preparedXA}
	a.active = a.active[:0]
	switch {
	case e.endPos != 0 && a.place.known: // the server may have left out what was before
		a.tx.start = a.place.pos - uint64(e.size)
	case start.known:
		a.tx.start = start.pos
	}
	if a.passes() {
		return nil
	}
	if a.state.partial != "" && a.state.partial == h.gtid() {
		a.tx.skip = a.state.changes
		return a.begin(ctx)
	}
	return nil
}

// begin tells the Handler of the transaction, once.
func (a *assembler) begin(ctx context.Context) error {
	if a.tx.begun {
		return nil
	}
	a.tx.begun = true
	tx := &Transaction{GTID: a.tx.gtid(), CommitTime: a.tx.commit, WholeSecond: a.tx.wholeSecond, ServerID: a.tx.serverID,
		File: a.place.file, Start: a.tx.start, before: a.state}
	if err := a.handler.Begin(ctx, tx); err != nil {
		return fmt.Errorf("beginning transaction %s: %w", tx.GTID, err)
	}
	return nil
}

// commit ends the transaction.
func (a *assembler) commit(ctx context.Context) error {
	tx := a.tx
	if tx == nil {
		return a.anonymous()
	}
	if tx.skip > 0 {
		return &PositionError{Reason: fmt.Sprintf("of transaction %s %d changes had been handed over, and it has only %d: it is not "+
			"the same transaction, or other tables are replicated now", tx.gtid(), tx.changes+tx.skip, tx.changes)}
	}
	if tx.isMaria {
		a.state = a.state.withMaria(tx.maria)
	} else {
		a.state = a.state.withMySQL(tx.of, tx.number)
	}
	if a.state.partial != "" && a.state.partial == tx.gtid() {
		a.state.partial, a.state.changes = "", 0
	}
	a.tx, a.active = nil, a.active[:0]
	if !tx.begun {
		return a.passed(ctx)
	}
	if err := a.handler.Commit(ctx, a.end()); err != nil {
		return fmt.Errorf("committing transaction %s: %w", tx.gtid(), err)
	}
	return nil
}
