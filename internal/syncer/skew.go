package syncer

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// skewWindow is how many heartbeats of a region the least delay is taken from: a minute's worth.
const skewWindow = 60

// Skew measures how far the regions' database clocks are apart, from heartbeats on the bus, as NTP does: the least delay
// seen in one direction and in the other differ by twice the difference of the clocks.
//
// It is fed with the database's own time at both ends, since that is what the versions are made of.
type Skew struct {
	here string
	most time.Duration

	mu     sync.Mutex
	delays map[string][]time.Duration          // received minus sent, newest last, by the region that sent
	theirs map[string]map[string]time.Duration // what the others have observed, by observer and sender
}

// NewSkew makes the measure of a region; most is how far apart the clocks may be.
func NewSkew(here string, most time.Duration) *Skew {
	return &Skew{here: here, most: most, delays: map[string][]time.Duration{}, theirs: map[string]map[string]time.Duration{}}
}

// Heard takes a heartbeat: when it was sent and received, and what its sender has observed of the others.
func (s *Skew) Heard(region string, sent, received time.Time, observed map[string]time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delays[region] = append(s.delays[region], received.Sub(sent))
	if n := len(s.delays[region]); n > skewWindow {
		s.delays[region] = slices.Delete(s.delays[region], 0, n-skewWindow)
	}
	s.theirs[region] = observed
}

// Observed gives the least delay from each region, to be told to the others.
func (s *Skew) Observed() map[string]time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	least := map[string]time.Duration{}
	for region, d := range s.delays {
		least[region] = slices.Min(d)
	}
	return least
}

// Ahead gives how far each other region's clock is ahead of this one's, of those that have been measured both ways.
func (s *Skew) Ahead() map[string]time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ahead()
}

func (s *Skew) ahead() map[string]time.Duration {
	ahead := map[string]time.Duration{}
	for region, d := range s.delays {
		if there, ok := s.theirs[region][s.here]; ok {
			ahead[region] = (there - slices.Min(d)) / 2
		}
	}
	return ahead
}

// Off tells whether this region's clock is the one that is off, and by how much: it is further than allowed from the
// median of all clocks. Of two regions the one ahead is off: its writes would win every conflict. One bad clock must not.
func (s *Skew) Off() (by time.Duration, off bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clocks := append(slices.Collect(maps.Values(s.ahead())), 0)
	if len(clocks) < 2 {
		return 0, false
	}
	slices.Sort(clocks)
	by = -clocks[(len(clocks)-1)/2]
	return by, by.Abs() > s.most
}
