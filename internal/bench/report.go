package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"meridian/internal/console"
)

// report collects what is measured.
type report struct {
	table console.Table
	notes []string
	peaks []peak
}

type peak struct {
	phase, region string
	bytes         int
}

// latencyTargets are what a latency is held against; zero for none.
type latencyTargets struct {
	p50Ratio float64 // p50 against that of MySQL's own replica
	p50, p99 time.Duration
}

// begin notes where and when the figures were made.
func (r *report) begin(ctx context.Context, o options) {
	r.table.Header = []string{"MEASURED", "TARGET", "MERIDIAN", "MYSQL REPLICA", "RATIO", "VERDICT"}
	load := "unknown"
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	commit := "unknown commit"
	if out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		commit = strings.TrimSpace(string(out))
	}
	r.note("%s, %d cores, %s; load average before the start %s (where it is more than 1, others were at work, and the figures are noisy); scale %v",
		commit, runtime.NumCPU(), time.Now().UTC().Format(time.RFC3339), load, o.scale)
}

func (r *report) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

func (r *report) add(what, target, ours, theirs, ratio string, ok bool) {
	verdict := console.Cell{Text: "ok", Color: console.Green}
	switch {
	case target == "":
		verdict = console.Text("")
	case !ok:
		verdict = console.Cell{Text: "MISSED", Color: console.Red}
	}
	r.table.Add(console.Text(what), console.Text(target), console.Number(ours), console.Number(theirs), console.Number(ratio), verdict)
}

func (r *report) latency(l *load, t latencyTargets) {
	ours, theirs := l.delays(&l.b), l.delays(&l.c)
	name := fmt.Sprintf("commit -> visible, %d tx/s", l.rate)
	for _, q := range []struct {
		name     string
		share    float64
		ratio    float64
		absolute time.Duration
	}{{"p50", 0.5, t.p50Ratio, t.p50}, {"p99", 0.99, 0, t.p99}} {
		us, them := quantile(ours, q.share), quantile(theirs, q.share)
		ratio := us.Seconds() / max(them.Seconds(), 1e-9)
		target, ok := "", true
		switch {
		case q.ratio > 0:
			target, ok = fmt.Sprintf("<= %gx", q.ratio), ratio <= q.ratio
		case q.absolute > 0:
			target, ok = "<= "+q.absolute.String(), us <= q.absolute
		}
		r.add(name+": "+q.name, target, milliseconds(us), milliseconds(them), fmt.Sprintf("%.2fx", ratio), ok)
	}
	us, fine := l.behind(&l.b)
	them, fineToo := l.behind(&l.c)
	r.add(name+": behind at the end", "<= 100ms", behindText(us, fine), behindText(them, fineToo), "", fine && us <= 100*time.Millisecond)
	r.note("%d tx/s: %s", l.rate, l.effort.text(l.n, l.ended))
	if rate := float64(l.n) / l.ended.Seconds(); rate < 0.95*float64(l.rate) {
		r.note("A itself made only %.0f of %d transactions a second", rate, l.rate)
	}
}

func behindText(d time.Duration, all bool) string {
	if !all {
		return fmt.Sprintf("> %v", catchUp)
	}
	return milliseconds(d)
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

func (r *report) backlog(n int, ours, theirs drained) {
	ratio := theirs.total.Seconds() / ours.total.Seconds()
	r.add(fmt.Sprintf("backlog of %d transactions", n), "1/10 (aim 1/20)", seconds(ours.total), seconds(theirs.total),
		fmt.Sprintf("1/%.1f", ratio), ratio >= 10)
	r.note("the backlog's time includes the syncer's start: %s until its first row was visible, %s for the rest (%.0f tx/s; the replica: %.0f tx/s); its processor time: %s",
		seconds(ours.first), seconds(ours.total-ours.first), float64(n)/(ours.total-ours.first).Seconds(), float64(n)/theirs.total.Seconds(), seconds(ours.cpu))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func (r *report) capture(n int, took, start, cpu time.Duration) {
	rate := float64(n) / took.Seconds()
	r.add(fmt.Sprintf("capture -> acknowledged, %d rows", n), ">= 100000 rows/s", fmt.Sprintf("%.0f rows/s", rate), "", "", rate >= 100_000)
	r.note("capture counts from the first row that was read, %s after the process was started; its processor time with the start: %s (%.0f rows a second of one core)",
		seconds(start), seconds(cpu), float64(n)/cpu.Seconds())
}

// reading notes how fast a table of nine columns was read.
func (r *report) reading(what string, n int, took, cpu time.Duration) {
	rate := float64(n) / max(took.Seconds(), 1e-9)
	r.add(fmt.Sprintf("%s, %d rows", what, n), ">= 150000 rows/s", fmt.Sprintf("%.0f rows/s", rate), "", "", rate >= 150_000)
	r.note("%s: %s of processor time in the syncer (%.0f rows a second of one core)", what, seconds(cpu), float64(n)/max(cpu.Seconds(), 1e-9))
}

func (r *report) bulk(n int, took, cpu time.Duration) {
	r.add(fmt.Sprintf("one transaction of %d rows: commit -> all visible", n), "", seconds(took), "", "", true)
	r.note("of the one transaction: %s of processor time in B's syncer", seconds(cpu))
}

// memory notes the most resident memory of a region's syncer in a phase.
func (r *report) memory(phase, region string, bytes int) {
	r.peaks = append(r.peaks, peak{phase, region, bytes})
}

// write writes the table, with the peaks at its end, and the notes below.
func (r *report) write(w io.Writer) error {
	const most = 300 << 20
	for _, p := range r.peaks {
		r.add(fmt.Sprintf("resident memory of %s, phase %s", p.region, p.phase), "< 300 MB", fmt.Sprintf("%d MB", p.bytes>>20), "", "", p.bytes < most)
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	if err := r.table.Write(w, console.Colors(w)); err != nil {
		return err
	}
	for _, n := range r.notes {
		if _, err := fmt.Fprintln(w, "-", n); err != nil {
			return err
		}
	}
	return nil
}
