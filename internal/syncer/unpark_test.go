package syncer_test

import (
	"errors"
	"fmt"
	"testing"

	"go.uber.org/zap"

	"meridian/internal/propagate"
	"meridian/internal/row"
	"meridian/internal/testenv"
)

// directly is a region's database as the applier has it, without one.
type directly struct {
	*propagate.MySQLTarget
	t     *testing.T
	g     *region
	epoch uint64
}

func newDirectly(t *testing.T) *directly {
	t.Helper()
	g := newRegions(t, 1, testenv.KindMySQL).list[0]
	target, err := propagate.NewMySQLTarget(t.Context(), propagate.MySQLTargetConfig{MySQL: g.cfg.MySQL, KeepConflicts: true, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { target.Close() })
	epochs, _, err := target.Claim(t.Context(), "test", []int{0}, []string{"b"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &directly{target, t, g, epochs[0]}
}

// run runs a plan, and before its COMMIT something else.
func (d *directly) run(p propagate.Plan, beforeCommit func()) error {
	d.t.Helper()
	p.Source, p.Epoch = "b", d.epoch
	tx, err := d.Begin(d.t.Context(), false)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err = tx.Run(d.t.Context(), &p); err != nil {
		tx.Rollback(d.t.Context())
		return err
	}
	beforeCommit()
	return tx.Commit(d.t.Context())
}

func (d *directly) isParked(id uint64, want bool) {
	d.t.Helper()
	if got, err := d.IsParked(d.t.Context(), id); got != want || err != nil {
		d.t.Errorf("change %d is parked: %t, %v", id, got, err)
	}
}

var aPark = propagate.Park{State: propagate.Parked, Reason: "test", Table: "shop.orders", Key: "k", Version: row.Version{Time: 1, Region: "b"}, Record: []byte("r")}

// A parked change ends once. The place in the topic does not move with it, so that it is there must be a condition of the
// transaction that ends it.
func TestParked_AChangeThatHasEndedDoesNotEndAgain(t *testing.T) {
	d := newDirectly(t)
	nothing := func() {}
	if err := d.run(propagate.Plan{To: 1, Counts: propagate.Counts{Read: 1}, Parks: []propagate.Park{aPark}}, nothing); err != nil {
		t.Fatal(err)
	}
	d.isParked(1, true)
	again := propagate.Plan{From: 1, To: 1, Unpark: 1, Counts: propagate.Counts{Superseded: 1}}
	if err := d.run(again, nothing); err != nil {
		t.Fatal(err)
	}
	if err := d.run(again, nothing); !errors.Is(err, propagate.ErrNotParked) {
		t.Errorf("ending it a second time: %v", err)
	}
	d.isParked(1, false)
	d.g.all.conserved()
}

// A COMMIT without an answer may have parked a change: what the row's tombstone is kept for is known all the same.
func TestParked_IsHeldThoughItsCommitGotNoAnswer(t *testing.T) {
	d := newDirectly(t)
	err := d.run(propagate.Plan{To: 1, Counts: propagate.Counts{Read: 1}, Parks: []propagate.Park{aPark}}, func() {
		var id int
		if err := d.g.open().QueryRowContext(t.Context(), "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx").Scan(&id); err != nil {
			t.Fatal(err)
		}
		d.g.exec(fmt.Sprintf("KILL CONNECTION %d", id))
	})
	if !errors.Is(err, propagate.ErrOutcomeUnknown) {
		t.Fatalf("the COMMIT ended with %v", err)
	}
	if !d.Holds(aPark.Table, aPark.Key) {
		t.Error("the row's tombstone may go, and the change may be there")
	}
}
