package binlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// How transactions are passed over that a person has named (Config.Skip): whatever is in them, and those only.

// Skipped is what was left out with a transaction that was passed over. It names, and holds no values.
type Skipped struct {
	GTID      string
	File      string // of the binlog
	Start     uint64 // where it starts in File; 0 if that is not known
	Tables    []string
	Kinds     []string // of what was left out: "insert rows", "a statement", …
	RowEvents int      // of replicated tables and Meridian's own

	CommitTime time.Time // UTC
	Unfinished bool      // the server crashed while it wrote it: it was never committed, and no row of it is in the database
}

// CanonicalGTID gives one transaction's GTID as Transaction.GTID spells it: "uuid:n", "uuid:tag:n", "domain-server-n".
func CanonicalGTID(text string) (string, error) {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, ":") {
		g, err := parseMariaGTID(text)
		if err != nil || g.number == 0 {
			return "", fmt.Errorf("%q is no GTID: MySQL's are UUID:NUMBER or UUID:TAG:NUMBER, MariaDB's are DOMAIN-SERVER-NUMBER", text)
		}
		return g.String(), nil
	}
	set, err := parseGTIDSet(text)
	if err != nil {
		return "", fmt.Errorf("%q is no GTID (UUID:NUMBER or UUID:TAG:NUMBER): %w", text, err)
	}
	if len(set) != 1 || len(set[0].intervals) != 1 || set[0].intervals[0].first != set[0].intervals[0].last {
		return "", fmt.Errorf("%q is more than one transaction: name each by itself", text)
	}
	return gtidText(set[0].source, set[0].intervals[0].first), nil
}

// skips reads Config.Skip.
func skips(gtids []string) (map[string]bool, error) {
	named := make(map[string]bool, len(gtids))
	for _, text := range gtids {
		gtid, err := CanonicalGTID(text)
		if err != nil {
			return nil, fmt.Errorf("binlog: a transaction to be passed over: %w", err)
		}
		named[gtid] = true
	}
	return named, nil
}

// checkSkips is an error if a server of this kind has no such GTIDs: what was named would never be met.
func checkSkips(named map[string]bool, isMaria bool) error {
	for gtid := range named {
		if isMaria == strings.Contains(gtid, ":") {
			kind := "MySQL, whose GTIDs are UUID:NUMBER or UUID:TAG:NUMBER"
			if isMaria {
				kind = "MariaDB, whose GTIDs are DOMAIN-SERVER-NUMBER"
			}
			return fmt.Errorf("the transaction %s, which is to be passed over, cannot be in this server's binlog: it is a %s", gtid, kind)
		}
	}
	return nil
}

// passing is a transaction that is passed over, as far as it has been read.
type passing struct {
	Skipped
	maps map[uint64]string // the wanted tables' names by table id
}

func (p *passing) left(kind string) {
	if !slices.Contains(p.Kinds, kind) {
		p.Kinds = append(p.Kinds, kind)
	}
}

func (p *passing) table(name string) {
	if !slices.Contains(p.Tables, name) {
		p.Tables = append(p.Tables, name)
	}
}

// passes begins to pass over the transaction that has been opened, if it was named.
func (a *assembler) passes() bool {
	if !a.skips[a.tx.gtid()] {
		return false
	}
	a.tx.passing = &passing{Skipped: Skipped{GTID: a.tx.gtid(), File: a.place.file, Start: a.tx.start, CommitTime: a.tx.commit}, maps: map[uint64]string{}}
	return true
}

func (a *assembler) isPassing() bool { return a.tx != nil && a.tx.passing != nil }

// passOver takes an event of a transaction that is passed over. It looks only for what the transaction was, for where it
// ends, and for DDL, after which tables have to be looked at anew. Nothing in it is an error: that is what it is for.
func (a *assembler) passOver(ctx context.Context, e *event) error {
	p := a.tx.passing
	switch e.kind {
	case eventPayload:
		return a.passPayload(ctx, e)
	case eventQuery, eventMariaQueryCompressed:
		return a.passQuery(ctx, e)
	case eventTableMap:
		schema, table, _, err := mapNames(e.body)
		if err != nil {
			p.left("a table map that cannot be read")
		} else if a.layouts.decide(string(schema), string(table)) != Skip {
			p.maps[little(e.body[:tableIDSize])] = string(schema) + "." + string(table)
		}
	case eventXID:
		return a.endPassing(ctx)
	case eventXAPrepare:
		// Its XA COMMIT is a transaction of its own, which then passes like that of one that touched none of our tables.
		if onePhase := len(e.body) > 0 && e.body[0] != 0; !onePhase {
			a.state = a.state.withPrepared(a.tx.xid)
		}
		p.left("XA PREPARE")
		return a.endPassing(ctx)
	case eventExecuteLoad:
		p.left("LOAD DATA")
		if q, err := loadQuery(e); err == nil {
			st := parseStatement(q.utf8(a.layouts.known), q.ansiQuotes, q.noBackslash)
			a.passTargets(&q, st.targets)
		}
	case eventIncident:
		p.left("an incident")
		if !a.tx.explicit { // nothing else comes
			return a.endPassing(ctx)
		}
	case eventRowsQuery, eventMariaAnnotate, eventIgnorable, eventIntVar, eventRand, eventUserVar, eventBeginLoad, eventAppendBlock,
		eventDeleteFile, eventTransactionInfo, eventViewChange, eventMariaEncryption, eventSlave:
	default:
		a.passRows(e)
	}
	return nil
}

var rowKinds = map[eventType]string{
	eventWriteRowsV1: "insert rows", eventWriteRowsV2: "insert rows", eventMariaWriteCompressed: "insert rows",
	eventUpdateRowsV1: "update rows", eventUpdateRowsV2: "update rows", eventMariaUpdateCompressed: "update rows",
	eventDeleteRowsV1: "delete rows", eventDeleteRowsV2: "delete rows", eventMariaDeleteCompressed: "delete rows",
	eventPartialUpdate: "update rows in part",
}

// passRows takes a rows event, or one that is not known.
func (a *assembler) passRows(e *event) {
	p := a.tx.passing
	kind, ok := rowKinds[e.kind]
	if !ok {
		if e.flags&flagIgnorable == 0 {
			p.left("an event of type " + strconv.Itoa(int(e.kind)))
		}
		return
	}
	if len(e.body) < tableIDSize {
		p.left("rows that cannot be read")
		return
	}
	if name, wanted := p.maps[little(e.body[:tableIDSize])]; wanted {
		p.RowEvents++
		p.left(kind)
		p.table(name)
	}
}

// passQuery takes a statement: the frame of the transaction, DDL, or what should have been rows.
func (a *assembler) passQuery(ctx context.Context, e *event) error {
	p := a.tx.passing
	q, err := parseQuery(e.body, e.kind == eventMariaQueryCompressed)
	if err != nil {
		p.left("a statement that cannot be read")
		return a.endUnlessExplicit(ctx)
	}
	text := q.utf8(a.layouts.known)
	st := parseStatement(text, q.ansiQuotes, q.noBackslash)
	switch st.kind {
	case statementBegin:
		a.tx.explicit = true
	case statementXAStart:
		a.tx.explicit, a.tx.xid = true, st.xid
	case statementCommit, statementRollback:
		return a.endPassing(ctx)
	case statementXACommit, statementXARollback:
		if a.tx.xid == "" {
			a.tx.xid = st.xid
		}
		a.state, _ = a.state.withoutPrepared(a.tx.xid)
		p.left("the end of an XA transaction")
		return a.endPassing(ctx)
	case statementSchema:
		if err := a.passSchema(ctx, &q, &st, text); err != nil {
			return err
		}
	case statementRows:
		p.left("a statement")
		a.passTargets(&q, st.targets)
	case statementUnknown:
		p.left("a statement whose tables cannot be told")
	case statementHarmless, statementRollbackTo:
	}
	return a.endUnlessExplicit(ctx)
}

// passSchema tells of DDL all the same: it is never replayed, but what is remembered of the tables has become wrong.
func (a *assembler) passSchema(ctx context.Context, q *query, st *statement, text []byte) error {
	if a.tx.noEffect {
		return nil
	}
	if len(st.targets) > 0 {
		a.tx.passing.left("CREATE TABLE … SELECT")
		a.passTargets(q, st.targets)
	}
	return a.schema(ctx, q, st, text)
}

func (a *assembler) passTargets(q *query, targets []tableName) {
	for _, t := range targets {
		if t.schema == "" {
			t.schema = q.schema
		}
		if a.layouts.decide(t.schema, t.table) != Skip {
			a.tx.passing.table(t.schema + "." + t.table)
		}
	}
}

// passPayload takes a compressed transaction, which is whole: however far it can be read, it ends with it.
func (a *assembler) passPayload(ctx context.Context, e *event) error {
	err := a.unpack.open(e.body)
	for err == nil {
		var inner *event
		if inner, err = a.unpack.next(); err != nil || inner.kind == eventPayload {
			break
		}
		if failed := a.passOver(ctx, inner); failed != nil || !a.isPassing() {
			return failed
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		a.tx.passing.left("compressed events that cannot be read")
	}
	return a.endPassing(ctx)
}

// passDamaged takes an event that is damaged; false if it is none of a transaction that is passed over.
func (a *assembler) passDamaged(err error) bool {
	var damaged *CorruptError
	if !a.isPassing() || !errors.As(err, &damaged) {
		return false
	}
	a.tx.passing.left("a damaged event")
	a.place.known, a.place.precise = false, false // until an event tells
	return true
}

func (a *assembler) endUnlessExplicit(ctx context.Context) error {
	if a.tx.explicit {
		return nil
	}
	return a.endPassing(ctx)
}

// endPassing ends the transaction that is passed over. Invariant: who wants to know of it has taken note before the place
// behind it is told to anybody, so that no end of the process leaves it passed over and unsaid.
func (a *assembler) endPassing(ctx context.Context) error {
	if err := a.report(ctx, a.tx.passing); err != nil {
		return err
	}
	return a.commit(ctx)
}

func (a *assembler) report(ctx context.Context, p *passing) error {
	if a.skipped == nil {
		return nil
	}
	if err := a.skipped(ctx, &p.Skipped); err != nil {
		return fmt.Errorf("telling of transaction %s, which is passed over: %w", p.GTID, err)
	}
	return nil
}
