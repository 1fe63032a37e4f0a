// Package command is what Meridian's programs have in common as commands: the flags that all of them take, the process that a
// command is given, signals, exit codes, and how a configured process is reached over HTTP.
//
// In the flow it stands between main and the commands: besides cmd it is the only one that knows the configuration.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"

	"meridian/internal/console"
)

// Line is the flags of every command; a program's command line embeds it.
type Line struct {
	Config    string `placeholder:"FILE" default:"meridian.yml" env:"MERIDIAN_CONFIG" help:"The configuration, one file for all regions (${default})."`
	LogLevel  string `placeholder:"LEVEL" default:"info" enum:"debug,info,warn,error" help:"Which log lines go to stderr: ${enum} (${default})."`
	LogFormat string `placeholder:"FORMAT" default:"" enum:"json,console," help:"How they look: json or console (console on a terminal, else json)."`
}

func (l *Line) common() *Line { return l }

// commandLine is a program's: it embeds a Line.
type commandLine interface{ common() *Line }

// Program is one of Meridian's binaries.
type Program struct {
	Name        string
	Description string
}

// Run parses the arguments into line, which embeds a Line, and runs the command that they name, which is given ctx and a
// *Process. ExitCode sorts its errors.
func (p Program) Run(ctx context.Context, line commandLine, args []string, stdout, stderr io.Writer) error {
	helped := false
	parser, err := kong.New(line, kong.Name(p.Name), kong.Description(p.Description),
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
		return p.wrongUsage(err)
	}
	flags := line.common()
	logger, err := console.NewLogger(stderr, console.Format(flags.LogFormat), flags.LogLevel)
	if err != nil {
		return &UsageError{err.Error()}
	}
	return parsed.Run(&Process{Program: p.Name, Stdout: stdout, Stderr: stderr, Logger: logger, ConfigPath: flags.Config})
}

// wrongUsage says what is wrong with the command line and where to look it up.
func (p Program) wrongUsage(err error) error {
	command := p.Name
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		if node := parse.Context.Selected(); node != nil {
			command += " " + node.Path()
		}
	}
	return &UsageError{fmt.Sprintf("%v\nsee: %s --help", err, command)}
}
