package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"meridian/internal/console"
	"meridian/internal/verify"
)

// compareText shows a comparison to people: the tables, with rows the keys, what is not known and why, and the verdict last.
func compareText(r *verify.Result, rows, colors bool) string {
	var out strings.Builder
	tables := console.Table{Header: []string{"TABLE", "ROWS", "EQUAL", "IN FLIGHT", "DRIFT", "PARKED"}}
	var notes []string
	for i := range r.Tables {
		t := &r.Tables[i]
		tables.Add(console.Text(t.Table), rowCounts(t.Rows), verdictCell(t.Equal), count(t.Unproven, console.Plain), driftCell(t), count(t.Parked, console.Yellow))
		for _, reason := range t.Reasons {
			notes = append(notes, t.Table+": "+reason)
		}
	}
	for _, u := range r.Unreachable {
		notes = append(notes, u.Region+" could not be asked: "+u.Reason)
	}
	_ = tables.Write(&out, colors) // a Builder takes everything
	if rows {
		out.WriteString(driftText(r.Drift, colors))
		for i := range r.Parked {
			f := &r.Parked[i]
			notes = append(notes, fmt.Sprintf("%s %s differs in %s: a change to it is %s there", f.Table, keyText(f.Key), strings.Join(f.Wrong, ", "), f.Parked))
		}
	}
	reasons := map[string]bool{}
	for _, u := range r.Unproven {
		if rows {
			notes = append(notes, fmt.Sprintf("%s %s is in flight: %s", u.Table, keyText(u.Key), u.Reason))
		} else if note := u.Table + ": in flight: " + u.Reason; !reasons[note] {
			reasons[note] = true
			notes = append(notes, note)
		}
	}
	if len(notes) > 0 {
		out.WriteByte('\n')
	}
	for _, n := range notes {
		out.WriteString(n + "\n")
	}
	out.WriteString("\n" + summary(r, rows, colors) + "\n")
	return out.String()
}

// rowCounts is one number where the regions agree on it, else each region's.
func rowCounts(by map[string]uint64) console.Cell {
	regions := slices.Sorted(maps.Keys(by))
	if len(regions) == 0 {
		return console.Number("-")
	}
	same := true
	parts := make([]string, len(regions))
	for i, r := range regions {
		same = same && by[r] == by[regions[0]]
		parts[i] = fmt.Sprintf("%s %d", r, by[r])
	}
	if same {
		return console.Number(by[regions[0]])
	}
	return console.Number(strings.Join(parts, ", "))
}

func verdictCell(equal *bool) console.Cell {
	switch {
	case equal == nil:
		return console.Cell{Text: "unknown", Color: console.Yellow}
	case *equal:
		return console.Cell{Text: "yes", Color: console.Green}
	default:
		return console.Cell{Text: "no", Color: console.Red}
	}
}

func count(n int, c console.Color) console.Cell {
	cell := console.Number(n)
	if n > 0 {
		cell.Color = c
	}
	return cell
}

// driftCell is how many rows drifted, and how many more differ at least.
func driftCell(t *verify.TableResult) console.Cell {
	cell := count(t.Drift, console.Red)
	if t.Beyond > 0 {
		cell = console.Cell{Text: fmt.Sprintf("%d, at least %d more differ", t.Drift, t.Beyond), Color: console.Red, Right: true}
	}
	return cell
}

func driftText(drift []verify.Finding, colors bool) string {
	if len(drift) == 0 {
		return ""
	}
	list := console.Table{Header: []string{"TABLE", "KEY", "KIND", "WRONG IN", "RIGHT IN", "VERSIONS"}}
	for i := range drift {
		f := &drift[i]
		winner := f.Winner
		if winner == "" {
			winner = "no rule says"
		}
		var versions []string
		for _, region := range slices.Sorted(maps.Keys(f.Regions)) {
			versions = append(versions, region+" "+viewText(f.Regions[region]))
		}
		list.Add(console.Text(f.Table), console.Text(keyText(f.Key)), console.Cell{Text: f.Kind, Color: console.Red},
			console.Text(strings.Join(f.Wrong, ", ")), console.Text(winner), console.Text(strings.Join(versions, ", ")))
	}
	var out strings.Builder
	out.WriteByte('\n')
	_ = list.Write(&out, colors) // as above
	return out.String()
}

func viewText(v verify.RegionView) string {
	text := v.Version
	switch {
	case text == "":
		text = "nothing"
	case v.Deleted:
		text += " (deleted)"
	}
	if v.Suspect || !v.Agrees {
		text += " (not as written)"
	}
	return text
}

// keyText shows a key as it is given on a command line.
func keyText(key []string) string { return strings.Join(key, ",") }

// summary is the last line: the verdict, and what to do next.
func summary(r *verify.Result, rows, colors bool) string {
	drift, unproven, parked, beyond := 0, 0, 0, uint64(0)
	for i := range r.Tables {
		beyond += r.Tables[i].Beyond
		drift, unproven, parked = drift+r.Tables[i].Drift, unproven+r.Tables[i].Unproven, parked+r.Tables[i].Parked
	}
	took := r.Took.Round(time.Millisecond)
	switch {
	case r.Equal == nil:
		return console.Paint("Nobody can tell", console.Yellow, colors) + fmt.Sprintf(" whether all regions are equal: the notes above say why. (%v)", took)
	case *r.Equal:
		return console.Paint("All regions are equal.", console.Green, colors) + fmt.Sprintf(" (%d tables, %v)", len(r.Tables), took)
	}
	text := console.Paint(fmt.Sprintf("The regions differ in %d rows", drift), console.Red, colors)
	if drift == 0 {
		text = console.Paint("The regions differ only in rows whose changes are parked", console.Yellow, colors)
	}
	if beyond > 0 {
		text += fmt.Sprintf(", and in at least %d more that were not looked at one by one", beyond)
	}
	text += fmt.Sprintf("; %d more are in flight, %d parked. (%v)", unproven, parked, took)
	if !rows && drift > 0 {
		text += " Next: verifier compare --rows"
	}
	return text
}
