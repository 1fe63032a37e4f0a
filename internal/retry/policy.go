package retry

import (
	"math/rand/v2"
	"time"
)

// Policy is how long to wait between attempts, and when to stop. The zero Policy tries again at once, for ever, which is
// never wanted: set Base and Max.
type Policy struct {
	// Base is the wait after the first failure; every further failure in a row doubles it.
	Base time.Duration
	// Max caps a single wait; zero caps nothing.
	Max time.Duration
	// Jitter is the share of each wait that is drawn at random, from 0 (none) to 1 (a wait of anything between nothing
	// and its full length). It keeps workers that failed together from coming back together.
	Jitter float64
	// Attempts is how often to try in all; zero tries until it succeeds or the context ends.
	Attempts int
	// Settled is how long an attempt must have lasted for its failure to count as a new one, after which waits start at
	// Base again and attempts at one: a stream that ran for an hour did not fail to start. Zero: every failure counts.
	Settled time.Duration
	// Retry tells whether an error is worth another attempt; nil means every error is.
	Retry func(error) bool
	// Notify, if set, is told of each failure that is followed by another attempt: how many there were in a row and how
	// long the wait will be. It is where retries are counted and logged.
	Notify func(err error, failures int, wait time.Duration)
	// Random gives numbers in [0,1); nil means math/rand.
	Random func() float64
}

// Wait gives the pause after so many failures in a row, counted from 1.
func (p Policy) Wait(failures int) time.Duration {
	wait := p.Base
	for i := 1; i < failures && wait > 0; i++ {
		if wait > maxDuration/2 {
			wait = maxDuration
			break
		}
		wait *= 2
		if p.Max > 0 && wait >= p.Max {
			break
		}
	}
	if p.Max > 0 && wait > p.Max {
		wait = p.Max
	}
	if p.Jitter > 0 {
		random := p.Random
		if random == nil {
			random = rand.Float64
		}
		jitter := min(p.Jitter, 1)
		wait -= time.Duration(float64(wait) * jitter * random())
	}
	return max(wait, 0)
}

const maxDuration = time.Duration(1<<63 - 1)
