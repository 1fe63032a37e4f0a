package binlog

import (
	"bytes"
	"context"
	"fmt"
	"slices"
)

// query takes a statement: the frame of a transaction, DDL, or what should have been rows.
func (a *assembler) query(ctx context.Context, e *event) error {
	q, err := parseQuery(e.body, e.kind == eventMariaQueryCompressed)
	if err != nil {
		return a.corrupt("", err)
	}
	if a.tx == nil {
		return a.anonymous()
	}
	switch { // most, without looking closer
	case bytes.Equal(q.text, []byte("BEGIN")):
		a.tx.explicit = true
		return nil
	case bytes.Equal(q.text, []byte("COMMIT")):
		return a.commit(ctx)
	}
	text := q.utf8(a.layouts.known)
	st := parseStatement(text, q.ansiQuotes, q.noBackslash)
	over, err := a.statement(ctx, &q, &st, text)
	if err != nil {
		return err
	}
	if over || !a.tx.explicit {
		return a.commit(ctx)
	}
	return nil
}

// statement acts on one statement; over tells that it ends the transaction.
func (a *assembler) statement(ctx context.Context, q *query, st *statement, text []byte) (over bool, err error) {
	switch st.kind {
	case statementHarmless:
		return false, nil
	case statementSchema:
		if a.tx.noEffect {
			return false, nil
		}
		if len(st.targets) > 0 {
			if err := a.targets(q, st.targets, text, "CREATE TABLE … SELECT that was logged as a statement"); err != nil {
				return false, err
			}
		}
		return false, a.schema(ctx, q, st, text)
	case statementBegin:
		a.tx.explicit = true
		return false, nil
	case statementCommit:
		return true, nil
	case statementRollback:
		return true, a.undone("it was rolled back after its row events: it also wrote tables that cannot be rolled back")
	case statementRollbackTo:
		return false, a.undone("it was rolled back to a savepoint after its row events: it also wrote tables that cannot be rolled back")
	case statementXAStart:
		a.tx.explicit, a.tx.inXA, a.tx.xid = true, true, st.xid
		return false, nil
	case statementXACommit, statementXARollback:
		return true, a.xaEnd(st)
	case statementRows:
		return false, a.targets(q, st.targets, text, "it was logged as a statement")
	default:
		return false, &StatementError{GTID: a.gtid(), Query: short(text), Reason: "what it does cannot be told from its text"}
	}
}

// undone is an error if changes of the transaction have been handed over: they never happened.
func (a *assembler) undone(reason string) error {
	if a.tx.changes == 0 {
		return nil
	}
	return &UnsupportedError{What: "a rollback in the binlog", GTID: a.gtid(), Reason: reason + ". Do not write replicated tables and " +
		"tables without transactions (MyISAM) together"}
}

// targets is an error if any of the tables is one of ours.
func (a *assembler) targets(q *query, targets []tableName, text []byte, reason string) error {
	for _, t := range targets {
		if t.schema == "" {
			t.schema = q.schema
		}
		if a.layouts.decide(t.schema, t.table) != Skip {
			return &StatementError{Table: t.schema + "." + t.table, GTID: a.gtid(), Query: short(text), Reason: reason}
		}
	}
	return nil
}

// schema tells of DDL on our tables. What it brings back under another name is ours as well.
func (a *assembler) schema(ctx context.Context, q *query, st *statement, text []byte) error {
	for i := range st.events {
		e := st.events[i]
		if e.Schema == "" {
			e.Schema = q.schema
		}
		if e.Kind == Rename && e.ToSchema == "" {
			e.ToSchema = q.schema
		}
		ours := e.Kind == DropSchema || a.layouts.decide(e.Schema, e.Table) != Skip
		if e.Kind == Rename {
			ours = ours || a.layouts.decide(e.ToSchema, e.ToTable) != Skip
			a.layouts.forget(e.ToSchema, e.ToTable)
		}
		a.layouts.forget(e.Schema, e.Table)
		if !ours {
			continue
		}
		e.Query = short(text)
		if err := a.begin(ctx); err != nil {
			return err
		}
		if err := a.handler.Schema(ctx, &e); err != nil {
			return fmt.Errorf("%s of table %s.%s in transaction %s: %w", e.Kind, e.Schema, e.Table, a.gtid(), err)
		}
	}
	return nil
}

// load takes LOAD DATA that was logged as a statement.
func (a *assembler) load(e *event) error {
	q, err := loadQuery(e)
	if err != nil {
		return a.corrupt("", err)
	}
	if a.tx == nil {
		return a.anonymous()
	}
	text := q.utf8(a.layouts.known)
	st := parseStatement(text, q.ansiQuotes, q.noBackslash)
	if st.kind != statementRows {
		return &StatementError{GTID: a.gtid(), Query: short(text), Reason: "LOAD DATA into a table that cannot be told"}
	}
	return a.targets(&q, st.targets, text, "LOAD DATA was logged as a statement")
}

// loadQuery reads an EXECUTE_LOAD_QUERY event: its text stands behind the fields of a QUERY event and its own.
func loadQuery(e *event) (query, error) {
	const fields = 4 + 4 + 1 + 2 + 2 // as in a QUERY event
	const own = 4 + 4 + 4 + 1
	if len(e.body) < fields+own {
		return query{}, errShortEvent
	}
	return parseQuery(slices.Concat(e.body[:fields], e.body[fields+own:]), false)
}

// xaPrepare ends an XA transaction of tables that are none of ours. Its commit will come later, or never, unless it was
// committed in one phase, which the first byte tells.
func (a *assembler) xaPrepare(ctx context.Context, e *event) error {
	if a.tx == nil {
		return a.anonymous()
	}
	if len(e.body) == 0 {
		return a.corrupt("", errShortEvent)
	}
	if onePhase := e.body[0] != 0; !onePhase {
		a.state = a.state.withPrepared(a.tx.xid)
	}
	return a.commit(ctx)
}

// xaEnd takes XA COMMIT and XA ROLLBACK. It is harmless if the transaction's rows were seen to be none of ours.
func (a *assembler) xaEnd(st *statement) error {
	if a.tx.xid == "" { // MariaDB says it in the GTID event
		a.tx.xid = st.xid
	}
	left, known := a.state.withoutPrepared(a.tx.xid)
	a.state = left
	if known || st.kind == statementXARollback {
		return nil
	}
	return &UnsupportedError{What: "XA COMMIT " + st.xid, GTID: a.gtid(), Reason: "the transaction was prepared before capture began, so " +
		"what it wrote was not seen: it may have been a replicated table's rows, or none"}
}
