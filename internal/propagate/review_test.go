package propagate

import (
	"testing"

	"meridian/internal/conflict"
	"meridian/internal/envelope"
	"meridian/internal/row"
)

// byPerson lets a person decide on every table.
type byPerson struct{}

func (byPerson) Rule(string) conflict.Rule { return conflict.Review }

// ofB is a change to one row from region b: of a kind, at a time, over what was written at another.
func ofB(offset uint64, kind envelope.Kind, at, over int64) Inbound {
	it := inbound(offset, "k", row.Version{Time: at, Region: "b"}, 1)
	it.Message.Kind, it.Message.Change.Digest = kind, uint64(at)
	it.Message.Source.GTID, it.Message.Source.Ordinal = "gtid", uint64(at)
	if over > 0 {
		it.Message.Change.Overwrote = row.Version{Time: over, Region: "b"}
	}
	return it
}

// judged decides on a batch of changes to one row, of which that is known.
func (b *batch) judged(k Known) *decision {
	known := make([]Known, len(b.order))
	for i := range known {
		known[i] = k
	}
	return b.decide("a", byPerson{}, known)
}

func TestReview_DecidesWhatWaits(t *testing.T) {
	const change, repair, seed = envelope.Change, envelope.Repair, envelope.Seed
	here := Known{Found: true, Version: row.Version{Time: 10, Region: "a"}}
	waits := here
	waits.InReview = true
	for _, tc := range []struct {
		name   string
		has    Known
		items  []Inbound
		result string // of the row
		ends   int64  // the version with which reviews end
	}{
		{"a chain", here, []Inbound{ofB(0, change, 20, 15)}, "applied", 0},
		{"newer, and not seen", here, []Inbound{ofB(0, change, 20, 5)}, "review", 0},
		{"older, and not seen", here, []Inbound{ofB(0, change, 5, 4)}, "review", 0},
		{"a chain behind what waits", waits, []Inbound{ofB(0, change, 20, 15)}, "review", 0},
		{"older than what a third region has written here, where something waits",
			Known{Found: true, Version: row.Version{Time: 10, Region: "c"}, InReview: true}, []Inbound{ofB(0, change, 5, 4)}, "lost", 0},
		{"a decision", waits, []Inbound{ofB(0, repair, 20, 0)}, "applied", 20},
		{"a decision that is older", waits, []Inbound{ofB(0, repair, 5, 0)}, "lost", 0},
		{"a decision that is here", Known{Found: true, Version: row.Version{Time: 20, Region: "b"}}, []Inbound{ofB(0, repair, 20, 0)}, "applied", 0},
		{"a repair where nothing waits", here, []Inbound{ofB(0, repair, 20, 0)}, "applied", 0},
		{"a decision and what was written over it, read at once", waits, []Inbound{ofB(0, repair, 20, 0), ofB(1, change, 30, 20)}, "applied", 30},
		{"a decision and what was written before it, read at once", waits, []Inbound{ofB(0, change, 15, 5), ofB(1, repair, 20, 0)}, "applied", 20},
		{"a decision that is older, and a change", waits, []Inbound{ofB(0, repair, 5, 0), ofB(1, change, 30, 5)}, "review", 0},
		{"seeded over what waits", waits, []Inbound{ofB(0, seed, 20, 0)}, "review", 0},
		{"seeded where nothing waits", here, []Inbound{ofB(0, seed, 20, 0)}, "applied", 0},
		{"seeded, and older", here, []Inbound{ofB(0, seed, 5, 0)}, "lost", 0},
	} {
		b := gather("b", tc.items, 0, 0, newRepeats())
		d := b.judged(tc.has)
		p := &d.plan
		got, ends := "", int64(0)
		switch c := p.Counts; {
		case c.Applied == 1 && len(p.Writes) == 1 && len(p.Parks) == 0:
			got = "applied"
		case c.Lost == 1:
			got = "lost"
		case c.Duplicate == 1:
			got = "duplicate"
		case len(p.Parks) == 1 && p.Parks[0].State == Review && p.Parks[0].Here.Version == tc.has.Version && len(p.Writes)+len(p.Losers) == 0:
			got = "review"
		}
		if len(p.Ends) == 1 {
			ends = p.Ends[0].Version.Time
		}
		if got != tc.result || ends != tc.ends || p.LocksGaps() != (got == "review" || p.Writes != nil && p.Writes[0].Expect == Unknown) {
			t.Errorf("%s: %s, ends with %d: %+v", tc.name, got, ends, d.plan)
		}
		if c := p.Counts; c.Read != c.Applied+c.Lost+c.Duplicate+c.Coalesced+uint64(len(p.Parks)) {
			t.Errorf("%s: not all that was read is counted: %+v", tc.name, c)
		}
	}
}

// A record that is sent twice waits once.
func TestReview_WhatWasSentTwiceWaitsOnce(t *testing.T) {
	recent := newRepeats()
	first := gather("b", []Inbound{ofB(0, envelope.Change, 20, 5)}, 0, 0, recent)
	again := gather("b", []Inbound{ofB(1, envelope.Change, 20, 5)}, 1, 0, recent)
	has := Known{Found: true, Version: row.Version{Time: 10, Region: "a"}}
	if d := first.judged(has); len(d.plan.Parks) != 1 || len(d.conflicts) != 1 || !d.conflicts[0].Waits {
		t.Fatalf("the first: %+v", d)
	}
	has.InReview = true
	if d := again.judged(has); len(d.plan.Parks) != 0 || d.plan.Counts.Duplicate != 1 || len(d.conflicts) != 0 {
		t.Errorf("the second: %+v", d)
	}
}

// A change that the database had refused, and that meets a local write when it is tried again, waits for a person from there on.
func TestReview_WhatIsTriedAgainMayWaitForAPerson(t *testing.T) {
	b := gather("b", []Inbound{ofB(0, envelope.Change, 20, 5)}, 0, 0, nil)
	b.unpark = 7
	d := b.judged(Known{Found: true, Version: row.Version{Time: 10, Region: "a"}})
	if p := d.plan; p.Unpark != 7 || len(p.Parks) != 1 || p.Parks[0].State != Review || p.Counts != (Counts{}) {
		t.Errorf("%+v", p)
	}
}

// Where a row that waits does not fit into one statement with the one that is here, that one is left out: it stands in its table.
func TestReview_IsKeptHoweverLittleTheServerTakes(t *testing.T) {
	p := Park{State: Review, Record: make([]byte, 1000), local: make([]byte, 1000)}
	if k := p.within(aroundRecord + 2000); len(k.Record) != 1000 || len(k.local) != 1000 {
		t.Errorf("both fit: %+v", k)
	}
	if k := p.within(aroundRecord + 1999); len(k.Record) != 1000 || k.local != nil || k.State != Review {
		t.Errorf("one fits: %+v", k)
	}
	if k := p.within(aroundRecord); k.Record != nil || k.local != nil || k.State != Review {
		t.Errorf("none fits: %+v", k)
	}
}
