package main

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestQuantile_IsNotBelowItsShareOfTheValues(t *testing.T) {
	var list []time.Duration
	for i := range 100 {
		list = append(list, time.Duration(i))
	}
	for share, want := range map[float64]time.Duration{0: 0, 0.5: 50, 0.99: 99, 1: 99} {
		if got := quantile(list, share); got != want {
			t.Errorf("%v: %d, want %d", share, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("of nothing: %d", got)
	}
}

func TestCommand_RefusesWhatItCannotMeasure(t *testing.T) {
	for _, args := range [][]string{{"-phases", "speed"}, {"-scale", "0"}, {"-poll", "0s"}, {"-nonsense"}} {
		if err := command(t.Context(), args); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}

func TestLoad_ARowThatWasNeverSeenCountsAsLong(t *testing.T) {
	l := &load{rate: 1, length: 3 * time.Second, n: 3}
	l.acked = make([]atomic.Int64, l.n)
	s := &seen{at: []time.Duration{0, 5 * time.Second, 0}}
	got := l.delays(s)
	if len(got) != 2 || got[0] != 5*time.Second || got[1] != l.length+catchUp {
		t.Errorf("%v: the warm-up is the first row, the last was never seen", got)
	}
}

func TestReport_SaysWhatIsMissed(t *testing.T) {
	for _, c := range []struct {
		rows   int
		missed bool
	}{{99_000, true}, {101_000, false}} {
		var r report
		r.table.Header = []string{"MEASURED", "TARGET", "MERIDIAN", "MYSQL REPLICA", "RATIO", "VERDICT"}
		r.capture(c.rows, time.Second, 0, time.Second)
		r.memory("capture", "a", 1<<20)
		var out strings.Builder
		if err := r.write(&out); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "MISSED") != c.missed || !strings.Contains(out.String(), " ok") {
			t.Errorf("%d rows a second:\n%s", c.rows, out.String())
		}
	}
}
