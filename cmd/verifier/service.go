package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"meridian/internal/findings"
	"meridian/internal/retry"
	"meridian/internal/verify"
)

// service compares all regions again and again, and remembers what it found.
type service struct {
	verifier         *verify.Verifier
	match            func(table string) bool
	interval, window time.Duration
	clock            retry.Clock
	log              *zap.Logger
	metrics          *metrics

	mu       sync.Mutex // guards what follows, and store against being renewed
	store    *findings.Store
	last     *verify.Result // nil: none yet
	ended    time.Time      // of the last comparison
	trouble  error          // why the last one could not be made or kept
	compared int
	said     string // the outcome that the log was told last
	held     []verify.HeldTable

	mending mending
}

// run compares until the context ends.
func (s *service) run(ctx context.Context) error {
	for {
		began := s.clock.Now()
		result, err := s.verifier.Compare(ctx, s.match)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the context has ended: what was begun is not kept, the next process compares anew
		}
		if err = s.take(result, err); err != nil {
			return err
		}
		s.mend(ctx, result)
		if err := s.clock.Sleep(ctx, max(s.interval-s.clock.Now().Sub(began), minRest)); err != nil {
			return nil //nolint:nilerr // as above
		}
	}
}

// minRest is between two comparisons, however long they take.
const minRest = 100 * time.Millisecond

// take keeps and tells of a comparison. The error is one with which going on makes no sense.
func (s *service) take(result *verify.Result, failed error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if failed != nil { // the configuration, as far as the regions show it
		if s.trouble == nil || s.trouble.Error() != failed.Error() {
			s.log.Error("the regions cannot be compared", zap.Error(failed))
		}
		s.trouble = failed
		return nil
	}
	s.last, s.ended, s.trouble = result, s.clock.Now(), nil
	s.compared++
	s.metrics.compared(result, s.ended)
	record, found := summarized(result, s.ended)
	begun, over, err := s.store.Record(record, found, coveredBy(result))
	if errors.Is(err, findings.ErrDamaged) {
		s.log.Error("the file of findings turned out to be damaged: it is set aside, and a new one begun", zap.Error(err))
		if err = s.store.Renew(); err == nil {
			begun, over, err = s.store.Record(record, found, coveredBy(result))
		}
	}
	if err != nil { // a full disk: comparing goes on, and /readyz says so
		if s.said != err.Error() {
			s.log.Error("what was found could not be kept", zap.Error(err))
			s.said = err.Error()
		}
		s.trouble = err
		return nil
	}
	s.say(&record, begun, over)
	return nil
}

// maxLines bounds how many rows one comparison tells the log of.
const maxLines = 20

// say tells the log what is new: findings that have begun and ended, and a change between equal and unknown.
func (s *service) say(record *findings.Comparison, begun, over []findings.Finding) {
	for i, f := range begun {
		if i == maxLines {
			s.log.Error("more rows differ; see verifier compare --rows", zap.Int("rows", len(begun)-i))
			break
		}
		s.log.Error("a row differs", zap.String("table", f.Table), zap.Strings("key", f.Key), zap.String("kind", f.Kind),
			zap.Strings("wrong_in", f.Wrong), zap.String("right_in", f.Winner), zap.String("parked", f.Parked))
	}
	for i, f := range over {
		if i == maxLines {
			s.log.Info("more rows differ no more", zap.Int("rows", len(over)-i))
			break
		}
		s.log.Info("a row differs no more", zap.String("table", f.Table), zap.Strings("key", f.Key), zap.Duration("after", f.Ended.Sub(f.First)))
	}
	said := record.Outcome
	switch {
	case said == s.said:
		return
	case record.Outcome == findings.Unknown:
		s.log.Warn("nobody can tell whether all regions are equal", zap.Strings("why", record.Reasons))
	case record.Outcome == findings.Equal:
		s.log.Info("all regions are equal", zap.Int("tables", record.Tables), zap.Uint64("rows", record.Rows))
	}
	s.said = said
}

// summarized makes a record of a result.
func summarized(r *verify.Result, ended time.Time) (findings.Comparison, []findings.Finding) {
	c := findings.Comparison{Began: r.Began, Ended: ended.UTC(), LongestSeconds: r.Took.Seconds(), Tables: len(r.Tables), Outcome: findings.Unknown}
	if r.Equal != nil {
		c.Outcome = findings.Differ
		if *r.Equal {
			c.Outcome = findings.Equal
		}
	}
	for i := range r.Tables {
		t := &r.Tables[i]
		c.Drift, c.Beyond, c.Unproven, c.Parked = c.Drift+t.Drift, c.Beyond+t.Beyond, c.Unproven+t.Unproven, c.Parked+t.Parked
		most := uint64(0)
		for _, n := range t.Rows {
			most = max(most, n)
		}
		c.Rows += most
		for _, reason := range t.Reasons {
			c.Reasons = append(c.Reasons, t.Table+": "+reason)
		}
	}
	for _, u := range r.Unreachable {
		c.Reasons = append(c.Reasons, u.Region+" could not be asked: "+u.Reason)
	}
	if n := len(r.Unproven); n > 0 {
		c.Reasons = append(c.Reasons, fmt.Sprintf("%d rows were not proven within verify.consistency_window, such as one of %s: %s", n, r.Unproven[0].Table, r.Unproven[0].Reason))
	}
	var found []findings.Finding
	for _, list := range [][]verify.Finding{r.Drift, r.Parked} {
		for i := range list {
			f := &list[i]
			found = append(found, findings.Finding{Table: f.Table, Key: f.Key, Kind: f.Kind, Winner: f.Winner, Wrong: f.Wrong, Parked: f.Parked})
		}
	}
	return c, found
}

// coveredBy tells of which tables a result can say that no other row differs.
func coveredBy(r *verify.Result) func(table string) bool {
	if len(r.Unreachable) > 0 {
		return func(string) bool { return false }
	}
	known := map[string]bool{}
	for i := range r.Tables {
		t := &r.Tables[i]
		known[t.Table] = len(t.Reasons) == 0 && t.Unproven == 0 && t.Beyond == 0
	}
	return func(table string) bool { return known[table] }
}

func (s *service) report(since time.Time) (*findings.Report, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.store.Report(since, s.clock.Now())
}

// reasons says why the verifier is not ready; none: it is.
func (s *service) reasons() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch late := s.clock.Now().Sub(s.ended) - s.window - 2*s.interval - askTimeout; {
	case s.trouble != nil:
		return []string{s.trouble.Error()}
	case s.last == nil:
		return []string{"nothing has been compared yet"}
	case late > 0:
		return []string{"the last comparison ended at " + s.ended.UTC().Format(time.RFC3339)}
	}
	return nil
}

// status is the document of /v1/status.
type status struct {
	Verifier verifierStatus `json:"verifier"`
	Regions  []regionStatus `json:"regions"`
}

type verifierStatus struct {
	Equal       *bool                `json:"equal"`
	Compared    int                  `json:"compared"` // since the process began
	Last        time.Time            `json:"last_compare,omitzero"`
	Seconds     float64              `json:"compare_duration_seconds"`
	Tables      []verify.TableResult `json:"tables"`
	Drift       int                  `json:"drift"`
	Unproven    int                  `json:"unproven"`
	Unreachable []verify.Unreachable `json:"unreachable"`
	Held        []verify.HeldTable   `json:"held"` // so much differs there that a person has to say yes to a repair
	Trouble     string               `json:"trouble,omitempty"`
}

// regionStatus is how many rows of a region are not what they should be.
type regionStatus struct {
	Region   string `json:"region"`
	Drift    int    `json:"drift"`
	Unproven int    `json:"unproven"` // in all regions: it is not known yet who is right
}

func (s *service) status() status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := status{Verifier: verifierStatus{Compared: s.compared, Last: s.ended.UTC(), Tables: []verify.TableResult{}, Unreachable: []verify.Unreachable{}, Held: append([]verify.HeldTable{}, s.held...)}, Regions: []regionStatus{}}
	if s.trouble != nil {
		st.Verifier.Trouble = s.trouble.Error()
	}
	if s.last == nil {
		st.Verifier.Last = time.Time{}
		return st
	}
	v := &st.Verifier
	v.Equal, v.Seconds, v.Tables, v.Unreachable = s.last.Equal, s.last.Took.Seconds(), s.last.Tables, s.last.Unreachable
	v.Drift, v.Unproven = len(s.last.Drift), len(s.last.Unproven)
	wrong := map[string]int{}
	for region := range s.verifier.Cluster {
		wrong[region] = 0
	}
	for i := range s.last.Drift {
		for _, region := range s.last.Drift[i].Wrong {
			wrong[region]++
		}
	}
	for region, n := range wrong {
		st.Regions = append(st.Regions, regionStatus{Region: region, Drift: n, Unproven: v.Unproven})
	}
	slices.SortFunc(st.Regions, func(a, b regionStatus) int { return strings.Compare(a.Region, b.Region) })
	return st
}
