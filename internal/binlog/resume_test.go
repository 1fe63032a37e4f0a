package binlog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"meridian/internal/binlog"
	"meridian/internal/row"
	"meridian/internal/testenv"
)

// Whatever transaction a Tailer is stopped after, the next one goes on right behind it.
func TestTailer_ResumesAfterAnyTransaction(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		schema := db.FreshSchema(t)
		from := now(t, db)
		runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY, n INT)", "INSERT INTO a VALUES (1, 1)", "FLUSH BINARY LOGS",
			"BEGIN", "INSERT INTO a VALUES (2, 2), (3, 3)", "UPDATE a SET n = n + 1", "COMMIT",
			"CREATE TABLE skip_b (id INT)", "INSERT INTO skip_b VALUES (1)", "UPDATE a SET id = 4 WHERE id = 3", "FLUSH BINARY LOGS", "DELETE FROM a")
		whole := follow(t, db, schema, options{from: from})
		all := whole.fence(db)
		whole.stop()
		if len(all) != 5 {
			t.Fatalf("%d transactions: %q", len(all), texts(all))
		}
		for i, s := range all {
			p := s.end.Position()
			f := follow(t, db, schema, options{from: &p})
			if got := f.fence(db); !slices.Equal(texts(got), texts(all[i+1:])) {
				t.Errorf("behind %s: got %q, want %q", p.GTIDs, texts(got), texts(all[i+1:]))
			}
			f.stop()
		}
	})
}

// A position in the middle of a transaction leaves out exactly the changes that were handed over.
func TestTailer_ResumesWithinATransaction(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		schema := db.FreshSchema(t)
		from := now(t, db)
		runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY, n INT)", "CREATE TABLE own_p (id INT PRIMARY KEY)",
			"BEGIN", "INSERT INTO own_p VALUES (1)", "INSERT INTO a VALUES (1, 1), (2, 2), (3, 3)", "UPDATE a SET id = 9 WHERE id = 3", "DELETE FROM a", "COMMIT",
			"INSERT INTO a VALUES (5, 5)")
		whole := follow(t, db, schema, options{from: from})
		all := whole.fence(db)
		whole.stop()
		transaction := all[2]
		own, changes := transaction.changes[0], transaction.changes[1:]
		if len(changes) != 8 {
			t.Fatalf("%d changes: %s", len(changes), text(changes))
		}
		for n := range len(changes) + 1 {
			p := transaction.tx.After(uint64(n))
			f := follow(t, db, schema, options{from: &p})
			got := f.fence(db)
			f.stop()
			want := append([]row.Change{own}, changes[n:]...)
			if len(got) != 2 || text(got[0].changes) != text(want) || got[0].tx.GTID != transaction.tx.GTID {
				t.Fatalf("behind %d changes: got %q, want %s", n, texts(got), text(want))
			}
			if got[0].end.Position().Partial != "" {
				t.Errorf("the position behind the transaction is still within it: %+v", got[0].end.Position())
			}
			if n < len(changes) {
				if first := got[0].chunks[1].First; first != uint64(n+1) {
					t.Errorf("behind %d changes the next one has number %d", n, first)
				}
			}
		}
		p := transaction.tx.After(uint64(len(changes) + 1))
		var wrong *binlog.PositionError
		if err := follow(t, db, schema, options{from: &p}).wait(); !errors.As(err, &wrong) {
			t.Errorf("more changes than there are: %v", err)
		}
	})
}

// A server of its own: a shared one may still be sending a file to a connection that is gone, and does not purge it.
func TestTailer_TellsPurgedTransactions(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			db := testenv.Own(t, kind, testenv.Args("--loose-slave-connections-needed-for-purge=0"))
			schema := db.FreshSchema(t)
			from := now(t, db)
			runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)", "FLUSH BINARY LOGS")
			lost := now(t, db)
			purge(t, db, schema)
			err := follow(t, db, schema, options{from: from}).wait()
			var position *binlog.PositionError
			if !errors.As(err, &position) || position.Missing == "" {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(lost.GTIDs, missingEnd(position.Missing)) || errors.Is(err, binlog.ErrConnection) {
				t.Errorf("the missing transactions are said to be %s; the server is at %s", position.Missing, lost.GTIDs)
			}
			f := follow(t, db, schema, options{from: lost})
			runIn(t, db, schema, "INSERT INTO a VALUES (2)")
			if got := texts(f.fence(db)); !slices.Equal(got, []string{"insert a(2)"}) {
				t.Errorf("behind what was purged: %q", got)
			}
			f.stop()
		})
	}
}

// missingEnd gives the last number of a list of missing transactions, as it must stand in the server's set.
func missingEnd(missing string) string {
	fields := strings.FieldsFunc(missing, func(r rune) bool { return r == '-' || r == ' ' || r == ':' })
	return fields[len(fields)-1]
}

// purge removes all binlogs but the last. The server does it when it needs the older ones no more (MariaDB: when the
// engines have said that they have the transactions in them), so it may take a while.
func purge(t *testing.T, db *testenv.Database, schema string) {
	t.Helper()
	s := server(t, db)
	at, err := s.Coordinates(t.Context(), s.DB)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		runIn(t, db, schema, fmt.Sprintf("PURGE BINARY LOGS TO '%s'", at.File))
		var oldest string
		var size uint64
		columns := []any{&oldest, &size}
		if db.Flavor == "mysql" {
			columns = append(columns, new(string))
		}
		if err := s.DB.QueryRowContext(t.Context(), "SHOW BINARY LOGS").Scan(columns...); err != nil {
			t.Fatal(err)
		}
		if oldest == at.File {
			return
		}
		runIn(t, db, schema, "DO SLEEP(0.05)")
	}
	t.Fatalf("the server does not purge the binlogs before %s", at.File)
}

func TestTailer_TellsTransactionsThatTheServerHasLost(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		from := now(t, db)
		if db.Flavor == "mysql" {
			from.GTIDs += ",3E11FA47-71CA-11E1-9E33-C80AA9429562:1-5"
		} else {
			from.GTIDs = "0-1-4000000000"
		}
		err := follow(t, db, "none", options{from: from}).wait()
		var position *binlog.PositionError
		if !errors.As(err, &position) || position.Unknown == "" || position.Missing != "" {
			t.Fatalf("got %v", err)
		}
		if want := map[string]string{"mysql": "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5", "mariadb": "0-1-4000000000"}[db.Flavor]; position.Unknown != want {
			t.Errorf("unknown are %q instead of %q", position.Unknown, want)
		}
	})
}

// The position from before the end of a file may be claimed only when everything before it has been handed over: a
// Handler that is still at work on a transaction must not have heard of a place behind it.
func TestTailer_ClaimsNoPlaceBeforeItsTransactionsAreHandedOver(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		schema := db.FreshSchema(t)
		runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY)")
		r := newRecorder()
		hold, entered := make(chan struct{}), make(chan struct{}, 1)
		r.onCommit = func(*binlog.End) error {
			entered <- struct{}{}
			<-hold
			return nil
		}
		f := follow(t, db, schema, options{recorder: r})
		runIn(t, db, schema, "INSERT INTO a VALUES (1)", "FLUSH BINARY LOGS")
		<-entered
		s := server(t, db)
		at, err := s.Coordinates(t.Context(), s.DB)
		if err != nil {
			t.Fatal(err)
		}
		r.locked(func() {
			if r.last != nil && r.last.Coordinates.Compare(at) >= 0 {
				t.Errorf("passed %s with a transaction before it open", r.last.Coordinates)
			}
		})
		close(hold)
		f.fence(db)
		f.stop()
	})
}

// An error of the Handler ends Run and can be recognised.
func TestTailer_EndsWithTheHandlersError(t *testing.T) {
	db := testenv.SharedMySQL(t)
	schema := db.FreshSchema(t)
	r := newRecorder()
	broken := errors.New("the ledger is broken")
	r.onChange = func(*binlog.Rows) error { return broken }
	f := follow(t, db, schema, options{recorder: r})
	runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)")
	if err := f.wait(); !errors.Is(err, broken) || errors.Is(err, binlog.ErrConnection) {
		t.Fatalf("got %v", err)
	}
}

// A cancelled context ends Run at once, also while the server has nothing to say.
func TestTailer_EndsWithItsContext(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		f := follow(t, db, "none", options{})
		f.until(t, "the first word of the server", func() bool { return f.last != nil })
		f.cancel(context.Canceled)
		if err := f.wait(); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	})
}
