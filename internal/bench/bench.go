package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"meridian/internal/bus"
	"meridian/internal/servers"
)

// options says what is measured, and how much of it.
type options struct {
	phases         []string
	scale          float64
	poll, deadline time.Duration
	partitions     int
	syncer         string // the program; "": it is built
	profiles       string // a folder; "": none are taken
	stdout, stderr io.Writer
}

// of scales a number of rows or transactions.
func (o options) of(n int) int { return max(int(float64(n)*o.scale), 1) }

// lasting scales a load's duration; shorter than a few seconds measures nothing.
func (o options) lasting(d time.Duration) time.Duration {
	return max(time.Duration(float64(d)*o.scale), 3*time.Second)
}

// phase is one part of the measurement. The phases run in their order, on the same servers.
type phase struct {
	name  string
	run   func(*bench, context.Context) error
	alone bool // it needs no servers, and runs before there are any
}

func phases() []phase {
	return []phase{
		{"ledgers", (*bench).ledgers, true},
		{"latency", (*bench).latency, false},
		{"backlog", (*bench).backlog, false},
		{"capture", (*bench).capture, false},
		{"memory", (*bench).memory, false},
		{"reading", (*bench).reading, false},
	}
}

func phaseNames() []string {
	var names []string
	for _, p := range phases() {
		names = append(names, p.name)
	}
	return names
}

// bench is one measurement. It is used once.
type bench struct {
	options options
	folder  *servers.Folder
	a, b, c *database // two regions, and MySQL's own replica of the first
	kafka   *servers.KafkaServer
	bus     *bus.Client
	sa, sb  *syncer // of the regions
	report  report
}

// run measures, and prints the table of what could be measured. The error says what could not be.
func run(ctx context.Context, o options) (err error) {
	if o.profiles != "" {
		if err = os.MkdirAll(o.profiles, 0o750); err != nil {
			return fmt.Errorf("the folder for profiles: %w", err)
		}
	}
	folder, err := servers.NewFolder()
	if err != nil {
		return err
	}
	b := &bench{options: o, folder: folder}
	b.report.begin(ctx, o)
	err = b.measure(ctx)
	err = errors.Join(err, b.report.write(o.stdout))
	return errors.Join(err, b.close(context.WithoutCancel(ctx), err != nil && ctx.Err() == nil))
}

// measure goes through the phases. One that fails does not keep the others from being tried.
func (b *bench) measure(ctx context.Context) error {
	var errs []error
	started := false
	for _, p := range phases() {
		if !slices.Contains(b.options.phases, p.name) || ctx.Err() != nil {
			continue
		}
		if !p.alone && !started {
			if err := b.startWithin(ctx); err != nil {
				return errors.Join(append(errs, err)...)
			}
			started = true
		}
		run := b.phase
		if p.alone {
			run = func(ctx context.Context, p phase) error { return p.run(b, ctx) }
		}
		if err := run(ctx, p); err != nil {
			errs = append(errs, fmt.Errorf("phase %s: %w", p.name, err))
			b.say("%v", errs[len(errs)-1])
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}

func (b *bench) startWithin(ctx context.Context) error {
	const startTime = 5 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return b.start(ctx)
}

// phase runs one, with both syncers at its beginning, and notes what memory they took.
func (b *bench) phase(ctx context.Context, p phase) error {
	ctx, cancel := context.WithTimeout(ctx, b.options.deadline)
	defer cancel()
	b.say("phase %s", p.name)
	if err := b.bothRun(ctx); err != nil {
		return err
	}
	for _, s := range []*syncer{b.sa, b.sb} {
		if err := s.forgetPeak(); err != nil {
			return err
		}
	}
	err := p.run(b, ctx)
	for _, s := range []*syncer{b.sa, b.sb} {
		err = errors.Join(err, s.notePeak())
		b.report.memory(p.name, s.name, s.peak)
	}
	return err
}

// bothRun starts the syncers that do not run, and waits until both serve.
func (b *bench) bothRun(ctx context.Context) error {
	for _, s := range []*syncer{b.sa, b.sb} {
		if !s.runs() {
			if err := s.start(ctx); err != nil {
				return err
			}
		}
	}
	for _, s := range []*syncer{b.sa, b.sb} {
		if err := s.ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// start builds the syncer and starts the servers. The syncers start with the first phase.
func (b *bench) start(ctx context.Context) error {
	program := b.options.syncer
	if program == "" {
		b.say("building the syncer")
		program = filepath.Join(b.folder.Path, "syncer")
		build := exec.CommandContext(ctx, "go", "build", "-o", program, "meridian/cmd/syncer") //nolint:gosec // our own program, into our own folder
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building the syncer (run this inside its checkout): %w\n%s", err, out)
		}
	}
	if err := b.startServers(ctx); err != nil {
		return err
	}
	password := rand.Text()
	settings := filepath.Join(b.folder.Path, "meridian.yml")
	for _, s := range []struct {
		to **syncer
		db *database
	}{{&b.sa, b.a}, {&b.sb, b.b}} {
		port, err := servers.ReservePort(ctx)
		if err != nil {
			return err
		}
		*s.to = &syncer{name: s.db.name, program: program, config: settings, folder: b.folder.Path, port: port, profiles: b.options.profiles}
	}
	if err := os.WriteFile(settings, []byte(b.settings(password)), 0o600); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	if err := b.c.follow(ctx, b.a); err != nil {
		return err
	}
	for _, r := range []struct {
		db *database
		s  *syncer
	}{{b.a, b.sa}, {b.b, b.sb}} {
		needed, err := r.s.schema(ctx)
		if err != nil {
			return err
		}
		for _, script := range []string{tables, fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", databaseUser, password), needed} {
			if err := r.db.exec(ctx, script); err != nil {
				return err
			}
		}
	}
	return nil
}

// databaseUser has what `syncer schema` grants, and no more.
const databaseUser = "meridian"

// settings is the configuration: all that can be left to its default is.
func (b *bench) settings(password string) string {
	text := "regions:\n"
	for _, s := range []struct {
		s  *syncer
		db *database
	}{{b.sa, b.a}, {b.sb, b.b}} {
		text += fmt.Sprintf("  %s:\n    mysql: {address: %q, user: %s, password: %q}\n    admin: {listen: %q}\n",
			s.s.name, s.db.server.Address(), databaseUser, password, s.s.port.Address())
	}
	return text + fmt.Sprintf("bus: {brokers: [%q], replication_factor: 1, partitions: %d}\ntables: {include: [\"bench.*\"]}\nstate_directory: %q\n",
		b.kafka.Address(), b.options.partitions, filepath.Join(b.folder.Path, "state"))
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.options.stderr, time.Now().Format("15:04:05 ")+format+"\n", args...) // nobody reads it if this fails
}

// close ends everything that was started. The logs are kept when something failed.
func (b *bench) close(ctx context.Context, keep bool) error {
	var errs []error
	for _, s := range []*syncer{b.sa, b.sb} {
		if s != nil {
			errs = append(errs, s.stop(ctx), s.port.Release())
		}
	}
	for _, d := range []*database{b.a, b.b, b.c} {
		if d != nil {
			errs = append(errs, d.close())
		}
	}
	if b.bus != nil {
		errs = append(errs, b.bus.Close())
	}
	if b.kafka != nil {
		errs = append(errs, b.kafka.Close())
	}
	if !keep {
		return errors.Join(append(errs, b.folder.Remove())...)
	}
	for _, name := range []string{"a/data", "b/data", "c/data", "kafka/data", "state", "syncer"} {
		errs = append(errs, os.RemoveAll(filepath.Join(b.folder.Path, name)))
	}
	b.say("the logs are in %s", b.folder.Path)
	return errors.Join(append(errs, b.folder.Keep())...)
}
