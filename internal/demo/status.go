package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// status is what a region's syncer says of itself on /v1/status.
type status struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons"`
	Capture struct {
		LagSeconds   float64 `json:"lag_seconds"`
		PendingBytes int     `json:"pending_bytes"`
	} `json:"capture"`
	Sources []struct {
		Source     string  `json:"source"`
		LagSeconds float64 `json:"lag_seconds"` // below 0: not heard from yet
		Applied    uint64  `json:"applied"`
		Lost       uint64  `json:"lost"`
		Error      string  `json:"error"`
	} `json:"sources"`
	Parked     uint64 `json:"parked"`
	Dead       uint64 `json:"dead"`
	Rejected   uint64 `json:"rejected"`
	LedgerRows uint64 `json:"ledger_rows"`
	Conflicts  uint64 `json:"conflicts"`

	asked time.Time // before it was answered
	err   error     // why there is no answer; everything else is then zero
}

// lag is how old the oldest change of another region may be that is not here yet; false if a region was not heard from.
func (s *status) lag() (time.Duration, bool) {
	worst, known := 0.0, s.err == nil
	for i := range s.Sources {
		known = known && s.Sources[i].LagSeconds >= 0
		worst = max(worst, s.Sources[i].LagSeconds)
	}
	return time.Duration(worst * float64(time.Second)), known
}

// misses tells whether the region cannot read what comes from another one.
func (s *status) misses() bool {
	for i := range s.Sources {
		if s.Sources[i].Error != "" {
			return true
		}
	}
	return false
}

func (s *status) applied() (n uint64) {
	for i := range s.Sources {
		n += s.Sources[i].Applied
	}
	return n
}

func (s *status) lost() (n uint64) {
	for i := range s.Sources {
		n += s.Sources[i].Lost
	}
	return n
}

// includes tells whether everything that was committed anywhere before that moment is published and is applied here. The
// clocks are one: everything runs on this machine.
func (s *status) includes(moment time.Time) bool {
	captured := s.asked.Add(-time.Duration(s.Capture.LagSeconds * float64(time.Second)))
	return s.Ready && s.Capture.PendingBytes == 0 && captured.After(moment) && s.hears(moment)
}

// hears tells whether everything that was committed in the other regions before that moment is applied here.
func (s *status) hears(moment time.Time) bool {
	lag, known := s.lag()
	return known && s.asked.Add(-lag).After(moment)
}

// state is one or few words on how the region is doing.
func (s *status) state() string {
	switch {
	case s.err != nil:
		return "no answer"
	case s.Ready:
		return "ready"
	case len(s.Reasons) > 0:
		return s.Reasons[0]
	default:
		return "not ready"
	}
}

// snapshot is what all regions said at about the same time, in the order of the regions.
type snapshot []status

// every makes a condition on all regions of one on each.
func every(holds func(*status) bool) func(snapshot) bool {
	return func(s snapshot) bool {
		for i := range s {
			if !holds(&s[i]) {
				return false
			}
		}
		return len(s) > 0
	}
}

// watch asks all regions again and again, and lets others wait for what they say.
type watch struct {
	regions []*region
	client  *http.Client
	token   string

	mu     sync.Mutex
	latest snapshot
	news   chan struct{} // closed and replaced with each snapshot
}

// interval is how often the regions are asked.
const interval = 250 * time.Millisecond

func newWatch(regions []*region, token string) *watch {
	const timeout = 3 * time.Second
	return &watch{regions: regions, token: token, client: &http.Client{Timeout: timeout, Transport: &http.Transport{}}, news: make(chan struct{})}
}

// run asks until ctx ends and shows each snapshot.
func (w *watch) run(ctx context.Context, show func(snapshot)) {
	defer w.client.CloseIdleConnections()
	clock := time.NewTicker(interval)
	defer clock.Stop()
	for {
		now := w.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		w.mu.Lock()
		w.latest = now
		close(w.news)
		w.news = make(chan struct{})
		w.mu.Unlock()
		show(now)
		select {
		case <-clock.C:
		case <-ctx.Done():
			return
		}
	}
}

func (w *watch) ask(ctx context.Context) snapshot {
	all := make(snapshot, len(w.regions))
	var asking sync.WaitGroup
	for i, r := range w.regions {
		asking.Go(func() { all[i] = w.askOne(ctx, r) })
	}
	asking.Wait()
	return all
}

func (w *watch) askOne(ctx context.Context, r *region) status {
	asked := time.Now()
	fail := func(err error) status { return status{asked: asked, err: err} }
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.admin.Address()+"/v1/status", nil)
	if err != nil {
		return fail(err)
	}
	request.Header.Set("Authorization", "Bearer "+w.token)
	response, err := w.client.Do(request)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = response.Body.Close() }() // it has been read
	var document struct {
		Regions []status `json:"regions"`
	}
	if err := json.NewDecoder(response.Body).Decode(&document); err != nil {
		return fail(fmt.Errorf("%s: %w", response.Status, err))
	}
	if len(document.Regions) != 1 {
		return fail(fmt.Errorf("%s: it speaks for %d regions", response.Status, len(document.Regions)))
	}
	s := document.Regions[0]
	s.asked = asked
	return s
}

// now is the latest snapshot, and what is closed when there is a newer one.
func (w *watch) now() (snapshot, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.latest, w.news
}

// timeoutError says what did not happen in time, and what the regions said last.
type timeoutError struct {
	what  string
	after time.Duration
	said  []string
}

func (e *timeoutError) Error() string {
	return fmt.Sprintf("after %v %s is still not so: %s", e.after, e.what, strings.Join(e.said, "; "))
}

// wait waits until the regions are as wanted, for so long.
func (w *watch) wait(ctx context.Context, what string, most time.Duration, holds func(snapshot) bool) error {
	end := time.NewTimer(most)
	defer end.Stop()
	for {
		last, news := w.now()
		if holds(last) {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-end.C:
			return &timeoutError{what: what, after: most, said: w.said(last)}
		}
	}
}

func (w *watch) said(last snapshot) []string {
	var said []string
	for i := range last {
		s := &last[i]
		lag, _ := s.lag()
		text := fmt.Sprintf("%s: %s, %v behind", w.regions[i].name, s.state(), lag.Round(time.Millisecond))
		if s.err != nil {
			text = fmt.Sprintf("%s: %v", w.regions[i].name, s.err)
		}
		said = append(said, text)
	}
	return said
}
