package conflict_test

import (
	"testing"

	"pgregory.net/rapid"

	"meridian/internal/conflict"
	"meridian/internal/row"
)

func version() *rapid.Generator[row.Version] {
	return rapid.Custom(func(t *rapid.T) row.Version {
		if rapid.IntRange(0, 9).Draw(t, "baseline") == 0 {
			return row.Version{}
		}
		return row.Version{
			Time:   rapid.Int64Range(1, 4).Draw(t, "time"),
			Region: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "region"),
		}
	})
}

func incoming() *rapid.Generator[conflict.Incoming] {
	return rapid.Custom(func(t *rapid.T) conflict.Incoming {
		return conflict.Incoming{Version: version().Draw(t, "version"), Overwrote: version().Draw(t, "overwrote")}
	})
}

func TestVersion_IsATotalOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := version().Draw(t, "a"), version().Draw(t, "b"), version().Draw(t, "c")
		if a.Compare(b) != -b.Compare(a) {
			t.Fatalf("not antisymmetric: %v %v", a, b)
		}
		if (a.Compare(b) == 0) != (a == b) {
			t.Fatalf("equal in order but not the same: %v %v", a, b)
		}
		if a.Compare(b) <= 0 && b.Compare(c) <= 0 && a.Compare(c) > 0 {
			t.Fatalf("not transitive: %v %v %v", a, b, c)
		}
	})
}

func TestMerge_IsCommutativeAssociativeIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := incoming().Draw(t, "a"), incoming().Draw(t, "b"), incoming().Draw(t, "c")
		if a.Merge(b) != b.Merge(a) {
			t.Fatalf("not commutative: %v %v", a, b)
		}
		if a.Merge(b).Merge(c) != a.Merge(b.Merge(c)) {
			t.Fatalf("not associative: %v %v %v", a, b, c)
		}
		if a.Merge(a) != a {
			t.Fatalf("not idempotent: %v", a)
		}
	})
}

// apply is what a region does with a change: the row's version after it.
func apply(here string, have conflict.Have, v row.Version) conflict.Have {
	if conflict.Resolve(here, conflict.Incoming{Version: v}, have).Outcome == conflict.Write {
		return conflict.Have{Known: true, Version: v}
	}
	return have
}

func TestResolve_EveryOrderEndsWithTheGreatest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		versions := rapid.SliceOfN(version(), 1, 6).Draw(t, "versions")
		order := rapid.Permutation(versions).Draw(t, "order")
		greatest := versions[0]
		for _, v := range versions {
			if v.Newer(greatest) {
				greatest = v
			}
		}
		for _, here := range []string{"a", "b", "c"} {
			have := conflict.Have{}
			for _, v := range order {
				have = apply(here, have, v)
				if again := apply(here, have, v); again != have {
					t.Fatalf("not idempotent: %v after %v", v, have)
				}
			}
			if have.Version != greatest {
				t.Fatalf("%s ends with %v, not %v, after %v", here, have.Version, greatest, order)
			}
		}
	})
}

func TestResolve_TellsConflictsFromChains(t *testing.T) {
	a1, b1, b2, c3 := row.Version{Time: 1, Region: "a"}, row.Version{Time: 1, Region: "b"}, row.Version{Time: 2, Region: "b"}, row.Version{Time: 3, Region: "c"}
	for _, tc := range []struct {
		name string
		in   conflict.Incoming
		have conflict.Have
		want conflict.Verdict
	}{
		{"nothing there", conflict.Incoming{Version: b1}, conflict.Have{}, conflict.Verdict{Outcome: conflict.Write}},
		{"over a baseline row", conflict.Incoming{Version: b1}, conflict.Have{Known: true}, conflict.Verdict{Outcome: conflict.Write}},
		{"it had seen ours", conflict.Incoming{Version: b2, Overwrote: a1}, conflict.Have{Known: true, Version: a1}, conflict.Verdict{Outcome: conflict.Write}},
		{"it had seen a newer one than ours", conflict.Incoming{Version: c3, Overwrote: b2}, conflict.Have{Known: true, Version: a1}, conflict.Verdict{Outcome: conflict.Write}},
		{"it had not seen ours and wins", conflict.Incoming{Version: b2}, conflict.Have{Known: true, Version: a1}, conflict.Verdict{Outcome: conflict.Write, Concurrent: true}},
		{"it had not seen ours and loses", conflict.Incoming{Version: b1}, conflict.Have{Known: true, Version: row.Version{Time: 2, Region: "a"}}, conflict.Verdict{Outcome: conflict.Lost, Concurrent: true}},
		{"loses against a third region's", conflict.Incoming{Version: b1}, conflict.Have{Known: true, Version: c3}, conflict.Verdict{Outcome: conflict.Lost}},
		{"wins over a third region's", conflict.Incoming{Version: b2}, conflict.Have{Known: true, Version: row.Version{Time: 1, Region: "c"}}, conflict.Verdict{Outcome: conflict.Write}},
		{"the same write", conflict.Incoming{Version: b2}, conflict.Have{Known: true, Version: b2}, conflict.Verdict{Outcome: conflict.Duplicate}},
		{"equal times: the region decides", conflict.Incoming{Version: b1, Overwrote: a1}, conflict.Have{Known: true, Version: a1}, conflict.Verdict{Outcome: conflict.Write}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := conflict.Resolve("a", tc.in, tc.have); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

// Under review nothing that is written here is ever overwritten by what has not seen it, nor by anything at all once something
// waits; what loses without having met anything is lost as ever, and so is what is here already.
func TestReview_KeepsBackWhatWouldOverwriteUnseen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := incoming().Draw(t, "in")
		have := conflict.Have{Known: rapid.Bool().Draw(t, "known"), Version: version().Draw(t, "have"), InReview: rapid.Bool().Draw(t, "in review")}
		newest, review := conflict.LastWriterWins.Resolve("a", in, have), conflict.Review.Resolve("a", in, have)
		want := newest.Outcome
		if newest.Concurrent || have.InReview && newest.Outcome == conflict.Write {
			want = conflict.Wait
		}
		if review.Outcome != want || review.Concurrent != newest.Concurrent || newest.Outcome == conflict.Wait {
			t.Fatalf("%+v over %+v: %v, want %v", in, have, review, want)
		}
	})
}
