package storm_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"meridian/internal/inspect"
	"meridian/internal/retry"
	"meridian/internal/verify"
)

// asked is a region's process as a verifier asks it: whichever life of it runs just now.
type asked struct{ p *process }

var errNotNow = errors.New("the process is being seen to")

func (a asked) now() (inspect.Region, error) {
	if !a.p.mu.TryLock() {
		return nil, errNotNow
	}
	r := a.p.run
	a.p.mu.Unlock()
	if r == nil {
		return nil, fmt.Errorf("%s does not run", a.p.name)
	}
	select {
	case <-r.started:
		return inspect.NewClient("http://"+r.address, asking, nil), nil
	default:
		return nil, fmt.Errorf("%s starts", a.p.name)
	}
}

func (a asked) Overview(ctx context.Context) (*inspect.Overview, error) {
	r, err := a.now()
	if err != nil {
		return nil, err
	}
	return r.Overview(ctx)
}

func (a asked) Buckets(ctx context.Context, table string, shard int) (*inspect.Buckets, error) {
	r, err := a.now()
	if err != nil {
		return nil, err
	}
	return r.Buckets(ctx, table, shard)
}

func (a asked) Entries(ctx context.Context, q inspect.EntriesQuestion) (*inspect.Entries, error) {
	r, err := a.now()
	if err != nil {
		return nil, err
	}
	return r.Entries(ctx, q)
}

func (a asked) Rows(ctx context.Context, table string, keys []inspect.KeyRef) (*inspect.Rows, error) {
	r, err := a.now()
	if err != nil {
		return nil, err
	}
	return r.Rows(ctx, table, keys)
}

// verifier compares the regions of this world.
func (w *world) verifier(window time.Duration) *verify.Verifier {
	cluster := verify.Cluster{}
	for _, g := range w.regions {
		cluster[g.name] = []inspect.Region{asked{g.syncer}}
	}
	return &verify.Verifier{Cluster: cluster, Window: window, Pause: 50 * time.Millisecond, Clock: retry.System{}}
}

func (w *world) mine(table string) bool { return strings.HasPrefix(table, w.schema+".") }

// compareThrough compares again and again until the context ends. Whatever goes on, nothing that is on its way is drift.
func (w *world) compareThrough(ctx context.Context) {
	const window = 2 * time.Second
	v := w.verifier(window)
	known, all := 0, 0
	why := map[string]int{}
	rest := time.NewTicker(200 * time.Millisecond)
	defer rest.Stop()
	for ctx.Err() == nil {
		result, err := v.Compare(ctx, w.mine)
		if err != nil {
			break // the context's
		}
		select {
		case <-rest.C:
		case <-ctx.Done():
		}
		all++
		for _, u := range result.Unreachable {
			why[u.Region+": "+u.Reason]++
		}
		if len(result.Unreachable) == 0 {
			known++
		}
		for _, f := range result.Drift {
			w.t.Errorf("a false alarm: %s %v is %s: %+v", f.Table, f.Key, f.Kind, f)
		}
	}
	w.t.Logf("compared %d times, %d of them with all regions there; else: %v", all, known, why)
}

// compareAtRest compares once more, with everything settled: all is equal, and nobody has found a row that was changed past
// the binlog.
func (w *world) compareAtRest() {
	w.t.Helper()
	v := w.verifier(patience)
	w.until("all regions have been compared", patience, func() error {
		result, err := v.Compare(w.t.Context(), w.mine)
		switch {
		case err != nil:
			return err
		case result.Equal == nil:
			return fmt.Errorf("it is not known whether they are equal: %+v", result)
		case !*result.Equal:
			w.t.Errorf("at rest the regions differ: %+v", result)
		}
		return nil
	})
	for _, g := range w.regions {
		a, err := g.syncer.status()
		if err != nil {
			w.t.Error(err)
			continue
		}
		for _, p := range a.Status.Scrub {
			if len(p.Found) > 0 {
				w.t.Errorf("%s takes %v rows of %s for changed past the binlog", g.name, p.Found, p.Table)
			}
		}
	}
}
