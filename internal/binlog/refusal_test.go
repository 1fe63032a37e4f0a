package binlog

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"meridian/internal/testenv"
)

// dumpUnchecked asks for a position without looking first whether the server has it, and gives the server's answer.
func dumpUnchecked(t *testing.T, db *testenv.Database, gtids string) error {
	t.Helper()
	tailer, err := New(Config{Address: db.Address, User: db.User, Password: func() (string, error) { return db.Password, nil }, ServerID: 31,
		Tables: func(string, string) Decision { return Skip }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := open(ctx, &tailer.config)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	from, err := newState(Position{GTIDs: gtids}, s.isMaria)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.dump(from); err != nil {
		return err
	}
	for {
		if _, err := s.next(); err != nil {
			return err
		}
	}
}

// What the server says when it cannot go on is typed as what we find out ourselves: files may go while we read.
func TestStream_TypesTheServersRefusals(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMySQL80, testenv.KindMariaDB, testenv.KindMariaDB1011} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			db := testenv.Own(t, kind, testenv.Args("--loose-slave-connections-needed-for-purge=0"))
			schema := db.FreshSchema(t)
			unknown := "0-1-4000000000"
			if db.Flavor == "mysql" {
				if err := db.DB.QueryRowContext(t.Context(), "SELECT CONCAT(@@GLOBAL.server_uuid, ':1-4000000')").Scan(&unknown); err != nil {
					t.Fatal(err)
				}
			}
			var position *PositionError
			if err := dumpUnchecked(t, db, unknown); !errors.As(err, &position) || position.Unknown == "" {
				t.Errorf("transactions that the server does not have: %v", err)
			}
			for range 50 {
				db.Exec("CREATE TABLE " + schema + ".a (id INT); DROP TABLE " + schema + ".a; FLUSH BINARY LOGS; DO SLEEP(0.05); PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY")
				var oldest string
				rows, err := db.DB.QueryContext(t.Context(), "SHOW BINARY LOGS")
				if err != nil {
					t.Fatal(err)
				}
				columns, err := rows.Columns()
				if err != nil {
					t.Fatal(err)
				}
				into := make([]any, len(columns))
				for i := range into {
					into[i] = new(string)
				}
				into[0] = &oldest
				if rows.Next() {
					err = rows.Scan(into...)
				}
				if err = errors.Join(err, rows.Err(), rows.Close()); err != nil {
					t.Fatal(err)
				}
				if oldest != "bin.000001" {
					break
				}
			}
			start := ""
			if db.Flavor == "mariadb" {
				if err := db.DB.QueryRowContext(t.Context(), "SELECT CONCAT('0-', @@GLOBAL.server_id, '-1')").Scan(&start); err != nil {
					t.Fatal(err)
				}
			}
			position = nil
			if err := dumpUnchecked(t, db, start); !errors.As(err, &position) || position.Missing == "" {
				t.Errorf("transactions that are purged: %v", err)
			}
		})
	}
}

func TestServerError_SortsWhatPassesFromWhatDoesNot(t *testing.T) {
	for _, c := range []struct {
		err       error
		transient bool
		words     string
	}{
		{&mysql.MyError{Code: 1053, Message: "Server shutdown in progress"}, true, "shutdown"},
		{&mysql.MyError{Code: 1040, Message: "Too many connections"}, true, "Too many"},
		{&mysql.MyError{Code: 1045, Message: "Access denied"}, false, "REPLICATION SLAVE"},
		{&mysql.MyError{Code: 1236, Message: "log event entry exceeded max_allowed_packet"}, false, "max_allowed_packet"},
		{&mysql.MyError{Code: 1236, Message: "A replica with the same server_uuid/server_id as this replica has connected"}, false, "own"},
		{&mysql.MyError{Code: 1064, Message: "syntax"}, false, "1064"},
		{errors.New("connection reset by peer"), true, "reset"},
		{context.DeadlineExceeded, true, "deadline"},
	} {
		err := serverError(c.err)
		if errors.Is(err, ErrConnection) != c.transient || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%v becomes %v", c.err, err)
		}
	}
}

// feed gives an assembler events that no server here can be made to send.
func feed(t *testing.T, isMaria bool, events ...event) error {
	t.Helper()
	return feedTo(t, &writer{}, isMaria, nil, nil, events...)
}

func feedTo(t *testing.T, h Handler, isMaria bool, skips map[string]bool, skipped func(context.Context, *Skipped) error, events ...event) error {
	t.Helper()
	l := newLayouts(func(schema, _ string) Decision {
		if schema == "golden" {
			return Replicated
		}
		return Skip
	}, nil).onServer(goldenCollations, isMaria)
	a := newAssembler(l, h, "server", &state{isList: isMaria})
	a.skips, a.skipped = skips, skipped
	for i := range events {
		events[i].size = uint32(len(events[i].body) + headerSize)
		if err := a.event(t.Context(), &events[i]); err != nil {
			return err
		}
	}
	return nil
}

func queryBody(schema, text string) []byte {
	body := append(make([]byte, 8), byte(len(schema)), 0, 0, 0, 0)
	return append(append(append(body, schema...), 0), text...)
}

// refusedEvents is what no server here can be made to send, by what is wrong with it. The transaction is that of gtid.
type refusedEvents struct {
	events []event
	is     func(error) bool
	words  string
}

// recorded gives an event that MySQL has sent: of its kind the first, of table maps and rows one of the table orders.
func recorded(t *testing.T, kind eventType) event {
	t.Helper()
	for _, raw := range events(t, "testdata/mysql.events") {
		if eventType(raw[4]) == kind && (kind != eventTableMap || strings.Contains(string(raw), "orders")) && (kind != eventWriteRowsV2 || len(raw) > 3000) {
			return event{kind: kind, body: raw[headerSize : len(raw)-checksumSize]}
		}
	}
	t.Fatalf("no event of type %d is recorded", kind)
	return event{}
}

func statementEvent(text string) event {
	return event{kind: eventQuery, body: queryBody("golden", text)}
}

func allRefused(t *testing.T) map[string]refusedEvents {
	t.Helper()
	gtid, table, rows, begin := recorded(t, eventGTID), recorded(t, eventTableMap), recorded(t, eventWriteRowsV2), statementEvent("BEGIN")
	return map[string]refusedEvents{
		"incident":             {[]event{gtid, {kind: eventIncident}}, isA[*UnsupportedError], "LOST_EVENTS"},
		"unknown":              {[]event{gtid, {kind: 99}}, isA[*UnsupportedError], "type 99"},
		"anonymous":            {[]event{{kind: eventAnonymousGTID}}, isA[*UnsupportedError], "gtid_mode=ON"},
		"no gtid":              {[]event{begin}, isA[*UnsupportedError], "gtid_mode=ON"},
		"rows without gtid":    {[]event{table, rows}, isA[*UnsupportedError], "gtid_mode=ON"},
		"rows without a map":   {[]event{gtid, begin, rows}, isA[*CorruptError], "no table map"},
		"rollback":             {[]event{gtid, begin, table, rows, statementEvent("ROLLBACK")}, isA[*UnsupportedError], "rolled back"},
		"rollback to":          {[]event{gtid, begin, table, rows, statementEvent("ROLLBACK TO `s`")}, isA[*UnsupportedError], "savepoint"},
		"no end":               {[]event{gtid, begin, gtid}, isA[*CorruptError], "no end"},
		"rotate within":        {[]event{gtid, begin, {kind: eventRotate, body: append(make([]byte, 8), "bin.000009"...)}}, isA[*CorruptError], "within"},
		"torn":                 {[]event{gtid, begin, table, rows, {kind: eventRotate, flags: flagArtificial, body: append(make([]byte, 8), "bin.000009"...)}}, isA[*UnsupportedError], "crashed"},
		"unknown statement":    {[]event{gtid, begin, statementEvent("FROBNICATE orders")}, isA[*StatementError], "FROBNICATE"},
		"load of no table":     {[]event{gtid, begin, {kind: eventExecuteLoad, body: append(queryBody("golden", "")[:13], append(make([]byte, 13), "golden\x00LOAD"...)...)}}, isA[*StatementError], "LOAD"},
		"xa commit of nothing": {[]event{gtid, statementEvent("XA COMMIT X'31',X'',1")}, isA[*UnsupportedError], "prepared before"},
		"short gtid":           {[]event{{kind: eventGTID, body: gtid.body[:20]}}, isA[*CorruptError], "GTID"},
		"bad payload":          {[]event{gtid, {kind: eventPayload, body: []byte{2, 1, 9, 0}}}, isA[*CorruptError], "compression 9"},
	}
}

func TestAssembler_RefusesWhatItCannotTell(t *testing.T) {
	gtid, table, begin := recorded(t, eventGTID), recorded(t, eventTableMap), statementEvent("BEGIN")
	for name, c := range allRefused(t) {
		t.Run(name, func(t *testing.T) {
			err := feed(t, false, c.events...)
			if !c.is(err) || !strings.Contains(err.Error(), c.words) || errors.Is(err, ErrConnection) {
				t.Errorf("got %v", err)
			}
		})
	}
	for name, passes := range map[string][]event{
		"ignorable":        {gtid, begin, {kind: 99, flags: flagIgnorable}, statementEvent("COMMIT")},
		"rollback of none": {gtid, begin, statementEvent("ROLLBACK")},
		"dummy rows":       {gtid, begin, table, {kind: eventWriteRowsV2, body: []byte{255, 255, 255, 0, 0, 0, 1, 0, 2, 0, 0}}, statementEvent("COMMIT")},
		"torn before rows": {gtid, begin, {kind: eventRotate, flags: flagArtificial, body: append(make([]byte, 8), "bin.000009"...)}, gtid, statementEvent("COMMIT")},
		"empty query":      {gtid, statementEvent("# Dummy event")},
	} {
		if err := feed(t, false, passes...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// counter is a Handler that counts.
type counter struct{ begun, changes, committed int }

func (c *counter) Begin(context.Context, *Transaction) error  { c.begun++; return nil }
func (c *counter) Change(_ context.Context, r *Rows) error    { c.changes += len(r.Changes); return nil }
func (c *counter) Schema(context.Context, *SchemaEvent) error { return nil }
func (c *counter) Commit(context.Context, *End) error         { c.committed++; return nil }
func (c *counter) Progress(context.Context, *End) error       { return nil }

// Whatever is in a transaction that is passed over, and whether or not its end can be told: the next one arrives, whole.
func TestAssembler_PassesOverWhatItCannotTell(t *testing.T) {
	gtid := recorded(t, eventGTID)
	header, err := parseGTID(&gtid)
	if err != nil {
		t.Fatal(err)
	}
	another := event{kind: eventGTID, body: slices.Clone(gtid.body)}
	another.body[17]++ // the lowest byte of the number
	next := []event{another, statementEvent("BEGIN"), recorded(t, eventTableMap), recorded(t, eventWriteRowsV2), statementEvent("COMMIT")}
	for name, c := range allRefused(t) {
		t.Run(name, func(t *testing.T) {
			var left []*Skipped
			h := &counter{}
			err := feedTo(t, h, false, map[string]bool{header.gtid(): true}, func(_ context.Context, s *Skipped) error { left = append(left, s); return nil }, slices.Concat(c.events, next)...)
			if first := c.events[0]; first.kind != eventGTID || len(first.body) != len(gtid.body) {
				var refused *RefusedError
				if !errors.As(err, &refused) || refused.GTID != "" || !strings.Contains(err.Error(), "PURGE BINARY LOGS") || strings.Contains(err.Error(), "--skip") {
					t.Errorf("what has no GTID: %v", err)
				}
				return
			}
			if err != nil || h.begun != 1 || h.committed != 1 || h.changes == 0 {
				t.Errorf("%v; handed over: %+v", err, *h)
			}
			if len(left) == 0 || left[0].GTID != header.gtid() {
				t.Errorf("passed over: %+v", left)
			}
		})
	}
}

func isA[T error](err error) bool {
	var typed T
	return errors.As(err, &typed)
}

// Places beyond 4 GB: events give the lower half of a position only.
func TestAssembler_FollowsPositionsBeyond4GB(t *testing.T) {
	for _, c := range []struct {
		pos       uint64
		low, size uint32
		want      uint64
		known     bool
	}{
		{100, 150, 50, 150, true},
		{100, 9000, 50, 9000, true}, // the server has left something out
		{1<<32 - 10, 40, 50, 1<<32 + 40, true},
		{1<<32 + 100, 150, 50, 1<<32 + 150, true},
		{5<<32 - 10, 40, 50, 5<<32 + 40, true},
		{1<<32 - 10, 40, 5, 40, false}, // left out so much that it cannot be told
	} {
		if got, known := beyond(c.pos, c.low, c.size); known != c.known || known && got != c.want {
			t.Errorf("%+v: got %d %v", c, got, known)
		}
	}
}
