package syncer_test

import (
	"sync"
	"testing"
	"time"
)

// gates hold a syncer at named steps: a test arms a gate, waits until the syncer has come to it, does what it has to do
// meanwhile, and opens it. A gate holds the first that comes, once.
type gates struct {
	t  *testing.T
	mu sync.Mutex
	by map[string]*gate
}

type gate struct {
	name    string
	t       *testing.T
	arrived chan struct{}
	open    chan struct{}
	once    sync.Once
}

func newGates(t *testing.T) *gates { return &gates{t: t, by: map[string]*gate{}} }

// arm makes the next that comes to the step wait.
func (g *gates) arm(step string) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := &gate{name: step, t: g.t, arrived: make(chan struct{}), open: make(chan struct{})}
	g.by[step] = a
	g.t.Cleanup(a.release)
	return a
}

// reached is syncer.Config.Reached.
func (g *gates) reached(step string) {
	g.mu.Lock()
	a := g.by[step]
	delete(g.by, step)
	g.mu.Unlock()
	if a != nil {
		close(a.arrived)
		<-a.open
	}
}

// wait waits until somebody is held.
func (a *gate) wait() {
	a.t.Helper()
	select {
	case <-a.arrived:
	case <-time.After(time.Minute):
		a.t.Fatalf("nobody came to %s", a.name)
	}
}

// empty fails the test when somebody has come.
func (a *gate) empty(why string) {
	a.t.Helper()
	select {
	case <-a.arrived:
		a.t.Errorf("%s was reached: %s", a.name, why)
	default:
	}
}

func (a *gate) release() { a.once.Do(func() { close(a.open) }) }
