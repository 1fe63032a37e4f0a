package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"meridian/internal/command"
	"meridian/internal/config"
	"meridian/internal/console"
	"meridian/internal/inspect"
	"meridian/internal/verify"
)

type scrubCommand struct {
	tableFlag

	Rate int  `placeholder:"ROWS" default:"0" help:"Rows a second that each syncer may read (verify.scrub_rows_per_second)."`
	Rows bool `help:"List the keys: of what has drifted, and of what is in flight."`
	JSON bool `name:"json" help:"Print JSON."`
}

// Help adds the example.
func (scrubCommand) Help() string {
	return "It asks the syncers to read the rows again and to compare them with their ledgers, which finds what never passed the binlog, " +
		"and then compares all regions. It needs admin.token. Interrupted, it leaves the syncers reading. Exit codes as of compare.\n\n" +
		"Example:\n\n  verifier scrub --table shop.orders --rate 20000"
}

// Run implements the command.
func (s *scrubCommand) Run(ctx context.Context, p *command.Process) error {
	if s.Rate < 0 {
		return &command.UsageError{Text: fmt.Sprintf("--rate %d: less than nothing", s.Rate)}
	}
	cfg, err := p.Load()
	if err != nil {
		return err
	}
	match, err := s.match(cfg)
	if err != nil {
		return err
	}
	scrubs, err := s.start(ctx, p, cfg, match)
	if err != nil {
		return err
	}
	for _, each := range scrubs {
		if err = each.wait(ctx, p); err != nil {
			return err
		}
	}
	if !s.JSON {
		if err = p.Print(scrubText(scrubs, console.Colors(p.Stdout))); err != nil {
			return err
		}
	}
	return (&compareCommand{tableFlag: s.tableFlag, Rows: s.Rows, JSON: s.JSON}).Run(ctx, p)
}

// scrub is one process's pass over one table.
type scrub struct {
	name   string // of the process
	client *inspect.Client
	asked  inspect.ScrubRequest
	state  *inspect.Scrub
}

// start asks every process for every table. The processes have their tables wait for each other.
func (s *scrubCommand) start(ctx context.Context, p *command.Process, cfg *config.Config, match func(table string) bool) ([]*scrub, error) {
	client, token, err := command.Client(cfg, askTimeout)
	if err != nil {
		return nil, err
	}
	var list []*scrub
	for _, process := range cfg.Processes(0) {
		name := fmt.Sprintf("%s/%d", process.Region.Name, process.Replica)
		c := inspect.NewClient(process.URL, client, token)
		overview, err := c.Overview(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s cannot be asked, nothing more is read again: %w", name, err)
		}
		for _, t := range overview.Tables {
			if !match(t.Table) {
				continue
			}
			one := &scrub{name: name, client: c, asked: inspect.ScrubRequest{Table: t.Table, RowsPerSecond: s.Rate}}
			if one.state, err = c.StartScrub(ctx, one.asked); errors.Is(err, inspect.ErrUnknownTable) {
				continue // it is gone there: comparing says so
			}
			if err != nil {
				return nil, fmt.Errorf("%s does not read %s again: %w", name, t.Table, err)
			}
			list = append(list, one)
		}
	}
	if len(list) == 0 && s.Table != "" {
		return nil, &command.UsageError{Text: fmt.Sprintf("--table: no region has a table %s", s.Table)}
	}
	p.Logger.Info("the syncers read the rows again", zap.Int("passes", len(list)))
	return list, nil
}

// scrubPoll is between two questions how far a scrub is.
const scrubPoll = 250 * time.Millisecond

// wait waits until a pass is over, and shows how far it is. A process that has restarted is asked again.
func (s *scrub) wait(ctx context.Context, p *command.Process) error {
	clock := time.NewTicker(scrubPoll)
	defer clock.Stop()
	terminal, told := console.IsTerminal(p.Stderr), time.Now()
	for !s.state.Over() {
		select {
		case <-clock.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the scrub was interrupted, the syncers go on reading: %w", context.Cause(ctx))
		}
		next, err := s.client.ScrubProgress(ctx, s.state.ID)
		if errors.Is(err, inspect.ErrNoScrub) {
			next, err = s.client.StartScrub(ctx, s.asked)
		}
		if err != nil {
			return fmt.Errorf("%s cannot be asked any more how far its reading of %s is: %w", s.name, s.asked.Table, err)
		}
		s.state = next
		left := time.Duration(next.SecondsLeft * float64(time.Second)).Round(time.Second)
		if terminal {
			_, _ = fmt.Fprintf(p.Stderr, "\r\x1b[K%s %s: %s, %d of about %d rows, %.0f rows/s, %v left %s", s.name, next.Table, next.State, next.Rows, next.EstimatedRows, next.RowsPerSecond, left, next.Paused) // nobody is left to tell that stderr is gone
		} else if time.Since(told) > progressInLog {
			told = time.Now()
			p.Logger.Info("reading again", zap.String("at", s.name), zap.String("table", next.Table), zap.Uint64("rows", next.Rows), zap.Uint64("of", next.EstimatedRows),
				zap.Float64("rows_per_second", next.RowsPerSecond), zap.Duration("left", left), zap.String("paused", next.Paused))
		}
	}
	if terminal {
		_, _ = fmt.Fprint(p.Stderr, "\r\x1b[K") // as above
	}
	if s.state.State == inspect.ScrubFailed {
		return fmt.Errorf("%s could not read %s again: %s", s.name, s.asked.Table, s.state.Error) //nolint:err113 // it is only told
	}
	return nil
}

// scrubText shows what each pass read and found.
func scrubText(list []*scrub, colors bool) string {
	slices.SortStableFunc(list, func(a, b *scrub) int { return strings.Compare(a.asked.Table, b.asked.Table) })
	t := console.Table{Header: []string{"TABLE", "AT", "ROWS READ", "MISSING", "EXTRA", "DIFFERENT"}}
	for _, s := range list {
		found := func(kind string) console.Cell { return count(int(s.state.Found[kind]), console.Red) }
		t.Add(console.Text(s.asked.Table), console.Text(s.name), console.Number(s.state.Rows), found(verify.Missing), found(verify.Extra), found(verify.Different))
	}
	var out strings.Builder
	_ = t.Write(&out, colors) // a Builder takes everything
	out.WriteByte('\n')
	return out.String()
}
