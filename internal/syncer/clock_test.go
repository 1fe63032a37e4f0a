package syncer_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/internal/testenv"
)

// clockOff waits until the region says that its clock is off, or that it is not any more.
func (g *region) clockOff(off bool) {
	g.t.Helper()
	eventually(g.t, fmt.Sprintf("%s knows whether its clock is off: %v", g.name, off), func() error {
		st := g.syncer.Status()
		says := slices.ContainsFunc(st.Reasons, func(s string) bool { return strings.Contains(s, "clock is off") })
		if says != off || off == st.Ready {
			return fmt.Errorf("%v away, ready %v: %q", st.ClockSkew, st.Ready, st.Reasons)
		}
		return nil
	})
}

// A region whose database's clock is wrong publishes nothing: what the others write meanwhile is not overwritten by versions of
// a time that has not come. It says so, and so do only those that are off. When the clock has been mended it goes on by itself,
// and all regions agree; and whoever then overwrites a row wins, however high its version is.
func TestSkew_ADatabaseWhoseClockIsOffPublishesNothingUntilItIsMended(t *testing.T) {
	const most, ahead = 2 * time.Second, 20 * time.Second
	clock := testenv.NewClock(t)
	r := newRegionsOn(t, 1, testenv.MySQL(t, clock.Option()), testenv.Shared(t, testenv.KindMySQL, "b"), testenv.Shared(t, testenv.KindMySQL, "c"))
	for _, g := range r.list {
		g.cfg.MaxSkew = most
	}
	r.exec(ordersDDL)
	r.start()
	a, b, c := r.list[0], r.list[1], r.list[2]
	a.exec("INSERT INTO orders VALUES (1, 'a', 1), (2, 'a', 1)")
	r.waitSettled()

	clock.Set(ahead)
	a.clockOff(true)
	if by := a.syncer.Status().ClockSkew; by < most.Seconds() || by > ahead.Seconds()+most.Seconds() {
		t.Errorf("it says to be %v s away", by)
	}
	published := len(r.published(a))
	a.exec("UPDATE orders SET item = 'from the future', n = 2 WHERE id = 1")
	b.exec("UPDATE orders SET item = 'b', n = 3 WHERE id = 1")
	b.exec("UPDATE orders SET item = 'b', n = 3 WHERE id = 2")
	for _, g := range []*region{b, c} { // a goes on applying, and its write does not win over b's, as nobody has it
		eventually(t, "what b wrote stands", func() error {
			if got := g.rows(all); got != "\"1\" \"b\" \"3\" \n\"2\" \"b\" \"3\" \n" {
				return errors.New(got)
			}
			return nil
		})
	}
	eventually(t, "a has b's other row", func() error {
		if got := a.rows(all); got != "\"1\" \"from the future\" \"2\" \n\"2\" \"b\" \"3\" \n" {
			return errors.New(got)
		}
		return nil
	})
	if got := len(r.published(a)); got != published {
		t.Errorf("it has published %d changes while its clock was off", got-published)
	}
	for _, g := range []*region{b, c} {
		g.clockOff(false)
	}

	clock.Set(0)
	a.clockOff(false)
	r.waitRows(all, "\"1\" \"from the future\" \"2\" \n\"2\" \"b\" \"3\" \n")
	b.exec("UPDATE orders SET item = 'b again', n = 4 WHERE id = 1") // under a clock that is far behind that version
	c.waitRow("\"1\" \"b again\" \"4\" \n")
	c.exec("UPDATE orders SET item = 'c', n = 5 WHERE id = 1")
	r.waitRows(all, "\"1\" \"c\" \"5\" \n\"2\" \"b\" \"3\" \n")
	r.waitSettled()
	r.conserved()
	r.checkLedgers()
}

// waitRow waits until the region has the row with id 1 like that.
func (g *region) waitRow(want string) {
	g.t.Helper()
	eventually(g.t, g.name+" has the row", func() error {
		if got := g.rows("SELECT * FROM orders WHERE id = 1"); got != want {
			return errors.New(got)
		}
		return nil
	})
}
