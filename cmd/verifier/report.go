package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"meridian/internal/command"
	"meridian/internal/config"
	"meridian/internal/console"
	"meridian/internal/findings"
)

type reportCommand struct {
	Since time.Duration `placeholder:"D" default:"24h" help:"How far back (${default}); what has ended is kept for 30 days."`
	JSON  bool          `name:"json" help:"Print JSON."`
}

// Help adds the example.
func (reportCommand) Help() string {
	return "It asks the verifier that runs (verifier.listen); where none runs it reads the file that `verifier run` has kept in " +
		"state_directory/verifier.\n\nExample:\n\n  verifier report --since 24h"
}

// Run implements the command.
func (r *reportCommand) Run(ctx context.Context, p *command.Process) error {
	if r.Since <= 0 {
		return &command.UsageError{Text: fmt.Sprintf("--since %v: it must be longer than nothing", r.Since)}
	}
	cfg, err := p.Load()
	if err != nil {
		return err
	}
	now := time.Now()
	report, err := askReport(ctx, cfg, now.Add(-r.Since))
	var nobody *noVerifierError
	if errors.As(err, &nobody) {
		report, err = readReport(cfg, now.Add(-r.Since), now, nobody)
	}
	switch {
	case err != nil:
		return err
	case r.JSON:
		return p.PrintJSON(report)
	default:
		return p.Print(reportText(report, console.Colors(p.Stdout)))
	}
}

// noVerifierError: nobody listens where the verifier would.
type noVerifierError struct{ err error }

func (e *noVerifierError) Error() string { return e.err.Error() }
func (e *noVerifierError) Unwrap() error { return e.err }

// askReport asks the verifier that runs: while it does, nobody else can read its file.
func askReport(ctx context.Context, c *config.Config, since time.Time) (*findings.Report, error) {
	client, token, err := command.Client(c, askTimeout)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	at := c.VerifierURL()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"/v1/report?since="+url.QueryEscape(since.UTC().Format(time.RFC3339Nano)), nil)
	if err != nil {
		return nil, fmt.Errorf("verifier.listen: %w", err)
	}
	if token != nil {
		secret, unread := token()
		if unread != nil {
			return nil, unread
		}
		q.Header.Set("Authorization", "Bearer "+secret)
	}
	response, err := client.Do(q)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("asking the verifier was interrupted: %w", context.Cause(ctx))
	}
	if err != nil {
		return nil, &noVerifierError{err}
	}
	defer func() { _ = response.Body.Close() }() // it has been read
	const most = 256 << 20
	report := &findings.Report{}
	if response.StatusCode == http.StatusOK {
		if err = json.NewDecoder(io.LimitReader(response.Body, most)).Decode(report); err != nil {
			return nil, fmt.Errorf("the answer of %s is no report of a verifier: %w", at, err)
		}
		return report, nil
	}
	var problem struct{ Detail string }
	_ = json.NewDecoder(io.LimitReader(response.Body, most)).Decode(&problem)        // whatever it was, the status tells
	return nil, fmt.Errorf("%s answers %s: %s", at, response.Status, problem.Detail) //nolint:err113 // it is only told
}

// readReport reads the file itself.
func readReport(c *config.Config, since, until time.Time, nobody error) (report *findings.Report, err error) {
	store, err := findings.OpenToRead(findingsPath(c))
	if errors.Is(err, findings.ErrLocked) {
		return nil, fmt.Errorf("%w, but no verifier answers at verifier.listen: %w", err, nobody)
	}
	if err != nil {
		return nil, fmt.Errorf("no verifier runs here (%w), and there is nothing that one has left: %w", nobody, err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return store.Report(since, until)
}

// reportText shows a report to people.
func reportText(r *findings.Report, colors bool) string {
	var out strings.Builder
	fmt.Fprintf(&out, "From %s to %s\n\n", r.Since.Format(time.RFC3339), r.Until.Format(time.RFC3339))
	times := map[string]int{}
	all := 0
	comparisons := console.Table{Header: []string{"FROM", "TO", "COMPARED", "OUTCOME", "ROWS", "DRIFT", "IN FLIGHT", "PARKED", ""}}
	for i := range r.Comparisons {
		c := &r.Comparisons[i]
		times[c.Outcome] += c.Count
		all += c.Count
		comparisons.Add(console.Text(c.Began.Format(time.RFC3339)), console.Text(c.Ended.Format(time.RFC3339)), console.Number(c.Count),
			outcomeCell(c.Outcome), console.Number(c.Rows), count(c.Drift, console.Red), console.Number(c.Unproven), count(c.Parked, console.Yellow),
			console.Text(strings.Join(c.Reasons, "; ")))
	}
	if all > 0 {
		_ = comparisons.Write(&out, colors) // a Builder takes everything
		out.WriteByte('\n')
	}
	found := console.Table{Header: []string{"TABLE", "KEY", "KIND", "WRONG IN", "RIGHT IN", "FOUND", "ENDED"}}
	open := 0
	for i := range r.Findings {
		f := &r.Findings[i]
		ended := console.Text(f.Ended.Format(time.RFC3339))
		if f.Ended.IsZero() {
			ended = console.Cell{Text: "still differs", Color: console.Red}
			open++
		}
		found.Add(console.Text(f.Table), console.Text(keyText(f.Key)), console.Text(f.Kind), console.Text(strings.Join(f.Wrong, ", ")),
			console.Text(f.Winner), console.Text(f.First.Format(time.RFC3339)), ended)
	}
	if len(r.Findings) > 0 {
		_ = found.Write(&out, colors)
		out.WriteByte('\n')
	}
	repairs := console.Table{Header: []string{"REPAIR", "TABLE", "KEY", "KIND", "REGION", "FROM", "OUTCOME"}}
	for i := range r.Repairs {
		p := &r.Repairs[i]
		repairs.Add(console.Text(p.Time.Format(time.RFC3339)), console.Text(p.Table), console.Text(keyText(p.Key)), console.Text(p.Kind),
			console.Text(p.Region), console.Text(p.Winner), console.Text(p.Outcome))
	}
	if len(r.Repairs) > 0 {
		_ = repairs.Write(&out, colors)
		out.WriteByte('\n')
	}
	fmt.Fprintf(&out, "Compared %d times: %d equal, %d with rows that differ, %d unknown. %d rows were found to differ, %d still do. %d repairs.\n",
		all, times[findings.Equal], times[findings.Differ], times[findings.Unknown], len(r.Findings), open, len(r.Repairs))
	return out.String()
}

func outcomeCell(outcome string) console.Cell {
	color := console.Green
	switch outcome {
	case findings.Differ:
		color = console.Red
	case findings.Unknown:
		color = console.Yellow
	}
	return console.Cell{Text: outcome, Color: color}
}
