package storm_test

import (
	"context"
	"math/rand/v2"
	"syscall"
	"time"
)

// chaos does what goes wrong in a data centre, one thing at a time; two of them run at once.
type chaos struct {
	w     *world
	rand  *rand.Rand
	most  time.Duration // between two faults
	did   map[string]int
	rough bool // databases are killed, too
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
	case n < 63:
		c.did["stop "+g.name]++
		c.freeze(ctx, g.syncer)
	case n < 95:
		c.cut(ctx)
	default:
		c.did["database "+g.name]++
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

func (c *chaos) restart(g *region) {
	g.busy.Lock()
	defer g.busy.Unlock()
	if c.rough && c.rand.IntN(2) == 0 {
		g.db.Kill()
		g.db.Start()
		return
	}
	g.db.Restart()
}
