package syncer_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"meridian/internal/inspect"
	"meridian/internal/testenv"
	"meridian/internal/verify"
)

// scrubber asks a region over HTTP, as the verifier does.
func (g *region) scrubber() *inspect.Client {
	g.t.Helper()
	mux := http.NewServeMux()
	inspect.MountScrub(mux.Handle, g.syncer.Scrubber())
	server := httptest.NewServer(mux)
	g.t.Cleanup(server.Close)
	return inspect.NewClient(server.URL, server.Client(), nil)
}

// waitOver waits until a scrub is over.
func waitOver(t *testing.T, c *inspect.Client, id string) *inspect.Scrub {
	t.Helper()
	var s *inspect.Scrub
	eventually(t, "the scrub is over", func() (err error) {
		if s, err = c.ScrubProgress(t.Context(), id); err == nil && !s.Over() {
			err = fmt.Errorf("it is %s: %d rows", s.State, s.Rows)
		}
		return err
	})
	return s
}

// Somebody asks for a table: it is read once from the beginning, with no scrub going on by itself, and what was changed is found.
func TestScrubRequest_ReadsATableNow(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL)
	r.exec(ordersDDL)
	a := r.list[0]
	a.insertMany(0, 2000)
	r.start()
	a.waitScanned("orders")
	a.execOutOfBand("DELETE FROM orders WHERE id = 1999")
	a.execOutOfBand("UPDATE orders SET n = 77 WHERE id IN (0, 1000)")
	c := a.scrubber()
	for table, want := range map[string]error{r.schema + ".nothing": inspect.ErrUnknownTable, "": nil, "orders": nil} {
		_, err := c.StartScrub(t.Context(), inspect.ScrubRequest{Table: table, RowsPerSecond: 1})
		var refused *inspect.RefusedError
		if !errors.As(err, &refused) || want != nil && !errors.Is(err, want) || want == nil && refused.Status != http.StatusBadRequest {
			t.Errorf("table %q: %v", table, err)
		}
	}
	if _, err := c.ScrubProgress(t.Context(), "12-3"); !errors.Is(err, inspect.ErrNoScrub) {
		t.Errorf("a scrub that nobody asked for: %v", err)
	}
	s, err := c.StartScrub(t.Context(), inspect.ScrubRequest{Table: r.schema + ".orders", RowsPerSecond: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	if s = waitOver(t, c, s.ID); s.State != inspect.ScrubDone || s.Rows != 1999 || s.Found[verify.Missing] != 1 || s.Found[verify.Different] != 2 || s.Ended.IsZero() {
		t.Errorf("%+v", s)
	}
	if p := a.syncer.Status().Scrub; len(p) != 1 || p[0].Covered == nil {
		t.Errorf("it covers the table as any other: %+v", p)
	}
	again, err := c.StartScrub(t.Context(), inspect.ScrubRequest{Table: r.schema + ".orders", RowsPerSecond: 1_000_000})
	if err != nil || again.ID == s.ID {
		t.Fatalf("%+v, %v", again, err)
	}
	if again = waitOver(t, c, again.ID); len(again.Found) > 0 {
		t.Errorf("what was found is found once: %+v", again)
	}
}

// Asking twice gives the same scrub; one that is under way when the process ends is unknown afterwards, and is asked for again.
func TestScrubRequest_IsOneForATable(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL)
	r.exec(ordersDDL)
	a := r.list[0]
	a.insertMany(0, 500)
	r.start()
	a.waitScanned("orders")
	c := a.scrubber()
	slow := inspect.ScrubRequest{Table: r.schema + ".orders", RowsPerSecond: 1}
	first, err := c.StartScrub(t.Context(), slow)
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.StartScrub(t.Context(), slow)
	if err != nil || second.ID != first.ID {
		t.Fatalf("%+v and %+v, %v", first, second, err)
	}
	if err = a.end(); err != nil {
		t.Fatal(err)
	}
	if _, err = c.ScrubProgress(t.Context(), first.ID); !errors.Is(err, inspect.ErrNotReady) {
		t.Errorf("of a process that has ended: %v", err)
	}
	a.start()
	a.waitReady()
	a.waitScanned("orders")
	c = a.scrubber()
	if _, err = c.ScrubProgress(t.Context(), first.ID); !errors.Is(err, inspect.ErrNoScrub) {
		t.Errorf("after a restart: %v", err)
	}
	slow.RowsPerSecond = 1_000_000
	if first, err = c.StartScrub(t.Context(), slow); err != nil {
		t.Fatal(err)
	}
	if s := waitOver(t, c, first.ID); s.State != inspect.ScrubDone || s.Rows != 500 {
		t.Errorf("%+v", s)
	}
}

// A pass goes on where it was when the process ended, and when the table was last covered is not forgotten.
func TestScrub_GoesOnAfterARestart(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL)
	r.exec(ordersDDL)
	a := r.list[0]
	a.insertMany(0, 3000)
	a.cfg.ScrubRows = 100_000
	r.start()
	a.waitScanned("orders")
	a.waitCovered("orders")
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	a.cfg.ScrubRows = 500 // a piece has 100 rows
	a.start()
	a.waitReady()
	passed := func(rows uint64) func() error {
		return func() error {
			for _, p := range a.syncer.Status().Scrub {
				if p.Rows >= rows && p.Covered != nil {
					return nil
				}
			}
			return fmt.Errorf("%+v", a.syncer.Status().Scrub)
		}
	}
	eventually(t, "it is under way", passed(500))
	a.waitFlushes(2)
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	a.execOutOfBand("DELETE FROM orders WHERE id < 100")
	a.start()
	a.waitReady()
	eventually(t, "it goes on", func() error {
		p := a.syncer.Status().Scrub
		if len(p) == 0 || p[0].Rows == 0 {
			return errors.New("not yet")
		}
		if p[0].Rows < 500 {
			t.Errorf("it has begun anew: %+v", p)
		}
		if p[0].Covered == nil {
			t.Errorf("it is not known when the table was covered: %+v", p)
		}
		return nil
	})
}

// Both readings wait while the database is busy, and say so; a replica that cannot be asked holds nothing up.
func TestLoad_ReadingWaitsWhileTheDatabaseIsBusy(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL)
	r.exec(ordersDDL)
	a := r.list[0]
	a.insertMany(0, 3000)
	a.cfg.ScrubRows, a.cfg.BaselineRows, a.cfg.BusyThreads = 100_000, 2000, 1 // whoever asks runs, and the one who sleeps
	nobody := a.cfg.MySQL
	nobody.Address, nobody.DialTimeout = "127.0.0.1:1", time.Second
	a.cfg.DatabaseReplicas = append(a.cfg.DatabaseReplicas, nobody)
	conn, err := a.open().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var id int
	if err := conn.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		t.Fatal(err)
	}
	sleeping := make(chan error, 1)
	go func() {
		_, err := conn.ExecContext(t.Context(), "SELECT SLEEP(120)")
		sleeping <- errors.Join(err, conn.Close())
	}()
	r.start()
	eventually(t, "the first reading waits", func() error {
		for _, p := range a.syncer.Status().Baseline {
			if strings.Contains(p.Paused, "threads run in the database") && !p.Done {
				return nil
			}
		}
		return fmt.Errorf("%+v", a.syncer.Status().Baseline)
	})
	a.exec(fmt.Sprintf("KILL QUERY %d", id))
	<-sleeping // SLEEP says that it was interrupted, as an error or as a row
	a.cfg.BusyThreads = 0
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	a.start()
	a.waitReady()
	a.waitScanned("orders")
	a.waitCovered("orders")
}
