package syncer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"

	"meridian/internal/bus"
	"meridian/internal/envelope"
	"meridian/internal/propagate"
	"meridian/internal/row"
	"meridian/internal/testenv"
)

// Each row that is too large is kept, also where they are written at one moment, and one row more than once.
func TestTooLarge_EveryChangeOfATransactionIsKept(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	for _, g := range r.list {
		g.cfg.MaxRecordBytes = 64 << 10
	}
	r.exec("CREATE TABLE orders (id INT PRIMARY KEY, body MEDIUMTEXT)")
	r.start()
	a, b := r.list[0], r.list[1]
	tx, err := a.open().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{
		"INSERT INTO orders VALUES (1, 'small'), (2, REPEAT('x', 200000)), (3, REPEAT('y', 200000))",
		"UPDATE orders SET body = REPEAT('z', 200000) WHERE id = 2",
	} {
		if _, err := tx.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the small one arrives", func() error {
		if got := b.rows("SELECT id FROM orders"); got != "\"1\" \n" {
			return errors.New(got)
		}
		return nil
	})
	r.waitSettled()
	if got := a.rows("SELECT COUNT(*), COUNT(DISTINCT row_key) FROM meridian.parked WHERE state = 'dead' AND reason = 'too_large'"); got != "\"3\" \"2\" \n" {
		t.Errorf("changes and rows that are kept: %s", got)
	}
}

// After a crash the binlog is read again, and on MariaDB a change that is not on the bus can get another version then. It
// is one dead change all the same, and has the version that the ledger has.
func TestTooLarge_IsKeptOnceHoweverOftenItIsTold(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL)
	g := r.list[0]
	target, err := propagate.NewMySQLTarget(t.Context(), propagate.MySQLTargetConfig{MySQL: g.cfg.MySQL, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	table := row.NewTable("shop", "orders", []row.Column{{Name: "id", Type: row.TypeInt}}, []int{0})
	tell := func(gtid string, ordinal uint64, id int64, digest uint64, at int64) {
		t.Helper()
		image := []row.Value{row.IntValue(id)}
		key, err := table.Key(image)
		if err != nil {
			t.Fatal(err)
		}
		m := &envelope.Message{
			Kind: envelope.Change, Source: envelope.Source{Region: "a", GTID: gtid, Ordinal: ordinal, Last: true},
			Change: &row.Change{Table: table, Op: row.Insert, Key: key, After: image, Digest: digest, Version: row.Version{Time: at, Region: "a"}},
		}
		if err := target.TooLarge(t.Context(), 0, m, bus.Record{Value: []byte(fmt.Sprint(at))}, &bus.TooLargeError{Topic: "t", Bytes: 10, Limit: 5}); err != nil {
			t.Fatal(err)
		}
	}
	kept := func(want ...string) {
		t.Helper()
		if got := g.rows("SELECT version_time FROM meridian.parked ORDER BY id"); got != strings.Join(want, "") {
			t.Errorf("kept are\n%s", got)
		}
	}
	tell("x:1", 1, 1, 7, 100)
	tell("x:1", 1, 1, 7, 100)
	tell("x:1", 1, 1, 7, 101) // stamped anew
	kept("\"101\" \n")
	tell("x:1", 2, 1, 7, 102) // the next change of the row
	tell("x:1", 1, 2, 7, 103) // another row's, and another image: the server gives its GTIDs anew
	tell("x:1", 1, 1, 8, 104)
	tell("x:2", 1, 1, 7, 105)
	kept("\"101\" \n", "\"102\" \n", "\"103\" \n", "\"104\" \n", "\"105\" \n")
}

// Tables of another version are told at the start, with what is missing.
func TestState_TellsThatAnotherVersionMadeItsTables(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL)
	g := r.list[0]
	cfg := propagate.MySQLTargetConfig{MySQL: g.cfg.MySQL, Log: zap.NewNop()}
	target, err := propagate.NewMySQLTarget(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err = target.Close(); err != nil {
		t.Fatal(err)
	}
	g.exec("ALTER TABLE meridian.parked DROP KEY place, DROP COLUMN own_change")
	if target, err = propagate.NewMySQLTarget(t.Context(), cfg); err == nil {
		target.Close()
		t.Fatal("it works with a table that lacks a column")
	}
	for _, part := range []string{"meridian.parked", "own_change", "syncer schema"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not name %s: %v", part, err)
		}
	}
}
