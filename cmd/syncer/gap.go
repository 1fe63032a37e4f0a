package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"meridian/internal/bus"
	"meridian/internal/command"
	"meridian/internal/config"
	"meridian/internal/mysqldb"
	"meridian/internal/propagate"
)

// gapCommand is about changes of other regions that were lost before they were read here.
type gapCommand struct {
	Show   gapShowCommand   `cmd:"" help:"Show what a region can no longer read of the others, because their topics have lost it. Changes nothing."`
	Accept gapAcceptCommand `cmd:"" help:"Go on behind what is lost, once the regions have been compared and repaired."`
}

type gapShowCommand struct {
	command.RegionFlag
	Source string `placeholder:"NAME" help:"Only of this region's topic."`
	Shard  *int   `placeholder:"N" help:"Only of this partition of it."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Help adds the example.
func (gapShowCommand) Help() string {
	return "Exit code: 0 there is no gap, 3 there is one, 1 the database or a bus cannot be reached, 2 wrong usage or configuration.\n\n" +
		"Example:\n\n  syncer gap show --config meridian.yml --region eu-west-1"
}

type gapAcceptCommand struct {
	command.RegionFlag
	Source string `placeholder:"NAME" required:"" help:"The region whose changes were lost."`
	Shard  *int   `placeholder:"N" help:"Only this partition of its topic (all in which something is lost)."`
	Yes    bool   `help:"Do it; without, the plan is printed and nothing is changed."`
}

// Help adds the example.
func (gapAcceptCommand) Help() string {
	return "It prints what it will do, and does it with --yes, each shard in one transaction. What was lost stays lost: compare and repair the tables first. " +
		"A process of the region that is running is fenced off: it ends, and is to be started again. " +
		"Exit code: 0 done, 3 there is a gap and --yes was not given, 1 there is no gap or it failed, 2 wrong usage or configuration.\n\n" +
		"Example:\n\n  syncer gap accept --config meridian.yml --region eu-west-1 --source us-east-1 --yes"
}

// gapDocument is one gap in `syncer gap show --json`.
type gapDocument struct {
	Source     string `json:"source"`
	Shard      int    `json:"shard"`
	Topic      string `json:"topic"`
	NextOffset uint64 `json:"next_offset"`
	First      uint64 `json:"first_offset"`
	End        uint64 `json:"end_offset"`
	Kind       string `json:"kind"` // truncated: offsets come again; removed: by retention
	Parked     uint64 `json:"parked"`
	Detail     string `json:"detail"`
}

// Run implements the command.
func (g *gapShowCommand) Run(ctx context.Context, p *command.Process) error {
	gaps, err := findGaps(ctx, p, g.RegionFlag, g.Source, g.Shard)
	if err != nil {
		return err
	}
	defer gaps.close()
	if g.JSON {
		list := []gapDocument{}
		for _, gap := range gaps.list {
			list = append(list, gapDocument{gap.Source, gap.Shard, gap.Topic, gap.Next, gap.First, gap.End, kindOfGap(gap), gap.Parked, gap.Lost.Error()})
		}
		err = p.PrintJSON(map[string]any{"region": gaps.region, "gaps": list})
	} else {
		err = p.Print(gaps.text())
	}
	if err == nil && len(gaps.list) > 0 {
		return command.ErrFound
	}
	return err
}

// Run implements the command.
func (g *gapAcceptCommand) Run(ctx context.Context, p *command.Process) error {
	gaps, err := findGaps(ctx, p, g.RegionFlag, g.Source, g.Shard)
	if err != nil {
		return err
	}
	defer gaps.close()
	if len(gaps.list) == 0 {
		return fmt.Errorf("%s: nothing was changed", strings.TrimSpace(gaps.text()))
	}
	if err = p.Print(gaps.plan()); err != nil {
		return err
	}
	if !g.Yes {
		if err = p.Print("\nNothing was changed. With --yes it is done.\n"); err != nil {
			return err
		}
		return command.ErrFound
	}
	for _, gap := range gaps.list {
		if err = propagate.AcceptGap(ctx, gaps.server.DB, "syncer gap accept", gap, time.Now()); err != nil {
			return fmt.Errorf("region %s: %w", gaps.region, err)
		}
		if err = p.Print(fmt.Sprintf("\n%s/%d is read from offset %d on.", gap.Topic, gap.Shard, gap.First)); err != nil {
			return err
		}
	}
	return p.Print(fmt.Sprintf("\n\nDone. Next: syncer run --region %s, for each of its replicas that has ended; then syncer status\n", gaps.region))
}

// gaps are what a region has lost, and the connection to its database.
type gaps struct {
	region string
	looked int // shards
	list   []*propagate.Gap
	server *mysqldb.Server
	logger *zap.Logger
}

func (g *gaps) close() {
	if err := g.server.Close(); err != nil {
		g.logger.Warn("closing the database's connections", zap.String("region", g.region), zap.Error(err))
	}
}

// findGaps looks at what a region is to read next of the others; of all, or of one source or shard.
func findGaps(ctx context.Context, p *command.Process, f command.RegionFlag, source string, shard *int) (found *gaps, err error) {
	c, region, err := p.LoadRegion(f)
	if err != nil {
		return nil, err
	}
	if err = rightSource(c, region, source, shard); err != nil {
		return nil, err
	}
	database, err := databaseConfig(region, p.Logger)
	if err != nil {
		return nil, err
	}
	database.MaxConnections = 2
	g := &gaps{region: region.Name, logger: p.Logger}
	if g.server, err = mysqldb.Open(ctx, database); err != nil {
		return nil, fmt.Errorf("region %s: %w", region.Name, err)
	}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	places, err := propagate.SourcePlaces(ctx, g.server.DB)
	if err != nil {
		return nil, fmt.Errorf("region %s: %w", region.Name, err)
	}
	for _, other := range c.Others(region.Name) {
		if source == "" || source == other.Name {
			if err = g.look(ctx, p, c, other, places, shard); err != nil {
				return nil, err
			}
		}
	}
	return g, nil
}

func rightSource(c *config.Config, region *config.Region, source string, shard *int) error {
	switch {
	case source == region.Name:
		return &command.UsageError{Text: fmt.Sprintf("--source %s: a region does not read its own topic", source)}
	case source != "":
		if _, err := c.Region(source); err != nil {
			return &command.UsageError{Text: fmt.Sprintf("--source: %v", err)}
		}
	case shard != nil:
		return &command.UsageError{Text: "--shard goes with --source: a shard is of one region's topic"}
	}
	if shard != nil && (*shard < 0 || *shard >= c.Bus.Partitions) {
		return &command.UsageError{Text: fmt.Sprintf("--shard %d: they are numbered from 0 to %d (bus.partitions)", *shard, c.Bus.Partitions-1)}
	}
	return nil
}

// look looks at one source's topic.
func (g *gaps) look(ctx context.Context, p *command.Process, c *config.Config, source *config.Region, places []propagate.SourcePlace, shard *int) (err error) {
	reach, err := busConfig(c, source, p.Logger)
	if err != nil {
		return err
	}
	client, err := bus.Dial(reach)
	if err != nil {
		return fmt.Errorf("the bus of region %s: %w", source.Name, err)
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	for _, at := range places {
		if at.Source != source.Name || shard != nil && at.Shard != *shard {
			continue
		}
		gap, err := propagate.FindGap(ctx, client, c.ChangeTopic(source.Name), at)
		if err != nil {
			return fmt.Errorf("the topic of region %s: %w", source.Name, err)
		}
		g.looked++
		if gap != nil {
			g.list = append(g.list, gap)
		}
	}
	return nil
}

func kindOfGap(g *propagate.Gap) string {
	if g.Lost.Truncated() {
		return "truncated"
	}
	return "removed"
}

// text shows the gaps to people.
func (g *gaps) text() string {
	if len(g.list) == 0 {
		return fmt.Sprintf("%s: no gap: of %s looked at, each has what is to be read next\n", g.region, count(g.looked, "shard", "shards"))
	}
	var out strings.Builder
	for _, gap := range g.list {
		fmt.Fprintf(&out, "%s has lost changes of %s, shard %d: %v\n", g.region, gap.Source, gap.Shard, gap.Lost)
		fmt.Fprintf(&out, "      next is offset %d; the partition has %d to %d; %s of it here\n", gap.Next, gap.First, gap.End, count(int(gap.Parked), "change is parked", "changes are parked"))
	}
	fmt.Fprintf(&out, "\nNothing more of these shards is read. Compare the tables with that region, repair them, and then:\n")
	fmt.Fprintf(&out, "      syncer gap accept --region %s --source %s\n", g.region, g.list[0].Source)
	return out.String()
}

// plan says what accepting them does.
func (g *gaps) plan() string {
	var out strings.Builder
	for _, gap := range g.list {
		fmt.Fprintf(&out, "%s has lost changes of %s, shard %d: %v\n", g.region, gap.Source, gap.Shard, gap.Lost)
		fmt.Fprintf(&out, "  in one transaction:\n")
		fmt.Fprintf(&out, "    - a process of %s that is running is fenced off from shard %d: it ends, and is to be started again\n", g.region, gap.Shard)
		if gap.Lost.Truncated() && gap.Parked > 0 {
			fmt.Fprintf(&out, "    - %s the place in the topic, since offsets come again; nothing else of it changes\n",
				count(int(gap.Parked), "parked change gives up", "parked changes give up"))
		}
		fmt.Fprintf(&out, "    - the place is set from offset %d to %d, the first that the topic has (it ends at %d)\n", gap.Next, gap.First, gap.End)
	}
	out.WriteString("What is lost stays lost: where the tables were not compared and repaired, the regions differ from then on.\n")
	return out.String()
}
