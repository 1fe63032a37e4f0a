package main

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"meridian/internal/command"
	"meridian/internal/console"
	"meridian/internal/verify"
)

type seedCommand struct {
	tableFlag

	Into string `required:"" placeholder:"REGION" help:"The region that is filled."`
	From string `required:"" placeholder:"REGION" help:"The region that has the rows."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help adds the example.
func (seedCommand) Help() string {
	return "It fills an empty, restored or long-absent region from another one, while both are written to: every row and tombstone that " +
		"the region lacks, or has an older version of, travels over the bus once more. It may be broken off and begun again: then it " +
		"sends what is still lacking. What only the region itself has is left, and listed. Both regions' syncers must be ready, and the " +
		"tables be there (with the same definition, empty or not). Exit code: 0 done, 3 done, and rows are left for a person to decide on, " +
		"1 it failed, 2 wrong usage or configuration.\n\nExample:\n\n  verifier seed --into ap-south-1 --from us-east-1"
}

// Run implements the command.
func (c *seedCommand) Run(ctx context.Context, p *command.Process) error {
	cfg, err := p.Load()
	if err != nil {
		return err
	}
	match, err := c.match(cfg)
	if err != nil {
		return err
	}
	for flag, name := range map[string]string{"--into": c.Into, "--from": c.From} {
		if _, unknown := cfg.Region(name); unknown != nil {
			return &command.UsageError{Text: flag + ": " + unknown.Error()}
		}
	}
	if c.Into == c.From {
		return &command.UsageError{Text: "--into and --from name the same region"}
	}
	all, err := reach(cfg)
	if err != nil {
		return err
	}
	defer all.close()
	progress := newSeedProgress(p)
	done, err := all.verifier(cfg).Seed(ctx, verify.SeedOptions{Into: c.Into, From: c.From, Match: match, Progress: progress.show})
	progress.end()
	if err != nil {
		return err
	}
	if c.JSON {
		err = p.PrintJSON(done)
	} else {
		err = p.Print(seedText(done))
	}
	if err == nil && len(done.Left) > 0 {
		return command.ErrFound
	}
	return err
}

func seedText(s *verify.Seeded) string {
	text := ""
	for i, l := range s.Left {
		if i == mostShown {
			text += fmt.Sprintf("… and %d more (--json has all)\n", len(s.Left)-i)
			break
		}
		text += fmt.Sprintf("LEFT %s %s: %s\n", l.Table, keyText(l.Key), l.Reason)
	}
	return text + fmt.Sprintf("%s has what %s has: %d rows and tombstones were sent, in %d passes, %v; %d are left. Next: verifier compare\n",
		s.Into, s.From, s.Sent, s.Passed, s.Took.Round(time.Millisecond), len(s.Left))
}

// seedProgress shows how far a seed is: one line that is written over on a terminal, one line a while in a log.
type seedProgress struct {
	p        *command.Process
	terminal bool
	began    time.Time
	last     time.Time
	before   uint64 // rows looked at in tables that are done
	table    string
	rows     uint64
	shown    bool
}

func newSeedProgress(p *command.Process) *seedProgress {
	return &seedProgress{p: p, terminal: console.IsTerminal(p.Stderr), began: time.Now(), last: time.Now()}
}

const (
	progressOnTerminal = 200 * time.Millisecond
	progressInLog      = 10 * time.Second
)

func (s *seedProgress) show(at verify.SeedProgress) {
	if at.Table != s.table {
		s.before, s.table = s.before+s.rows, at.Table
	}
	s.rows = at.Looked
	every := progressInLog
	if s.terminal {
		every = progressOnTerminal
	}
	now := time.Now()
	if now.Sub(s.last) < every {
		return
	}
	s.last = now
	rate := float64(s.before+s.rows) / now.Sub(s.began).Seconds()
	left := time.Duration(float64(max(at.Rows, at.Looked)-at.Looked)/max(rate, 1)) * time.Second
	if !s.terminal {
		s.p.Logger.Info("seeding", zap.String("table", at.Table), zap.Int("pass", at.Pass), zap.Uint64("rows", at.Looked), zap.Uint64("of", at.Rows),
			zap.Uint64("sent", at.Sent), zap.Float64("rows_per_second", rate), zap.Duration("table_left", left))
		return
	}
	s.shown = true
	_, _ = fmt.Fprintf(s.p.Stderr, "\r\x1b[K%s: pass %d, %d of %d rows, %d sent, %.0f rows/s, %v left", at.Table, at.Pass, at.Looked, at.Rows, at.Sent, rate, left) // nobody is left to tell that stderr is gone
}

func (s *seedProgress) end() {
	if s.shown {
		_, _ = fmt.Fprintln(s.p.Stderr) // as above
	}
}
