package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"

	"meridian/internal/config"
	"meridian/internal/console"
)

// commandLine is every command with its flags.
type commandLine struct {
	Config    string `placeholder:"FILE" default:"meridian.yml" env:"MERIDIAN_CONFIG" help:"The configuration, one file for all regions (${default})."`
	LogLevel  string `placeholder:"LEVEL" default:"info" enum:"debug,info,warn,error" help:"Which log lines go to stderr: ${enum} (${default})."`
	LogFormat string `placeholder:"FORMAT" default:"" enum:"json,console," help:"How they look: json or console (console on a terminal, else json)."`

	Run     runCommand     `cmd:"" help:"Run one region's process: capture, publish, apply, cache, admin HTTP."`
	Check   checkCommand   `cmd:"" help:"Check whether a region is fit to be replicated, and say what mends it. Changes nothing."`
	Schema  schemaCommand  `cmd:"" help:"Print the SQL of Meridian's own tables and the least GRANTs."`
	Status  statusCommand  `cmd:"" help:"Show all regions: lag, rates, conflicts, parked, dead, drift, clocks, headroom."`
	Demo    demoCommand    `cmd:"" help:"Show Meridian at work on this machine: regions, conflicts, a cut, the proof."`
	Version versionCommand `cmd:"" help:"Print version, commit and Go version."`
}

// regionFlag is for the commands that are about one region.
type regionFlag struct {
	Region string `placeholder:"NAME" env:"MERIDIAN_REGION" help:"The region."`
}

// process is what every command is given besides its own flags. Reports go to stdout, logs to stderr.
type process struct {
	stdout, stderr io.Writer
	logger         *zap.Logger
	configPath     string
}

// run is the program without its process: it parses the arguments and runs the command. exitCode sorts its errors.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var line commandLine
	helped := false
	parser, err := kong.New(&line, kong.Name("syncer"),
		kong.Description("Meridian keeps a MySQL or MariaDB database identical in several regions that all accept writes."),
		kong.Writers(stdout, stderr), kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		return fmt.Errorf("the command line is put together wrongly: %w", err)
	}
	parsed, err := parser.Parse(args)
	if helped {
		return nil
	}
	if err != nil {
		return wrongUsage(err)
	}
	logger, err := console.NewLogger(stderr, console.Format(line.LogFormat), line.LogLevel)
	if err != nil {
		return &usageError{err.Error()}
	}
	return parsed.Run(&process{stdout: stdout, stderr: stderr, logger: logger, configPath: line.Config})
}

// wrongUsage says what is wrong with the command line and where to look it up.
func wrongUsage(err error) error {
	command := "syncer"
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		if node := parse.Context.Selected(); node != nil {
			command = "syncer " + node.Path()
		}
	}
	return &usageError{fmt.Sprintf("%v\nsee: %s --help", err, command)}
}

// load reads the configuration and logs what looks wrong in it.
func (p *process) load() (*config.Config, error) {
	c, err := config.Load(p.configPath)
	if err != nil {
		return nil, err
	}
	for _, w := range c.Warnings {
		p.logger.Warn("configuration: "+w.Text, zap.String("file", c.Path), zap.Int("line", w.Line), zap.String("key", w.Key))
	}
	return c, nil
}

// loadRegion reads the configuration and finds the command's region in it.
func (p *process) loadRegion(f regionFlag) (*config.Config, *config.Region, error) {
	c, err := p.load()
	if err != nil {
		return nil, nil, err
	}
	r, err := c.Region(f.Region)
	if err != nil {
		return nil, nil, &usageError{err.Error()}
	}
	return c, r, nil
}

// printJSON writes a command's one document to stdout.
func (p *process) printJSON(document any) error {
	encoder := json.NewEncoder(p.stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// print writes to stdout.
func (p *process) print(text string) error {
	if _, err := io.WriteString(p.stdout, text); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

type runCommand struct {
	regionFlag
	Replica  *int `placeholder:"K" env:"MERIDIAN_REPLICA" help:"Which of the region's replicas this is, from 0 (from the number at the end of the host name, as a StatefulSet gives it)."`
	Replicas int  `placeholder:"N" env:"MERIDIAN_REPLICAS" default:"1" help:"How many replicas share the region's shards (${default})."`

	SkipTransaction []string `placeholder:"GTID" sep:"none" help:"Pass over this transaction, which capture cannot take (the error that ended it names it), and do not publish it: the regions then differ in what it wrote until that is compared and repaired. Repeatable; without effect on what is not met."`

	AcknowledgeWarnings bool `help:"Forget the warnings that the region's status has shown so far, such as of changes that were purged before they were read: you have dealt with them. What this start finds is shown."`
}

// Help adds the example.
func (runCommand) Help() string {
	return "It checks the region first, as `syncer check` does, and refuses to start on a fail. " +
		"SIGTERM ends it in order, a second one at once.\n\nExample:\n\n  syncer run --config meridian.yml --region us-east-1"
}

// Run implements the command.
func (r *runCommand) Run(ctx context.Context, p *process) error {
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find out this host's name: %w", err)
	}
	replica, err := replicaOf(r.Replica, r.Replicas, host)
	if err != nil {
		return err
	}
	skip, err := skipped(r.SkipTransaction)
	if err != nil {
		return err
	}
	c, region, err := p.loadRegion(r.regionFlag)
	if err != nil {
		return err
	}
	if r.Replicas > c.Bus.Partitions {
		return &usageError{fmt.Sprintf("--replicas %d: there are only %d shards to share (bus.partitions)", r.Replicas, c.Bus.Partitions)}
	}
	return runSyncer(ctx, p, runOptions{Config: c, Region: region, Replica: replica, Replicas: r.Replicas, Skip: skip, Acknowledge: r.AcknowledgeWarnings})
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
		return 0, &usageError{fmt.Sprintf("--replicas %d: there is at least 1", replicas)}
	}
	replica := 0
	switch found := ordinal.FindStringSubmatch(host); {
	case flag != nil:
		replica = *flag
	case replicas == 1:
	case found == nil:
		return 0, &usageError{fmt.Sprintf("--replicas %d: which one is this? Say --replica K; the host name %s has no number at its end", replicas, host)}
	default:
		replica, _ = strconv.Atoi(found[1]) // one to four digits
	}
	if replica < 0 || replica >= replicas {
		return 0, &usageError{fmt.Sprintf("replica %d of %d: they are numbered from 0 to %d", replica, replicas, replicas-1)}
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
func (d *demoCommand) Run(ctx context.Context, p *process) error {
	const most = 9
	if d.Regions < 2 || d.Regions > most {
		return &usageError{fmt.Sprintf("--regions %d: the demo has 2 to %d", d.Regions, most)}
	}
	if d.Duration <= 0 {
		return &usageError{fmt.Sprintf("--duration %v: it must be longer than nothing", d.Duration)}
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
