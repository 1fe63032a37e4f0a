package retry

import (
	"context"
	"fmt"
	"time"
)

// ExhaustedError is what Do returns when all of the policy's attempts have failed.
type ExhaustedError struct {
	Attempts int
	Err      error // of the last attempt
}

// Error implements error.
func (e *ExhaustedError) Error() string {
	return fmt.Sprintf("%d attempts failed, the last with: %v", e.Attempts, e.Err)
}

// Unwrap gives the last attempt's error.
func (e *ExhaustedError) Unwrap() error { return e.Err }

// Do calls f until it returns nil, as the policy says. It returns
//   - nil once f has;
//   - f's error unchanged, if the policy's Retry says that it is not worth another attempt;
//   - an *ExhaustedError after the last attempt;
//   - an error that wraps both the context's cause and f's last error, if the context ended. f is not called
//     with a context that has ended.
func Do(ctx context.Context, p Policy, clock Clock, f func(context.Context) error) error {
	b := Backoff{policy: p, clock: clock}
	for {
		if ctx.Err() != nil {
			return b.ended(ctx)
		}
		b.Begin()
		err := f(ctx)
		if err == nil {
			return nil
		}
		if err = b.Failed(ctx, err); err != nil {
			return err
		}
	}
}

// Backoff counts the failures of one thing that is tried again and again. It is for loops that cannot hand their work to
// Do as a function: call Failed or Succeeded after each attempt, and Begin before those that do not follow at once on
// what was before them (NewBackoff, or a wait in Failed). It belongs to one goroutine.
type Backoff struct {
	policy   Policy
	clock    Clock
	began    time.Time
	failures int
	last     error
}

// NewBackoff makes a Backoff with no failures yet. The first attempt begins now.
func NewBackoff(p Policy, clock Clock) *Backoff {
	return &Backoff{policy: p, clock: clock, began: clock.Now()}
}

// Begin marks the start of an attempt.
func (b *Backoff) Begin() { b.began = b.clock.Now() }

// Succeeded forgets the failures: the next wait is the first again.
func (b *Backoff) Succeeded() { b.failures, b.last = 0, nil }

// Failures is how many attempts in a row have failed.
func (b *Backoff) Failures() int { return b.failures }

// Failed waits as long as the policy says and returns nil when it is time for another attempt. Otherwise it returns what
// Do would return.
func (b *Backoff) Failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		b.last = err
		return b.ended(ctx)
	}
	if b.policy.Retry != nil && !b.policy.Retry(err) {
		return err
	}
	if b.policy.Settled > 0 && b.clock.Now().Sub(b.began) >= b.policy.Settled {
		b.failures = 0
	}
	b.failures++
	b.last = err
	if b.policy.Attempts > 0 && b.failures >= b.policy.Attempts {
		return &ExhaustedError{Attempts: b.failures, Err: err}
	}
	wait := b.policy.Wait(b.failures)
	if b.policy.Notify != nil {
		b.policy.Notify(err, b.failures, wait)
	}
	if b.clock.Sleep(ctx, wait) != nil {
		return b.ended(ctx)
	}
	b.Begin()
	return nil
}

func (b *Backoff) ended(ctx context.Context) error {
	if b.last == nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("no further attempt: %w; the last one failed with: %w", context.Cause(ctx), b.last)
}
