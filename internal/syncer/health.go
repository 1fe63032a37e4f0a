package syncer

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"meridian/internal/propagate"
)

// Health is what the process knows of how it is doing, for /readyz and /v1/status.
type Health struct {
	mu        sync.Mutex
	troubles  map[string]string // by component: what keeps it from working, in words
	captured  map[int]time.Time // by owned shard: everything committed up to this time is on the bus, acknowledged
	unwritten map[int]string    // by owned shard: why the bus does not acknowledge
	sources   map[string]*sourceHealth
	stats     Totals
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
	h := &Health{troubles: map[string]string{}, captured: map[int]time.Time{}, unwritten: map[int]string{}, sources: map[string]*sourceHealth{}}
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

// setCaptured notes that everything committed up to a time is on the bus, as far as a shard goes: the bus has acknowledged the
// watermark that says so.
func (h *Health) setCaptured(shard int, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.captured[shard] = at
}

// setPublishing notes why the bus does not acknowledge what is sent to a shard's partition; nil when it does.
func (h *Health) setPublishing(shard int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		delete(h.unwritten, shard)
		return
	}
	h.unwritten[shard] = err.Error()
}

// captureLag is how far what is on the bus is behind the database; false before all owned shards have caught up once.
func (h *Health) captureLag(shards int, now time.Time) (time.Duration, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return behind(h.captured, shards, now)
}

// behind is the age of the oldest of the shards' times; false before there is one of each.
func behind(times map[int]time.Time, shards int, now time.Time) (time.Duration, bool) {
	if len(times) < shards {
		return 0, false
	}
	oldest := now
	for _, t := range times {
		if t.Before(oldest) {
			oldest = t
		}
	}
	return now.Sub(oldest), true
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
	if s == nil {
		return 0, false
	}
	return behind(s.heard, shards, now)
}

// lags gives by how many seconds the region is behind its sources, of those that it has heard from.
func (h *Health) lags(sources []string, shards int, now time.Time) map[string]float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	by := map[string]float64{}
	for _, name := range sources {
		if lag, ok := h.lag(name, shards, now); ok {
			by[name] = lag.Seconds()
		}
	}
	return by
}

// reasons says why the process is not ready; none: it is.
func (h *Health) reasons(shards int, now time.Time, most time.Duration) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []string
	for _, c := range slices.Sorted(maps.Keys(h.troubles)) {
		list = append(list, c+": "+h.troubles[c])
	}
	if shards := slices.Sorted(maps.Keys(h.unwritten)); len(shards) > 0 {
		list = append(list, fmt.Sprintf("publish: the bus does not acknowledge shard %d: %s", shards[0], h.unwritten[shards[0]]))
	}
	switch lag, ok := behind(h.captured, shards, now); {
	case !ok:
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
