package demo

import (
	"fmt"
	"strings"
	"time"

	"meridian/internal/console"
)

// report writes what was done and what was found, and tells whether all regions hold the same rows.
func (d *demo) report(last snapshot, proofs []tableProof) (equal bool, err error) {
	colors := console.Colors(d.options.Stdout)
	var out strings.Builder
	d.reportStory(&out, last, colors)
	out.Write(d.mended.Bytes())
	equal = d.reportProofs(&out, proofs, colors)
	if _, err := fmt.Fprint(d.options.Stdout, out.String()); err != nil {
		return equal, fmt.Errorf("write the report: %w", err)
	}
	return equal, nil
}

func (d *demo) reportStory(out *strings.Builder, last snapshot, colors bool) {
	t := console.Table{Header: []string{"REGION", "COMMITTED", "ROLLED BACK", "DEADLOCKS", "APPLIED", "LOST", "CONFLICTS", "PARKED"}}
	conflicts, transactions := uint64(0), uint64(0)
	for i, r := range d.regions {
		var s status
		if i < len(last) {
			s = last[i]
		}
		conflicts += s.Conflicts
		transactions += r.written.transactions.Load()
		parked := console.Number(s.Parked + s.Dead + s.Rejected)
		if parked.Text != "0" {
			parked.Color = console.Red
		}
		t.Add(console.Text(r.name), console.Number(r.written.transactions.Load()), console.Number(r.written.rolledBack.Load()),
			console.Number(r.written.victims.Load()), console.Number(s.applied()), console.Number(s.lost()), console.Number(s.Conflicts), parked)
	}
	fmt.Fprintf(out, "\nWhat happened: %d transactions of the application in %v, %d conflicts (two regions wrote a row without seeing each other).\n\n",
		transactions, d.options.Duration, conflicts)
	_ = t.Write(out, colors) // a Builder takes everything
	s := &d.story
	out.WriteByte('\n')
	half, ok := s.delays.quantile(0.5)
	most, okMost := s.delays.quantile(0.99)
	if ok && okMost {
		fmt.Fprintf(out, "Before the line was cut, half of the changes were visible in another region %v after their commit, 99%% of them %v after it.\n",
			half.Round(time.Millisecond), most.Round(time.Millisecond))
	}
	fmt.Fprintf(out, "%s was cut off for %.1f s and was %.1f s behind then", d.regions[len(d.regions)-1].name, s.cut.Seconds(), s.behind.Seconds())
	if s.caughtUp > 0 {
		fmt.Fprintf(out, "; it had caught up %.1f s after the line was whole again", s.caughtUp.Seconds())
	}
	out.WriteString(".\n")
	if !s.felt {
		fmt.Fprintf(out, "%s\n", console.Paint("It never said that it was cut off.", console.Red, colors))
	}
	if s.settled > 0 {
		fmt.Fprintf(out, "All that was written was everywhere %.1f s after the last write.\n", s.settled.Seconds())
	} else {
		fmt.Fprintf(out, "%s\n", console.Paint("Not all that was written was everywhere in the end.", console.Red, colors))
	}
}

// sumDigits is how much of a checksum is shown.
const sumDigits = 12

func (d *demo) reportProofs(out *strings.Builder, proofs []tableProof, colors bool) (equal bool) {
	t := console.Table{Header: []string{"TABLE", "REGION", "ROWS", "SHA-256", ""}}
	rows, different := uint64(0), 0
	for i := range proofs {
		p := &proofs[i]
		rows += p.rows[0]
		verdict := console.Cell{Text: "equal", Color: console.Green}
		if !p.equal {
			different++
			verdict = console.Cell{Text: "DIFFERENT", Color: console.Red}
		}
		for n, r := range d.regions {
			name := console.Text(p.table)
			if n > 0 {
				name, verdict = console.Text(""), console.Text("")
			}
			t.Add(name, console.Text(r.name), console.Number(p.rows[n]), console.Text(p.sums[n][:sumDigits]), verdict)
		}
	}
	out.WriteString("\nThe proof: every row of every table, read by SELECT ... ORDER BY the primary key in every database, without Meridian.\n\n")
	_ = t.Write(out, colors) // a Builder takes everything
	for i := range proofs {
		d.reportDifferent(out, &proofs[i])
	}
	switch {
	case different > 0:
		fmt.Fprintf(out, "\n%s\n", console.Paint(fmt.Sprintf("THE REGIONS DIFFER in %d of %d tables.", different, len(proofs)), console.Red, colors))
	case rows == 0:
		fmt.Fprintf(out, "\n%s\n", console.Paint("NOTHING WAS COMPARED: there are no rows.", console.Red, colors))
	default:
		fmt.Fprintf(out, "\n%s\n", console.Paint(fmt.Sprintf("All %d regions hold the same %d rows.", len(d.regions), rows), console.Green, colors))
	}
	return different == 0 && rows > 0
}

func (d *demo) reportDifferent(out *strings.Builder, p *tableProof) {
	if p.equal {
		return
	}
	fmt.Fprintf(out, "\n%s is not the same everywhere:\n", p.table)
	for _, row := range p.different {
		fmt.Fprintf(out, "  %s\n", row.key)
		for n, r := range d.regions {
			columns := row.regions[n]
			if columns == "" {
				columns = "(no such row)"
			}
			fmt.Fprintf(out, "    %-*s  %s\n", widestName(d.regions), r.name, columns)
		}
	}
	if p.more > 0 {
		fmt.Fprintf(out, "  and %d rows more\n", p.more)
	}
}

func widestName(regions []*region) (n int) {
	for _, r := range regions {
		n = max(n, len(r.name))
	}
	return n
}
