package syncer

import (
	"testing"
	"time"
)

func TestWithinSecond_IsTheDatabasesClockHeldInsideTheBinlogsSecond(t *testing.T) {
	second := time.Unix(1_700_000_000, 0)
	at := func(d time.Duration) int64 { return second.Add(d).UnixMicro() }
	for name, c := range map[string]struct {
		now, ahead time.Duration // of our clock after the second; of the database's to ours
		want       int64
	}{
		"read at once":                   {300 * time.Millisecond, 0, at(300 * time.Millisecond)},
		"read later":                     {5 * time.Second, 0, at(999_999 * time.Microsecond)},
		"the database is ahead":          {-4800 * time.Millisecond, 5 * time.Second, at(200 * time.Millisecond)},
		"a little before it":             {-time.Millisecond, 0, at(0)},
		"a second that is yet to come":   {-time.Hour, 0, at(-time.Hour)},
		"yet to come for a clock behind": {-time.Hour, -time.Second, at(-time.Hour - time.Second)},
	} {
		if got := withinSecond(second.Add(c.now), second, c.ahead); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
