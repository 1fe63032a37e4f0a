package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	Line int    // in the file, from 1; 0 if it has none
	Key  string // the dotted path of the setting, "regions.us-east-1.mysql"; "" for the whole file
	Text string // what is wrong with it, and what would be right
}

// String gives "line 7: bus.partitions: must be more than 0, not -1".
func (f Fault) String() string {
	text := f.Text
	if f.Key != "" {
		text = f.Key + ": " + text
	}
	if f.Line > 0 {
		text = fmt.Sprintf("line %d: %s", f.Line, text)
	}
	return text
}

// Error is returned for a configuration that cannot be used. It holds every fault that was found, in the order of the lines.
type Error struct {
	Path   string
	Faults []Fault
}

// Error gives one line per fault, each in the form "FILE:LINE: KEY: what is wrong", which editors can jump to.
func (e *Error) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		at := e.Path
		if f.Line > 0 {
			at = fmt.Sprintf("%s:%d", e.Path, f.Line)
		}
		f.Line = 0
		lines[i] = at + ": " + f.String()
	}
	return strings.Join(lines, "\n")
}

func sortFaults(faults []Fault) {
	slices.SortStableFunc(faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
}

// nearest finds the word that a misspelt one was most likely meant to be, "" if none is close.
func nearest(word string, words []string) string {
	best, bestDistance := "", 3
	for _, w := range words {
		if d := distance(word, w); d < bestDistance && d < len(w) {
			best, bestDistance = w, d
		}
	}
	return best
}

// distance is Levenshtein's: how many letters must be changed, added or removed.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
