package syncer

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"go.uber.org/zap"

	"meridian/internal/propagate"
)

// view is what Status may read while the actors run; nil parts between two starts.
type view struct {
	mu     sync.Mutex
	parts  *parts
	parked []propagate.ParkedCount
	room   time.Duration // binlog headroom
}

func (v *view) set(p *parts) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.parts = p
}

// Status is a region's part of /v1/status. Durations are in seconds, as PRODUCT fixes it.
type Status struct {
	Region      string          `json:"region"`
	Replica     int             `json:"replica"`
	Ready       bool            `json:"ready"`
	Reasons     []string        `json:"reasons"`
	Warnings    []string        `json:"warnings"` // what was lost, until it is acknowledged
	Capture     CaptureStatus   `json:"capture"`
	Sources     []SourceStatus  `json:"sources"`
	Parked      uint64          `json:"parked"`
	Dead        uint64          `json:"dead"`
	Rejected    uint64          `json:"rejected"`
	Drift       uint64          `json:"drift"`
	Unproven    uint64          `json:"unproven"`
	ClockSkew   float64         `json:"clock_skew_seconds"`
	Headroom    float64         `json:"binlog_headroom_seconds"`
	LedgerRows  uint64          `json:"ledger_rows"`
	LedgerBytes int64           `json:"ledger_bytes"`
	Conflicts   uint64          `json:"conflicts"`
	Baseline    []ScanProgress  `json:"baseline"` // the first reading of the tables
	Scrub       []ScrubProgress `json:"scrub"`    // the reading again
}

// CaptureStatus is how far capture has come.
type CaptureStatus struct {
	LagSeconds   float64 `json:"lag_seconds"`
	Coordinates  string  `json:"coordinates"`
	PendingBytes int     `json:"pending_bytes"`
}

// SourceStatus is how far one other region's changes are applied here. LagSeconds is -1 before the first heartbeat.
type SourceStatus struct {
	Source     string  `json:"source"`
	LagSeconds float64 `json:"lag_seconds"`
	Applied    uint64  `json:"applied"`
	Read       uint64  `json:"read"`
	Lost       uint64  `json:"lost"`
	Error      string  `json:"error,omitempty"`
}

// Reasons says why the region is not ready; none: it is.
func (s *Syncer) Reasons() []string {
	return s.health.reasons(len(s.cfg.ownedShards()), s.cfg.Clock.Now(), s.cfg.ReadyMaxLag)
}

// Status says how the region is doing.
func (s *Syncer) Status() Status {
	now := s.cfg.Clock.Now()
	st := Status{Region: s.cfg.Region, Replica: s.cfg.Replica, Reasons: s.Reasons(), Warnings: []string{}, Sources: []SourceStatus{}}
	if st.Reasons == nil {
		st.Reasons = []string{}
	}
	st.Ready = len(st.Reasons) == 0
	s.view.mu.Lock()
	if p := s.view.parts; p != nil {
		if at, ok := p.ledger.Passed(); ok {
			st.Capture.Coordinates = at.String()
		}
		st.Capture.PendingBytes = p.publisher.Pending()
		st.LedgerRows, st.LedgerBytes, _ = p.ledger.Size()
		st.Warnings = append(st.Warnings, p.ledger.Warnings()...)
		st.Baseline, st.Scrub = p.baseline.Progress(), p.scrub.Progress()
	}
	st.Headroom = s.view.room.Seconds()
	for _, c := range s.view.parked {
		switch c.State {
		case propagate.Parked, propagate.Waiting, propagate.Review:
			st.Parked += c.Count
		case propagate.Dead:
			st.Dead += c.Count
		case propagate.Rejected:
			st.Rejected += c.Count
		}
	}
	s.view.mu.Unlock()
	if by, off := s.skew.Off(); off || by != 0 {
		st.ClockSkew = by.Seconds()
	}
	s.health.report(&st, s.cfg.sourceNames(), len(s.cfg.ownedShards()), now)
	return st
}

func (h *Health) report(st *Status, sources []string, shards int, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if lag, ok := behind(h.captured, shards, now); ok {
		st.Capture.LagSeconds = lag.Seconds()
	}
	st.Conflicts = h.stats.Conflicts
	for _, name := range sources {
		src := SourceStatus{Source: name, LagSeconds: -1}
		if lag, ok := h.lag(name, shards, now); ok {
			src.LagSeconds = lag.Seconds()
		}
		for _, c := range h.sources[name].counts {
			src.Applied += c.Applied
			src.Read += c.Read
			src.Lost += c.Lost
		}
		if err := h.sources[name].unread(); err != nil {
			src.Error = err.Error()
		}
		st.Sources = append(st.Sources, src)
	}
}

// forever stands for a binlog that is never purged.
const forever = math.MaxInt32 * time.Second

// measureHeadroom finds out how long what capture has not read yet will still be there.
func (s *Syncer) measureHeadroom(ctx context.Context, p *parts) error {
	kept, err := binlogExpiry(ctx, p)
	if err != nil {
		return err
	}
	room := forever
	if kept > 0 {
		room = kept
		if behind, ok := s.health.captureLag(len(s.cfg.ownedShards()), s.cfg.Clock.Now()); ok {
			room = max(0, room-behind)
		}
	}
	s.cfg.Metrics.headroom.Set(room.Seconds())
	s.view.mu.Lock()
	defer s.view.mu.Unlock()
	s.view.room = room
	return nil
}

// housekeeping refreshes, once an interval, what is not counted as it happens, and ends a process whose shards have another
// owner.
func (s *Syncer) housekeeping(ctx context.Context, p *parts) error {
	for {
		err := p.target.CheckOwner(ctx, p.epochs)
		if errors.Is(err, propagate.ErrFenced) {
			return err
		}
		if err = errors.Join(err, s.refresh(ctx, p)); err != nil && ctx.Err() == nil {
			s.cfg.Log.Debug("gauges were not refreshed", zap.Error(err))
		}
		if err := s.cfg.Clock.Sleep(ctx, s.cfg.PulseInterval); err != nil {
			return err
		}
	}
}

func (s *Syncer) refresh(ctx context.Context, p *parts) error {
	m := s.cfg.Metrics
	rows, bytes, _ := p.ledger.Size()
	m.rows.Set(float64(rows))
	m.bytes.Set(float64(bytes))
	st := s.Status()
	m.warnings.Set(float64(len(st.Warnings)))
	for _, src := range st.Sources {
		lag := src.LagSeconds
		if lag < 0 { // not heard from yet: as far as is known, nothing has been applied since the process began
			lag = s.cfg.Clock.Now().Sub(s.began).Seconds()
		}
		m.lag.WithLabelValues(src.Source, s.cfg.Region).Set(lag)
	}
	return errors.Join(s.measureHeadroom(ctx, p), s.refreshParked(ctx, p))
}

func (s *Syncer) refreshParked(ctx context.Context, p *parts) error {
	counts, err := p.target.CountParked(ctx)
	if err != nil {
		return err
	}
	s.showParked(counts)
	s.view.mu.Lock()
	s.view.parked = counts
	s.view.mu.Unlock()
	for _, c := range counts {
		if c.State == propagate.Parked || c.State == propagate.Waiting {
			for _, w := range p.workers {
				w.RetryParked()
			}
			break
		}
	}
	return nil
}
