package propagate

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"meridian/internal/conflict"
	"meridian/internal/envelope"
	"meridian/internal/row"
)

var orders = row.NewTable("shop", "orders", []row.Column{{Name: "id", Type: row.TypeInt}}, []int{0})

type newest struct{}

func (newest) Rule(string) conflict.Rule { return conflict.LastWriterWins }

func inbound(offset uint64, key string, v row.Version, epoch uint64) Inbound {
	return Inbound{Offset: offset, Bytes: 10, Message: &envelope.Message{
		Kind: envelope.Change, Epoch: epoch, Source: envelope.Source{Region: "b", Last: true},
		Change: &row.Change{Table: orders, Op: row.Update, Key: row.Key(key), After: []row.Value{row.IntValue(1)}, Version: v},
	}}
}

// Within a batch the newest change of a row stands for all, in whatever order they come, and every change is counted once.
func TestGather_KeepsTheNewestOfEachRowAndCountsAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "n")
		var items []Inbound
		greatest := map[string]row.Version{}
		for i := range n {
			key := rapid.SampledFrom([]string{"k", "l", "m"}).Draw(t, "key")
			v := row.Version{Time: rapid.Int64Range(1, 9).Draw(t, "time"), Region: rapid.SampledFrom([]string{"b", "c"}).Draw(t, "region")}
			items = append(items, inbound(uint64(i), key, v, 1))
			if v.Newer(greatest[key]) {
				greatest[key] = v
			}
		}
		b := gather("b", items, 0, 0, nil)
		known := make([]Known, len(b.order))
		for i := range known {
			known[i] = Known{Found: true, Version: row.Version{Time: rapid.Int64Range(1, 9).Draw(t, "has"), Region: "a"}}
		}
		d := b.decide("a", newest{}, known)
		c := d.plan.Counts
		if c.Read != uint64(n) || c.Read != c.Applied+c.Lost+c.Duplicate+c.Coalesced {
			t.Fatalf("%d changes became %+v", n, c)
		}
		for i, at := range b.order {
			if got := b.candidates[at].item.Message.Change.Version; got != greatest[string(at.Key)] {
				t.Fatalf("%s: %v stands for the row, not %v", at.Key, got, greatest[string(at.Key)])
			}
			writes := 0
			for _, w := range d.plan.Writes {
				if w.Change.Key == at.Key {
					writes++
				}
			}
			if want := greatest[string(at.Key)].Newer(known[i].Version); (writes == 1) != want || writes > 1 {
				t.Fatalf("%s: %v over %v is written %d times", at.Key, greatest[string(at.Key)], known[i].Version, writes)
			}
		}
	})
}

// A delete stands for its row like any other change: as the newest it replaces what came before it, and is replaced by
// what is newer, in whatever order they come.
func TestGather_CountsADeleteLikeAnyOtherChange(t *testing.T) {
	for _, tc := range []struct {
		name    string
		deletes int64 // the time of the change that deletes, of 1 and 2
		order   []int64
		want    row.Op
	}{
		{"deleted last", 2, []int64{1, 2}, row.Delete},
		{"deleted last, read first", 2, []int64{2, 1}, row.Delete},
		{"written again", 1, []int64{1, 2}, row.Update},
		{"written again, read first", 1, []int64{2, 1}, row.Update},
	} {
		var items []Inbound
		for i, at := range tc.order {
			it := inbound(uint64(i), "k", row.Version{Time: at, Region: "b"}, 1)
			if c := it.Message.Change; at == tc.deletes {
				c.Op, c.Before, c.After = row.Delete, c.After, nil
			}
			items = append(items, it)
		}
		b := gather("b", items, 0, 0, nil)
		known := make([]Known, len(b.order))
		for i := range known {
			known[i].Found = true
		}
		d := b.decide("a", newest{}, known)
		if w := d.plan.Writes; len(w) != 1 || w[0].Change.Op != tc.want || w[0].Change.Version.Time != 2 || d.plan.Written[0].Op != tc.want {
			t.Errorf("%s: it writes %+v, want one row with op %v", tc.name, w, tc.want)
		}
	}
}

func TestGather_IgnoresWhatAnOldEpochPublishesAfterItsSuccessorsMarker(t *testing.T) {
	v := row.Version{Time: 1, Region: "b"}
	marker := Inbound{Offset: 1, Message: &envelope.Message{Kind: envelope.Epoch, Epoch: 2}}
	b := gather("b", []Inbound{inbound(0, "before", v, 1), marker, inbound(2, "stale", v, 1), inbound(3, "new", v, 2)}, 0, 1, nil)
	if len(b.order) != 2 || b.order[0].Key != "before" || b.order[1].Key != "new" || b.sourceEpoch != 2 || b.read != 2 || b.to != 4 {
		t.Errorf("got %+v", b)
	}
}

func TestExpect_SaysWhetherTheRowIsThere(t *testing.T) {
	for _, tc := range []struct {
		name string
		op   row.Op
		kind envelope.Kind
		look bool
		has  Known
		want Expect
	}{
		{"known", row.Update, envelope.Change, false, Known{Found: true}, Present},
		{"a tombstone", row.Update, envelope.Change, false, Known{Found: true, Deleted: true}, Absent},
		{"unknown, an insert", row.Insert, envelope.Change, false, Known{}, Absent},
		{"unknown, an update", row.Update, envelope.Change, false, Known{}, Unknown},
		{"unknown, a delete", row.Delete, envelope.Change, false, Known{}, Unknown},
		{"the ledger was wrong", row.Update, envelope.Change, true, Known{Found: true}, Unknown},
		{"suspect", row.Update, envelope.Change, false, Known{Found: true, Suspect: true}, Unknown},
		{"a repair looks itself", row.Update, envelope.Repair, false, Known{Found: true}, Unknown},
	} {
		b := &batch{look: tc.look}
		if got := b.expect(&row.Change{Op: tc.op}, tc.kind, tc.has); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestPlan_LocksGapsOnlyWhereItMust(t *testing.T) {
	change := func(op row.Op) *row.Change { return &row.Change{Op: op} }
	for _, tc := range []struct {
		w    Write
		want bool
	}{
		{Write{change(row.Insert), Absent}, false},
		{Write{change(row.Update), Present}, false},
		{Write{change(row.Delete), Present}, false},
		{Write{change(row.Delete), Absent}, true},
		{Write{change(row.Update), Unknown}, true},
	} {
		if got := (&Plan{Writes: []Write{tc.w}}).LocksGaps(); got != tc.want {
			t.Errorf("%v of a row that is %v: %v", tc.w.Change.Op, tc.w.Expect, got)
		}
	}
}

func TestInbox_KeepsTransactionsWholeWithOneShard(t *testing.T) {
	change := func(last bool) Inbound {
		return Inbound{Bytes: 10, Message: &envelope.Message{Kind: envelope.Change, Source: envelope.Source{Last: last}, Change: &row.Change{}}}
	}
	control := Inbound{Bytes: 10, Message: &envelope.Message{Kind: envelope.Watermark, Watermark: &envelope.WatermarkMark{}}}
	most := limit{rows: 2, bytes: 1000, whole: true, transactionBytes: 60}
	for _, tc := range []struct {
		name  string
		items []Inbound
		want  int
	}{
		{"one small transaction", []Inbound{change(false), change(true)}, 2},
		{"an unfinished one waits", []Inbound{change(false), change(false)}, 0},
		{"beyond the batch, to its end", []Inbound{change(false), change(false), change(false), change(true), change(true)}, 4},
		{"a control record within does not end it", []Inbound{change(false), control, change(true)}, 3},
		{"the finished one goes before the unfinished", []Inbound{change(true), change(false), change(false)}, 1},
		{"beyond its own bound it is split", []Inbound{change(false), change(false), change(false), change(false), change(false), change(false), change(false)}, 6},
	} {
		if got := (&queue{items: tc.items}).ready(most); got != tc.want {
			t.Errorf("%s: %d items, want %d", tc.name, got, tc.want)
		}
	}
	if got := (&queue{items: []Inbound{change(false), change(false), change(false)}}).ready(limit{rows: 2, bytes: 1000}); got != 2 {
		t.Errorf("with several shards: %d items, want 2", got)
	}
}

func TestDecide_SetsGarbageAsideWithItsOffset(t *testing.T) {
	b := gather("b", []Inbound{{Offset: 7, Reject: &Rejection{Reason: "malformed", Err: errors.New("no record of ours")}}}, 7, 0, nil)
	d := b.decide("a", newest{}, nil)
	if p := d.plan.Parks; len(p) != 1 || p[0].Offset != 7 || p[0].State != Rejected || p[0].Reason != "malformed" || d.plan.Counts.Rejected != 1 || d.plan.Counts.Read != 0 {
		t.Errorf("got %+v", d.plan)
	}
}
