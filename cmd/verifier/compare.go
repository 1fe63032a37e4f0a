package main

import (
	"context"
	"fmt"

	"meridian/internal/command"
	"meridian/internal/console"
)

type compareCommand struct {
	tableFlag

	Rows bool `help:"List the keys: of what has drifted, and of what is in flight."`
	JSON bool `name:"json" help:"Print JSON."`
}

// Help adds the example.
func (compareCommand) Help() string {
	return "It asks the syncers of all regions for the checksums of their ledgers, and for the rows where these differ. What may be " +
		"on its way is looked at again, for verify.consistency_window at most. Exit code: 0 equal, 3 rows differ for good, " +
		"1 nobody can tell (a region that does not answer, rows still in flight; the report says why), 2 wrong usage or configuration.\n\n" +
		"Example:\n\n  verifier compare --config meridian.yml --table shop.orders --rows"
}

// Run implements the command.
func (c *compareCommand) Run(ctx context.Context, p *command.Process) error {
	cfg, err := p.Load()
	if err != nil {
		return err
	}
	match, err := c.match(cfg)
	if err != nil {
		return err
	}
	all, err := reach(cfg)
	if err != nil {
		return err
	}
	defer all.close()
	v := all.verifier(cfg)
	progress := newCompareProgress(p)
	v.Progress = progress.show
	result, err := v.Compare(ctx, match)
	progress.end()
	if ctx.Err() != nil {
		return fmt.Errorf("comparing was interrupted: %w", context.Cause(ctx))
	}
	if err != nil {
		return err
	}
	if err = c.unknown(result); err != nil {
		return err
	}
	if c.JSON {
		if !c.Rows {
			result.Drift, result.Parked, result.Unproven = nil, nil, nil
		}
		err = p.PrintJSON(result)
	} else {
		err = p.Print(compareText(result, c.Rows, console.Colors(p.Stdout)))
	}
	switch {
	case err != nil:
		return err
	case result.Equal == nil:
		return command.ErrReported
	case !*result.Equal:
		return command.ErrFound
	default:
		return nil
	}
}
