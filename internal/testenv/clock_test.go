package testenv_test

import (
	"testing"
	"time"

	"meridian/internal/testenv"
)

// A server's clock can be put wrong, and right again, while it runs.
func TestClock_IsTheServersAndNobodyElses(t *testing.T) {
	clock := testenv.NewClock(t)
	clock.Set(-time.Hour)
	db := testenv.MySQL(t, clock.Option())
	for _, ahead := range []time.Duration{-time.Hour, 10 * time.Second, 0} {
		clock.Set(ahead)
		var micros int64
		before := time.Now()
		if err := db.DB.QueryRowContext(t.Context(), "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))").Scan(&micros); err != nil {
			t.Fatal(err)
		}
		after := time.Now()
		if got := time.UnixMicro(micros).Add(-ahead); got.Before(before.Truncate(time.Microsecond)) || got.After(after) {
			t.Errorf("put %v ahead it is %v, and asked between %v and %v", ahead, time.UnixMicro(micros), before, after)
		}
	}
}
