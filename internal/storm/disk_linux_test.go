package storm_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meridian/internal/testenv"
)

// A disk that is full is told, and once there is room again nothing has been lost. Meanwhile the region goes on: only the
// ledger's file needs the disk. A bound on the size of the process's files stands in for the disk.
func TestDisk_WhenFullIsToldAndLosesNothing(t *testing.T) {
	w := newWorld(t, setting{
		kinds: []testenv.Kind{testenv.KindMySQL, testenv.KindMySQL}, shards: 2, batchRows: 10, flush: 10_000, collation: "utf8mb4_general_ci",
	})
	c := &crashes{w: w, rand: rand.New(rand.NewPCG(1, 1)), seen: map[string]int{}, until: time.Now().Add(time.Hour)}
	a := w.regions[0]
	c.write()
	w.settle(false)
	a.limitFiles(t, 1)
	c.write()
	w.until(a.name+" tells that its disk is full", patience, func() error {
		s, err := a.syncer.status()
		if err != nil {
			return err
		}
		if reasons := strings.Join(s.Status.Reasons, "; "); s.Status.Ready || !strings.Contains(reasons, "file too large") {
			return fmt.Errorf("ready: %v, reasons: %s", s.Status.Ready, reasons)
		}
		return nil
	})
	from := time.Now()
	c.write()
	for _, g := range w.regions {
		w.until(g.name+" has applied the other's writes all the same", patience, func() error { return g.settled(from, false) })
	}
	a.limitFiles(t, unix.RLIM_INFINITY)
	w.settle(false)
	c.compare("full disk")
	c.restart(a, "", 0)
	w.settle(false)
	w.history.transactions = c.done()
	w.check(strict)
}

// limitFiles bounds the size of the files that the region's process can write.
func (g *region) limitFiles(t *testing.T, most uint64) {
	t.Helper()
	limit := unix.Rlimit{Cur: most, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(g.syncer.run.cmd.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		t.Fatal(err)
	}
}
