package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"meridian/internal/command"
	"meridian/internal/console"
	"meridian/internal/inspect"
	"meridian/internal/verify"
)

// restore brings back what lost a conflict: it shows the plan, and carries it out if yes is set.
func (r *regions) restore(ctx context.Context, p *command.Process, id string, yes, asJSON bool) error {
	conflict, err := inspect.ParseConflictID(id)
	if err != nil {
		return &command.UsageError{Text: "--restore: " + err.Error()}
	}
	plan, err := verify.PlanRestore(ctx, r.restorers, conflict)
	if err == nil && yes {
		if !asJSON {
			if err = p.Print(restorePlanText(plan, console.Colors(p.Stdout))); err != nil {
				return err
			}
		}
		plan, err = verify.Restore(ctx, r.restorers, plan)
	}
	var question *inspect.QuestionError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("bringing back %s was interrupted; whether it was done shows `verifier explain`: %w", conflict, context.Cause(ctx))
	case errors.As(err, &question):
		return &command.UsageError{Text: "--restore: " + question.Detail}
	case err != nil:
		return err
	case asJSON:
		return p.PrintJSON(plan)
	case !yes:
		return p.Print(restorePlanText(plan, console.Colors(p.Stdout)) + "\nNothing has been changed. To do it: verifier repair --restore " + conflict.String() + " --yes\n")
	case !plan.Done:
		return p.Print("\nThe row is so already: nothing was to be done.\n")
	default:
		return p.Print("\n" + console.Paint("Done.", console.Green, console.Colors(p.Stdout)) + " It goes to the other regions like any other write: verifier explain shows when it is there.\n")
	}
}

// restorePlanText shows the row as it is, and as it will be.
func restorePlanText(plan *inspect.Restore, colors bool) string {
	var out strings.Builder
	c := &plan.Conflict
	fmt.Fprintf(&out, "%s  %s  in %s\n%s won over %s\n\n", plan.Table, console.Paint(strings.Join(plan.Key, ","), console.Bold, colors), plan.ID.Region,
		versionText(c.Winner), versionText(c.Loser))
	t := console.Table{Header: []string{"", "IS", "WILL BE"}}
	if plan.Now.Deleted || plan.Then.Deleted {
		t.Add(console.Text("  row"), presence(&plan.Now), presence(&plan.Then))
	}
	for _, column := range columnsOf(plan) {
		is, isThere := valueOf(&plan.Now, column)
		will, willBe := valueOf(&plan.Then, column)
		switch {
		case plan.Then.Deleted:
			will = "-"
		case !willBe && isThere:
			will = is
		case !willBe:
			will = "(default)"
		}
		if plan.Now.Deleted {
			is = "-"
		}
		name, cell := "  "+column, console.Text(will)
		if slices.Contains(plan.Different, column) {
			name, cell.Color = "* "+column, console.Yellow
		}
		t.Add(console.Text(name), console.Text(is), cell)
	}
	_ = t.Write(&out, colors) // a Builder takes everything
	if plan.Already {
		out.WriteString("\nThe row is as it was lost.\n")
	}
	return out.String()
}

func presence(i *inspect.Image) console.Cell {
	if i.Deleted {
		return console.Cell{Text: "no row", Color: console.Yellow}
	}
	return console.Text("a row")
}

// columnsOf gives the columns of both rows, in the order of the table as it is.
func columnsOf(plan *inspect.Restore) []string {
	var list []string
	for _, image := range []*inspect.Image{&plan.Now, &plan.Then} {
		for _, v := range image.Values {
			if !slices.Contains(list, v.Column) {
				list = append(list, v.Column)
			}
		}
	}
	return list
}

func valueOf(i *inspect.Image, column string) (text string, ok bool) {
	for _, v := range i.Values {
		switch {
		case v.Column != column:
		case v.Text == nil:
			return "NULL", true
		default:
			return printable(*v.Text), true
		}
	}
	return "-", false
}
