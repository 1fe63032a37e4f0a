package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"meridian/internal/console"
	"meridian/internal/row"
	"meridian/internal/verify"
)

// fewConflicts are shown unless all are asked for.
const fewConflicts = 3

// explainText shows a row to people: what each region has side by side, what differs, and the conflicts with what they cost.
func explainText(x *verify.Explanation, history, colors bool) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s  %s\n\n", x.Table, console.Paint(keyWords(x), console.Bold, colors))
	if !x.Known() {
		out.WriteString("No region knows of a row with this key: it never was, or was deleted long ago.\n")
		return out.String()
	}
	table := explainTable(x)
	_ = table.Write(&out, colors) // a Builder takes everything
	out.WriteByte('\n')
	for _, note := range explainNotes(x) {
		out.WriteString(note + "\n")
	}
	out.WriteString(explainVerdict(x, colors) + "\n")
	out.WriteString(historyText(x, history, colors))
	return out.String()
}

func keyWords(x *verify.Explanation) string {
	parts := make([]string, len(x.Key))
	for i, v := range x.Key {
		parts[i] = printable(v)
		if i < len(x.KeyColumns) {
			parts[i] = x.KeyColumns[i] + " = " + parts[i]
		}
	}
	return strings.Join(parts, ", ")
}

// explainTable has a column for each region.
func explainTable(x *verify.Explanation) *console.Table {
	regions := slices.Sorted(maps.Keys(x.Regions))
	t := &console.Table{Header: append([]string{""}, regions...)}
	line := func(name string, cell func(r *verify.RowInPlace) console.Cell) {
		cells := []console.Cell{console.Text(name)}
		for _, region := range regions {
			r := x.Regions[region]
			if r.Error != "" {
				cells = append(cells, console.Cell{Text: "?", Color: console.Yellow})
				continue
			}
			cells = append(cells, cell(&r))
		}
		t.Add(cells...)
	}
	for _, column := range x.Columns {
		differs := slices.Contains(x.Different, column)
		name := "  " + column
		if differs {
			name = "* " + column
		}
		line(name, func(r *verify.RowInPlace) console.Cell { return valueCell(r, column, differs) })
	}
	if len(x.Columns) == 0 {
		line("  row", func(*verify.RowInPlace) console.Cell { return console.Text("no row") })
	}
	line("written", func(r *verify.RowInPlace) console.Cell { return console.Text(versionTime(r.Version)) })
	line("in", func(r *verify.RowInPlace) console.Cell { return console.Text(orDash(r.Origin)) })
	line("digest", func(r *verify.RowInPlace) console.Cell {
		if !r.Exists {
			return console.Text("-")
		}
		return console.Text(r.Digest)
	})
	line("ledger", ledgerCell)
	line("parked", parkedCell)
	return t
}

func valueCell(r *verify.RowInPlace, column string, differs bool) console.Cell {
	text, have := r.Row[column]
	cell := console.Cell{}
	switch {
	case !r.Exists:
		cell.Text = "no row"
	case r.Hidden:
		cell.Text = "(hidden)"
	case !have:
		cell.Text = "no such column"
	case text == nil:
		cell.Text = "NULL"
	default:
		cell.Text = printable(*text)
	}
	if differs {
		cell.Color = console.Red
	}
	return cell
}

func ledgerCell(r *verify.RowInPlace) console.Cell {
	switch {
	case r.Moved:
		return console.Cell{Text: "being written", Color: console.Yellow}
	case r.Suspect || !r.Agrees:
		return console.Cell{Text: "NOT as written", Color: console.Red}
	case r.Version == "":
		return console.Text("no entry")
	default:
		return console.Cell{Text: "agrees", Color: console.Green}
	}
}

func parkedCell(r *verify.RowInPlace) console.Cell {
	if len(r.Parked) == 0 {
		return console.Text("-")
	}
	states := make([]string, len(r.Parked))
	for i := range r.Parked {
		states[i] = fmt.Sprintf("%s %d", r.Parked[i].State, r.Parked[i].ID)
	}
	return console.Cell{Text: strings.Join(states, ", "), Color: console.Yellow}
}

// explainNotes say what the table has no room for.
func explainNotes(x *verify.Explanation) []string {
	var notes []string
	for _, region := range slices.Sorted(maps.Keys(x.Regions)) {
		r := x.Regions[region]
		switch {
		case r.Error != "":
			notes = append(notes, fmt.Sprintf("%s did not answer: %s", region, r.Error))
		case r.Moved:
			notes = append(notes, region+": the row was written each time that it was read: what is shown may be of two moments")
		case r.Suspect || !r.Agrees:
			notes = append(notes, region+": the row is not what Meridian saw written: it was changed past the binlog (sql_log_bin=0, a restore, a damaged disk), or altered by a trigger")
		}
		for i := range r.Parked {
			h := &r.Parked[i]
			notes = append(notes, fmt.Sprintf("%s: change %d from %s, written %s, is %s since %s after %d attempts: %s: %s",
				region, h.ID, h.Source, versionText(h.Version), h.State, timeText(h.Since), h.Attempts, h.Reason, printableDetail(h.Detail)))
			if h.Change != nil {
				notes = append(notes, "  it brings "+lostText(h.Change, x.KeyColumns))
			}
		}
	}
	return notes
}

// explainVerdict says in what the regions differ.
func explainVerdict(x *verify.Explanation, colors bool) string {
	down := x.Unreachable()
	switch {
	case x.Equal == nil:
		verdict := console.Paint("Nobody can tell", console.Yellow, colors) + " whether the row is the same everywhere: " + strings.Join(down, ", ") + " did not answer."
		if len(x.Regions)-len(down) > 1 {
			verdict += " Those that did agree."
		}
		return verdict
	case *x.Equal:
		return console.Paint("The row is the same in all regions.", console.Green, colors)
	}
	newest := x.Newest()
	if len(newest) == 0 {
		return console.Paint("The regions differ", console.Red, colors) + ", and no ledger knows of the row."
	}
	lines := []string{console.Paint("The regions differ.", console.Red, colors) + " The newest version is in " + strings.Join(newest, ", ") + "."}
	sameVersion := true
	for _, region := range slices.Sorted(maps.Keys(x.Regions)) {
		r := x.Regions[region]
		if r.Error != "" || region == newest[0] {
			continue
		}
		sameVersion = sameVersion && r.Version == x.Regions[newest[0]].Version
		columns, presence := x.Differs(region, newest[0])
		switch {
		case presence && r.Exists:
			lines = append(lines, fmt.Sprintf("%s has a row that %s does not have", region, newest[0]))
		case presence:
			lines = append(lines, fmt.Sprintf("%s lacks the row that %s has", region, newest[0]))
		case len(columns) > 0:
			lines = append(lines, fmt.Sprintf("%s differs from %s in %s", region, newest[0], strings.Join(columns, ", ")))
		}
	}
	if sameVersion {
		lines = append(lines, "It will not end by itself: `verifier repair --dry-run --table "+x.Table+"` says what would mend it.")
	} else {
		lines = append(lines, "A change may still be on its way: look again, or let `verifier compare --table "+x.Table+" --rows` prove it.")
	}
	return strings.Join(lines, "\n")
}

// historyText shows conflicts, the newest first, and how to bring back what they cost.
func historyText(x *verify.Explanation, all, colors bool) string {
	if len(x.History) == 0 {
		return ""
	}
	var out strings.Builder
	fmt.Fprintf(&out, "\n%s\n", console.Paint(fmt.Sprintf("Conflicts that are kept: %d, the newest first", len(x.History)), console.Bold, colors))
	for i := range x.History {
		if !all && i == fewConflicts {
			fmt.Fprintf(&out, "… and %d more: --history\n", len(x.History)-i)
			break
		}
		h := &x.History[i]
		fmt.Fprintf(&out, "%s  %s won over %s\n", h.ID, versionText(h.Winner), versionText(h.Loser))
		switch {
		case h.Omitted == "large":
			fmt.Fprintf(&out, "    lost: a large row; verifier repair --restore %s shows it, and how to bring it back\n", h.ID)
		case h.Lost == nil:
			fmt.Fprintf(&out, "    what lost was not kept: %s\n", h.Omitted)
		default:
			fmt.Fprintf(&out, "    lost: %s\n    to bring it back: verifier repair --restore %s\n", lostText(h.Lost, x.KeyColumns), h.ID)
		}
	}
	return out.String()
}

// lostText shows what a change makes of the row, without its key.
func lostText(l *verify.Lost, key []string) string {
	if l.Deleted {
		return "the deletion of the row"
	}
	var parts []string
	for _, column := range l.Columns {
		if slices.Contains(key, column) && len(l.Columns) > len(key) {
			continue
		}
		value := "NULL"
		if v := l.Row[column]; v != nil {
			value = printable(*v)
		}
		parts = append(parts, column+" = "+value)
	}
	return strings.Join(parts, ", ")
}

// versionText shows a version as a time and a region.
func versionText(version string) string {
	v, err := row.ParseVersion(version)
	switch {
	case err != nil || version == "":
		return orDash(version)
	case v.IsBaseline():
		return "the row from before Meridian"
	default:
		return versionTime(version) + " in " + v.Region
	}
}

func versionTime(version string) string {
	v, err := row.ParseVersion(version)
	switch {
	case err != nil:
		return "-"
	case v.IsBaseline():
		return "before Meridian"
	default:
		return time.UnixMicro(v.Time).UTC().Format("2006-01-02 15:04:05.000000")
	}
}

// timeText shows RFC 3339 as people read it.
func timeText(t string) string {
	at, err := time.Parse(time.RFC3339, t)
	if err != nil {
		return t
	}
	return at.UTC().Format("2006-01-02 15:04:05")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// printable shows a value within a line: shortened, and so that nothing in it reaches the terminal as a command.
func printable(s string) string { return shown(s, 48) }

func printableDetail(s string) string { return shown(s, 200) }

func shown(s string, most int) string {
	runes := []rune(s)
	cut := ""
	if len(runes) > most {
		runes, cut = runes[:most], fmt.Sprintf("… (%d bytes)", len(s))
	}
	odd := slices.ContainsFunc(runes, func(r rune) bool { return !unicode.IsPrint(r) })
	text := string(runes)
	if odd || text == "" || text == "NULL" || strings.TrimSpace(text) != text {
		text = fmt.Sprintf("%q", text)
	}
	return text + cut
}
