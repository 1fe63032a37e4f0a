package verify

import (
	"fmt"
	"maps"
	"slices"

	"meridian/internal/inspect"
	"meridian/internal/row"
)

// PlanOptions say how drift is to be mended.
type PlanOptions struct {
	// From is the region whose rows become the truth everywhere, whoever is right by the versions; "": the winner's.
	From string
	// MaxRows is how many rows of a table are mended at once without a person's word; see tooMuch.
	MaxRows int
	// Lately is how many rows of a table have been mended without one lately: a large damage is found little by little, and each
	// part of it would pass.
	Lately map[string]int
	// Confirmed: a person has said yes to whatever it is.
	Confirmed bool
}

// Plan says what a repair does, and what it leaves and why.
type Plan struct {
	Rows []PlannedRow `json:"rows"`
	Left []LeftRow    `json:"left"` // what no rule, or nobody, says how to mend
	Held []HeldTable  `json:"held"` // more than is mended without a person's word
}

// PlannedRow is one row and how it is mended.
type PlannedRow struct {
	Finding
	Source string `json:"source"` // the region whose row the others get
	Adopt  bool   `json:"adopt"`  // it gets a new version first, since its own would not win
	Why    string `json:"why"`

	above row.Version // what its new version has to be above, beside those that the regions have
}

// LeftRow is one row that is left as it is.
type LeftRow struct {
	Finding
	Why string `json:"why"`
}

// HeldTable is a table of which so much differs that a person has to look first.
type HeldTable struct {
	Table string `json:"table"`
	Rows  uint64 `json:"rows"`
	Why   string `json:"why"`
}

// MakePlan says how a comparison's drift is mended. It asks nobody and changes nothing.
func MakePlan(result *Result, o PlanOptions) *Plan {
	p := &Plan{Rows: []PlannedRow{}, Left: []LeftRow{}, Held: []HeldTable{}}
	held := map[string]bool{}
	for i := range result.Tables {
		t := &result.Tables[i]
		if why := tooMuch(t, result.Drift, o.MaxRows, o.Lately[t.Table]); why != "" && !o.Confirmed {
			p.Held = append(p.Held, HeldTable{t.Table, uint64(t.Drift) + t.Beyond, why})
			held[t.Table] = true
		}
	}
	for i := range result.Drift {
		f := &result.Drift[i]
		if held[f.Table] {
			continue
		}
		planned, why := f.plan(o.From)
		if why != "" {
			p.Left = append(p.Left, LeftRow{*f, why})
			continue
		}
		p.Rows = append(p.Rows, planned)
	}
	return p
}

func (f *Finding) plan(from string) (p PlannedRow, left string) {
	p = PlannedRow{Finding: *f, Source: f.Winner}
	if from == "" || from == f.Winner {
		if f.Winner == "" {
			return p, "no rule says which region is right: look at the row (verifier explain), then `verifier repair --from REGION`, or `verifier review resolve`"
		}
		if from == "" && f.unknown() {
			return p, fmt.Sprintf("only %s has the row, and nobody knows whether the others have deleted it or never had it: "+
				"`verifier seed --from %s --into REGION` copies such rows, `verifier repair --from REGION` says who is right", f.Winner, f.Winner)
		}
		p.Why = fmt.Sprintf("%s has the newest write (%s) and the row that belongs to it", f.Winner, f.Regions[f.Winner].Version)
		if f.Regions[f.Winner].Deleted {
			p.Why = fmt.Sprintf("%s has deleted the row, or never had it", f.Winner)
		}
		return p, ""
	}
	if _, ok := f.Regions[from]; !ok {
		return p, from + " could not be asked for the row"
	}
	p.Source, p.Adopt = from, true
	p.Why = from + " is to be right, as ordered: its row becomes the newest write"
	return p, ""
}

// unknown tells whether the winner's row is from before Meridian came and others know nothing of it at all: a region that was
// restored from a backup has rows like that which were deleted long ago, and their tombstones are gone.
func (f *Finding) unknown() bool {
	if w := f.Regions[f.Winner]; w.Deleted || !versionOf(w.Version).IsBaseline() {
		return false
	}
	return slices.ContainsFunc(f.Wrong, func(region string) bool { return f.Regions[region].Version == "" })
}

// The circuit breaker. A table that was truncated, or filled from the wrong dump, must not be "repaired" by surprise, in either
// direction.
const (
	heldPercent = 1
	// heldAtLeast keeps the percentage from holding up single rows of small tables.
	heldAtLeast = 10
)

// tooMuch tells why so much of a table differs that a person has to look first; "": it does not.
func tooMuch(t *TableResult, drift []Finding, maxRows, lately int) string {
	rows, empty := uint64(0), ""
	for region, n := range t.Rows {
		rows = max(rows, n)
		if n == 0 {
			empty = region
		}
	}
	before := ""
	if lately > 0 {
		before = fmt.Sprintf(" (with %d that were repaired lately)", lately)
	}
	found := uint64(t.Drift) + t.Beyond
	switch n := found + uint64(lately); {
	case found == 0:
		return ""
	case n > uint64(maxRows):
		return fmt.Sprintf("%d rows differ%s, verify.max_repair_rows is %d", n, before, maxRows)
	case n > heldAtLeast && n*100 > rows*heldPercent:
		return fmt.Sprintf("%d of its %d rows differ%s, more than %d %%", n, rows, before, heldPercent)
	case empty != "" && rows > 0 && !onlyExtra(t.Table, drift):
		return fmt.Sprintf("the table is empty in %s: was it truncated there?", empty)
	default:
		return byDDL(t.Table, drift)
	}
}

// byDDL tells in which region a DDL statement removed or brought rows of a table: that was meant, there at least. Rows that were
// written since, or a scrub that is not through yet, make it look like few.
func byDDL(table string, drift []Finding) string {
	for i := range drift {
		for _, region := range slices.Sorted(maps.Keys(drift[i].Regions)) {
			if drift[i].Table == table && drift[i].Regions[region].ByDDL {
				return fmt.Sprintf("a DDL statement has changed rows in %s: was the table truncated there?", region)
			}
		}
	}
	return ""
}

// onlyExtra tells whether all that differs in a table are rows that should not be there: that a table is empty elsewhere is as it
// should be then.
func onlyExtra(table string, drift []Finding) bool {
	return !slices.ContainsFunc(drift, func(f Finding) bool { return f.Table == table && f.Kind != Extra })
}

// order says which version the row has, or has to be above.
func (p *PlannedRow) order() inspect.Wanted {
	w := inspect.Wanted{
		KeyRef:  inspect.KeyRef{Key: []byte(p.place.key), Label: p.label},
		Version: versionOf(p.Regions[p.Source].Version).String(), Deleted: p.Regions[p.Source].Deleted,
	}
	if p.Adopt {
		newest := p.above
		for _, r := range p.Regions {
			if v := versionOf(r.Version); v.Newer(newest) {
				newest = v
			}
		}
		w.Version = newest.String()
	}
	return w
}

// versionOf reads a version as a finding has it: "" is a row without an entry, as the baseline's.
func versionOf(text string) row.Version {
	v, err := row.ParseVersion(text)
	if err != nil {
		return row.Version{}
	}
	return v
}
