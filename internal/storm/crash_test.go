package storm_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"meridian/internal/testenv"
)

// points are the named steps at which a process can die: of capture, publish, flush and apply, in their order.
var points = []string{
	"capture.begin", "publish.begin", "publish.acknowledged", "flush.begin", "flush.written", "flush.committed",
	"apply.decided", "apply.written", "apply.fenced", "apply.validated", "apply.committed",
}

// endless are those that time alone brings about: they are always reached once more.
func endless(point string) bool { return strings.HasPrefix(point, "publish.") }

// A process dies at every named step, the n-th time that it gets there, is started again, may die there at once again,
// and is started again: each time all regions come to hold the same rows, and in the end everything adds up.
func TestStorm_DiesAtEveryStepAndRecovers(t *testing.T) {
	rounds(t, 0.2, time.Hour, func(t *testing.T, n uint64, length time.Duration) {
		w := newWorld(t, setting{
			kinds: []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB}, shards: 2, batchRows: 10, flush: []int{10, 10_000}[n/2%2], collation: "utf8mb4_general_ci",
		})
		c := &crashes{w: w, rand: rand.New(rand.NewPCG(n, 1)), seen: map[string]int{}, until: time.Now().Add(length)}
		if soak(t) == 0 {
			for k, point := range points {
				c.once(w.regions[(int(n%2)+k)%2], point)
			}
		} else {
			c.enumerate()
		}
		w.settle(false)
		w.history.transactions = c.done()
		w.check(strict)
		t.Logf("deaths: %v", c.seen)
	})
}

// crashes kills regions' processes at one step after the other, while clients write in all regions.
type crashes struct {
	w       *world
	rand    *rand.Rand
	writers []*writer
	seen    map[string]int // deaths by region and point
	number  int            // of the next transaction
	until   time.Time
}

// once dies at the point one of the first times that it is reached.
func (c *crashes) once(g *region, point string) {
	c.w.t.Helper()
	for n := 1 + c.rand.IntN(4); !c.try(g, point, n); n = 1 {
		if n == 1 {
			c.w.t.Fatalf("%s was never reached in %s", point, g.name)
		}
	}
}

// enumerate dies at every point, in every region, the first time that it is reached, then the second time, and so on:
// until none is reached so often any more, or the time is over.
func (c *crashes) enumerate() {
	c.w.t.Helper()
	over := map[string]bool{}
	for n := 1; len(over) < len(points)*len(c.w.regions); n++ {
		for _, point := range points {
			for _, g := range c.w.regions {
				if time.Now().After(c.until) {
					return
				}
				const enough = 30 // of what never ends
				if name := g.name + " " + point; !over[name] && !c.try(g, point, n) || n == enough {
					over[name] = true
				}
			}
		}
	}
}

// try lets the process die at the n-th time, if it gets there, and recover.
func (c *crashes) try(g *region, point string, n int) (died bool) {
	c.w.t.Helper()
	c.restart(g, point, n)
	c.write()
	if died = c.settleOrDie(g); died {
		c.seen[g.name+" "+point]++
		if c.rand.IntN(2) == 0 { // once more, while it recovers
			c.restart(g, point, 1)
			c.settleOrDie(g)
		}
	}
	c.restart(g, "", 0)
	c.w.settle(false)
	c.compare(fmt.Sprintf("%s, time %d", point, n))
	return died
}

func (c *crashes) restart(g *region, point string, n int) {
	c.w.t.Helper()
	g.syncer.kill()
	g.syncer.role.Crash, g.syncer.role.CrashAt = point, n
	c.w.must("starting "+g.name, g.syncer.start())
}

// write lets clients in both regions fight over the rows, each a few transactions.
func (c *crashes) write() {
	if c.writers == nil {
		for i, g := range c.w.regions {
			for k := range 2 {
				c.writers = append(c.writers, &writer{
					region: g.name, number: k, db: c.w.open(g, 1), tables: c.w.tables, rand: rand.New(rand.NewPCG(c.rand.Uint64(), uint64(10*i+k))),
				})
			}
		}
	}
	const each = 8
	var all sync.WaitGroup
	for _, wr := range c.writers {
		all.Go(func() {
			for n := range each {
				wr.transact(c.w.t.Context(), c.number+n)
			}
		})
	}
	all.Wait()
	c.number += each
}

// settleOrDie waits until the region's process has died, or everything is quiet with it alive.
func (c *crashes) settleOrDie(g *region) (died bool) {
	c.w.t.Helper()
	ended := g.syncer.run.ended
	from := time.Now()
	c.w.until(g.name+" has died or settled", patience, func() error {
		select {
		case <-ended:
			died = true
			return nil
		default:
		}
		for _, g := range c.w.regions {
			if err := g.settled(from, false); err != nil {
				return err
			}
		}
		return nil
	})
	if !died && endless(g.syncer.role.Crash) {
		c.w.until(g.name+" has died, as time goes by", patience, func() error {
			select {
			case <-ended:
				died = true
				return nil
			default:
				return fmt.Errorf("%s has not been reached %s times", g.syncer.role.Crash, strconv.Itoa(g.syncer.role.CrashAt))
			}
		})
	}
	return died
}

func (c *crashes) compare(when string) {
	c.w.t.Helper()
	i := &inspection{w: c.w, ctx: c.w.t.Context(), strict: true}
	i.w.history = &history{c.done()}
	for _, g := range c.w.regions {
		i.report("journal", i.w.history.decide(i.ctx, g, g.sql)...)
	}
	i.rows()
	if c.w.t.Failed() {
		c.w.t.Logf("it was after a death at %s", when)
		c.w.check(strict)
		c.w.t.FailNow()
	}
}

func (c *crashes) done() []*transaction {
	var list []*transaction
	for _, wr := range c.writers {
		list = append(list, wr.done...)
	}
	return list
}

// killedItself tells whether an end is the one that role.Crash asks for.
func (r *running) killedItself() bool {
	status, ok := r.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}
