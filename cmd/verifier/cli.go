package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"meridian/internal/command"
	"meridian/internal/config"
	"meridian/internal/verify"
)

// commandLine is every command with its flags; each has a file of its own.
type commandLine struct {
	command.Line

	Run     runCommand     `cmd:"" help:"Run the service: compare all regions every interval, remember and show what is found."`
	Compare compareCommand `cmd:"" help:"Compare all regions now: rows, equal, in flight, drifted, by table."`
	Scrub   scrubCommand   `cmd:"" help:"Read the actual rows again, against the ledgers, and compare."`
	Repair  repairCommand  `cmd:"" help:"Repair what has drifted, over the bus."`
	Seed    seedCommand    `cmd:"" help:"Fill a region from another one, while both are in use."`
	Report  reportCommand  `cmd:"" help:"Tell what was compared, found and repaired over a period."`
	Explain explainCommand `cmd:"" help:"Show one row in every region: value, version, digest, conflicts, parked changes."`
	Review  reviewCommand  `cmd:"" help:"List the rows on which no rule decides, and decide on them."`
	Version versionCommand `cmd:"" help:"Print version, commit and Go version."`
}

// run is the program without its process: it parses the arguments and runs the command. command.ExitCode sorts its errors.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	program := command.Program{Name: "verifier",
		Description: "Meridian's verifier proves that all regions hold the same rows, and tells which do not."}
	return program.Run(ctx, &commandLine{}, args, stdout, stderr)
}

// tableFlag is for the commands that can be about some tables only.
type tableFlag struct {
	Table string `placeholder:"SCHEMA.TABLE" help:"Only this table; * stands for any run of letters (all that are replicated)."`
}

// unknown is the error that no region has such a table; nil: one has, or nobody can tell.
func (f tableFlag) unknown(result *verify.Result) error {
	if len(result.Tables) == 0 && len(result.Unreachable) == 0 && f.Table != "" {
		return &command.UsageError{Text: fmt.Sprintf("--table: no region has a table %s", f.Table)}
	}
	return nil
}

// match tells of a "schema.table" whether it is meant.
func (f tableFlag) match(c *config.Config) (func(table string) bool, error) {
	replicated := func(table string) bool {
		schema, name, _ := strings.Cut(table, ".")
		return c.Tables.Match(schema, name)
	}
	if f.Table == "" {
		return replicated, nil
	}
	pattern, err := config.ParsePattern(f.Table)
	if err != nil {
		return nil, &command.UsageError{Text: fmt.Sprintf("--table: %v", err)}
	}
	if pattern.Exact() && !replicated(pattern.String()) {
		return nil, &command.UsageError{Text: fmt.Sprintf("--table: %s is not replicated (tables.include and tables.exclude in %s)", pattern, c.Path)}
	}
	return func(table string) bool {
		schema, name, _ := strings.Cut(table, ".")
		return pattern.Match(schema, name) && replicated(table)
	}, nil
}
