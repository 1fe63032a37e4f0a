package syncer

import (
	"context"
	"reflect"
	"testing"

	"go.uber.org/zap"

	"meridian/internal/binlog"
	"meridian/internal/envelope"
	"meridian/internal/mysqldb"
	"meridian/internal/propagate"
	"meridian/internal/row"
)

// A process that has just started keeps the own offsets of the last cut until it has caught up with what an older process
// published. Tombstones of the last cut may lie behind these: regions that have passed the offsets have not passed the
// deletes.
func TestFreeze_CallsNoCutSettledBeforeItHasCaughtUp(t *testing.T) {
	b := newBench(t)
	defer b.run()()
	b.capture.tip = mysqldb.Coordinates{Server: "s", File: "binlog.000001", Position: 1000}
	cut := func() bool {
		t.Helper()
		if err := b.capture.freeze(t.Context(), binlog.Position{}); err != nil {
			t.Fatal(err)
		}
		c, ok := b.ledger.Frozen()
		if !ok {
			t.Fatal("no cut was set aside")
		}
		if _, err := b.ledger.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		return c.Settled
	}
	if cut() {
		t.Error("a cut is called settled before the tailer has caught up")
	}
	b.ledger.Pass(b.capture.tip, nil, 0)
	if !cut() {
		t.Error("a cut is not settled though all is acknowledged and read")
	}
}

// A connection that is lost twice within one transaction is taken up again within it: what the ledger has of it is no place
// between two.
func TestInterrupted_TwiceWithinATransactionStaysWithinIt(t *testing.T) {
	b := newBench(t)
	defer func() { _ = b.ledger.Close() }() // nobody publishes here
	c := b.capture
	c.turn, c.cfg.Reached = make(chan struct{}, 1), func(string) {}
	c.last = &binlog.End{}
	if err := c.Begin(t.Context(), &binlog.Transaction{GTID: "g"}); err != nil {
		t.Fatal(err)
	}
	c.tx.processed = 7
	first := c.Interrupted(binlog.Position{})
	if again := c.Interrupted(binlog.Position{}); !reflect.DeepEqual(again, first) || again.Changes != 7 {
		t.Errorf("first %+v, then %+v", first, again)
	}
	b.write(row.Insert) // what the ledger has of the transaction
	for _, f := range []func() error{
		func() error { return c.flushNow(t.Context()) },
		func() error { return c.Progress(t.Context(), &binlog.End{}) }, // the server says which file it sends
	} {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := b.ledger.Frozen(); ok {
		t.Error("a cut was made within a transaction, with the place of the one before")
	}
}

// A row that could not be put on the bus, since whoever ordered it has gone while too much waited, takes no number: a flush would wait
// for it until the next local change.
func TestRepublish_TakesNoNumberForWhatIsNotPut(t *testing.T) {
	b := newBench(t)
	defer func() { _ = b.ledger.Close() }() // nobody publishes here
	b.publisher = propagate.NewPublisher(propagate.PublisherConfig{Topic: "a", Shards: []int{0, 1}}, map[int]int64{}, propagate.PublisherDeps{})
	b.capture.publisher, b.capture.log = b.publisher, zap.NewNop() // with no memory for what waits
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	image := []row.Value{row.IntValue(1)}
	key, err := b.table.Key(image)
	if err != nil {
		t.Fatal(err)
	}
	c := &row.Change{Table: b.table, Op: row.Update, Key: key, After: image}
	if _, err = b.capture.republish(gone, envelope.Repair, []*row.Change{c}); err == nil {
		t.Fatal("it was put")
	}
	if err = b.publisher.WaitAcknowledged(gone, b.capture.sequence); err != nil {
		t.Errorf("change %d is waited for, which nobody has: %v", b.capture.sequence, err)
	}
}
