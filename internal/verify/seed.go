package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"meridian/internal/inspect"
	"meridian/internal/row"
)

// SeedOptions say which region is filled from which.
type SeedOptions struct {
	Into, From string
	Match      func(table string) bool
	// Progress hears how far it has come; it may be nil.
	Progress func(SeedProgress)
}

// SeedProgress is how far a seed has come.
type SeedProgress struct {
	Table  string `json:"table"`
	Pass   int    `json:"pass"`   // the first compares everything; each later one what may have been missed
	Looked uint64 `json:"looked"` // rows of the donor that were looked at in this pass
	Rows   uint64 `json:"rows"`   // of all of the donor's that there are
	Sent   uint64 `json:"sent"`   // rows and tombstones that were put on the bus, in all passes
}

// Seeded says what a seed did.
type Seeded struct {
	Into, From string
	Sent       uint64        `json:"sent"`
	Passed     int           `json:"passes"`
	Changed    uint64        `json:"changed"` // rows that were written while they were to be sent: their writes travel by themselves
	Took       time.Duration `json:"-"`
	// Left is what the two regions do not agree on afterwards, and no row of the donor's would end: see the reason.
	Left []Unproven `json:"left"`
}

var errSeed = errors.New("nothing was seeded")

// seedShards is how many shards are seeded at the same time: an order waits for the tailer and for the bus.
const seedShards = 4

// Seed fills a region from another while both are in use: every row and tombstone of the donor's that the region lacks, or has an
// older version of, is put on the donor's topic once more, with its version, and is applied like any change. What the region has
// and the donor has not is left alone.
//
// It keeps no state: broken off and begun again, it sends what is still lacking. The first pass sends what is not there yet; the
// later ones only what is proven not to be on its way, until nothing that was written before the seed began is lacking any more.
// What is written meanwhile travels by itself.
func (v *Verifier) Seed(ctx context.Context, o SeedOptions) (*Seeded, error) {
	began := v.Clock.Now()
	s := &seeding{Verifier: v, o: o, began: began.UnixMicro(), sent: map[place]string{}, done: &Seeded{Into: o.Into, From: o.From, Left: []Unproven{}}}
	if o.Progress == nil {
		s.o.Progress = func(SeedProgress) {}
	}
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	moved := began
	for s.done.Passed = 1; ; s.done.Passed++ {
		before := s.done.Sent
		s.waiting, s.kept = 0, map[place]*difference{}
		if err := s.pass(ctx); err != nil {
			return s.done, err
		}
		if s.waiting == 0 && s.done.Sent == before {
			break
		}
		if s.done.Sent != before || s.done.Passed == 1 {
			moved = v.Clock.Now()
		} else if v.Clock.Now().Sub(moved) > v.Window {
			return s.done, fmt.Errorf("seeding %s from %s: of %d rows it is not known whether they are on their way (%s); all others are sent, begin again when that has ended", //nolint:err113 // it is only told
				o.Into, o.From, s.waiting, s.why)
		}
		if err := v.Clock.Sleep(ctx, v.Pause); err != nil {
			return s.done, err
		}
	}
	if err := s.name(ctx); err != nil {
		return s.done, err
	}
	s.done.Took = v.Clock.Now().Sub(began)
	return s.done, nil
}

type seeding struct {
	*Verifier
	o     SeedOptions
	began int64 // microseconds; what is written later is no matter of this seed

	mu      sync.Mutex       // guards what follows; Progress is called under it
	sent    map[place]string // with which version, after the first pass
	at      SeedProgress
	why     string                // it is not known, of some of them
	waiting uint64                // rows in this pass of which it is not known whether they are on their way
	kept    map[place]*difference // what this pass leaves as it is
	done    *Seeded
}

// check makes sure that both regions can be asked about everything, and that the one takes writes.
func (s *seeding) check(ctx context.Context) error {
	for _, region := range []string{s.o.Into, s.o.From} {
		if s.Cluster[region] == nil {
			return fmt.Errorf("%w: there is no region %q", errSeed, region)
		}
	}
	if s.o.Into == s.o.From {
		return fmt.Errorf("%w: %s cannot be filled from itself", errSeed, s.o.Into)
	}
	view, err := s.look(ctx)
	if err != nil {
		return err
	}
	if why := notWritable(ctx, view, s.o.Into); why != "" {
		return fmt.Errorf("%w: %s", errSeed, why)
	}
	return nil
}

func (s *seeding) look(ctx context.Context) (*view, error) {
	two := Cluster{s.o.Into: s.Cluster[s.o.Into], s.o.From: s.Cluster[s.o.From]}
	view, err := two.look(ctx)
	if err != nil {
		return nil, err
	}
	if len(view.missing) > 0 {
		return nil, fmt.Errorf("%w: %s cannot be asked: %s", errSeed, view.missing[0].Region, view.missing[0].Reason)
	}
	return view, nil
}

// pass goes over all tables once.
func (s *seeding) pass(ctx context.Context) error {
	view, err := s.look(ctx)
	if err != nil {
		return err
	}
	tables := make([]string, 0, len(view.tables))
	for table := range view.tables {
		if s.o.Match(table) {
			tables = append(tables, table)
		}
	}
	if len(tables) == 0 {
		return fmt.Errorf("%w: %s has no such table", errSeed, s.o.From)
	}
	slices.Sort(tables)
	for _, table := range tables {
		donor := view.tables[table][s.o.From]
		if donor == nil || !donor.scanned {
			return fmt.Errorf("%w of table %s: %s has not read all rows that were there before Meridian came; wait until it has (syncer status)", errSeed, table, s.o.From)
		}
		s.at = SeedProgress{Table: table, Pass: s.done.Passed, Sent: s.done.Sent}
		for _, sum := range donor.sums {
			s.at.Rows += sum.Rows
		}
		g, shardCtx := errgroup.WithContext(ctx)
		g.SetLimit(seedShards)
		for shard := range view.shards {
			g.Go(func() error { return s.shard(shardCtx, spot{table, shard}) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// shard compares one shard, page by page. After the first pass those whose checksums are equal need not be looked at.
func (s *seeding) shard(ctx context.Context, at spot) error {
	view, err := s.look(ctx) // one of its own: it notes who could not be asked
	if err != nil {
		return err
	}
	c := &comparison{Verifier: s.Verifier, view: view, result: &Result{}, pending: map[place]*difference{}}
	var buckets []int
	if s.done.Passed > 1 {
		buckets, _ = c.buckets(ctx, at)
		if len(view.missing) > 0 && ctx.Err() == nil {
			return s.brokenOff(at, view)
		}
	} else {
		for b := range inspect.MaxBuckets {
			buckets = append(buckets, b)
		}
	}
	if len(buckets) == 0 {
		return ctx.Err()
	}
	for all := range c.pages(ctx, at, buckets, nil) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		donor, target := all[s.o.From], all[s.o.Into]
		if donor == nil || target == nil {
			return s.brokenOff(at, view)
		}
		wanted, stuck, waiting := s.lacking(at, donor, target)
		if err := s.send(ctx, view, at, wanted); err != nil {
			return err
		}
		s.report(func() {
			if s.waiting += waiting; waiting > 0 {
				s.why = lacks(target.at, donor.at, s.o.Into, s.o.From)
			}
			s.note(at, donor, target)
			for _, key := range stuck {
				s.left(at, key, donor.entries[key].Label, fmt.Sprintf("it was sent twice, and %s has not applied it: its database refuses it, or the row is in review there (verifier explain, verifier review list)", s.o.Into))
			}
			s.at.Looked += uint64(len(donor.entries))
			s.at.Sent = s.done.Sent
			s.o.Progress(s.at)
		})
	}
	return ctx.Err()
}

func (s *seeding) brokenOff(at spot, view *view) error {
	return fmt.Errorf("seeding %s from %s, table %s: %s: %s; begin again to send the rest", s.o.Into, s.o.From, at.table, //nolint:err113 // it is only told
		view.missing[0].Region, view.missing[0].Reason)
}

func (s *seeding) report(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// lacking gives the donor's entries that are to be sent: those that the target lacks or has an older version of, and after the first
// pass only where it is proven that they are not on their way. What has been sent again in vain is stuck: it is not sent for ever.
func (s *seeding) lacking(at spot, donor, target *answered) (wanted []inspect.Wanted, stuck []row.Key, waiting uint64) {
	why := lacks(target.at, donor.at, s.o.Into, s.o.From)
	for key, e := range donor.entries {
		have, version := target.entries[key], e.ParsedVersion()
		switch {
		case e.Suspect: // noted
		case have != nil && !version.Newer(have.ParsedVersion()) && !have.Suspect: // it has it, or a newer one
		case have == nil && e.Deleted && version.IsBaseline(): // where there is nothing, nothing older can be
		case s.done.Passed > 1 && version.Time > s.began: // it travels by itself
		case s.done.Passed > 1 && why != "":
			waiting++
		case s.done.Passed > 1 && s.sentAgain(place{at.table, at.shard, key}, e.Version):
			stuck = append(stuck, key)
		default:
			w := inspect.Wanted{KeyRef: e.KeyRef, Version: e.Version, Deleted: e.Deleted}
			if len(w.Label) == 0 && have != nil {
				w.Label = have.Label // a delete of a row that was never here tells of its key's weights only
			}
			wanted = append(wanted, w)
		}
	}
	return wanted, stuck, waiting
}

// sentAgain tells whether that version of a row has been sent after the first pass; from here on it has.
func (s *seeding) sentAgain(at place, version string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.sent[at] == version
	s.sent[at] = version
	return before
}

// note tells of rows that seeding leaves as they are.
func (s *seeding) note(at spot, donor, target *answered) {
	for key, e := range target.entries {
		d := donor.entries[key]
		switch {
		case d == nil && live(e) && e.ParsedVersion().IsBaseline():
			s.left(at, key, e.Label, fmt.Sprintf("only %s has the row, and nobody knows when it was written: `verifier repair --from REGION` says who is right", s.o.Into))
		case live(d) && live(e) && d.Version == e.Version && compare(d, e) == disagree && !d.Suspect && !e.Suspect:
			s.left(at, key, e.Label, "both have the row from before Meridian came, with other values: `verifier repair --from REGION` says who is right")
		}
	}
	for key, d := range donor.entries {
		if d.Suspect {
			s.left(at, key, d.Label, fmt.Sprintf("the row of %s was changed past the binlog: `verifier repair` it first", s.o.From))
		}
	}
}

// mostLeft bounds what is told of rows that are left.
const mostLeft = 1000

func (s *seeding) left(at spot, key row.Key, label []byte, reason string) {
	if p := (place{at.table, at.shard, key}); len(s.kept) < mostLeft {
		s.kept[p] = &difference{place: p, label: label, reason: reason}
	}
}

// name gives what is left with its keys as people read them.
func (s *seeding) name(ctx context.Context) error {
	view, err := s.look(ctx)
	if err != nil {
		return err
	}
	c := &comparison{Verifier: s.Verifier, view: view, result: &Result{}, pending: s.kept}
	c.giveUp(ctx)
	s.done.Left = append(s.done.Left, c.result.Unproven...)
	return ctx.Err()
}

// send has rows published.
func (s *seeding) send(ctx context.Context, view *view, at spot, wanted []inspect.Wanted) error {
	for batch := range slices.Chunk(wanted, inspect.MaxOrder) {
		answer, err := give(ctx, view.owner[s.o.From][at.shard], inspect.Order{Table: at.table, As: inspect.AsSeed, Rows: batch}, false)
		if err != nil {
			return fmt.Errorf("seeding %s from %s, table %s: %w; what was sent is sent, begin again to send the rest", s.o.Into, s.o.From, at.table, err)
		}
		s.report(func() {
			for i, r := range answer.Rows {
				if r.Outcome == inspect.Published {
					s.done.Sent++
				} else if s.done.Changed++; s.done.Passed > 1 { // a write that came in between would not be lacking any more
					s.left(at, row.Key(batch[i].Key), batch[i].Label, r.Detail)
				}
			}
		})
	}
	return nil
}
