package main

import (
	"context"
	"errors"
	"fmt"

	"meridian/internal/command"
	"meridian/internal/console"
	"meridian/internal/inspect"
	"meridian/internal/verify"
)

type explainCommand struct {
	Table string `arg:"" placeholder:"SCHEMA.TABLE" help:"The table."`
	Key   string `arg:"" placeholder:"KEY" help:"The primary key's values, in its order, separated by commas, quoted as in CSV, bytes as 0x…; or a JSON array."`

	History bool `help:"Show all conflicts of the row that are kept (the last three otherwise)."`
	JSON    bool `name:"json" help:"Print JSON."`
}

// Help adds the example.
func (explainCommand) Help() string {
	return "It asks the syncers of all regions how the row stands in the database, what the ledger says of it, which changes to it are parked, " +
		"and which conflicts it was in; what lost one of them can be brought back by `verifier repair --restore ID`. " +
		"Exit code: 0 the row is the same everywhere (also: nowhere), 3 the regions differ, 1 a region did not answer, 2 wrong usage: no such table, another key.\n\n" +
		"Example:\n\n  verifier explain shop.orders 42\n\n  verifier explain shop.order_lines 42,7 --history\n\n  verifier explain shop.users '[\"O,Neill\"]' --json"
}

// Run implements the command.
func (e *explainCommand) Run(ctx context.Context, p *command.Process) error {
	cfg, err := p.Load()
	if err != nil {
		return err
	}
	all, err := reach(cfg)
	if err != nil {
		return err
	}
	defer all.close()
	x, err := verify.Explain(ctx, all.explainers, e.Table, e.Key)
	var question *inspect.QuestionError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("asking was interrupted: %w", context.Cause(ctx))
	case errors.As(err, &question):
		return &command.UsageError{Text: question.Detail}
	case err != nil:
		return err
	}
	if e.JSON {
		err = p.PrintJSON(x)
	} else {
		err = p.Print(explainText(x, e.History, console.Colors(p.Stdout)))
	}
	switch {
	case err != nil:
		return err
	case x.Equal == nil:
		return command.ErrReported
	case !*x.Equal:
		return command.ErrFound
	default:
		return nil
	}
}
