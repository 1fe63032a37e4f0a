package checksum

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"meridian/internal/mysqldb"
)

// ErrOtherServer is returned by WaitPassed when the coordinates are of another server than the one that the tailer
// reads: coordinates of two servers cannot be compared. The database failed over; connect again and take new ones.
var ErrOtherServer = errors.New("the binlog coordinates are of another server than the one being read")

// SourceShard names one partition of one region's topic.
type SourceShard struct {
	Source string
	Shard  int
}

// frontier is how far the ledger has come: the binlog coordinates up to which every transaction is in it, and the
// offsets of the other regions' topics up to which their changes are. It wakes those who wait for it to pass a place.
//
// Invariant: coordinates move only after every entry of every transaction that ends at or before them has been written.
// The fence (propagate) rests on it.
//
// Lock order: the ledger's lock before the frontier's.
type frontier struct {
	mu      sync.Mutex
	at      mysqldb.Coordinates
	known   bool
	applied map[SourceShard]uint64
	waiting map[*waiter]struct{}
}

type waiter struct {
	ready func() (bool, error) // called with the frontier's lock held
	done  chan error
}

func newFrontier() *frontier {
	return &frontier{applied: map[SourceShard]uint64{}, waiting: map[*waiter]struct{}{}}
}

func (f *frontier) pass(at mysqldb.Coordinates, applied map[SourceShard]uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at.File != "" {
		f.at, f.known = at, true
	}
	for k, v := range applied {
		f.applied[k] = v
	}
	for w := range f.waiting {
		if ok, err := w.ready(); ok || err != nil {
			delete(f.waiting, w)
			w.done <- err
		}
	}
}

func (f *frontier) wait(ctx context.Context, ready func() (bool, error)) error {
	f.mu.Lock()
	if ok, err := ready(); ok || err != nil {
		f.mu.Unlock()
		return err
	}
	w := &waiter{ready: ready, done: make(chan error, 1)}
	f.waiting[w] = struct{}{}
	f.mu.Unlock()
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		f.mu.Lock()
		delete(f.waiting, w)
		f.mu.Unlock()
		return ctx.Err()
	}
}

// Pass tells that every transaction that ends at or before these coordinates is in the ledger, and up to which offsets
// (next offset) the replayed ones bring it. Coordinates without a file leave the place as it is. committed is the commit's
// time in microseconds, 0 if there was none. Called by the writer.
func (l *Ledger) Pass(at mysqldb.Coordinates, applied map[SourceShard]uint64, committed int64) {
	if committed > l.latest.Load() {
		l.latest.Store(committed)
	}
	l.frontier.pass(at, applied)
}

// Passed gives the coordinates of the last Pass; false before the first.
func (l *Ledger) Passed() (mysqldb.Coordinates, bool) {
	l.frontier.mu.Lock()
	defer l.frontier.mu.Unlock()
	return l.frontier.at, l.frontier.known
}

// WaitPassed waits until every transaction that ends at or before the coordinates is in the ledger. It returns
// ErrOtherServer when the tailer reads another server, and the context's error when that ends first.
func (l *Ledger) WaitPassed(ctx context.Context, at mysqldb.Coordinates) error {
	f := l.frontier
	err := f.wait(ctx, func() (bool, error) {
		if !f.known {
			return false, nil
		}
		if f.at.Server != at.Server {
			return false, fmt.Errorf("%w: they are of %s, the tailer reads %s", ErrOtherServer, at.Server, f.at.Server)
		}
		return f.at.Compare(at) >= 0, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the tailer to pass %s: %w", at, err)
	}
	return nil
}

// Applied gives the next offset of the source's topic that the ledger does not include yet, 0 if nothing is known.
func (l *Ledger) Applied(source string, shard int) uint64 {
	l.frontier.mu.Lock()
	defer l.frontier.mu.Unlock()
	return l.frontier.applied[SourceShard{source, shard}]
}

// PassControl tells that from committed, which the ledger includes, up to next the source's topic has only control
// records: the ledger includes the topic up to there. Called by the one who applies the shard, with nothing of his under
// way.
func (l *Ledger) PassControl(source string, shard int, committed, next uint64) {
	f, at := l.frontier, SourceShard{source, shard}
	f.mu.Lock()
	defer f.mu.Unlock()
	if has := f.applied[at]; has >= committed && has < next {
		f.applied[at] = next
	}
}

// WaitApplied waits until the ledger includes the source's changes before offset next.
func (l *Ledger) WaitApplied(ctx context.Context, source string, shard int, next uint64) error {
	f := l.frontier
	err := f.wait(ctx, func() (bool, error) { return f.applied[SourceShard{source, shard}] >= next, nil })
	if err != nil {
		return fmt.Errorf("waiting for the tailer to pass offset %d of %s, shard %d: %w", next, source, shard, err)
	}
	return nil
}

func (f *frontier) copyApplied() map[SourceShard]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := make(map[SourceShard]uint64, len(f.applied))
	for k, v := range f.applied {
		c[k] = v
	}
	return c
}
