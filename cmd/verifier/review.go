package main

import (
	"context"
	"errors"
	"fmt"

	"meridian/internal/command"
	"meridian/internal/config"
	"meridian/internal/console"
	"meridian/internal/inspect"
	"meridian/internal/verify"
)

type reviewCommand struct {
	List    reviewListCommand    `cmd:"" help:"List the rows on which a person has to decide, as they stand in each region."`
	Resolve reviewResolveCommand `cmd:"" help:"Take a region's row: it becomes the newest everywhere."`
}

type reviewListCommand struct {
	tableFlag

	JSON bool `name:"json" help:"Print JSON: also what each change that waits makes of the row, and what it met."`
}

// Help adds the example.
func (reviewListCommand) Help() string {
	return "A row is in review where two regions wrote it without seeing each other and the table's rule is conflict: review; each region " +
		"keeps its own then, and keeps back what comes for the row from elsewhere. So is one in which the regions differ and no rule says " +
		"which is right, as where rows from before Meridian came do. Exit code: 0 there is none, 3 there are some, 1 a region did not answer, " +
		"2 wrong usage or configuration.\n\nExample:\n\n  verifier review list --table shop.orders"
}

// Run implements the command.
func (c *reviewListCommand) Run(ctx context.Context, p *command.Process) error {
	cfg, err := p.Load()
	if err != nil {
		return err
	}
	all, list, err := c.reviews(ctx, cfg)
	if err != nil {
		return err
	}
	all.close()
	if c.JSON {
		err = p.PrintJSON(list)
	} else {
		err = p.Print(reviewText(list, console.Colors(p.Stdout)))
	}
	switch {
	case err != nil:
		return err
	case len(list.Unreachable) > 0:
		return command.ErrReported
	case len(list.Rows) > 0:
		return command.ErrFound
	default:
		return nil
	}
}

// reviews asks all regions what is in review. The regions are to be closed, unless there is an error.
func (f tableFlag) reviews(ctx context.Context, cfg *config.Config) (*regions, *verify.ReviewList, error) {
	match, err := f.match(cfg)
	if err != nil {
		return nil, nil, err
	}
	all, err := reach(cfg)
	if err != nil {
		return nil, nil, err
	}
	list, err := all.verifier(cfg).Reviews(ctx, all.reviewers, match)
	if ctx.Err() != nil {
		err = fmt.Errorf("asking was interrupted: %w", context.Cause(ctx))
	}
	if err != nil {
		all.close()
		return nil, nil, err
	}
	return all, list, nil
}

type reviewResolveCommand struct {
	Name string `arg:"" optional:"" name:"table" placeholder:"SCHEMA.TABLE" help:"The row's table."`
	Key  string `arg:"" optional:"" placeholder:"KEY" help:"The row's key, as for explain."`

	Take  string `required:"" placeholder:"REGION" help:"The region whose row is right, also if it has deleted it."`
	Table string `placeholder:"SCHEMA.TABLE" help:"With --all instead of a row: those of this table; * stands for any run of letters."`
	All   bool   `help:"All rows in review of --table."`
	Yes   bool   `help:"Do it. Without it the plan is shown, and nothing is done."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// Help adds the example.
func (reviewResolveCommand) Help() string {
	return "It shows the rows as each region has them. With --yes the row as it stands in the region that is taken gets a version above " +
		"everything that any region has or keeps back, and goes to all of them like a repair; what waited is superseded. A row that was written " +
		"meanwhile is not overwritten: it may be in review again. While a region is down, or its database is read-only, nothing is done. " +
		"Exit code: 0 done, or the plan was shown; 3 a row was written meanwhile and is not decided; 1 it could not be done, or is not there " +
		"everywhere yet; 2 wrong usage, no such row in review.\n\n" +
		"Example:\n\n  verifier review resolve --take eu-west-1 shop.orders 42\n\n  verifier review resolve --take eu-west-1 --table shop.orders --all --yes"
}

// reviewReport is what was to be decided, and was.
type reviewReport struct {
	Take        string               `json:"take"`
	Rows        []verify.ReviewRow   `json:"rows"`
	Done        []verify.RepairedRow `json:"done"`
	Unreachable []verify.Unreachable `json:"unreachable"`
}

// Run implements the command.
func (c *reviewResolveCommand) Run(ctx context.Context, p *command.Process) error {
	cfg, err := p.Load()
	if err != nil {
		return err
	}
	if err = c.check(cfg); err != nil {
		return err
	}
	tables := tableFlag{Table: c.Table}
	if !c.All {
		tables.Table = c.Name
	}
	all, list, err := tables.reviews(ctx, cfg)
	if err != nil {
		return err
	}
	defer all.close()
	plan, err := c.plan(ctx, all, list)
	if err != nil {
		return err
	}
	report := &reviewReport{Take: c.Take, Rows: list.Rows, Done: []verify.RepairedRow{}, Unreachable: list.Unreachable}
	if c.Yes && len(plan.Rows) > 0 {
		done, failed := all.verifier(cfg).Resolve(ctx, all.reviewers, plan)
		report.Done, err = done.Rows, failed
	}
	if printed := c.print(p, report); printed != nil {
		return printed
	}
	if err != nil {
		return fmt.Errorf("it was broken off, and what has been published is applied all the same; look again (verifier review list): %w", err)
	}
	return report.verdict()
}

func (c *reviewResolveCommand) check(cfg *config.Config) error {
	switch {
	case c.All && (c.Table == "" || c.Name != ""):
		return &command.UsageError{Text: "--all goes with --table SCHEMA.TABLE, and with no single row"}
	case !c.All && (c.Name == "" || c.Key == "" || c.Table != ""):
		return &command.UsageError{Text: "name a row (SCHEMA.TABLE KEY), or --table SCHEMA.TABLE --all"}
	}
	if _, err := cfg.Region(c.Take); err != nil {
		return &command.UsageError{Text: "--take: " + err.Error()}
	}
	return nil
}

// plan says what is to be done; it leaves those rows in the list that are meant.
func (c *reviewResolveCommand) plan(ctx context.Context, all *regions, list *verify.ReviewList) (*verify.Plan, error) {
	if c.All || len(list.Unreachable) > 0 {
		return list.Plan(c.Take)
	}
	x, err := verify.Explain(ctx, all.explainers, c.Name, c.Key)
	var question *inspect.QuestionError
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("asking was interrupted: %w", context.Cause(ctx))
	case errors.As(err, &question):
		return nil, &command.UsageError{Text: question.Detail}
	case err != nil:
		return nil, err
	}
	r := list.Of(x)
	if r == nil {
		return nil, &command.UsageError{Text: fmt.Sprintf("the row %s of %s is not in review: nothing was changed (verifier review list shows those that are)", c.Key, c.Name)}
	}
	list.Rows = []verify.ReviewRow{*r}
	return list.Plan(c.Take)
}

func (c *reviewResolveCommand) print(p *command.Process, r *reviewReport) error {
	if c.JSON {
		return p.PrintJSON(r)
	}
	return p.Print(resolveText(r, c.Yes, console.Colors(p.Stdout)))
}

func (r *reviewReport) verdict() error {
	var worst error
	for i := range r.Done {
		switch r.Done[i].Outcome {
		case verify.Mended:
		case verify.Newer:
			worst = command.ErrFound
		default:
			return command.ErrReported
		}
	}
	return worst
}
