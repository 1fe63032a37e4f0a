package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"time"

	"go.uber.org/zap"

	"meridian/internal/command"
	"meridian/internal/config"
)

// commandLine is every command with its flags.
type commandLine struct {
	command.Line

	Run     runCommand     `cmd:"" help:"Run one region's process: capture, publish, apply, cache, admin HTTP."`
	Check   checkCommand   `cmd:"" help:"Check whether a region is fit to be replicated, and say what mends it. Changes nothing."`
	Schema  schemaCommand  `cmd:"" help:"Print the SQL of Meridian's own tables and the least GRANTs."`
	Status  statusCommand  `cmd:"" help:"Show all regions: lag, rates, conflicts, parked, dead, drift, clocks, headroom."`
	Gap     gapCommand     `cmd:"" help:"What a region can no longer read of the others: show it, and go on behind it."`
	Demo    demoCommand    `cmd:"" help:"Show Meridian at work on this machine: regions, conflicts, a cut, the proof."`
	Version versionCommand `cmd:"" help:"Print version, commit and Go version."`
}

// run is the program without its process: it parses the arguments and runs the command. command.ExitCode sorts its errors.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	program := command.Program{Name: "syncer",
		Description: "Meridian keeps a MySQL or MariaDB database identical in several regions that all accept writes."}
	return program.Run(ctx, &commandLine{}, args, stdout, stderr)
}

type runCommand struct {
	command.RegionFlag
	Replica  *int `placeholder:"K" env:"MERIDIAN_REPLICA" help:"Which of the region's replicas this is, from 0 (from the number at the end of the host name, as a StatefulSet gives it)."`
	Replicas *int `placeholder:"N" env:"MERIDIAN_REPLICAS" help:"How many replicas share the region's shards (the region's replicas in the configuration)."`

	SkipTransaction []string `placeholder:"GTID" sep:"none" help:"Pass over this transaction, which capture cannot take (the error that ended it names it), and do not publish it: the regions then differ in what it wrote until that is compared and repaired. Repeatable; without effect on what is not met."`

	AcknowledgeWarnings bool `help:"Forget the warnings that the region's status has shown so far, such as of changes that were purged before they were read: you have dealt with them. What this start finds is shown."`
}

// Help adds the example.
func (runCommand) Help() string {
	return "It checks the region first, as `syncer check` does, and refuses to start on a fail. " +
		"SIGTERM ends it in order, a second one at once.\n\nExample:\n\n  syncer run --config meridian.yml --region us-east-1"
}

// Run implements the command.
func (r *runCommand) Run(ctx context.Context, p *command.Process) error {
	skip, err := skipped(r.SkipTransaction)
	if err != nil {
		return err
	}
	c, region, err := p.LoadRegion(r.RegionFlag)
	if err != nil {
		return err
	}
	replicas := region.Replicas
	if r.Replicas != nil {
		replicas = *r.Replicas
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find out this host's name: %w", err)
	}
	replica, err := replicaOf(r.Replica, replicas, host)
	if err != nil {
		return err
	}
	if replicas > c.Bus.Partitions {
		return &command.UsageError{Text: fmt.Sprintf("--replicas %d: there are only %d shards to share (bus.partitions)", replicas, c.Bus.Partitions)}
	}
	if replicas != region.Replicas {
		p.Logger.Warn("the configuration has another number of replicas: the verifier and `syncer status` look for that many",
			zap.String("region", region.Name), zap.Int("replicas", replicas), zap.Int("configured", region.Replicas))
	}
	return runSyncer(ctx, p, runOptions{Config: c, Region: region, Replica: replica, Replicas: replicas, Skip: skip, Acknowledge: r.AcknowledgeWarnings})
}

// runOptions is what `syncer run` was asked to run.
type runOptions struct {
	Config   *config.Config
	Region   *config.Region
	Replica  int // of Replicas, from 0: it owns the shards s with s mod Replicas = Replica
	Replicas int
	Skip     []string // GTIDs of transactions that capture passes over

	Acknowledge bool // the warnings of earlier starts
}

var ordinal = regexp.MustCompile(`-(\d{1,4})$`)

// replicaOf tells which replica this is: what the flag says, or else the ordinal that a StatefulSet puts into host names.
func replicaOf(flag *int, replicas int, host string) (int, error) {
	if replicas < 1 {
		return 0, &command.UsageError{Text: fmt.Sprintf("--replicas %d: there is at least 1", replicas)}
	}
	replica := 0
	switch found := ordinal.FindStringSubmatch(host); {
	case flag != nil:
		replica = *flag
	case replicas == 1:
	case found == nil:
		return 0, &command.UsageError{Text: fmt.Sprintf("--replicas %d: which one is this? Say --replica K; the host name %s has no number at its end", replicas, host)}
	default:
		replica, _ = strconv.Atoi(found[1]) // one to four digits
	}
	if replica < 0 || replica >= replicas {
		return 0, &command.UsageError{Text: fmt.Sprintf("replica %d of %d: they are numbered from 0 to %d", replica, replicas, replicas-1)}
	}
	return replica, nil
}

type demoCommand struct {
	Keep     bool          `help:"Leave it running until Ctrl-C and print how to connect."`
	Regions  int           `placeholder:"N" default:"3" help:"How many regions (${default})."`
	Duration time.Duration `placeholder:"D" default:"20s" help:"How long the writers write (${default})."`
	Mysqld   string        `placeholder:"PATH" help:"The mysqld or mariadbd to use (one that is installed, or got by make servers)."`
}

// Help adds the example.
func (demoCommand) Help() string {
	return "Nothing outside a temporary folder is touched. It exits with 0 only if all regions hold the same rows at the end.\n\n" +
		"Example:\n\n  syncer demo --regions 3 --duration 30s"
}

// Run implements the command.
func (d *demoCommand) Run(ctx context.Context, p *command.Process) error {
	const most = 9
	if d.Regions < 2 || d.Regions > most {
		return &command.UsageError{Text: fmt.Sprintf("--regions %d: the demo has 2 to %d", d.Regions, most)}
	}
	if d.Duration <= 0 {
		return &command.UsageError{Text: fmt.Sprintf("--duration %v: it must be longer than nothing", d.Duration)}
	}
	return runDemo(ctx, p, demoOptions{Keep: d.Keep, Regions: d.Regions, Duration: d.Duration, Mysqld: d.Mysqld})
}

// demoOptions is what `syncer demo` was asked to show.
type demoOptions struct {
	Keep     bool
	Regions  int
	Duration time.Duration
	Mysqld   string // "": the one that is found
}
