// Package findings is the verifier's memory: every comparison, every row that was found to differ, and every repair, each with
// its time and outcome, in one bbolt file.
//
// In the flow it stands behind the verifier: `verifier run` writes it after each comparison, `verifier report` reads it for an
// auditor. Nothing is decided by it: without it the regions are compared as well.
package findings

import (
	"errors"
	"time"
)

// Retention is how long what has ended is kept.
const Retention = 30 * 24 * time.Hour

// ErrLocked is returned by Open when another process has the file open.
var ErrLocked = errors.New("another process uses it")

// ErrDamaged is returned when the file is not what it must be.
var ErrDamaged = errors.New("it is damaged")

// ErrNewer is returned by Open for a file that a newer version of Meridian has written.
var ErrNewer = errors.New("a newer version of Meridian has written it")

// The outcomes of a comparison.
const (
	Equal   = "equal"
	Differ  = "differ"  // rows differ for good
	Unknown = "unknown" // nobody can tell; Reasons say why
)

// Comparison is one comparison, or several in a row, within an hour, that came out the same.
type Comparison struct {
	Began          time.Time `json:"began"` // of the first
	Ended          time.Time `json:"ended"` // of the last
	Count          int       `json:"count"`
	LongestSeconds float64   `json:"longest_seconds"`
	Outcome        string    `json:"outcome"`
	Tables         int       `json:"tables"`
	Rows           uint64    `json:"rows"` // in the region that has most
	Drift          int       `json:"drift"`
	Beyond         uint64    `json:"beyond,omitempty"` // rows that differ besides, at least
	Unproven       int       `json:"unproven"`
	Parked         int       `json:"parked"`
	Reasons        []string  `json:"reasons,omitempty"` // why nobody can tell
}

// continues tells whether a comparison came out as the one before it.
func (c *Comparison) continues(before *Comparison) bool {
	return c.Outcome == before.Outcome && c.Tables == before.Tables && c.Drift == before.Drift && c.Beyond == before.Beyond &&
		c.Parked == before.Parked && (c.Unproven > 0) == (before.Unproven > 0) && len(c.Reasons) == len(before.Reasons) &&
		c.Began.Truncate(time.Hour).Equal(before.Began.Truncate(time.Hour))
}

// Finding is a row that differs, from when it was found until it was found to differ no more.
type Finding struct {
	Table  string    `json:"table"`
	Key    []string  `json:"key"`
	Kind   string    `json:"kind"` // missing, extra, different
	Winner string    `json:"winner"`
	Wrong  []string  `json:"wrong"`            // regions
	Parked string    `json:"parked,omitempty"` // the state of a parked change that explains it
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	Ended  time.Time `json:"ended,omitzero"` // zero: it still differs
}

// Repair is one row that was repaired in one region, or was not.
type Repair struct {
	Time    time.Time `json:"time"`
	Table   string    `json:"table"`
	Key     []string  `json:"key"`
	Kind    string    `json:"kind"`
	Region  string    `json:"region"`
	Winner  string    `json:"winner"`
	Outcome string    `json:"outcome"` // repaired, superseded, failed, held back
	Detail  string    `json:"detail,omitempty"`
}

// Report is what happened in a period.
type Report struct {
	Since       time.Time    `json:"since"`
	Until       time.Time    `json:"until"`
	Comparisons []Comparison `json:"comparisons"`
	Findings    []Finding    `json:"findings"` // that were open at any time in the period
	Repairs     []Repair     `json:"repairs"`
}
