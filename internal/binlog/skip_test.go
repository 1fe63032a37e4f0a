package binlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"meridian/internal/binlog"
	"meridian/internal/testenv"
)

// refusedBy gives the refusal that a Tailer ends with, whose text must say how to go on.
func refusedBy(t *testing.T, f *tail) *binlog.RefusedError {
	t.Helper()
	err := f.wait()
	var refused *binlog.RefusedError
	if !errors.As(err, &refused) || refused.GTID == "" {
		t.Fatalf("the tailer ended with: %v", err)
	}
	for _, words := range []string{
		"Nothing behind transaction " + refused.GTID, fmt.Sprintf("%s:%d", refused.File, refused.Position),
		"mend the cause", "`syncer run --skip-transaction " + refused.GTID + "`", "not published", "the regions differ",
	} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("no %q in: %v", words, err)
		}
	}
	if strings.Contains(err.Error(), "ebuild") {
		t.Errorf("a rebuild does not help: %v", err)
	}
	return refused
}

// follower passes over transactions, and keeps what it hears of them.
type follower struct {
	*tail
	left []*binlog.Skipped // read it behind a fence
}

func (f *follower) hears(_ context.Context, s *binlog.Skipped) error {
	f.left = append(f.left, s)
	return nil
}

func passOver(t *testing.T, db *testenv.Database, schema string, from *binlog.Position, gtids ...string) *follower {
	t.Helper()
	f := &follower{}
	f.tail = follow(t, db, schema, options{from: from, config: func(c *binlog.Config) {
		c.Skip, c.Skipped = gtids, f.hears
	}})
	return f
}

// nextArrives writes one more transaction, which must be the only change that is handed over, and ends the Tailer.
func (f *follower) nextArrives(db *testenv.Database, schema string) {
	f.t.Helper()
	runIn(f.t, db, schema, "INSERT INTO a (id) VALUES (77)")
	var got []string
	for _, s := range f.fence(db) {
		if len(s.changes) > 0 {
			got = append(got, text(s.changes))
		}
	}
	if len(got) != 1 || !strings.HasPrefix(got[0], "insert a(77") {
		f.t.Errorf("got %q", got)
	}
	if p := f.last.Position(); len(p.Prepared) > 0 || p.Partial != "" || p.GTIDs != now(f.t, db).GTIDs {
		f.t.Errorf("it is at %+v, and the server at %s", p, now(f.t, db).GTIDs)
	}
	f.stop()
}

// Every transaction that is refused is passed over when it is named, and what is behind it arrives.
func TestTailer_PassesOverWhatIsNamed(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		for _, c := range refusals {
			if !c.on(db) {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				schema, from, f := c.run(t, db)
				gtid := refusedBy(t, f).GTID
				second := passOver(t, db, schema, from, gtid)
				second.nextArrives(db, schema)
				if len(second.left) != 1 || second.left[0].GTID != gtid || len(second.left[0].Kinds) == 0 || second.left[0].Start == 0 {
					t.Fatalf("passed over: %+v", second.left)
				}
				for _, word := range c.words {
					if table, ok := strings.CutPrefix(word, "."); ok && !slices.Contains(second.left[0].Tables, schema+"."+strings.TrimSpace(table)) {
						t.Errorf("table %s is not among %q", table, second.left[0].Tables)
					}
				}
				if said := fmt.Sprint(*second.left[0]); strings.Contains(said, "INSERT INTO") || strings.Contains(said, "VALUES") {
					t.Errorf("it tells a statement: %s", said)
				}
			})
		}
	})
}

// Who has to note it is told before anything is told to lie behind it: what could not be noted has not been passed.
func TestTailer_TellsWhatItPassesOverBeforeItIsPassed(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		schema := db.FreshSchema(t)
		runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY)")
		from := now(t, db)
		runIn(t, db, schema, "INSERT INTO a VALUES (1)")
		first := follow(t, db, schema, options{from: from})
		seen := first.fence(db)
		first.stop()
		gtid := seen[len(seen)-1].tx.GTID
		noted := errors.New("no room for a note")
		f := follow(t, db, schema, options{from: from, config: func(c *binlog.Config) {
			c.Skip, c.Skipped = []string{gtid}, func(context.Context, *binlog.Skipped) error { return noted }
		}})
		if err := f.wait(); !errors.Is(err, noted) {
			t.Fatalf("the tailer ended with: %v", err)
		}
		f.locked(func() {
			if f.last == nil {
				return
			}
			if at := f.last.Position().GTIDs; history(t, db, at).Contains(gtid) {
				t.Errorf("it says to be behind %s: it is at %s", gtid, at)
			}
		})
	})
}

// An XA transaction is two: XA PREPARE has the rows and has to be named, XA COMMIT passes with it, and need be named only
// where its beginning was not seen.
func TestTailer_PassesOverAnXATransactionByItsPrepare(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		schema := db.FreshSchema(t)
		runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY)")
		from := now(t, db)
		f := follow(t, db, schema, options{from: from})
		session, err := db.Open(schema).Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = session.Close() }()
		exec := func(statement string) {
			t.Helper()
			if _, err := session.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		for _, statement := range []string{"XA START 'x6'", "INSERT INTO a VALUES (1), (2)", "XA END 'x6'", "XA PREPARE 'x6'"} {
			exec(statement)
		}
		prepare := refusedBy(t, f).GTID
		prepared := now(t, db)
		exec("XA COMMIT 'x6'")
		if again := refusedBy(t, follow(t, db, schema, options{from: from})).GTID; again != prepare {
			t.Errorf("refused were %s and then %s", prepare, again)
		}
		if p := prepared.GTIDs; !history(t, db, p).Contains(prepare) || history(t, db, from.GTIDs).Contains(prepare) {
			t.Errorf("%s is not what was written between %s and %s", prepare, from.GTIDs, p)
		}
		commit := refusedBy(t, follow(t, db, schema, options{from: prepared})).GTID
		if err := passOver(t, db, schema, from, commit).wait(); !strings.Contains(err.Error(), "--skip-transaction "+prepare+"`") {
			t.Errorf("with only the XA COMMIT %s passed over: %v", commit, err)
		}
		second := passOver(t, db, schema, from, prepare)
		unseen := passOver(t, db, schema, prepared, commit)
		second.nextArrives(db, schema)
		if len(second.left) != 1 || second.left[0].RowEvents != 1 || !slices.Equal(second.left[0].Tables, []string{schema + ".a"}) {
			t.Errorf("passed over: %+v", second.left)
		}
		if got := texts(unseen.fence(db)); !slices.Equal(got, []string{"insert a(77)"}) || len(unseen.left) != 1 || unseen.left[0].GTID != commit {
			t.Errorf("behind the XA COMMIT: %q, passed over: %+v", got, unseen.left)
		}
		unseen.stop()
	})
}

func history(t *testing.T, db *testenv.Database, gtids string) binlog.History {
	t.Helper()
	h, err := binlog.ParseHistory(gtids, db.Flavor == "mariadb")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestTailer_PassesOverATaggedTransaction(t *testing.T) {
	db := testenv.SharedMySQL(t)
	schema := db.FreshSchema(t)
	runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE keyless (n INT)")
	from := now(t, db)
	f := follow(t, db, schema, options{from: from})
	runIn(t, db, schema, "SET gtid_next = 'AUTOMATIC:Green'", "INSERT INTO keyless VALUES (1)")
	gtid := refusedBy(t, f).GTID
	if !strings.Contains(gtid, ":green:") {
		t.Errorf("refused was %s", gtid)
	}
	passOver(t, db, schema, from, strings.ToUpper(gtid)).nextArrives(db, schema)
}

// A checkpoint may lie inside the transaction: what was handed over of it stays, and the rest is passed over.
func TestTailer_PassesOverTheRestOfATransaction(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		schema := db.FreshSchema(t)
		runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE keyless (n INT)")
		f := follow(t, db, schema, options{})
		runIn(t, db, schema, "BEGIN", "INSERT INTO a VALUES (1), (2), (3)", "INSERT INTO keyless VALUES (4)", "INSERT INTO a VALUES (5)", "COMMIT")
		gtid := refusedBy(t, f).GTID
		within := f.open.tx.After(2)
		second := passOver(t, db, schema, &within, gtid)
		second.nextArrives(db, schema)
		if len(second.left) != 1 || second.left[0].RowEvents != 3 || len(second.left[0].Tables) != 2 {
			t.Errorf("passed over: %+v", second.left)
		}
	})
}

// A GTID that is not met has no effect, and one that is none of this server's is an error.
func TestTailer_PassesOverNothingElse(t *testing.T) {
	onEach(t, func(t *testing.T, db *testenv.Database) {
		schema := db.FreshSchema(t)
		runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY)")
		mine, theirs := "3e11fa47-71ca-11e1-9e33-c80aa9429562:7", "0-1-7"
		if db.Flavor == "mariadb" {
			mine, theirs = "7-1-7", mine
		}
		f := passOver(t, db, schema, nil, mine)
		f.nextArrives(db, schema)
		if len(f.left) > 0 {
			t.Errorf("passed over: %+v", f.left)
		}
		if err := passOver(t, db, schema, nil, theirs).wait(); errors.Is(err, binlog.ErrConnection) || !strings.Contains(err.Error(), theirs) {
			t.Errorf("asked to pass over %s: %v", theirs, err)
		}
	})
}

// damaging is a connection on which some bytes arrive otherwise than they were sent.
type damaging struct{ net.Conn }

func (d damaging) Read(b []byte) (int, error) {
	n, err := d.Conn.Read(b)
	copy(b, bytes.ReplaceAll(b[:n], []byte("damage me"), []byte("damage it")))
	return n, err
}

// A damaged event is passed over with the transaction that it stands in.
func TestTailer_PassesOverADamagedEvent(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMySQL80} {
		t.Run(string(kind), func(t *testing.T) {
			db := testenv.Shared(t, kind, "")
			schema := db.FreshSchema(t)
			runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY, s VARCHAR(20))")
			from := now(t, db)
			damage := func(c *binlog.Config) {
				c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
					return damaging{conn}, err
				}
			}
			f := follow(t, db, schema, options{from: from, config: damage})
			runIn(t, db, schema, "INSERT INTO a VALUES (1, 'damage me')")
			gtid := refusedBy(t, f).GTID
			second := &follower{}
			second.tail = follow(t, db, schema, options{from: from, config: func(c *binlog.Config) {
				damage(c)
				c.Skip, c.Skipped = []string{gtid}, second.hears
			}})
			second.nextArrives(db, schema)
			if len(second.left) != 1 || !slices.Contains(second.left[0].Kinds, "a damaged event") {
				t.Errorf("passed over: %+v", second.left)
			}
		})
	}
}

// A server that could not write its binlog says so in an incident event: MySQL under a GTID of its own, MariaDB between the
// transactions. Either way there is a way on, and it is the one that the error names.
func TestTailer_GoesOnBehindAnIncident(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			db := testenv.Own(t, kind, testenv.Args("--max-binlog-stmt-cache-size=4096", "--loose-slave-connections-needed-for-purge=0"))
			schema := db.FreshSchema(t)
			runIn(t, db, schema, "CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE skip_m (id INT PRIMARY KEY, s LONGTEXT) ENGINE=MyISAM")
			from := now(t, db)
			f := follow(t, db, schema, options{from: from})
			if _, err := db.DB.ExecContext(t.Context(), "INSERT INTO "+schema+".skip_m VALUES (1, repeat('x', 500000)), (2, repeat('y', 500000))"); err == nil {
				t.Fatal("the server had room for the statement")
			}
			if db.Flavor == "mysql" {
				second := passOver(t, db, schema, from, refusedBy(t, f).GTID)
				second.nextArrives(db, schema)
				if len(second.left) != 1 || !slices.Equal(second.left[0].Kinds, []string{"an incident"}) {
					t.Errorf("passed over: %+v", second.left)
				}
				return
			}
			err := f.wait()
			var refused *binlog.RefusedError
			if !errors.As(err, &refused) || refused.GTID != "" || !strings.Contains(err.Error(), "FLUSH BINARY LOGS") || !strings.Contains(err.Error(), "PURGE BINARY LOGS TO") {
				t.Fatalf("the tailer ended with: %v", err)
			}
			runIn(t, db, schema, "FLUSH BINARY LOGS")
			purge(t, db, schema)
			passOver(t, db, schema, from).nextArrives(db, schema)
		})
	}
}
