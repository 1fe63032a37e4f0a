package main

import (
	"fmt"
	"strings"

	"meridian/internal/console"
	"meridian/internal/verify"
)

// mostShown bounds the rows that a report for people lists; --json has all.
const mostShown = 100

// repairText shows a repair to people: each row and what became of it, what is left and why, and the verdict last.
func repairText(r *repairReport, dryRun, colors bool) string {
	var out strings.Builder
	if dryRun {
		out.WriteString(planText(r.Plan.Rows, colors))
	} else {
		out.WriteString(doneText(r.Done, colors))
	}
	for _, h := range r.Plan.Held {
		fmt.Fprintf(&out, "%s %s: %s. Nothing was done. Look at it (verifier compare --table %s --rows), then: verifier repair --table %s --yes\n",
			console.Paint("HELD", console.Yellow, colors), h.Table, h.Why, h.Table, h.Table)
	}
	for i := range r.Plan.Left {
		if i == mostShown {
			fmt.Fprintf(&out, "… and %d more (--json has all)\n", len(r.Plan.Left)-i)
			break
		}
		l := &r.Plan.Left[i]
		fmt.Fprintf(&out, "%s %s %s: %s\n", console.Paint("LEFT", console.Yellow, colors), l.Table, keyText(l.Key), l.Why)
	}
	for _, u := range r.Unreachable {
		fmt.Fprintf(&out, "%s could not be asked: %s\n", u.Region, u.Reason)
	}
	if out.Len() > 0 {
		out.WriteByte('\n')
	}
	out.WriteString(repairSummary(r, dryRun, colors) + "\n")
	return out.String()
}

func planText(rows []verify.PlannedRow, colors bool) string {
	if len(rows) == 0 {
		return ""
	}
	list := console.Table{Header: []string{"TABLE", "KEY", "KIND", "WRONG IN", "RIGHT IN", "WHY"}}
	for i := range rows[:min(len(rows), mostShown)] {
		p := &rows[i]
		list.Add(console.Text(p.Table), console.Text(keyText(p.Key)), console.Cell{Text: p.Kind, Color: console.Red},
			console.Text(strings.Join(p.Wrong, ", ")), console.Text(p.Source), console.Text(p.Why))
	}
	return listed(&list, len(rows), colors)
}

func doneText(rows []verify.RepairedRow, colors bool) string {
	if len(rows) == 0 {
		return ""
	}
	list := console.Table{Header: []string{"TABLE", "KEY", "KIND", "WRONG IN", "RIGHT IN", "OUTCOME", ""}}
	for i := range rows[:min(len(rows), mostShown)] {
		d := &rows[i]
		outcome := console.Cell{Text: d.Outcome, Color: console.Green}
		if d.Outcome != verify.Mended {
			outcome.Color = console.Yellow
		}
		list.Add(console.Text(d.Table), console.Text(keyText(d.Key)), console.Text(d.Kind), console.Text(strings.Join(d.Wrong, ", ")),
			console.Text(d.Source), outcome, console.Text(d.Detail))
	}
	return listed(&list, len(rows), colors)
}

func listed(list *console.Table, all int, colors bool) string {
	var out strings.Builder
	_ = list.Write(&out, colors) // a Builder takes everything
	if all > len(list.Rows) {
		fmt.Fprintf(&out, "… and %d more (--json has all)\n", all-len(list.Rows))
	}
	return out.String()
}

// repairSummary is the last line: what was done, and what to do next.
func repairSummary(r *repairReport, dryRun, colors bool) string {
	held := uint64(0)
	for _, h := range r.Plan.Held {
		held += h.Rows
	}
	rest := fmt.Sprintf("%d are left, %d held.", len(r.Plan.Left), held)
	if len(r.Unreachable) > 0 {
		rest += " " + console.Paint("Nobody knows what else differs", console.Yellow, colors) + ": not all regions could be asked."
	}
	if dryRun {
		return fmt.Sprintf("%d rows would be repaired; %s Nothing was done.", len(r.Plan.Rows), rest)
	}
	by := map[string]int{}
	for i := range r.Done {
		by[r.Done[i].Outcome]++
	}
	text := fmt.Sprintf("%d rows repaired", by[verify.Mended])
	if len(r.Done) == by[verify.Mended] {
		text = console.Paint(text, console.Green, colors)
	}
	for _, o := range []struct{ outcome, says string }{
		{verify.Newer, "%d written meanwhile"}, {verify.Pending, "%d not applied everywhere yet (compare again in a moment)"}, {verify.Refused, "%d refused"},
	} {
		if n := by[o.outcome]; n > 0 {
			text += ", " + fmt.Sprintf(o.says, n)
		}
	}
	if len(r.Done)+len(r.Plan.Left)+len(r.Plan.Held)+len(r.Unreachable) == 0 {
		text = "Nothing has drifted"
		if r.unproven > 0 {
			text += fmt.Sprintf("; %d rows are in flight", r.unproven)
		}
		return text + "."
	}
	return text + "; " + rest
}
