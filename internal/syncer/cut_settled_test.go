package syncer

import (
	"testing"

	"meridian/internal/binlog"
	"meridian/internal/mysqldb"
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
