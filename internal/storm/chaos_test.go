package storm_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"time"
)

// chaos does what goes wrong in a data centre, one thing at a time; two of them run at once.
type chaos struct {
	w      *world
	number int
	rand   *rand.Rand
	most   time.Duration // between two faults
	did    map[string]int
	twins  int
}

// pause waits for up to most; false when the context has ended.
func (c *chaos) pause(ctx context.Context, most time.Duration) bool {
	timer := time.NewTimer(time.Duration(c.rand.Int64N(int64(most))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// run does faults until the context ends, and leaves everything running and joined.
func (c *chaos) run(ctx context.Context) {
	for c.pause(ctx, c.most) {
		c.fault(ctx)
	}
}

func (c *chaos) fault(ctx context.Context) {
	g := c.w.regions[c.rand.IntN(len(c.w.regions))]
	switch n := c.rand.IntN(100); {
	case n < 35:
		c.did["kill "+g.name]++
		c.bounce(ctx, g.syncer, g.syncer.kill)
	case n < 42:
		c.did["end "+g.name]++
		c.bounce(ctx, g.syncer, func() {
			if err := g.syncer.end(20 * time.Second); err != nil {
				c.w.t.Error(err)
			}
		})
	case n < 55:
		c.did["kill bus"]++
		c.bounce(ctx, c.w.bus, c.w.bus.kill)
	case n < 58:
		c.did["stop "+g.name]++
		c.freeze(ctx, g.syncer)
	case n < 66:
		c.twin(ctx, g.syncer)
	case n < 70:
		c.did["lose the ledger of "+g.name]++
		c.bounce(ctx, g.syncer, func() { c.lose(g.syncer) })
	case n < 96:
		c.cut(ctx)
	default:
		c.restart(g)
	}
}

// bounce ends a process in some way and starts it again.
func (c *chaos) bounce(ctx context.Context, p *process, end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	end()
	c.pause(ctx, 400*time.Millisecond)
	if err := p.start(); err != nil {
		c.w.t.Error(err)
	}
}

// freeze stops a process where it stands, with its locks and connections.
func (c *chaos) freeze(ctx context.Context, p *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signal(syscall.SIGSTOP)
	c.pause(ctx, 1500*time.Millisecond)
	p.signal(syscall.SIGCONT)
}

// cut makes some lines fail for a while.
func (c *chaos) cut(ctx context.Context) {
	lines := c.w.lines()
	state := lineCut
	if c.rand.IntN(2) == 0 {
		state = lineSilent
	}
	var hit []*line
	for range 1 + c.rand.IntN(2) {
		l := lines[c.rand.IntN(len(lines))]
		c.did["cut "+l.name]++
		l.set(state)
		hit = append(hit, l)
	}
	c.pause(ctx, 1500*time.Millisecond)
	for _, l := range hit {
		l.set(lineOpen)
	}
}

// lose kills the process and takes its ledger away, or leaves a part of it.
func (c *chaos) lose(p *process) {
	p.kill()
	var err error
	if c.rand.IntN(2) == 0 {
		err = os.Remove(p.role.ledger())
	} else {
		err = os.Truncate(p.role.ledger(), 1000)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		c.w.t.Error(err)
	}
}

// twin stops a process where it stands, puts another in its place, with a copy of its ledger, and then lets the first go
// on: one of them must find out that it is no longer wanted, and nothing that it does after that may count. Afterwards a
// third takes over from the second.
func (c *chaos) twin(ctx context.Context, p *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a, err := p.status(); err != nil || !a.Status.Ready {
		return // it has not claimed its shards yet
	}
	old := p.run
	p.signal(syscall.SIGSTOP)
	old.want()
	c.twins++
	c.did["twin of "+p.name]++
	was := p.role.ledger()
	p.role.Directory = fmt.Sprintf("%s-%d%d", p.role.Directory, c.number, c.twins)
	if err := errors.Join(os.MkdirAll(p.role.Directory, 0o750), copyFile(was, p.role.ledger()), p.start()); err != nil {
		c.w.t.Error(err)
		return
	}
	p.run.want()
	c.pause(ctx, 1500*time.Millisecond)
	_ = old.cmd.Process.Signal(syscall.SIGCONT)
	timer := time.NewTimer(3 * time.Second)
	defer timer.Stop()
	select {
	case <-old.ended:
		c.did["a twin gave up"]++
	case <-p.run.ended:
		c.did["a twin gave up"]++
	case <-timer.C: // there was nothing to do for it
	}
	_ = old.cmd.Process.Signal(syscall.SIGKILL)
	<-old.ended
	p.kill()
	if err := p.start(); err != nil {
		c.w.t.Error(err)
	}
}

// copyFile copies a file; one that is not there is left out.
func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}

// restarting is held by the one that restarts a database: that takes seconds, and one at a time is enough.
var restarting sync.Mutex

func (c *chaos) restart(g *region) {
	if !restarting.TryLock() {
		return
	}
	defer restarting.Unlock()
	if c.rand.IntN(2) == 0 {
		c.did["kill the database of "+g.name]++
		g.db.Kill()
		g.db.Start()
		return
	}
	c.did["restart the database of "+g.name]++
	g.db.Restart()
}
