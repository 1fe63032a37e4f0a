package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"meridian/internal/console"
)

// The part of `syncer status` that says how far the tables have been read, the first time and again.

// baselineView is the first reading of a table.
type baselineView struct {
	Table         string  `json:"table"`
	Rows          uint64  `json:"rows"`
	EstimatedRows uint64  `json:"estimated_rows"`
	RowsPerSecond float64 `json:"rows_per_second"`
	SecondsLeft   float64 `json:"seconds_left"`
	Paused        string  `json:"paused"`
	Done          bool    `json:"done"`
}

// scrubView is the reading again.
type scrubView struct {
	Table         string            `json:"table"`
	Rows          uint64            `json:"rows"`
	EstimatedRows uint64            `json:"estimated_rows"`
	SecondsLeft   float64           `json:"seconds_left"`
	Paused        string            `json:"paused"`
	Found         map[string]uint64 `json:"found"`
	Covered       *time.Time        `json:"covered"`
}

// shownTables is how many tables of a process are listed: those that have most to tell.
const shownTables = 20

// tables lists a process's tables.
func (v *regionView) tables(into *console.Table) {
	scrubs := map[string]*scrubView{}
	for i := range v.Scrub {
		scrubs[v.Scrub[i].Table] = &v.Scrub[i]
	}
	list := slices.Clone(v.Baseline)
	slices.SortStableFunc(list, func(a, b baselineView) int {
		return cmp.Compare(urgency(&a, scrubs[a.Table]), urgency(&b, scrubs[b.Table]))
	})
	for i := range list {
		if i == shownTables {
			into.Add(console.Text(v.name()), console.Text(fmt.Sprintf("and %d more (--json)", len(list)-i)), empty, empty, empty, empty)
			return
		}
		b := &list[i]
		s := scrubs[b.Table]
		into.Add(console.Text(v.name()), console.Text(b.Table), b.reading(), s.covered(), s.under(), s.found())
	}
}

// urgency puts first what is being read, then what was found altered, then what was never covered.
func urgency(b *baselineView, s *scrubView) int {
	switch {
	case !b.Done:
		return 0
	case s != nil && len(s.Found) > 0:
		return 1
	case s == nil || s.Covered == nil:
		return 2
	default:
		return 3
	}
}

// reading is how far the first reading is.
func (b *baselineView) reading() console.Cell {
	switch {
	case b.Done:
		return console.Cell{Text: "done", Color: console.Green}
	case b.Paused != "":
		return console.Cell{Text: "waits: " + b.Paused, Color: console.Yellow}
	default:
		return console.Cell{Color: console.Yellow, Text: fmt.Sprintf("%d of %d rows, %.0f/s, %s left", b.Rows, b.EstimatedRows, b.RowsPerSecond, left(b.SecondsLeft))}
	}
}

func left(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second)).Round(time.Second)
}

// covered is when the table was last read again as a whole.
func (s *scrubView) covered() console.Cell {
	if s == nil || s.Covered == nil {
		return empty
	}
	return console.Text(s.Covered.UTC().Format(time.RFC3339))
}

// under is the pass that is under way.
func (s *scrubView) under() console.Cell {
	switch {
	case s == nil || s.Rows == 0 && s.Paused == "":
		return empty
	case s.Paused != "":
		return console.Cell{Text: "waits: " + s.Paused, Color: console.Yellow}
	default:
		return console.Text(fmt.Sprintf("%d of %d rows, %s left", s.Rows, s.EstimatedRows, left(s.SecondsLeft)))
	}
}

// found is what was not as the ledger says.
func (s *scrubView) found() console.Cell {
	if s == nil || len(s.Found) == 0 {
		return console.Text("")
	}
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(s.Found)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", s.Found[kind], kind))
	}
	return console.Cell{Text: strings.Join(kinds, ", "), Color: console.Red}
}
