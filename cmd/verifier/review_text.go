package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"meridian/internal/console"
	"meridian/internal/verify"
)

// reviewText shows what is in review to people: each row as it stands in the regions, side by side, and the verdict last.
func reviewText(l *verify.ReviewList, colors bool) string {
	var out strings.Builder
	out.WriteString(reviewRows(l.Rows, colors))
	for _, u := range l.Unreachable {
		fmt.Fprintf(&out, "%s could not be asked: %s\n", u.Region, u.Reason)
	}
	switch {
	case len(l.Rows) > 0:
		fmt.Fprintf(&out, "%s. Next: verifier review resolve --take REGION SCHEMA.TABLE KEY\n", console.Paint(fmt.Sprintf("A person has to decide on %d rows", len(l.Rows)), console.Yellow, colors))
	case len(l.Unreachable) > 0:
		out.WriteString(console.Paint("Nobody can tell", console.Yellow, colors) + " whether anything is in review.\n")
	default:
		out.WriteString(console.Paint("Nothing is in review.", console.Green, colors) + "\n")
	}
	return out.String()
}

func reviewRows(rows []verify.ReviewRow, colors bool) string {
	var out strings.Builder
	for i := range rows[:min(len(rows), mostShown)] {
		r := &rows[i]
		fmt.Fprintf(&out, "%s  %s  %s\n", r.Table, console.Paint(printable(keyText(r.Key)), console.Bold, colors), whyText(r))
		table := reviewTable(r)
		_ = table.Write(&out, colors) // a Builder takes everything
		out.WriteByte('\n')
	}
	if n := len(rows) - mostShown; n > 0 {
		fmt.Fprintf(&out, "… and %d more (--json has all)\n", n)
	}
	return out.String()
}

func whyText(r *verify.ReviewRow) string {
	if r.Why == verify.ByBaseline {
		return "no rule says which region is right"
	}
	since := ""
	for i := range r.Pending {
		if s := r.Pending[i].Since; since == "" || s < since {
			since = s
		}
	}
	return fmt.Sprintf("written in two regions at once, in review since %s, %d changes wait", timeText(since), len(r.Pending))
}

// reviewTable has a column for each region.
func reviewTable(r *verify.ReviewRow) *console.Table {
	regions := slices.Sorted(maps.Keys(r.Regions))
	t := &console.Table{Header: append([]string{""}, regions...)}
	line := func(name string, cell func(s *verify.ReviewSide) console.Cell) {
		cells := []console.Cell{console.Text(name)}
		for _, region := range regions {
			side := r.Regions[region]
			cells = append(cells, cell(&side))
		}
		t.Add(cells...)
	}
	for _, column := range r.Columns {
		differs := r.Differs(column)
		name := "  " + column
		if differs {
			name = "* " + column
		}
		line(name, func(s *verify.ReviewSide) console.Cell {
			return valueCell(&verify.RowInPlace{Exists: s.Exists, Row: s.Row, Hidden: s.Hidden}, column, differs)
		})
	}
	if len(r.Columns) == 0 {
		line("  row", func(*verify.ReviewSide) console.Cell { return console.Text("no row") })
	}
	line("written", func(s *verify.ReviewSide) console.Cell { return console.Text(versionText(s.Version)) })
	return t
}

// resolveText shows the plan, or what became of it.
func resolveText(r *reviewReport, done, colors bool) string {
	var out strings.Builder
	if !done {
		out.WriteString(reviewRows(r.Rows, colors))
		fmt.Fprintf(&out, "%d rows would be as they stand in %s, everywhere. Nothing was done. To do it, say --yes.\n", len(r.Rows), r.Take)
		return out.String()
	}
	out.WriteString(doneText(r.Done, colors))
	by := map[string]int{}
	for i := range r.Done {
		by[r.Done[i].Outcome]++
	}
	text := fmt.Sprintf("%d rows are as they stood in %s, everywhere", by[verify.Mended], r.Take)
	if len(r.Done) == by[verify.Mended] {
		text = console.Paint(text, console.Green, colors)
	}
	for _, o := range []struct{ outcome, says string }{
		{verify.Newer, "%d were written meanwhile (verifier review list)"}, {verify.Pending, "%d are not applied everywhere yet (list again in a moment)"}, {verify.Refused, "%d could not be decided on; nothing was changed in them"},
	} {
		if n := by[o.outcome]; n > 0 {
			text += ", " + fmt.Sprintf(o.says, n)
		}
	}
	out.WriteString(text + ".\n")
	return out.String()
}
