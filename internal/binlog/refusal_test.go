package binlog

import (
	"context"
	"errors"
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
	l := newLayouts(func(schema, _ string) Decision {
		if schema == "golden" {
			return Replicated
		}
		return Skip
	}, nil).onServer(goldenCollations, isMaria)
	a := newAssembler(l, &writer{}, "server", &state{isList: isMaria})
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

func TestAssembler_RefusesWhatItCannotTell(t *testing.T) {
	recorded := func(kind eventType) event {
		for _, raw := range events(t, "testdata/mysql.events") {
			if eventType(raw[4]) == kind && (kind != eventTableMap || strings.Contains(string(raw), "orders")) && (kind != eventWriteRowsV2 || len(raw) > 3000) {
				return event{kind: kind, body: raw[headerSize : len(raw)-checksumSize]}
			}
		}
		t.Fatalf("no event of type %d is recorded", kind)
		return event{}
	}
	gtid, table, rows := recorded(eventGTID), recorded(eventTableMap), recorded(eventWriteRowsV2)
	begin := event{kind: eventQuery, body: queryBody("golden", "BEGIN")}
	query := func(text string) event { return event{kind: eventQuery, body: queryBody("golden", text)} }
	for name, c := range map[string]struct {
		events []event
		is     func(error) bool
		words  string
	}{
		"incident":             {[]event{gtid, {kind: eventIncident}}, isA[*UnsupportedError], "LOST_EVENTS"},
		"unknown":              {[]event{gtid, {kind: 99}}, isA[*UnsupportedError], "type 99"},
		"anonymous":            {[]event{{kind: eventAnonymousGTID}}, isA[*UnsupportedError], "gtid_mode=ON"},
		"no gtid":              {[]event{begin}, isA[*UnsupportedError], "gtid_mode=ON"},
		"rows without gtid":    {[]event{table, rows}, isA[*UnsupportedError], "gtid_mode=ON"},
		"rows without a map":   {[]event{gtid, begin, rows}, isA[*CorruptError], "no table map"},
		"rollback":             {[]event{gtid, begin, table, rows, query("ROLLBACK")}, isA[*UnsupportedError], "rolled back"},
		"rollback to":          {[]event{gtid, begin, table, rows, query("ROLLBACK TO `s`")}, isA[*UnsupportedError], "savepoint"},
		"no end":               {[]event{gtid, begin, gtid}, isA[*CorruptError], "no end"},
		"rotate within":        {[]event{gtid, begin, {kind: eventRotate, body: append(make([]byte, 8), "bin.000009"...)}}, isA[*CorruptError], "within"},
		"torn":                 {[]event{gtid, begin, table, rows, {kind: eventRotate, flags: flagArtificial, body: append(make([]byte, 8), "bin.000009"...)}}, isA[*UnsupportedError], "crashed"},
		"unknown statement":    {[]event{gtid, begin, query("FROBNICATE orders")}, isA[*StatementError], "FROBNICATE"},
		"load of no table":     {[]event{gtid, begin, {kind: eventExecuteLoad, body: append(queryBody("golden", "")[:13], append(make([]byte, 13), "golden\x00LOAD"...)...)}}, isA[*StatementError], "LOAD"},
		"xa commit of nothing": {[]event{gtid, query("XA COMMIT X'31',X'',1")}, isA[*UnsupportedError], "prepared before"},
		"short gtid":           {[]event{{kind: eventGTID, body: gtid.body[:20]}}, isA[*CorruptError], "GTID"},
		"bad payload":          {[]event{gtid, {kind: eventPayload, body: []byte{2, 1, 9, 0}}}, isA[*CorruptError], "compression 9"},
	} {
		t.Run(name, func(t *testing.T) {
			err := feed(t, false, c.events...)
			if !c.is(err) || !strings.Contains(err.Error(), c.words) || errors.Is(err, ErrConnection) {
				t.Errorf("got %v", err)
			}
		})
	}
	for name, passes := range map[string][]event{
		"ignorable":        {gtid, begin, {kind: 99, flags: flagIgnorable}, query("COMMIT")},
		"rollback of none": {gtid, begin, query("ROLLBACK")},
		"dummy rows":       {gtid, begin, table, {kind: eventWriteRowsV2, body: []byte{255, 255, 255, 0, 0, 0, 1, 0, 2, 0, 0}}, query("COMMIT")},
		"torn before rows": {gtid, begin, {kind: eventRotate, flags: flagArtificial, body: append(make([]byte, 8), "bin.000009"...)}, gtid, query("COMMIT")},
		"empty query":      {gtid, query("# Dummy event")},
	} {
		if err := feed(t, false, passes...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
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
