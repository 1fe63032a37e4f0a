package propagate

import (
	"strconv"
	"testing"

	"meridian/internal/row"
)

// by makes an inbound change the first of a transaction, over what it overwrote.
func by(it Inbound, gtid string, overwrote row.Version) Inbound {
	it.Message.Source.GTID, it.Message.Source.Ordinal, it.Message.Change.Overwrote = gtid, 1, overwrote
	return it
}

// A record that was sent twice is no conflict with what was written here over its original; a write that nobody has seen is
// one, once, wherever repetitions stand beside it.
func TestRepeats_AreNoConflictAndHideNone(t *testing.T) {
	at := func(time int64, region string) row.Version { return row.Version{Time: time, Region: region} }
	first := by(inbound(0, "k", at(1, "b"), 1), "b:1", row.Version{})
	overOurs := by(inbound(0, "k", at(3, "b"), 1), "b:2", at(2, "a"))
	blind := by(inbound(0, "k", at(3, "b"), 1), "b:3", at(1, "b"))
	late := by(inbound(0, "k", at(1, "b"), 1), "b:4", row.Version{}) // as old as the first, and another write
	ours := []Known{{Found: true, Version: at(2, "a")}}
	for _, tc := range []struct {
		name      string
		before    []Inbound
		items     []Inbound
		conflicts int
	}{
		{"sent twice", []Inbound{first}, []Inbound{first}, 0},
		{"sent twice at once", []Inbound{first}, []Inbound{first, first, first}, 0},
		{"before one that saw ours", []Inbound{first}, []Inbound{first, overOurs}, 0},
		{"behind one that saw ours", []Inbound{first}, []Inbound{overOurs, first}, 0},
		{"before one that did not", []Inbound{first}, []Inbound{first, blind}, 1},
		{"behind one that did not", []Inbound{first}, []Inbound{blind, first}, 1},
		{"a late one", nil, []Inbound{first}, 1},
		{"a late one beside a repeated one", []Inbound{first}, []Inbound{first, late}, 1},
		{"a late one behind itself", nil, []Inbound{late, late}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			recent := newRepeats()
			if len(tc.before) > 0 {
				gather("b", tc.before, 0, 0, recent)
			}
			d := gather("b", tc.items, 0, 0, recent).decide("a", newest{}, ours)
			if len(d.conflicts) != tc.conflicts {
				t.Errorf("%d conflicts, want %d", len(d.conflicts), tc.conflicts)
			}
			if c := d.plan.Counts; c.Read != uint64(len(tc.items)) || c.Read != c.Applied+c.Lost+c.Duplicate+c.Coalesced {
				t.Errorf("%d changes became %+v", len(tc.items), c)
			}
		})
	}
}

// The window holds the longest request, and no more.
func TestRepeats_RemembersAsMuchAsIsSentAtOnce(t *testing.T) {
	recent := newRepeats()
	change := func(i int) Inbound {
		return by(inbound(0, "k", row.Version{Time: 1, Region: "b"}, 1), "b:"+strconv.Itoa(i), row.Version{})
	}
	for i := range mostInRequest + 10 {
		if recent.seen(change(i).Message) {
			t.Fatalf("change %d was not there before", i)
		}
	}
	for i := 10; i < mostInRequest+10; i++ {
		if !recent.seen(change(i).Message) {
			t.Fatalf("change %d is not known any more", i)
		}
	}
	if recent.seen(change(9).Message) || len(recent.has) != mostInRequest || len(recent.ring) != mostInRequest {
		t.Errorf("it remembers %d and %d changes", len(recent.has), len(recent.ring))
	}
}
