package propagate

import (
	"context"
	"testing"
)

// Offsets makes a partition a Log.
func (p *partition) Offsets(context.Context, string, int) (first, next int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first, p.first + int64(len(p.records)), nil
}

// A gap is what a consumer that begins at the place would find, and nothing else is one.
func TestFindGap_IsWhatCannotBeReadAnyMore(t *testing.T) {
	for _, tc := range []struct {
		name      string
		change    func(t *testing.T, p *partition)
		next      uint64
		unknown   bool // the fingerprint of the record before
		gap       bool
		truncated bool
		first     uint64
	}{
		{name: "nothing lost", next: 5},
		{name: "all read", next: 10},
		{name: "from the beginning", next: 0, unknown: true},
		{name: "the place is the first left", next: 5, change: func(_ *testing.T, p *partition) { p.records, p.first = p.records[5:], 5 }},
		{name: "removed by retention", next: 5, change: func(_ *testing.T, p *partition) { p.records, p.first = p.records[7:], 7 }, gap: true, first: 7},
		{name: "removed, the record not known", next: 0, unknown: true, change: func(_ *testing.T, p *partition) { p.records, p.first = p.records[7:], 7 }, gap: true, first: 7},
		{name: "truncated", next: 9, change: func(t *testing.T, p *partition) { p.cut(t, 3, 0, 1) }, gap: true, truncated: true},
		{name: "truncated, the record not known", next: 9, unknown: true, change: func(t *testing.T, p *partition) { p.cut(t, 3, 0, 1) }, gap: true, truncated: true},
		{name: "made anew and grown past it", next: 9, change: func(t *testing.T, p *partition) { p.cut(t, 0, 20, 1) }, gap: true, truncated: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPartition(t, 10)
			at := SourcePlace{Source: "a", Next: tc.next}
			if !tc.unknown {
				at.Last = p.records[tc.next-1].Fingerprint()
			}
			if tc.change != nil {
				tc.change(t, p)
			}
			gap, err := FindGap(t.Context(), p, "t", at)
			switch {
			case err != nil || (gap != nil) != tc.gap:
				t.Errorf("found %+v, %v", gap, err)
			case gap != nil && (gap.Lost.Truncated() != tc.truncated || gap.First != tc.first):
				t.Errorf("found %+v: %v", gap, gap.Lost)
			}
		})
	}
}
