package main

import (
	"context"
	"fmt"
	"slices"

	"meridian/internal/command"
	"meridian/internal/config"
	"meridian/internal/console"
	"meridian/internal/verify"
)

type repairCommand struct {
	tableFlag

	Restore string `placeholder:"REGION:NUMBER" help:"Bring back what lost this conflict instead (see verifier explain): the plan, and with --yes what it says."`
	From    string `placeholder:"REGION" help:"This region's rows are right, whoever has the newest write. Needs --yes."`
	DryRun  bool   `help:"Show the plan, and do nothing."`
	Yes     bool   `help:"Do it also where so much differs that a person has to look first."`
	JSON    bool   `name:"json" help:"Print JSON."`
}

// Help adds the example.
func (repairCommand) Help() string {
	return "It compares all regions, and has the region that is right publish its rows again, with their versions, where others lack " +
		"them: they are applied like any other change, so that a newer write always beats a repair. More than verify.max_repair_rows " +
		"rows of a table, more than 1 % of it, or a table that is empty in one region wait for --yes: a truncated table must not be " +
		"repaired by surprise. Rows where no rule says who is right are left, and listed. Exit code: 0 all regions are equal, " +
		"3 something is left or held, 1 it could not be done everywhere, 2 wrong usage or configuration.\n\n" +
		"With --restore nothing is compared: what lost the conflict is written again in the region that keeps it, as a write like any " +
		"other, which gets a new version and goes to all regions. Exit code: 0 done, or the plan was shown; 1 it cannot be done.\n\n" +
		"Example:\n\n  verifier repair --dry-run\n  verifier repair\n  verifier repair --table shop.orders --from us-east-1 --yes\n" +
		"  verifier repair --restore us-east-1:17"
}

// Run implements the command.
func (c *repairCommand) Run(ctx context.Context, p *command.Process) error {
	cfg, err := p.Load()
	if err != nil {
		return err
	}
	if c.Restore != "" {
		return c.restore(ctx, p, cfg)
	}
	match, err := c.match(cfg)
	if err != nil {
		return err
	}
	if err = c.check(cfg); err != nil {
		return err
	}
	all, err := reach(cfg)
	if err != nil {
		return err
	}
	defer all.close()
	report, err := c.repair(ctx, all.verifier(cfg), match, verify.PlanOptions{From: c.From, MaxRows: cfg.Verify.MaxRepairRows, Confirmed: c.Yes})
	if report == nil {
		return err
	}
	record(context.WithoutCancel(ctx), p, cfg, report.Done)
	if printed := c.print(p, report); printed != nil {
		return printed
	}
	if err != nil {
		return fmt.Errorf("the repair was broken off, and what it has published is applied all the same; compare again: %w", err)
	}
	return report.verdict(c.DryRun)
}

// repair compares and repairs, again while there is more than one comparison lists and the last repair got any further. With an
// error the report tells of what had been done; nil: nothing was.
func (c *repairCommand) repair(ctx context.Context, v *verify.Verifier, match func(string) bool, o verify.PlanOptions) (*repairReport, error) {
	report := &repairReport{Done: []verify.RepairedRow{}}
	for {
		result, err := v.Compare(ctx, match)
		if err != nil {
			if len(report.Done) == 0 {
				return nil, err
			}
			return report, err
		}
		if err = c.unknown(result); err != nil {
			return nil, err
		}
		report.Plan, report.Unreachable, report.unproven = verify.MakePlan(result, o), result.Unreachable, len(result.Unproven)
		if c.DryRun || len(report.Plan.Rows) == 0 {
			return report, nil
		}
		done, err := v.Repair(ctx, report.Plan)
		report.Done = append(report.Done, done.Rows...)
		more := slices.ContainsFunc(result.Tables, func(t verify.TableResult) bool { return t.Beyond > 0 })
		mended := slices.ContainsFunc(done.Rows, func(r verify.RepairedRow) bool { return r.Outcome == verify.Mended })
		if err != nil || !more || !mended {
			return report, err
		}
	}
}

// restore brings back what lost a conflict.
func (c *repairCommand) restore(ctx context.Context, p *command.Process, cfg *config.Config) error {
	if c.Table != "" || c.From != "" {
		return &command.UsageError{Text: "--restore names one row: it goes with neither --table nor --from"}
	}
	all, err := reach(cfg)
	if err != nil {
		return err
	}
	defer all.close()
	return all.restore(ctx, p, c.Restore, c.Yes && !c.DryRun, c.JSON)
}

func (c *repairCommand) check(cfg *config.Config) error {
	if c.From == "" {
		return nil
	}
	if _, err := cfg.Region(c.From); err != nil {
		return &command.UsageError{Text: "--from: " + err.Error()}
	}
	if !c.Yes && !c.DryRun {
		return &command.UsageError{Text: "--from overwrites the other regions' rows, also newer ones: look at `--dry-run` first, then say --yes"}
	}
	return nil
}

// repairReport is what a repair was to do, and did.
type repairReport struct {
	Plan        *verify.Plan         `json:"plan"`
	Done        []verify.RepairedRow `json:"done"`
	Unreachable []verify.Unreachable `json:"unreachable"`

	unproven int
}

func (c *repairCommand) print(p *command.Process, r *repairReport) error {
	if c.JSON {
		return p.PrintJSON(r)
	}
	return p.Print(repairText(r, c.DryRun, console.Colors(p.Stdout)))
}

func (r *repairReport) verdict(dryRun bool) error {
	for i := range r.Done {
		if o := r.Done[i].Outcome; o != verify.Mended && o != verify.Newer {
			return command.ErrReported
		}
	}
	switch {
	case len(r.Unreachable) > 0:
		return command.ErrReported
	case len(r.Plan.Left)+len(r.Plan.Held) > 0, dryRun && len(r.Plan.Rows) > 0:
		return command.ErrFound
	case r.unproven > 0:
		return command.ErrReported
	default:
		return nil
	}
}
