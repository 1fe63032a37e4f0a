package propagate

import (
	"context"
	"slices"
	"testing"
	"time"
)

// Neither can keep the other waiting: not the sources, when there is always something to be applied, and not the parked
// changes, when trying them again takes longer than it takes until more of them are due.
func TestInbox_GivesSourcesAndParkedChangesTheirTurns(t *testing.T) {
	const parked = "parked"
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	for _, test := range []struct {
		name      string
		busy, due bool
		want      []string
	}{
		{name: "both are always ready", busy: true, due: true, want: []string{parked, "a", parked, "b", parked, "a"}},
		{name: "nothing is due", busy: true, want: []string{"a", "b", "a", "b"}},
		{name: "nothing comes from the sources", due: true, want: []string{parked, parked, parked}},
	} {
		b, again := newInbox([]string{"a", "b"}, 1<<20), make(chan struct{}, 1)
		var got []string
		for n := range test.want {
			if test.busy {
				for _, source := range []string{"a", "b"} {
					if err := b.put(ctx, source, []Inbound{{Offset: uint64(n), Bytes: 10}}); err != nil {
						t.Fatal(err)
					}
				}
			}
			if test.due {
				select {
				case again <- struct{}{}:
				default:
				}
			}
			source, items, err := b.take(ctx, limit{rows: 1, bytes: 100}, again)
			if err != nil {
				t.Fatalf("%s: %v", test.name, err)
			}
			if len(items) == 0 {
				source = parked
			}
			got = append(got, source)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: the turns were %v, want %v", test.name, got, test.want)
		}
	}
}
