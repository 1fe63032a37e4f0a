package syncer

import (
	"maps"
	"slices"
	"sync"
	"time"

	"meridian/internal/propagate"
)

// Health is what the process knows of how it is doing, for /readyz and /v1/status.
type Health struct {
	mu       sync.Mutex
	troubles map[string]string // by component: what keeps it from working, in words
	captured time.Time         // everything committed up to this time is in the topic
	sources  map[string]*sourceHealth
	stats    Totals
}

// Totals are counts since the process began.
type Totals struct {
	Conflicts uint64
	Applied   uint64
}

type sourceHealth struct {
	heard    map[int]time.Time // by shard: everything up to this time is applied
	progress map[int]propagate.Progress
	counts   map[int]propagate.Counts // since the process began
}

func newHealth(sources []string) *Health {
	h := &Health{troubles: map[string]string{}, sources: map[string]*sourceHealth{}}
	for _, s := range sources {
		h.sources[s] = &sourceHealth{heard: map[int]time.Time{}, progress: map[int]propagate.Progress{}, counts: map[int]propagate.Counts{}}
	}
	return h
}

// trouble notes what keeps a component from working; nil clears it.
func (h *Health) trouble(component string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		delete(h.troubles, component)
		return
	}
	h.troubles[component] = err.Error()
}

// setCaptured notes that everything committed up to a time is in the topic. What kept capture from working is over then.
func (h *Health) setCaptured(at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.captured = at
	delete(h.troubles, "capture")
}

// captureLag is how far capture is behind the database; false before it has caught up once.
func (h *Health) captureLag(now time.Time) (time.Duration, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.Sub(h.captured), !h.captured.IsZero()
}

func (h *Health) setHeard(source string, shard int, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.sources[source]; s != nil && at.After(s.heard[shard]) {
		s.heard[shard] = at
	}
}

func (h *Health) setProgress(p propagate.Progress) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.sources[p.Source]; s != nil {
		s.progress[p.Shard] = p
	}
}

// unread is what keeps the source's changes from being read: first what does not pass by itself, in whatever shard.
func (s *sourceHealth) unread() error {
	var first error
	for _, shard := range slices.Sorted(maps.Keys(s.progress)) {
		p := s.progress[shard]
		if p.Stuck() {
			return p.Err
		}
		if first == nil {
			first = p.Err
		}
	}
	return first
}

func (h *Health) count(r *propagate.Report) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.sources[r.Source]
	c := s.counts[r.Shard]
	c.Add(r.Counts)
	s.counts[r.Shard] = c
	h.stats.Conflicts += uint64(len(r.Conflicts))
	h.stats.Applied += r.Counts.Applied
}

// lag is the age of the oldest change of the source that may not be applied yet, over the shards; false before every
// shard has heard from the source.
func (h *Health) lag(source string, shards int, now time.Time) (time.Duration, bool) {
	s := h.sources[source]
	if s == nil || len(s.heard) < shards {
		return 0, false
	}
	oldest := now
	for _, t := range s.heard {
		if t.Before(oldest) {
			oldest = t
		}
	}
	return now.Sub(oldest), true
}

// reasons says why the process is not ready; none: it is.
func (h *Health) reasons(shards int, now time.Time, most time.Duration) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []string
	for _, c := range slices.Sorted(maps.Keys(h.troubles)) {
		list = append(list, c+": "+h.troubles[c])
	}
	switch lag := now.Sub(h.captured); {
	case h.captured.IsZero():
		list = append(list, "capture: has not caught up with the binlog yet")
	case lag > most:
		list = append(list, "capture: "+lag.Round(time.Millisecond).String()+" behind the database (limits.ready_max_lag is "+most.String()+")")
	}
	for _, name := range slices.Sorted(maps.Keys(h.sources)) {
		if err := h.sources[name].unread(); err != nil {
			list = append(list, "source "+name+": "+err.Error())
		}
		switch lag, ok := h.lag(name, shards, now); {
		case !ok:
			list = append(list, "source "+name+": not heard from yet")
		case lag > most:
			list = append(list, "source "+name+": "+lag.Round(time.Millisecond).String()+" behind (limits.ready_max_lag is "+most.String()+")")
		}
	}
	return list
}
