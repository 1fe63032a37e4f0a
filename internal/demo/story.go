package demo

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"meridian/internal/console"
)

// story is what happened, for the display and for the report.
type story struct {
	cut      time.Duration // how long the line was cut
	behind   time.Duration // how far the last region fell behind meanwhile, at most
	healed   time.Time     // when the line was whole again
	caughtUp time.Duration // from then on
	settled  time.Duration // from the last write on
	delays   delays        // of the changes before the cut

	mu       sync.Mutex
	stage    string
	since    time.Time // of writing; zero before
	isCut    bool
	felt     bool    // the region that was cut off said so
	previous []rates // by region, at the snapshot before
}

// rates is what rates are made of.
type rates struct {
	at                    time.Time
	transactions, applied uint64
}

func (s *story) enter(stage string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stage = stage
}

func (s *story) setCut(is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.isCut = is
}

// startWatching begins to ask and to show how the regions are doing.
func (d *demo) startWatching(ctx context.Context) {
	d.story.stage = "starting"
	d.story.previous = make([]rates, len(d.regions))
	d.watch = newWatch(d.regions, d.token)
	d.watching.Go(func() error {
		d.watch.run(ctx, d.draw)
		return nil
	})
}

// guard ends the showing when a syncer ends that nobody has asked to.
func (d *demo) guard(ctx context.Context, r *region) error {
	select {
	case <-r.syncer.ended:
		d.fail(r.syncer.endedError())
	case <-ctx.Done():
	}
	return nil
}

// draw shows a snapshot.
func (d *demo) draw(now snapshot) {
	s := &d.story
	s.mu.Lock()
	defer s.mu.Unlock()
	title := s.stage
	if !s.since.IsZero() && s.stage == writing {
		title = fmt.Sprintf("writing, %.0f of %.0f s", time.Since(s.since).Seconds(), d.options.Duration.Seconds())
	}
	if s.isCut {
		title += fmt.Sprintf("; %s is CUT OFF", d.regions[len(d.regions)-1].name)
		s.felt = s.felt || now[len(now)-1].misses()
	}
	t := &console.Table{Header: []string{"REGION", "ROWS", "TX/S", "APPLIED/S", "LAG", "WAITING", "CONFLICTS", "STATE"}}
	for i := range now {
		d.drawRegion(t, i, &now[i])
	}
	d.screen.draw(title, t)
}

// caughtUp notes that all that was written while the line was cut is everywhere.
func (d *demo) caughtUp() {
	d.story.caughtUp = time.Since(d.story.healed)
	d.screen.say("caught up: all that was written while the line was cut is everywhere, %.1f s after it was whole", d.story.caughtUp.Seconds())
}

// drawRegion adds a region's line. mu of the story is held.
func (d *demo) drawRegion(t *console.Table, i int, s *status) {
	r, before := d.regions[i], &d.story.previous[i]
	if s.err != nil {
		dash := console.Cell{Text: "-", Right: true}
		t.Add(console.Text(r.name), dash, dash, dash, dash, dash, dash, console.Cell{Text: s.state(), Color: console.Yellow})
		return
	}
	after := rates{at: s.asked, transactions: r.written.transactions.Load(), applied: s.applied()}
	perSecond := func(n, m uint64) string {
		seconds := after.at.Sub(before.at).Seconds()
		if before.at.IsZero() || seconds <= 0 || m < n {
			return "-"
		}
		return strconv.FormatFloat(float64(m-n)/seconds, 'f', 0, 64)
	}
	lag, known := s.lag()
	behind := console.Cell{Text: "-", Right: true}
	if known {
		behind.Text = fmt.Sprintf("%.1fs", lag.Seconds())
		if lag > 2*time.Second {
			behind.Color = console.Red
		}
	}
	state := console.Cell{Text: s.state(), Color: console.Green}
	if !s.Ready {
		state.Color = console.Yellow
	}
	t.Add(console.Text(r.name), console.Number(s.LedgerRows), console.Number(perSecond(before.transactions, after.transactions)),
		console.Number(perSecond(before.applied, after.applied)), behind, console.Number(size(s.Capture.PendingBytes)), console.Number(s.Conflicts), state)
	*before = after
}

// size is bytes for people.
func size(bytes int) string {
	switch {
	case bytes == 0:
		return "0"
	case bytes < 10<<20:
		return fmt.Sprintf("%d KiB", (bytes+1023)>>10)
	default:
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
}

// writing is the stage in which the application writes.
const writing = "writing"

// write lets the application write in all regions, and cuts the last region off for the middle third of the time.
func (d *demo) write(ctx context.Context) error {
	last := d.regions[len(d.regions)-1]
	d.screen.say("writing in all regions for %v: %d writers in each, hot keys, inserts, updates, deletes, rollbacks", d.options.Duration, writersIn)
	s := &d.story
	s.mu.Lock()
	s.stage, s.since = writing, time.Now()
	s.mu.Unlock()

	writersCtx, stop := context.WithCancel(ctx)
	defer stop()
	writers, writersCtx := errgroup.WithContext(writersCtx)
	app := &shop{}
	for n, r := range d.regions {
		for k := range writersIn {
			writers.Go(func() error { return app.write(writersCtx, r, uint64(100*n+k+1)) })
		}
	}
	third := d.options.Duration / 3
	err := d.pass(writersCtx, third)
	if err == nil {
		s.delays, err = d.watch.askDelays(writersCtx)
	}
	if err == nil {
		d.screen.say("cutting the line between %s and the others", last.name)
		if err = d.cutFor(writersCtx, third); err == nil {
			err = d.line.heal(ctx)
		}
	}
	if err == nil {
		d.screen.say("the line is whole again after %.1f s: %s was %.1f s behind", s.cut.Seconds(), last.name, s.behind.Seconds())
		err = d.catchUp(writersCtx, third)
	}
	stop()
	if writersErr := writers.Wait(); writersErr != nil {
		return writersErr // it ended the rest
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// pass lets time go by, or ends with the writers.
func (d *demo) pass(ctx context.Context, most time.Duration) error {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// cutFor cuts the line and lets time go by.
func (d *demo) cutFor(ctx context.Context, most time.Duration) error {
	began := time.Now()
	d.line.cut()
	d.story.setCut(true)
	d.screen.due()
	err := d.pass(ctx, most)
	d.story.setCut(false)
	d.story.cut = time.Since(began)
	now, _ := d.watch.now()
	if len(now) > 0 {
		last := &now[len(now)-1]
		lag, _ := last.lag()
		d.story.behind = lag + time.Since(last.asked) // nothing has come since
	}
	return err
}

// catchUp lets the application write on when the line is whole again, for a time, and notes when everything from before is
// everywhere.
func (d *demo) catchUp(ctx context.Context, most time.Duration) error {
	healed := time.Now()
	d.story.healed = healed
	timer := time.NewTimer(most)
	defer timer.Stop()
	for waiting := true; ; {
		now, news := d.watch.now()
		if waiting && every(func(s *status) bool { return s.hears(healed) })(now) {
			waiting = false
			d.caughtUp()
		}
		if !waiting {
			news = nil
		}
		select {
		case <-news:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
