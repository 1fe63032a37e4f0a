package main

import (
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"meridian/internal/command"
	"meridian/internal/console"
	"meridian/internal/verify"
)

// compareProgress shows how far a comparison is: one line that is written over on a terminal, one line a while in a log.
type compareProgress struct {
	p        *command.Process
	terminal bool

	mu    sync.Mutex
	last  time.Time
	shown bool
}

func newCompareProgress(p *command.Process) *compareProgress {
	return &compareProgress{p: p, terminal: console.IsTerminal(p.Stderr), last: time.Now()}
}

func (c *compareProgress) show(at verify.Progress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	every := progressInLog
	if c.terminal {
		every = progressOnTerminal
	}
	now := time.Now()
	if now.Sub(c.last) < every {
		return
	}
	c.last = now
	if !c.terminal {
		c.p.Logger.Info("comparing", zap.String("table", at.Table), zap.Int("shard", at.Shard), zap.Int("of", at.Shards), zap.Int("in_flight", at.Pending))
		return
	}
	c.shown = true
	text := fmt.Sprintf("%s: shard %d of %d", at.Table, at.Shard+1, at.Shards)
	if at.Table == "" {
		text = fmt.Sprintf("%d rows are in flight, as far as is known", at.Pending)
	}
	_, _ = fmt.Fprintf(c.p.Stderr, "\r\x1b[K%s", text) // nobody is left to tell that stderr is gone
}

func (c *compareProgress) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shown {
		_, _ = fmt.Fprint(c.p.Stderr, "\r\x1b[K") // as above
	}
}
