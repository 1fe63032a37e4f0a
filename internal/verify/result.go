package verify

import (
	"cmp"
	"slices"
	"time"
)

// The kinds of drift, as they are seen from the region that lacks the winner's row.
const (
	Missing   = "missing"   // the winner has the row, the region does not
	Extra     = "extra"     // the winner has deleted the row, or never had it; the region has it
	Different = "different" // both have it, with other values
)

// Result is what one comparison found. Its JSON is what `verifier compare --json` prints.
type Result struct {
	Began time.Time     `json:"began"`
	Took  time.Duration `json:"-"`
	// Equal is nil when nobody knows: a region could not be asked, or something could not be proven in time.
	Equal       *bool         `json:"equal"`
	Tables      []TableResult `json:"tables"`
	Drift       []Finding     `json:"drift,omitempty"`
	Parked      []Finding     `json:"parked,omitempty"` // rows that differ, and a change to them is parked
	Unproven    []Unproven    `json:"unproven,omitempty"`
	Unreachable []Unreachable `json:"unreachable"`
}

// TableResult is one table's part.
type TableResult struct {
	Table    string            `json:"table"`
	Rows     map[string]uint64 `json:"rows"` // by region
	Equal    *bool             `json:"equal"`
	Unproven int               `json:"unproven"`
	Drift    int               `json:"drift"`
	Parked   int               `json:"parked"`
	Beyond   uint64            `json:"beyond,omitempty"`  // rows that differ besides, at least: too many to look at one by one
	Reasons  []string          `json:"reasons,omitempty"` // why it is not known whether it is equal
}

// Finding is one row that differs for good in one or more regions.
type Finding struct {
	Table   string                `json:"table"`
	Key     []string              `json:"key"`
	Kind    string                `json:"kind"`
	Regions map[string]RegionView `json:"regions"`
	// Winner is the region whose row the others should have; "" when no rule says which.
	Winner string `json:"winner"`
	// Wrong are the regions that differ from the winner.
	Wrong []string `json:"wrong"`
	// Parked: a change to the row is parked in one of the wrong regions, with this state; it is no drift then.
	Parked string `json:"parked,omitempty"`

	place place
	label []byte // of the key
}

// RegionView is a row as one region's ledger has it.
type RegionView struct {
	Version string `json:"version"` // "" where there is no entry
	Origin  string `json:"origin"`  // the region that wrote it
	Digest  uint64 `json:"digest,string"`
	Deleted bool   `json:"deleted"`
	Suspect bool   `json:"suspect,omitempty"` // the row is not what was written
	ByDDL   bool   `json:"by_ddl,omitempty"`  // it is so because of a DDL statement there (TRUNCATE), which is not replayed elsewhere
	Agrees  bool   `json:"agrees"`            // the row in the database is what the ledger says
}

// Unproven is a difference of which it is not known yet whether it will end by itself.
type Unproven struct {
	Table  string   `json:"table"`
	Key    []string `json:"key"`
	Reason string   `json:"reason"`

	place place
}

// Unreachable is a region, or one process of it, that could not be asked.
type Unreachable struct {
	Region string `json:"region"`
	Reason string `json:"reason"`
}

// sum sums a result up, after everything has been found.
func (r *Result) sum() {
	by := map[string]*TableResult{}
	for i := range r.Tables {
		by[r.Tables[i].Table] = &r.Tables[i]
	}
	slices.SortFunc(r.Drift, func(a, b Finding) int { return cmp.Or(cmp.Compare(a.Table, b.Table), slices.Compare(a.Key, b.Key)) })
	kept := r.Drift[:0]
	for _, f := range r.Drift {
		if f.Parked != "" {
			by[f.Table].Parked++
			r.Parked = append(r.Parked, f)
			continue
		}
		by[f.Table].Drift++
		kept = append(kept, f)
	}
	r.Drift = kept
	for _, u := range r.Unproven {
		by[u.Table].Unproven++
	}
	all, known := true, len(r.Unreachable) == 0
	for i := range r.Tables {
		t := &r.Tables[i]
		switch {
		case t.Drift > 0 || t.Parked > 0:
			t.Equal = verdict(false)
		case t.Unproven > 0 || len(t.Reasons) > 0 || len(r.Unreachable) > 0:
			known = false
		default:
			t.Equal = verdict(true)
		}
		all = all && (t.Equal == nil || *t.Equal)
	}
	switch {
	case !all:
		r.Equal = verdict(false)
	case known:
		r.Equal = verdict(true)
	}
}

func verdict(b bool) *bool { return &b }
