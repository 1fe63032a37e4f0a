package syncer_test

import (
	"testing"

	"meridian/internal/bus"
)

// What a publisher sent twice is no conflict with the local write that has overwritten it since; two writes that did not see
// each other are one, whatever is repeated beside them.
func TestConflicts_ARecordThatWasSentTwiceIsNone(t *testing.T) {
	a, b, g, r := two(t, ordersDDL)
	a.exec("INSERT INTO orders VALUES (1, 'a', 1), (2, 'a', 1)")
	r.waitSettled()
	b.exec("UPDATE orders SET item = 'b', n = 2 WHERE id = 1")
	r.waitSettled()
	var sent []bus.Record
	r.eachRecord(a, func(_ int, rec *bus.Record) {
		if key, ok := rec.Header("meridian-kind"); ok && string(key) == "change" {
			sent = append(sent, bus.Record{Key: rec.Key, Value: rec.Value, Headers: rec.Headers})
		}
	})
	if len(sent) != 2 {
		t.Fatalf("%d changes are on the bus", len(sent))
	}
	a.produce(sent...)
	b.waitCount("apply_changes_total", nil, 4)
	if n := value(t, b, "conflicts_total", nil); n != 0 {
		t.Errorf("%v conflicts were counted of what was sent twice", n)
	}

	apply := g.arm("apply.decided")
	a.exec("UPDATE orders SET item = 'unseen', n = 3 WHERE id = 2")
	apply.wait()
	b.exec("UPDATE orders SET item = 'newer', n = 4 WHERE id = 2")
	apply.release()
	b.waitCount("conflicts_total", nil, 1)
	a.produce(sent...)
	b.waitCount("apply_changes_total", nil, 7)
	r.waitRows(all, "\"1\" \"b\" \"2\" \n\"2\" \"newer\" \"4\" \n")
	if n := value(t, b, "conflicts_total", nil); n != 1 {
		t.Errorf("%v conflicts were counted of one", n)
	}
	r.conserved()
}
