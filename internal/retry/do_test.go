package retry_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"meridian/internal/retry"
)

var errFault = errors.New("fault")

func TestPolicy_WaitDoublesUpToItsCap(t *testing.T) {
	p := retry.Policy{Base: 10 * time.Millisecond, Max: 75 * time.Millisecond}
	var got []time.Duration
	for n := 1; n <= 6; n++ {
		got = append(got, p.Wait(n)/time.Millisecond)
	}
	if want := []time.Duration{10, 20, 40, 75, 75, 75}; !slices.Equal(got, want) {
		t.Errorf("waits are %v ms, want %v", got, want)
	}
	if got := (retry.Policy{Base: time.Hour}).Wait(1000); got <= time.Hour {
		t.Errorf("without a cap the wait overflowed to %v", got)
	}
	if got := (retry.Policy{Base: time.Minute, Max: time.Second}).Wait(1); got != time.Second {
		t.Errorf("the first wait is %v, above the cap of 1s", got)
	}
}

func TestPolicy_JitterTakesItsShareAndNoMore(t *testing.T) {
	for _, c := range []struct {
		jitter, random float64
		want           time.Duration
	}{
		{0, 0.9, 100}, {0.5, 0, 100}, {0.5, 0.5, 75}, {1, 0.25, 75}, {1, 1, 0}, {7, 1, 0},
	} {
		p := retry.Policy{Base: 100, Jitter: c.jitter, Random: func() float64 { return c.random }}
		if got := p.Wait(1); got != c.want {
			t.Errorf("jitter %v, random %v: wait is %d, want %d", c.jitter, c.random, got, c.want)
		}
	}
}

func TestDo_TriesUntilItSucceedsAndWaitsInBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, calls := time.Now(), 0
		var told []int
		p := retry.Policy{Base: time.Second, Max: 3 * time.Second, Notify: func(_ error, n int, _ time.Duration) { told = append(told, n) }}
		err := retry.Do(t.Context(), p, retry.System{}, func(context.Context) error {
			if calls++; calls < 5 {
				return errFault
			}
			return nil
		})
		if err != nil || calls != 5 {
			t.Fatalf("got %v after %d calls", err, calls)
		}
		if got := time.Since(start); got != (1+2+3+3)*time.Second {
			t.Errorf("waited %v in all", got)
		}
		if !slices.Equal(told, []int{1, 2, 3, 4}) {
			t.Errorf("told of failures %v", told)
		}
	})
}

func TestDo_StopsAfterItsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		err := retry.Do(t.Context(), retry.Policy{Base: time.Second, Attempts: 3}, retry.System{}, func(context.Context) error {
			calls++
			return errFault
		})
		exhausted, ok := errors.AsType[*retry.ExhaustedError](err)
		if !ok || exhausted.Attempts != 3 || calls != 3 || !errors.Is(err, errFault) {
			t.Errorf("got %v after %d calls", err, calls)
		}
	})
}

func TestDo_ReturnsAnErrorThatIsNotWorthAnotherAttempt(t *testing.T) {
	calls, permanent := 0, errors.New("permanent")
	p := retry.Policy{Retry: func(err error) bool { return !errors.Is(err, permanent) }}
	err := retry.Do(t.Context(), p, retry.System{}, func(context.Context) error {
		if calls++; calls == 2 {
			return permanent
		}
		return errFault
	})
	if err != permanent || calls != 2 { //nolint:errorlint // it must be the very error, unwrapped
		t.Errorf("got %v after %d calls", err, calls)
	}
}

func TestDo_EndsWithTheContextWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("shutting down")
		ctx, cancel := context.WithCancelCause(t.Context())
		start := time.Now()
		time.AfterFunc(90*time.Second, func() { cancel(cause) })
		err := retry.Do(ctx, retry.Policy{Base: time.Minute}, retry.System{}, func(context.Context) error { return errFault })
		if !errors.Is(err, cause) || !errors.Is(err, errFault) {
			t.Errorf("got %v", err)
		}
		if got := time.Since(start); got != 90*time.Second {
			t.Errorf("came back after %v", got)
		}
	})
}

func TestDo_DoesNotTryWithAContextThatHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := retry.Do(ctx, retry.Policy{}, retry.System{}, func(context.Context) error {
		t.Error("called")
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestDo_StartsAgainAtTheFirstWaitAfterAnAttemptThatLasted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waits []time.Duration
		lengths := []time.Duration{0, 0, time.Hour, 0}
		p := retry.Policy{Base: time.Second, Settled: time.Minute, Attempts: 3,
			Notify: func(_ error, _ int, wait time.Duration) { waits = append(waits, wait/time.Second) }}
		err := retry.Do(t.Context(), p, retry.System{}, func(ctx context.Context) error {
			if len(lengths) == 0 {
				return nil
			}
			if err := (retry.System{}).Sleep(ctx, lengths[0]); err != nil {
				return err
			}
			lengths = lengths[1:]
			return errFault
		})
		if want := []time.Duration{1, 2, 1, 2}; err != nil || !slices.Equal(waits, want) {
			t.Errorf("got %v with waits of %v s, want %v", err, waits, want)
		}
	})
}

func TestBackoff_SuccessResetsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := retry.NewBackoff(retry.Policy{Base: time.Second}, retry.System{})
		for range 3 {
			b.Begin()
			if err := b.Failed(t.Context(), errFault); err != nil {
				t.Fatal(err)
			}
		}
		b.Succeeded()
		start := time.Now()
		b.Begin()
		if err := b.Failed(t.Context(), errFault); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(start); got != time.Second || b.Failures() != 1 {
			t.Errorf("after a success the wait was %v, failures %d", got, b.Failures())
		}
	})
}

// A loop whose attempts follow at once on each other need not say that they begin: waits grow all the same.
func TestBackoff_GrowsThoughNobodySaysBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waits []time.Duration
		b := retry.NewBackoff(retry.Policy{Base: time.Second, Max: 4 * time.Second, Settled: time.Minute,
			Notify: func(_ error, _ int, wait time.Duration) { waits = append(waits, wait/time.Second) }}, retry.System{})
		for range 4 {
			if err := b.Failed(t.Context(), errFault); err != nil {
				t.Fatal(err)
			}
		}
		if want := []time.Duration{1, 2, 4, 4}; !slices.Equal(waits, want) {
			t.Errorf("waits are %v s, want %v", waits, want)
		}
	})
}
