package syncer_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"meridian/internal/syncer"
)

// exchange lets every region hear every other, with the given clock offsets and a delay of the line for each direction.
func exchange(offsets map[string]time.Duration, most time.Duration, delay func(from, to string) time.Duration) map[string]*syncer.Skew {
	regions := map[string]*syncer.Skew{}
	for name := range offsets {
		regions[name] = syncer.NewSkew(name, most)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 3 {
		for from := range regions {
			for to := range regions {
				if from != to {
					regions[to].Heard(from, now.Add(offsets[from]), now.Add(offsets[to]+delay(from, to)), regions[from].Observed())
				}
			}
		}
	}
	return regions
}

func TestSkew_OfThreeTheOddOneIsOff(t *testing.T) {
	steady := func(string, string) time.Duration { return 40 * time.Millisecond }
	for _, tc := range []struct {
		name    string
		offsets map[string]time.Duration
		off     map[string]time.Duration
	}{
		{"all agree", map[string]time.Duration{"a": 0, "b": 10 * time.Millisecond, "c": -10 * time.Millisecond}, nil},
		{"one ahead", map[string]time.Duration{"a": 0, "b": 3 * time.Second, "c": 0}, map[string]time.Duration{"b": 3 * time.Second}},
		{"one behind", map[string]time.Duration{"a": -2 * time.Second, "b": 0, "c": 0}, map[string]time.Duration{"a": -2 * time.Second}},
		{"of two the one ahead", map[string]time.Duration{"a": 0, "b": time.Second}, map[string]time.Duration{"b": time.Second}},
		{"alone", map[string]time.Duration{"a": time.Hour}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for name, s := range exchange(tc.offsets, 500*time.Millisecond, steady) {
				by, off := s.Off()
				want, wantOff := tc.off[name]
				if off != wantOff || off && by != want {
					t.Errorf("%s: off %v by %v, want %v by %v", name, off, by, wantOff, want)
				}
			}
		})
	}
}

func TestSkew_ErrsByAtMostHalfTheLinesAsymmetry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := func(name string, lo, hi int) time.Duration {
			return time.Duration(rapid.IntRange(lo, hi).Draw(t, name)) * time.Millisecond
		}
		there, back, offset := ms("there", 0, 300), ms("back", 0, 300), ms("offset", -5000, 5000)
		regions := exchange(map[string]time.Duration{"a": 0, "b": offset}, time.Second, func(from, _ string) time.Duration {
			if from == "a" {
				return there
			}
			return back
		})
		got := regions["a"].Ahead()["b"]
		if e := (got - offset).Abs(); e > (there-back).Abs()/2 {
			t.Fatalf("b is %v ahead, measured %v, lines %v and %v", offset, got, there, back)
		}
	})
}
