package binlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

// assembler makes transactions of events and hands them over. It does no I/O: a test feeds it recorded events.
//
// Invariants:
//   - place is behind the last event that was taken. It is told to the Handler only while no transaction is open, so what
//     is told has been handed over completely. That holds for the places that heartbeats and rotations give too: the
//     server sends them behind everything that is before them, and what it leaves out is what state has already.
//   - state has exactly the transactions whose Commit has returned, and what the caller said it had.
type assembler struct {
	layouts *layouts
	handler Handler
	server  string
	place   place
	state   *state
	tx      *openTransaction // nil between transactions
	active  []activeTable    // of the current statement
	unpack  payload
	skips   map[string]bool                       // the transactions that are passed over, by GTID
	skipped func(context.Context, *Skipped) error // nil: nobody wants to know
}

// place is where in the binlog we are.
type place struct {
	file    string
	pos     uint64
	known   bool // pos is right; false until the first event that tells
	precise bool // pos was told, and is not a sum of sizes
}

// activeTable is a table map that holds until the end of its statement.
type activeTable struct {
	id     uint64
	layout *layout
}

// openTransaction is one whose end has not been read.
type openTransaction struct {
	transactionHeader
	serverID uint32
	start    uint64
	begun    bool     // the Handler knows of it
	explicit bool     // it has a BEGIN, and so an end (MariaDB: it is not standalone)
	inXA     bool     // it will not be committed by its end
	changes  uint64   // of replicated tables so far
	skip     uint64   // how many of them were handed over by an earlier Run
	passing  *passing // nil: it is not passed over
}

func newAssembler(l *layouts, h Handler, server string, from *state) *assembler {
	return &assembler{layouts: l, handler: h, server: server, state: from}
}

// event takes the next event of the stream.
func (a *assembler) event(ctx context.Context, e *event) error {
	return a.refused(a.take(ctx, e))
}

func (a *assembler) take(ctx context.Context, e *event) error {
	if a.isPassing() && beginsTransaction(e.kind) { // the one before had no end that could be read
		if err := a.endPassing(ctx); err != nil {
			return err
		}
	}
	start := a.place
	a.advance(e)
	switch e.kind {
	case eventRotate:
		return a.rotate(ctx, e)
	case eventHeartbeat, eventHeartbeatV2:
		return a.heartbeat(ctx, e)
	case eventFormat:
		a.layouts.written = dialectOf(e.body, a.layouts.written.isMaria)
		return a.passed(ctx)
	case eventPreviousGTIDs, eventMariaGTIDList, eventMariaCheckpoint, eventStop:
		return a.passed(ctx)
	case eventGTID, eventGTIDTagged, eventMariaGTID:
		return a.open(ctx, e, start)
	default:
	}
	switch {
	case a.isPassing():
		return a.passOver(ctx, e)
	case e.kind == eventPayload:
		return a.payload(ctx, e)
	default:
		return a.inner(ctx, e)
	}
}

func beginsTransaction(kind eventType) bool {
	return kind == eventGTID || kind == eventGTIDTagged || kind == eventMariaGTID || kind == eventAnonymousGTID
}

// advance moves place behind an event of the file.
func (a *assembler) advance(e *event) {
	p := &a.place
	switch {
	case e.kind == eventRotate || e.kind == eventHeartbeat || e.kind == eventHeartbeatV2 || e.flags&flagArtificial != 0:
	case e.endPos == 0:
		// MariaDB 11.4+ gives positions only to the first and the last event of a transaction. The format description has
		// none when the server starts in the middle of a file: it is not where we are.
		if e.kind != eventFormat {
			p.pos += uint64(e.size)
			p.precise = false
		}
	default:
		p.pos, p.known = beyond(p.pos, e.endPos, e.size)
		p.precise = p.known
	}
}

// beyond gives the position whose lower half is given, behind an event of that size: files may be larger than 4 GB. It is
// false when that would be before pos: the server has left out so much that the upper half is not known any more.
func beyond(pos uint64, low, size uint32) (uint64, bool) {
	const lower = 1<<32 - 1
	next := (pos+uint64(size))&^lower | uint64(low)
	return next, next >= pos
}

// passed tells the Handler how far we are, unless a transaction is open.
func (a *assembler) passed(ctx context.Context) error {
	if a.tx != nil || a.place.file == "" || !a.place.known {
		return nil
	}
	if err := a.handler.Progress(ctx, a.end()); err != nil {
		return fmt.Errorf("passing %s: %w", a.coordinates(), err)
	}
	return nil
}

func (a *assembler) end() *End {
	e := &End{Precise: a.place.precise, state: a.state}
	if a.place.known {
		e.Coordinates = a.coordinates()
	}
	return e
}

func (a *assembler) coordinates() mysqldb.Coordinates {
	return mysqldb.Coordinates{Server: a.server, File: a.place.file, Position: a.place.pos}
}

// rotate begins another file: the last event of a file, or made by the server when it begins to send one.
func (a *assembler) rotate(ctx context.Context, e *event) error {
	r := reader{b: e.body}
	pos := r.number(8)
	if r.short || len(r.b) == 0 {
		return a.corrupt("", errShortEvent)
	}
	file := string(r.b)
	if a.tx != nil && file != a.place.file {
		if err := a.torn(ctx, e); err != nil {
			return err
		}
	}
	if file != a.place.file {
		a.place = place{file: file, pos: pos, known: true, precise: true}
	}
	return a.passed(ctx)
}

// torn judges a transaction whose file ends before it does: a server that crashed while it wrote it, and did not cut the
// file off when it came back (MariaDB), as MySQL does. It was never committed.
func (a *assembler) torn(ctx context.Context, rotate *event) error {
	artificial := rotate.flags&flagArtificial != 0
	switch {
	case a.isPassing() && !artificial:
		return a.endPassing(ctx)
	case !artificial:
		return a.corrupt("", errors.New("the file ends within a transaction"))
	case a.tx.begun && !a.isPassing():
		return &UnsupportedError{What: "an unfinished transaction", GTID: a.gtid(), Reason: fmt.Sprintf("the server crashed while it wrote it to "+
			"%s, so it was never committed, and what was read of it is not in the database", a.place.file)}
	}
	if a.isPassing() {
		a.tx.passing.left("an unfinished transaction")
		a.tx.passing.Unfinished = true
		if err := a.report(ctx, a.tx.passing); err != nil {
			return err
		}
	}
	a.tx, a.active = nil, a.active[:0]
	return nil
}

// heartbeat comes from a server that has nothing (more) to send: its position is behind all that it has sent or left out.
func (a *assembler) heartbeat(ctx context.Context, e *event) error {
	pos, ahead := beyond(a.place.pos, e.endPos, 0)
	if a.tx == nil && e.kind == eventHeartbeat && string(e.body) == a.place.file && ahead {
		a.place.pos, a.place.known, a.place.precise = pos, true, true
	}
	return a.passed(ctx)
}

// payload takes the events of a compressed transaction, all at the place behind it.
func (a *assembler) payload(ctx context.Context, e *event) error {
	if err := a.unpack.open(e.body); err != nil {
		return a.corrupt("", err)
	}
	for {
		inner, err := a.unpack.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return a.corrupt("", err)
		case inner.kind == eventPayload:
			return a.corrupt("", errors.New("a compressed transaction within another"))
		}
		if err := a.inner(ctx, inner); err != nil {
			return err
		}
	}
}

// inner takes an event that belongs to a transaction.
func (a *assembler) inner(ctx context.Context, e *event) error {
	switch e.kind {
	case eventQuery, eventMariaQueryCompressed:
		return a.query(ctx, e)
	case eventTableMap:
		return a.tableMap(ctx, e)
	case eventWriteRowsV1, eventUpdateRowsV1, eventDeleteRowsV1, eventWriteRowsV2, eventUpdateRowsV2, eventDeleteRowsV2,
		eventPartialUpdate, eventMariaWriteCompressed, eventMariaUpdateCompressed, eventMariaDeleteCompressed:
		return a.rows(ctx, e)
	case eventXID:
		return a.commit(ctx)
	case eventXAPrepare:
		return a.xaPrepare(ctx, e)
	case eventExecuteLoad:
		return a.load(e)
	case eventIncident:
		return &UnsupportedError{What: "incident", GTID: a.gtid(), Reason: "the server says that its binlog lacks changes at this point " +
			"(LOST_EVENTS): rows may have been written that no event shows"}
	case eventAnonymousGTID:
		return a.anonymous()
	case eventRowsQuery, eventMariaAnnotate, eventIgnorable, eventIntVar, eventRand, eventUserVar, eventBeginLoad, eventAppendBlock,
		eventDeleteFile, eventTransactionInfo, eventViewChange, eventMariaEncryption, eventSlave:
		return a.passed(ctx) // what they prepare is judged when it comes
	default:
		if e.flags&flagIgnorable != 0 {
			return a.passed(ctx)
		}
		return &UnsupportedError{What: "binlog event of type " + strconv.Itoa(int(e.kind)), GTID: a.gtid(),
			Reason: fmt.Sprintf("it is not known (at %s): the server is newer than this version of Meridian. Use one that knows it", a.coordinates())}
	}
}

// tableMap remembers what table an id stands for until the statement ends.
func (a *assembler) tableMap(ctx context.Context, e *event) error {
	id, l, err := a.layouts.find(ctx, e.body)
	switch {
	case errors.Is(err, errHints):
		return err
	case err != nil:
		return a.corrupt("", err)
	}
	for i := range a.active {
		if a.active[i].id == id {
			a.active[i].layout = l
			return nil
		}
	}
	a.active = append(a.active, activeTable{id, l})
	return nil
}

// rows hands over the changes of one rows event.
func (a *assembler) rows(ctx context.Context, e *event) error {
	r, err := parseRows(e.kind, e.body)
	if err != nil {
		return a.corrupt("", err)
	}
	var l *layout
	for i := range a.active {
		if a.active[i].id == r.table {
			l = a.active[i].layout
		}
	}
	if r.last {
		a.active = a.active[:0]
	}
	switch {
	case l == nil && r.table == noTable:
		return nil
	case l == nil:
		return a.corrupt("", fmt.Errorf("rows of table id %d, which no table map explains", r.table))
	case l.decision == Skip:
		return nil
	}
	if err = a.decodable(&r, l); err != nil {
		return err
	}
	changes, err := r.changes(l)
	switch {
	case errors.Is(err, errImage):
		return &RowImageError{Table: l.name, GTID: a.gtid(), Setting: settingImage}
	case err != nil:
		return a.corrupt(l.name, err)
	}
	return a.deliver(ctx, l, changes)
}

// decodable tells what keeps a wanted table's rows from being handed over.
func (a *assembler) decodable(r *rowsEvent, l *layout) error {
	var metadata *MetadataError
	switch {
	case a.tx == nil:
		return a.anonymous()
	case a.tx.inXA:
		return &UnsupportedError{What: "XA transaction", Table: l.name, GTID: a.gtid(), Reason: "XA transactions are in the binlog before " +
			"they are committed, so their changes cannot be replicated in commit order. Write replicated tables without XA, or exclude the table " +
			"(tables.exclude). This is its XA PREPARE, which has the rows; its XA COMMIT is a transaction of its own, which is passed over with it and need not be named"}
	case errors.As(l.fault, &metadata):
		fault := *metadata
		fault.GTID = a.gtid()
		return &fault
	case r.partial:
		return &RowImageError{Table: l.name, GTID: a.gtid(), Setting: settingValueOptions}
	case r.columns != uint64(l.columns):
		return a.corrupt(l.name, fmt.Errorf("a rows event of %d columns for a table of %d", r.columns, l.columns))
	}
	return nil
}

// deliver hands changes over, without those that an earlier Run has handed over.
func (a *assembler) deliver(ctx context.Context, l *layout, changes []row.Change) error {
	rows := Rows{Table: l.table, Changes: changes, Own: l.decision == Own}
	if !rows.Own {
		rows.First = a.tx.changes + 1
		a.tx.changes += uint64(len(changes))
		if done := min(uint64(len(changes)), a.tx.skip); done > 0 {
			a.tx.skip -= done
			rows.First += done
			rows.Changes = changes[done:]
		}
	}
	if len(rows.Changes) == 0 {
		return nil
	}
	if err := a.begin(ctx); err != nil {
		return err
	}
	if err := a.handler.Change(ctx, &rows); err != nil {
		return fmt.Errorf("changes of table %s in transaction %s: %w", l.name, a.gtid(), err)
	}
	return nil
}

func (a *assembler) gtid() string {
	if a.tx == nil {
		return ""
	}
	return a.tx.gtid()
}

func (a *assembler) corrupt(table string, err error) error {
	return &CorruptError{Table: table, GTID: a.gtid(), File: a.place.file, Position: a.place.pos, Reason: err.Error(), Err: err}
}

func (a *assembler) anonymous() error {
	return &UnsupportedError{What: "a transaction without a GTID", Reason: fmt.Sprintf("at %s. Set gtid_mode=ON and "+
		"enforce_gtid_consistency=ON", a.coordinates())}
}
