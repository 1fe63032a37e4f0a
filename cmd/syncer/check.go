package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"meridian/internal/bus"
	"meridian/internal/command"
	"meridian/internal/config"
	"meridian/internal/console"
	"meridian/internal/mysqldb"
	"meridian/internal/preflight"
	"meridian/internal/propagate"
)

type checkCommand struct {
	command.RegionFlag
	JSON bool `name:"json" help:"Print JSON."`
}

// Help adds the example.
func (checkCommand) Help() string {
	return "Each requirement with ok, warn or fail, what is wrong, and the SQL or setting that mends it, the worst first. " +
		"`syncer run` refuses to start on a fail. Exit code: 0 no fail, 3 a fail, 1 a server cannot be reached, 2 wrong usage or configuration.\n\n" +
		"Example:\n\n  syncer check --config meridian.yml --region us-east-1"
}

// Run implements the command.
func (c *checkCommand) Run(ctx context.Context, p *command.Process) error {
	cfg, region, err := p.LoadRegion(c.RegionFlag)
	if err != nil {
		return err
	}
	report, err := runPreflight(ctx, p.Logger, cfg, region, 0)
	if err != nil {
		return err
	}
	if c.JSON {
		err = p.PrintJSON(report)
	} else {
		err = p.Print(reportText(report, console.Width(p.Stdout), console.Colors(p.Stdout)))
	}
	switch {
	case err != nil:
		return err
	case report.Unreachable:
		return command.ErrReported
	case !report.OK:
		return command.ErrFound
	default:
		return nil
	}
}

// runPreflight checks a region for the given replica's process.
func runPreflight(ctx context.Context, logger *zap.Logger, c *config.Config, r *config.Region, replica int) (report *preflight.Report, err error) {
	pre := preflight.Config{
		User: r.MySQL.User, Tables: tableRules{&c.Tables}, Include: patterns(c.Tables.Include),
		Directory: c.ReplicaDirectory(r.Name, replica), MaxSkew: c.Clock.MaxSkew, StateSchema: propagate.StateSchema(),
		BatchBytes: int64(c.Apply.BatchBytes), MaxRecordBytes: int64(c.Bus.MaxRecordBytes),
	}
	for _, rule := range c.Tables.Rules {
		pre.Rules = append(pre.Rules, patterns(rule.Patterns)...)
	}
	if pre.Region, err = preflightRegion(r, logger); err != nil {
		return nil, err
	}
	for _, other := range c.Others(r.Name) {
		var o preflight.Region
		if o, err = preflightRegion(other, logger); err != nil {
			return nil, err
		}
		pre.Others = append(pre.Others, o)
	}
	closeBuses, err := addBuses(&pre, c, r)
	defer func() { err = errors.Join(err, closeBuses()) }()
	if err != nil {
		return nil, err
	}
	return preflight.Run(ctx, pre)
}

// requireFit is what `run` begins with: it logs what preflight has to say and fails if the region is not fit.
func requireFit(ctx context.Context, p *command.Process, c *config.Config, r *config.Region, replica int) error {
	report, err := runPreflight(ctx, p.Logger, c, r, replica)
	if err != nil {
		return err
	}
	for _, check := range report.Checks {
		fields := []zap.Field{zap.String("region", r.Name), zap.String("check", check.Name), zap.String("fix", check.Fix)}
		switch check.Result {
		case preflight.Fail:
			p.Logger.Error(check.Detail, fields...)
		case preflight.Warn:
			p.Logger.Warn(check.Detail, fields...)
		case preflight.OK:
			p.Logger.Debug(check.Detail, fields...)
		}
	}
	if !report.OK {
		return fmt.Errorf("region %s is not fit to be replicated, %s; mend that and start again (syncer check --region %s shows it all)",
			r.Name, count(report.Count(preflight.Fail), "check fails", "checks fail"), r.Name)
	}
	return nil
}

func preflightRegion(r *config.Region, logger *zap.Logger) (preflight.Region, error) {
	database, err := databaseConfig(r, logger)
	if err != nil {
		return preflight.Region{}, err
	}
	database.MaxConnections = 1
	return preflight.Region{Name: r.Name, Address: r.MySQL.Address,
		Open: func(ctx context.Context) (*mysqldb.Server, error) { return mysqldb.Open(ctx, database) }}, nil
}

// addBuses adds each region's Kafka: the own one with everything that this region writes, the others with what is read there.
func addBuses(pre *preflight.Config, c *config.Config, own *config.Region) (closeAll func() error, err error) {
	var clients []*bus.Client
	closeAll = func() error {
		var errs []error
		for _, client := range clients {
			errs = append(errs, client.Close())
		}
		return errors.Join(errs...)
	}
	for _, r := range append([]*config.Region{own}, c.Others(own.Name)...) {
		reach, err := busConfig(c, r, zap.NewNop()) // what it would log as a warning is in the report
		if err != nil {
			return closeAll, err
		}
		client, err := bus.Dial(reach)
		if err != nil {
			return closeAll, fmt.Errorf("the bus of region %s: %w", r.Name, err)
		}
		clients = append(clients, client)
		b := preflight.Bus{Client: client, Brokers: reach.Brokers, Own: r == own, Of: r.Name, Topics: topics(c, r.Name)}
		if r != own {
			b.Topics = b.Topics[:1] // the changes
		}
		if r.Bus == nil && c.Bus.Embedded != nil {
			b.Embedded = c.Bus.Embedded.Region
		}
		pre.Buses = append(pre.Buses, b)
	}
	return closeAll, nil
}

// tableRules shows the configuration's rules to preflight.
type tableRules struct{ tables *config.Tables }

func (t tableRules) Match(schema, table string) bool { return t.tables.Match(schema, table) }

func (t tableRules) Rule(schema, table string) preflight.Rule {
	r := t.tables.Rule(schema, table)
	rule := preflight.Rule{VersionColumn: r.VersionColumn, ParkUnique: r.UniqueConflicts == config.UniquePark}
	if r.Cache != nil {
		rule.CacheColumns = r.Cache.Key.Columns()
	}
	return rule
}

func patterns(list []config.Pattern) []preflight.Pattern {
	var all []preflight.Pattern
	for _, p := range list {
		all = append(all, preflight.Pattern{Text: p.String(), Schema: p.Schema, Table: p.Table, Match: p.Match})
	}
	return all
}

// reportText shows a report to people: what to mend first, then what is well, a summary and the next command at the end.
func reportText(r *preflight.Report, width int, colors bool) string {
	const indent = "      "
	var out strings.Builder
	for i := range r.Checks {
		c := &r.Checks[i]
		out.WriteString(console.Paint(fmt.Sprintf("%-4s", c.Result), resultColor(c.Result), colors) + "  " + console.Paint(c.Name, console.Bold, colors))
		if c.Result == preflight.OK { // one line is enough for what is well
			out.WriteString(strings.Repeat(" ", max(1, nameWidth-len(c.Name))) + console.Paint(c.Detail, console.Dim, colors) + "\n")
			continue
		}
		out.WriteByte('\n')
		for _, line := range console.Wrap(c.Detail, max(width-len(indent), 0)) {
			out.WriteString(indent + line + "\n")
		}
		if c.Fix != "" {
			out.WriteString(indent + console.Paint("to mend it:", console.Green, colors) + "\n")
		}
		for line := range strings.Lines(c.Fix) { // unbroken and unadorned, to be copied
			out.WriteString(indent + "  " + strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	out.WriteString("\n" + summary(r) + "\n")
	return out.String()
}

// nameWidth is the room for the names of checks.
const nameWidth = 34

func resultColor(r preflight.Result) console.Color {
	switch r {
	case preflight.Fail:
		return console.Red
	case preflight.Warn:
		return console.Yellow
	case preflight.OK:
		return console.Green
	default:
		return console.Plain
	}
}

// summary is the last line: the counts, and what to do next.
func summary(r *preflight.Report) string {
	counts := fmt.Sprintf("%s: %d fail, %d warn, %d ok. ", r.Region, r.Count(preflight.Fail), r.Count(preflight.Warn), r.Count(preflight.OK))
	switch {
	case r.Unreachable:
		return counts + "Not everything could be checked. When the servers answer: syncer check --region " + r.Region
	case !r.OK:
		return counts + "Mend what fails, then: syncer check --region " + r.Region
	default:
		return counts + "Ready. Next: syncer run --region " + r.Region
	}
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
