package syncer

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// What is on the bus is behind the database by as much as the shard is that is furthest behind.
func TestHealth_CaptureIsAsFarAsItsLastShard(t *testing.T) {
	h, now := newHealth(nil), time.Unix(1000, 0)
	const shards, most = 2, 5 * time.Second
	reasons := func(want ...string) {
		t.Helper()
		if got := h.reasons(shards, now, most); !slices.Equal(got, want) {
			t.Errorf("the reasons are %q, want %q", got, want)
		}
	}
	h.setCaptured(0, now)
	reasons("capture: has not caught up with the binlog yet")
	h.setCaptured(1, now.Add(-time.Second))
	reasons()
	if lag, ok := h.captureLag(shards, now); !ok || lag != time.Second {
		t.Errorf("it is %v behind (%t)", lag, ok)
	}
	now = now.Add(5 * time.Second)
	h.setCaptured(0, now)
	reasons("capture: 6s behind the database (limits.ready_max_lag is 5s)")
	h.setCaptured(1, now)
	reasons()
}

// A bus that does not acknowledge is a reason until it does, in each shard for itself.
func TestHealth_TellsThatTheBusDoesNotAcknowledge(t *testing.T) {
	h, now := newHealth(nil), time.Unix(1000, 0)
	h.setCaptured(0, now)
	h.setCaptured(1, now)
	reasons := func(want ...string) {
		t.Helper()
		if got := h.reasons(2, now, time.Second); !slices.Equal(got, want) {
			t.Errorf("the reasons are %q, want %q", got, want)
		}
	}
	h.setPublishing(1, errors.New("no answer from 1"))
	reasons("publish: the bus does not acknowledge shard 1: no answer from 1")
	h.setPublishing(0, errors.New("no answer from 0"))
	h.setPublishing(1, nil)
	reasons("publish: the bus does not acknowledge shard 0: no answer from 0")
	h.setPublishing(0, nil)
	reasons()
}
