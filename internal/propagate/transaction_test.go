package propagate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"meridian/internal/bus"
	"meridian/internal/mysqldb"
	"meridian/internal/row"
	"meridian/internal/testenv"
)

// site is a real database with a table of two rows, the shard 0 of region b claimed, and its client's round trips counted.
type site struct {
	testing.TB
	db     *testenv.Database
	target *MySQLTarget
	schema string
	table  *row.Table
	epoch  uint64
	next   uint64
	trips  *atomic.Int64
}

// kinds are the servers on which transactions are tried.
var kinds = []testenv.Kind{testenv.KindMySQL, testenv.KindMySQL80, testenv.KindMariaDB, testenv.KindMariaDB1011}

func everywhere(t *testing.T, test func(*testing.T, *site)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) { test(t, newSite(t, testenv.Shared(t, kind, ""))) })
	}
}

func newSite(t testing.TB, db *testenv.Database) *site {
	t.Helper()
	s := &site{TB: t, db: db, schema: db.FreshSchema(t), trips: &atomic.Int64{}}
	db.Exec("CREATE TABLE " + s.schema + ".orders (id INT PRIMARY KEY, code MEDIUMTEXT NOT NULL, UNIQUE KEY (code(20)))")
	db.Exec("INSERT INTO " + s.schema + ".orders VALUES (1, 'one'), (2, 'two')")
	target, err := NewMySQLTarget(t.Context(), MySQLTargetConfig{Log: zap.NewNop(), MySQL: mysqldb.Config{
		Address: db.Address, User: db.User, Password: func() (string, error) { return db.Password, nil }, NoForeignKeyChecks: true, MaxConnections: 2,
		Dial: counting(s.trips),
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.target = target
	t.Cleanup(func() {
		if failed := target.Close(); failed != nil {
			t.Error(failed)
		}
	})
	db.Exec("DELETE FROM meridian.provenance")
	epochs, _, err := s.target.Claim(t.Context(), "test", []int{0}, []string{"b"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.target.Schema().Table(t.Context(), s.schema, "orders")
	if err != nil {
		t.Fatal(err)
	}
	s.epoch, s.table = epochs[0], info.Table
	return s
}

func counting(writes *atomic.Int64) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		return &counted{c, writes}, err
	}
}

// counted counts what is sent: each request of the client is one write.
type counted struct {
	net.Conn
	writes *atomic.Int64
}

func (c *counted) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

func (s *site) write(op row.Op, id int64, code string, expect Expect) Write {
	s.Helper()
	image := []row.Value{row.IntValue(id), row.TextValue(code)}
	key, err := s.table.Key(image)
	if err != nil {
		s.Fatal(err)
	}
	c := &row.Change{Table: s.table, Op: op, Key: key, After: image, Version: row.Version{Time: id, Region: "b"}}
	if op == row.Delete {
		c.Before, c.After = image, nil
	}
	return Write{Change: c, Expect: expect}
}

func (s *site) plan(writes ...Write) *Plan {
	p := &Plan{Source: "b", From: s.next, To: s.next + 1, Epoch: s.epoch, Counts: Counts{Read: uint64(len(writes))}, Writes: writes}
	for _, w := range writes {
		p.Written = append(p.Written, Written{Table: s.table.String(), Key: w.Change.Key, Op: w.Change.Op, Version: w.Change.Version})
	}
	return p
}

// run runs the plan up to its COMMIT, and rolls it back if it fails.
func (s *site) run(p *Plan) (Transaction, error) {
	s.Helper()
	tx, err := s.target.Begin(s.Context(), p.LocksGaps())
	if err != nil {
		s.Fatal(err)
	}
	at, err := tx.Run(s.Context(), p)
	if err != nil {
		tx.Rollback(s.Context())
		return nil, err
	}
	if at.IsZero() {
		s.Error("a transaction does not say where the binlog stands")
	}
	return tx, nil
}

func (s *site) apply(p *Plan) error {
	s.Helper()
	tx, err := s.run(p)
	if err != nil {
		return err
	}
	if err = tx.Commit(s.Context()); err == nil {
		s.next = p.To
	}
	return err
}

func (s *site) rows() string {
	s.Helper()
	var text string
	err := s.db.DB.QueryRowContext(s.Context(), "SELECT CONCAT((SELECT next_offset FROM meridian.provenance WHERE source='b' AND shard=0), ': ', "+
		"COALESCE(GROUP_CONCAT(id, '=', code ORDER BY id), '')) FROM "+s.schema+".orders").Scan(&text)
	if err != nil {
		s.Fatal(err)
	}
	return text
}

// The beginning, the provenance, the rows and the coordinates are one round trip, the COMMIT is another. Only where rows have
// to be looked for first, under their locks, there is one more.
func TestTransaction_IsTwoRoundTrips(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		if err := s.apply(s.plan(s.write(row.Insert, 3, "three", Absent))); err != nil { // from here on the connection is there
			t.Fatal(err)
		}
		for _, c := range []struct {
			what   string
			writes []Write
			want   int64
			rows   string
		}{
			{"a row", []Write{s.write(row.Insert, 4, "four", Absent)}, 2, "2: 1=one,2=two,3=three,4=four"},
			{"all kinds", []Write{s.write(row.Delete, 1, "one", Present), s.write(row.Update, 2, "one", Present), s.write(row.Insert, 5, "two", Absent)}, 2, "3: 2=one,3=three,4=four,5=two"},
			{"no row", nil, 2, "4: 2=one,3=three,4=four,5=two"},
			{"a row that is not there, and its lock", []Write{s.write(row.Delete, 9, "nine", Absent), s.write(row.Update, 2, "zwei", Unknown)}, 3, "5: 2=zwei,3=three,4=four,5=two"},
		} {
			before := s.trips.Load()
			if err := s.apply(s.plan(c.writes...)); err != nil {
				t.Errorf("%s: %v", c.what, err)
			}
			if got := s.trips.Load() - before; got != c.want {
				t.Errorf("%s: %d round trips, want %d", c.what, got, c.want)
			}
			if got := s.rows(); got != c.rows {
				t.Errorf("%s: the database has %s, want %s", c.what, got, c.rows)
			}
		}
	})
}

// What is in the way of a transaction is the same as if each of its statements had been sent alone: the first of them decides,
// also when one behind it failed as well. After the rollback nothing is left of it, and the connection is of use.
func TestTransaction_TheFirstStatementInTheWayDecides(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		taken := s.write(row.Insert, 2, "two", Absent)      // the row is there
		collides := s.write(row.Insert, 7, "one", Absent)   // another has its code
		gone := s.write(row.Delete, 8, "eight", Present)    // the row is not there
		missing := s.write(row.Update, 9, "nine", Present)  // nor is this one
		unnoticed := s.write(row.Delete, 1, "one", Absent)  // the row is there
		fine := s.write(row.Insert, 10, "ten", Absent)      // nothing is in its way
		alsoFine := s.write(row.Update, 1, "eins", Present) // nor in this one's
		single := func(p *Plan) *Plan { p.Single = true; return p }
		as := func(change func(p *Plan), writes ...Write) *Plan { p := s.plan(writes...); change(p); return p }
		var unexpected *UnexpectedRowsError
		var refused *RefusedError
		for _, c := range []struct {
			what string
			plan *Plan
			is   func(err error) bool
		}{
			{"another place, and a row that is there", as(func(p *Plan) { p.From += 5 }, taken), func(err error) bool { return errors.Is(err, ErrMoved) }},
			{"another place, and a row that is not there", as(func(p *Plan) { p.From += 5 }, gone), func(err error) bool { return errors.Is(err, ErrMoved) }},
			{"another owner, and a row that collides", as(func(p *Plan) { p.Epoch-- }, fine, collides), func(err error) bool { return errors.Is(err, ErrFenced) }},
			{"another owner, no row", as(func(p *Plan) { p.Epoch-- }), func(err error) bool { return errors.Is(err, ErrFenced) }},
			{"a row that is there", s.plan(alsoFine, taken), func(err error) bool {
				return errors.As(err, &unexpected) && unexpected.Found == 1 && unexpected.Wanted == 0
			}},
			{"a row that is gone, and one that collides", s.plan(gone, collides), func(err error) bool {
				return errors.As(err, &unexpected) && unexpected.Found == 0 && unexpected.Wanted == 1
			}},
			{"a row of two that is not there", s.plan(missing, alsoFine), func(err error) bool {
				return errors.As(err, &unexpected) && unexpected.Found == 1 && unexpected.Wanted == 2
			}},
			{"a row that should be gone", s.plan(unnoticed, fine), func(err error) bool {
				return errors.As(err, &unexpected) && unexpected.Found == 1 && unexpected.Wanted == 0
			}},
			{"a row that collides among others", s.plan(alsoFine, fine, s.write(row.Insert, 7, "two", Absent)), func(err error) bool { return errors.As(err, &refused) && len(refused.Rows) == 0 }},
			{"a row that collides, one by one", single(s.plan(fine, collides)), func(err error) bool {
				return errors.As(err, &refused) && len(refused.Rows) == 1 && refused.Rows[0].Change == collides.Change && refused.Rows[0].Reason == "duplicate_key"
			}},
			{"a parked change that has ended", as(func(p *Plan) { p.To, p.Unpark = p.From, 99 }, fine), func(err error) bool { return errors.Is(err, ErrNotParked) }},
		} {
			before := s.rows()
			if err := s.apply(c.plan); err == nil || !c.is(err) {
				t.Errorf("%s: the error is %v", c.what, err)
			}
			if after := s.rows(); after != before {
				t.Errorf("%s: the database had %s, and has %s", c.what, before, after)
			}
		}
		if err := s.apply(s.plan(fine, alsoFine)); err != nil {
			t.Errorf("after all of them: %v", err)
		}
		if got, want := s.rows(), "1: 1=eins,2=two,10=ten"; got != want {
			t.Errorf("the database has %s, want %s", got, want)
		}
	})
}

// A row that stands in the way of another one of its batch does not keep it from being written, one by one.
func TestTransaction_GoesOverRefusedRowsAgain(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		p := s.plan(s.write(row.Update, 1, "two", Present), s.write(row.Update, 2, "zwei", Present))
		p.Single = true
		if err := s.apply(p); err != nil {
			t.Fatal(err)
		}
		if got, want := s.rows(), "1: 1=two,2=zwei"; got != want {
			t.Errorf("the database has %s, want %s", got, want)
		}
	})
}

// What the server takes in one packet bounds what is sent together; the transaction is one all the same.
func TestTransaction_SplitsWhatDoesNotFitIntoAPacket(t *testing.T) {
	s := newSite(t, testenv.Shared(t, testenv.KindMySQL, "small packets", testenv.Args("--max-allowed-packet=65536")))
	var writes []Write
	const rows = 200
	for id := range int64(rows) {
		writes = append(writes, s.write(row.Insert, 100+id, fmt.Sprint(id)+strings.Repeat("x", 1000), Absent))
	}
	before := s.trips.Load()
	if err := s.apply(s.plan(writes...)); err != nil {
		t.Fatal(err)
	}
	if got := s.trips.Load() - before; got < 4 {
		t.Errorf("%d round trips for %d rows of 1000 bytes, of which a packet holds 64", got, rows)
	}
	var n int
	if err := s.db.DB.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+s.schema+".orders").Scan(&n); err != nil || n != rows+2 {
		t.Errorf("%d rows are there (%v), want %d", n, err, rows+2)
	}
	// One row as large as the server takes: nothing else goes with it.
	spare := len("INSERT INTO ``.`orders` (`id`,`code`) VALUES (999,'')") + len(s.schema) + 2 // and the request's first byte, and the driver's
	if err := s.apply(s.plan(s.write(row.Insert, 999, strings.Repeat("y", 65536-spare), Absent))); err != nil {
		t.Errorf("the largest row: %v", err)
	}
	var refused *RefusedError
	if err := s.apply(s.plan(s.write(row.Insert, 998, strings.Repeat("z", 65536), Absent))); !errors.As(err, &refused) || len(refused.Rows) != 1 || refused.Rows[0].Reason != "too_large" {
		t.Errorf("a row that is too large: %v", err)
	}
	again := s.plan(append(writes, s.write(row.Insert, 1, "uno", Absent))...)
	var unexpected *UnexpectedRowsError
	if err := s.apply(again); !errors.As(err, &unexpected) {
		t.Errorf("rows that are there: %v", err)
	}
}

// An administrator may lower max_allowed_packet while the process runs: transactions on the connections made from then on keep to it.
func TestTransaction_KeepsToAPacketThatWasMadeSmaller(t *testing.T) {
	s := newSite(t, testenv.Shared(t, testenv.KindMySQL, "packets made smaller", testenv.Args("--max-allowed-packet=64M")))
	s.db.Exec("SET GLOBAL max_allowed_packet = 65536")
	s.target.server.DB.SetConnMaxLifetime(time.Nanosecond) // each transaction on a new connection
	var writes []Write
	for id := range int64(200) {
		writes = append(writes, s.write(row.Insert, 100+id, fmt.Sprint(id)+strings.Repeat("x", 1000), Absent))
	}
	if err := s.apply(s.plan(writes...)); err != nil {
		t.Errorf("rows that fit, together more than a packet: %v", err)
	}
	p := s.plan(s.write(row.Insert, 998, strings.Repeat("z", 65536), Absent))
	p.Single = true
	var refused *RefusedError
	if err := s.apply(p); !errors.As(err, &refused) || len(refused.Rows) != 1 || refused.Rows[0].Reason != "too_large" {
		t.Errorf("a row that is too large: %v", err)
	}
}

// A connection whose transaction did not end well is not used again, and what the server has not committed is not there.
func TestTransaction_ALostConnectionIsNotUsedAgain(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		lose := func(tx Transaction) {
			t.Helper()
			var id int
			if err := tx.(*mysqlTransaction).conn.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&id); err != nil {
				t.Fatal(err)
			}
			s.db.Exec(fmt.Sprintf("KILL %d", id))
		}
		tx, err := s.run(s.plan(s.write(row.Insert, 3, "three", Absent)))
		if err != nil {
			t.Fatal(err)
		}
		lose(tx)
		if err = tx.Commit(t.Context()); !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("a COMMIT on a connection that is lost: %v", err)
		}
		if st, failed := s.target.State(t.Context(), "b", 0); failed != nil || st.Next != 0 {
			t.Errorf("the place is %d (%v), want 0", st.Next, failed)
		}
		if tx, err = s.run(s.plan(s.write(row.Insert, 3, "three", Absent))); err != nil {
			t.Fatal(err)
		}
		lose(tx)
		tx.Rollback(t.Context())
		if err := s.apply(s.plan(s.write(row.Insert, 4, "four", Absent))); err != nil {
			t.Error(err)
		}
		if got, want := s.rows(), "1: 1=one,2=two,4=four"; got != want {
			t.Errorf("the database has %s, want %s", got, want)
		}
	})
}

// A connection whose transaction has not been ended does not come out of the pool again: the next one's beginning would
// commit it.
func TestTransaction_AnEndThatIsNotAnsweredEndsTheConnection(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		tx, err := s.run(s.plan(s.write(row.Insert, 3, "three", Absent)))
		if err != nil {
			t.Fatal(err)
		}
		tx.(*mysqlTransaction).giveBack(errAway)
		if err := s.apply(s.plan(s.write(row.Insert, 4, "four", Absent))); err != nil {
			t.Error(err)
		}
		if got, want := s.rows(), "1: 1=one,2=two,4=four"; got != want {
			t.Errorf("the database has %s, want %s", got, want)
		}
	})
}

// The place in the binlog is asked for when the rows are locked: what another transaction has committed to them lies before
// it, also when the locks had to wait for that.
func TestTransaction_AsksForThePlaceWithItsLocksHeld(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		local, err := s.db.DB.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = local.Rollback() }() // after its commit it does nothing
		if _, err = local.ExecContext(t.Context(), "UPDATE "+s.schema+".orders SET code = 'here' WHERE id = 2"); err != nil {
			t.Fatal(err)
		}
		type answer struct {
			at  mysqldb.Coordinates
			err error
		}
		came := make(chan answer, 1)
		tx, err := s.target.Begin(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		plan := s.plan(s.write(row.Update, 1, "eins", Present), s.write(row.Update, 2, "zwei", Present))
		go func() {
			at, failed := tx.Run(t.Context(), plan)
			came <- answer{at, failed}
		}()
		for begun := 0; begun == 0; { // asked again and again: the server announces it to nobody
			err = s.db.DB.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE ?", "UPDATE%"+s.schema+"%orders%").Scan(&begun)
			if err != nil {
				t.Fatal(err)
			}
			select {
			case a := <-came:
				t.Fatalf("it did not wait for the row's lock: %+v", a)
			default:
			}
		}
		if err = local.Commit(); err != nil {
			t.Fatal(err)
		}
		behind, err := s.target.Coordinates(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a := <-came
		if a.err != nil {
			t.Fatal(a.err)
		}
		if a.at.Compare(behind) < 0 {
			t.Errorf("the place is %s, before the end of the local commit at %s", a.at, behind)
		}
		tx.Rollback(t.Context())
	})
}

// BenchmarkTransaction is one apply transaction of a few rows, without a COMMIT: what the disk does is not Meridian's.
func BenchmarkTransaction(b *testing.B) {
	s := newSite(b, testenv.Shared(b, testenv.KindMySQL, ""))
	before := s.trips.Load()
	for b.Loop() {
		tx, err := s.run(s.plan(s.write(row.Insert, 4, "four", Absent), s.write(row.Update, 2, "zwei", Present)))
		if err != nil {
			b.Fatal(err)
		}
		tx.Rollback(b.Context())
	}
	b.ReportMetric(float64(s.trips.Load()-before)/float64(b.N), "round-trips/op")
}

// A conflict costs one round trip more where a row is overwritten, to read it, and none where what came has lost; without a
// conflict there is nothing more. What does not fit into a statement is named, and stops nobody.
func TestTransaction_KeepsWhatLosesAtTheCostOfOneRoundTrip(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		s.target.cfg.KeepConflicts = true
		s.db.Exec("DELETE FROM meridian.conflicts")
		if err := s.apply(s.plan(s.write(row.Insert, 3, "three", Absent))); err != nil { // from here on the connection is there
			t.Fatal(err)
		}
		older, newer := row.Version{Time: 1, Region: "a"}, row.Version{Time: 2, Region: "b"}
		update, insert := s.write(row.Update, 1, "eins", Present), s.write(row.Insert, 4, "four", Absent)
		large := &bus.Record{Value: make([]byte, s.target.server.MaxPacket()/4)}
		for _, c := range []struct {
			what   string
			writes []Write
			losers []Loser
			want   int64
			kept   string
		}{
			{"no conflict", []Write{s.write(row.Update, 2, "zwei", Present)}, nil, 2, ""},
			{"a row is overwritten", []Write{update}, []Loser{{Change: update.Change, Winner: newer, Version: older}}, 3, "t"},
			{"what came has lost", nil, []Loser{{Change: update.Change, Winner: newer, Version: older, Record: &bus.Record{Value: []byte("x")}}}, 2, "t"},
			{"it had been deleted", []Write{insert}, []Loser{{Change: insert.Change, Winner: newer, Version: older, Gone: true}}, 3, "t"},
			{"the row is not there", nil, []Loser{{Change: s.write(row.Update, 99, "x", Present).Change, Winner: newer, Version: older}}, 3, "f" + OmittedNotThere},
			{"it is too large", nil, []Loser{{Change: update.Change, Winner: newer, Version: older, Record: large}}, 2, "f" + OmittedTooLarge},
		} {
			p := s.plan(c.writes...)
			p.Losers = c.losers
			before := s.trips.Load()
			if err := s.apply(p); err != nil {
				t.Errorf("%s: %v", c.what, err)
			}
			if got := s.trips.Load() - before; got != c.want {
				t.Errorf("%s: %d round trips, want %d", c.what, got, c.want)
			}
			var kept string
			err := s.db.DB.QueryRowContext(t.Context(), "SELECT COALESCE(GROUP_CONCAT(IF(LENGTH(record) > 0, 't', 'f'), omitted), '') FROM meridian.conflicts").Scan(&kept)
			if err != nil || kept != c.kept {
				t.Errorf("%s: the history has %q, want %q; %v", c.what, kept, c.kept, err)
			}
			s.db.Exec("DELETE FROM meridian.conflicts")
		}
	})
}
