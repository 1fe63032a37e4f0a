package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"meridian/internal/findings"
	"meridian/internal/verify"
)

// mending is how the service repairs by itself (verify.repair: auto), and what it remembers of that. It is the service's goroutine's.
type mending struct {
	auto      bool
	maxRows   int // of a table at once; more waits for a person
	perMinute int // rows of all tables

	minute time.Time // when the rows began to be counted
	used   int
	last   map[string]string // by row: what became of it, to tell and keep what is new only
	// lately are the repairs of the last hour: a table's count against its bounds together. A table that was emptied is found
	// missing row by row, as its rows are read again, and is not filled again bit by bit.
	lately []mendedRows
}

// mendedRows is how many rows of a table were published again, and when.
type mendedRows struct {
	at    time.Time
	table string
	rows  int
}

const latelyIs = time.Hour

// recent gives the rows of the last hour, by table.
func (m *mending) recent(now time.Time) map[string]int {
	m.lately = slices.DeleteFunc(m.lately, func(r mendedRows) bool { return now.Sub(r.at) > latelyIs })
	by := map[string]int{}
	for _, r := range m.lately {
		by[r.table] += r.rows
	}
	return by
}

// count notes what was published.
func (m *mending) count(done *verify.Repaired, now time.Time) {
	by := map[string]int{}
	for i := range done.Rows {
		if o := done.Rows[i].Outcome; o == verify.Mended || o == verify.Pending {
			by[done.Rows[i].Table]++
		}
	}
	for table, n := range by {
		m.lately = append(m.lately, mendedRows{now, table, n})
	}
	m.used += len(done.Rows)
}

// mend repairs what a comparison has proven. What must wait for a person (too much at once, nobody knows who is right) is told, and
// stays in the findings.
func (s *service) mend(ctx context.Context, result *verify.Result) {
	m := &s.mending
	if !m.auto || result == nil || len(result.Drift) == 0 {
		m.last = nil
		s.hold(nil)
		return
	}
	plan := verify.MakePlan(result, verify.PlanOptions{MaxRows: m.maxRows, Lately: m.recent(s.clock.Now())})
	s.hold(plan.Held)
	plan.Rows = plan.Rows[:min(len(plan.Rows), m.budget(s.clock.Now()))]
	if len(plan.Rows) == 0 {
		return
	}
	done, err := s.verifier.Repair(ctx, plan)
	if err != nil && ctx.Err() == nil {
		s.log.Error("a repair was broken off; what it has published is applied all the same, and the next comparison shows the rest", zap.Error(err))
	}
	m.count(done, s.clock.Now())
	s.remember(done)
}

// budget gives how many rows may be repaired now.
func (m *mending) budget(now time.Time) int {
	if now.Sub(m.minute) >= time.Minute {
		m.minute, m.used = now, 0
	}
	return max(m.perMinute-m.used, 0)
}

// hold notes the tables of which so much differs that a person has to look; each is told once.
func (s *service) hold(held []verify.HeldTable) {
	s.mu.Lock()
	before := s.held
	s.held = held
	s.mu.Unlock()
	told := map[string]bool{}
	for _, h := range before {
		told[h.Table] = true
	}
	for _, h := range held {
		if !told[h.Table] {
			s.log.Error("so much of a table differs that it is not repaired without a person's word: look at it, then run `verifier repair --table "+h.Table+" --yes`",
				zap.String("table", h.Table), zap.String("why", h.Why))
		}
	}
}

// remember keeps and tells what became of the rows, where it is not what became of them the last time.
func (s *service) remember(done *verify.Repaired) {
	now := s.clock.Now().UTC()
	last := map[string]string{}
	var news []findings.Repair
	counts := map[[2]string]int{} // table, outcome
	why := ""
	for i := range done.Rows {
		r := &done.Rows[i]
		if r.Outcome == "" {
			continue // broken off before it
		}
		place := r.Table + "\x00" + strings.Join(r.Key, "\x00")
		last[place] = r.Outcome + r.Detail
		if s.mending.last[place] == last[place] {
			continue
		}
		news = append(news, repairsOf(r, now)...)
		counts[[2]string{r.Table, r.Outcome}]++
		if r.Detail != "" {
			why = r.Detail
		}
	}
	s.mending.last = last
	for at, n := range counts {
		s.metrics.repairs.WithLabelValues(at[0], at[1]).Add(float64(n))
		level := s.log.Info
		if at[1] == verify.Refused || at[1] == verify.Pending {
			level = s.log.Warn
		}
		level("rows were to be repaired", zap.String("table", at[0]), zap.String("outcome", at[1]), zap.Int("rows", n), zap.String("detail", why))
	}
	if err := s.keepRepairs(news); err != nil {
		s.log.Error("what was repaired could not be kept for the report", zap.Error(err))
	}
}

func (s *service) keepRepairs(news []findings.Repair) error {
	if len(news) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.store.AddRepairs(news...)
	if errors.Is(err, findings.ErrDamaged) {
		if err = s.store.Renew(); err == nil {
			err = s.store.AddRepairs(news...)
		}
	}
	return err
}

// repairsOf makes the records of a row: one for each region that was wrong.
func repairsOf(r *verify.RepairedRow, now time.Time) []findings.Repair {
	list := make([]findings.Repair, 0, len(r.Wrong))
	for _, region := range r.Wrong {
		if region != r.Source {
			list = append(list, findings.Repair{Time: now, Table: r.Table, Key: r.Key, Kind: r.Kind, Region: region, Winner: r.Source, Outcome: r.Outcome, Detail: r.Detail})
		}
	}
	return list
}
