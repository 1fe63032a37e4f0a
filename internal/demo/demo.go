package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"meridian/internal/servers"
)

// Options says what is to be shown.
type Options struct {
	Syncer   string        // the program, run once for each region
	Verifier string        // the program that finds and repairs
	Regions  int           // 2 to MostRegions
	Duration time.Duration // of writing
	Mysqld   string        // the server program; "": MySQL, got if it is not there
	Keep     bool          // leave all running until the context ends

	Stdout io.Writer // the report
	Stderr io.Writer // how things go
}

// ErrNotEqual is returned when not all regions hold the same rows in the end. The report has told which.
var ErrNotEqual = errors.New("the regions do not hold the same rows")

// Run shows it. It returns nil only if all regions hold the same rows at the end, found by reading them all. When it
// returns, nothing that it started runs any more, and its folder is gone; after a failure the logs stay, and the error
// says where.
func Run(ctx context.Context, o Options) error {
	return run(ctx, o, func(context.Context, *demo) error { return nil })
}

// run calls beforeProof when everything has settled and before the databases are compared.
func run(ctx context.Context, o Options, beforeProof func(context.Context, *demo) error) (err error) {
	d := &demo{options: o, screen: newScreen(o.Stderr), beforeProof: beforeProof}
	folder, err := servers.NewFolder()
	if err != nil {
		return err
	}
	d.folder = folder
	shown, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d.fail = cancel
	err = d.show(shown)
	d.screen.clear()
	err = d.verdict(ctx, shown, err)
	return errors.Join(err, d.close(context.WithoutCancel(ctx), err != nil && ctx.Err() == nil))
}

// verdict is what Run returns for what show returned.
func (d *demo) verdict(ctx, shown context.Context, err error) error {
	var ended *endedError
	switch {
	case errors.As(context.Cause(shown), &ended) && errors.Is(err, ErrNotEqual):
		return errors.Join(ended, ErrNotEqual)
	case errors.As(context.Cause(shown), &ended):
		return ended // what else went wrong did so because of it
	case ctx.Err() != nil && !d.proved:
		return fmt.Errorf("interrupted before the regions were compared: %w", context.Cause(ctx))
	default:
		return err
	}
}

// demo is one showing. It is used once.
type demo struct {
	options     Options
	screen      *screen
	folder      *servers.Folder
	beforeProof func(context.Context, *demo) error
	fail        context.CancelCauseFunc // ends the showing

	password string
	token    string // of the syncers' HTTP
	bus      *servers.Port
	linePort *servers.Port
	line     *line // between the last region and the bus
	regions  []*region
	watch    *watch
	watching errgroup.Group
	stop     context.CancelFunc // ends watching

	story  story
	mended bytes.Buffer // what the verifier's commands printed
	proved bool         // the comparison was made
}

// The times that the stages may take. They are generous: two cores may have other work.
const (
	readyTime  = 90 * time.Second
	settleTime = 90 * time.Second
)

// show goes through all stages.
func (d *demo) show(ctx context.Context) error {
	if err := d.startDatabases(ctx); err != nil {
		return err
	}
	if err := d.startSyncers(ctx); err != nil {
		return err
	}
	if err := d.write(ctx); err != nil {
		return err
	}
	settleErr := d.settle(ctx)
	if ctx.Err() != nil {
		return settleErr
	}
	if settleErr == nil {
		if err := d.mend(ctx); err != nil {
			return err
		}
	}
	if err := d.beforeProof(ctx, d); err != nil {
		return err
	}
	proofs, err := compare(ctx, d.regions)
	if err != nil {
		return errors.Join(settleErr, err)
	}
	last, _ := d.watch.now()
	d.screen.clear()
	equal, err := d.report(last, proofs)
	if err != nil {
		return err
	}
	d.proved = true
	if !equal {
		err = ErrNotEqual
	}
	if d.options.Keep {
		err = errors.Join(err, d.keep(ctx))
	}
	return errors.Join(settleErr, err)
}

// startDatabases gets the server program and starts a database for each region.
func (d *demo) startDatabases(ctx context.Context) error {
	cache, err := servers.CacheDirectory()
	if err != nil {
		return err
	}
	program, err := d.program(ctx, cache)
	if err != nil {
		return err
	}
	d.screen.say("starting %d databases: %s %s, %s", d.options.Regions, program.Kind, program.Version, program.Path)
	for n := range d.options.Regions {
		r := &region{name: regionNames[n], folder: filepath.Join(d.folder.Path, regionNames[n])}
		if r.admin, err = servers.ReservePort(ctx); err != nil {
			return err
		}
		d.regions = append(d.regions, r)
	}
	g, ctx := errgroup.WithContext(ctx)
	for n, r := range d.regions {
		g.Go(func() error { return r.start(ctx, program, cache, n+1, len(d.regions)) })
	}
	return g.Wait()
}

func (d *demo) program(ctx context.Context, cache string) (*servers.Program, error) {
	if d.options.Mysqld == "" {
		installer := servers.Installer{Cache: cache, Log: d.screen}
		return installer.Install(ctx, servers.MySQL)
	}
	path, err := filepath.Abs(d.options.Mysqld)
	if err != nil {
		return nil, err
	}
	for _, kind := range servers.Kinds() { // one of the cache runs by its own loader only
		program, missing := servers.Find(ctx, cache, kind)
		if missing == nil && program.Path == path {
			return program, nil
		}
	}
	program, err := servers.At(ctx, path)
	if err == nil && !program.Kind.IsDatabase() {
		return nil, fmt.Errorf("%s is a %s: --mysqld wants a mysqld or mariadbd", path, program.Kind)
	}
	return program, err
}

// startSyncers writes the configuration, prepares the databases, and starts a syncer for each region.
func (d *demo) startSyncers(ctx context.Context) (err error) {
	d.password, d.token = rand.Text(), rand.Text()
	if d.bus, err = servers.ReservePort(ctx); err != nil {
		return err
	}
	if d.linePort, err = servers.ReservePort(ctx); err != nil {
		return err
	}
	if err := d.configure(); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, r := range d.regions {
		g.Go(func() error { return r.prepare(gctx, d.options.Syncer, d.password) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	d.line = newLine(d.linePort.Address(), d.bus.Address())
	if err := d.line.heal(ctx); err != nil {
		return err
	}
	d.screen.say("starting %d syncers (syncer run --config %s --region ...); %s serves the bus", len(d.regions), d.regions[0].config, d.regions[0].name)
	watchCtx, stop := context.WithCancel(ctx)
	d.stop = stop
	d.startWatching(watchCtx)
	for n, r := range d.regions {
		if err := r.run(ctx, d.options.Syncer); err != nil {
			return err
		}
		d.watching.Go(func() error { return d.guard(watchCtx, r) })
		if n == 0 { // the others' preflight wants the bus
			if err := d.watch.wait(ctx, "the bus in "+r.name, readyTime, func(now snapshot) bool { return len(now) > 0 && now[0].err == nil }); err != nil {
				return err
			}
		}
	}
	return d.watch.wait(ctx, "every region ready", readyTime, every(func(s *status) bool {
		_, known := s.lag()
		return known && s.Ready
	}))
}

// configure writes the configuration: one file for all regions but the last, whose way to the bus is the line.
func (d *demo) configure() error {
	last := len(d.regions) - 1
	common, cutOff := filepath.Join(d.folder.Path, "meridian.yml"), filepath.Join(d.folder.Path, d.regions[last].name+".yml")
	token := filepath.Join(d.folder.Path, "token")
	if err := os.WriteFile(token, []byte(d.token), 0o600); err != nil {
		return fmt.Errorf("writing the token: %w", err)
	}
	s := settings{regions: d.regions, password: d.password, token: token, bus: d.bus.Address(), state: filepath.Join(d.folder.Path, "state")}
	if err := os.WriteFile(common, []byte(s.yaml()), 0o600); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	s.line = d.linePort.Address()
	if err := os.WriteFile(cutOff, []byte(s.yaml()), 0o600); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	for n, r := range d.regions {
		r.config = common
		if n == last {
			r.config = cutOff
		}
	}
	return nil
}

// settle waits, once nothing is written any more, until all that was written is everywhere.
func (d *demo) settle(ctx context.Context) error {
	stopped := time.Now()
	d.story.enter("settling")
	err := d.watch.wait(ctx, "all that was written in every region", settleTime, every(func(s *status) bool { return s.includes(stopped) }))
	if err == nil && d.story.caughtUp == 0 {
		d.caughtUp()
	}
	if err != nil {
		d.screen.say("%v", err)
		return err
	}
	d.story.settled = time.Since(stopped)
	d.screen.say("settled: nothing is on its way any more, %.1f s after the last write", d.story.settled.Seconds())
	return nil
}

// close ends everything, the region that serves the bus last: what the others have captured is still to be acknowledged.
func (d *demo) close(ctx context.Context, keepLogs bool) error {
	var errs []error
	d.screen.say("ending everything")
	if d.stop != nil {
		d.stop()
		errs = append(errs, d.watching.Wait())
	}
	var g errgroup.Group
	for n, r := range d.regions {
		if n > 0 && r.syncer != nil {
			g.Go(func() error { return r.syncer.stop(ctx) })
		}
	}
	errs = append(errs, g.Wait())
	if len(d.regions) > 0 && d.regions[0].syncer != nil {
		errs = append(errs, d.regions[0].syncer.stop(ctx))
	}
	if d.line != nil {
		d.line.cut()
	}
	for _, r := range d.regions {
		errs = append(errs, r.close())
	}
	for _, port := range []*servers.Port{d.bus, d.linePort} {
		if port != nil {
			errs = append(errs, port.Release())
		}
	}
	if !keepLogs || len(d.regions) == 0 {
		return errors.Join(append(errs, d.folder.Remove())...)
	}
	for _, r := range d.regions {
		errs = append(errs, os.RemoveAll(filepath.Join(r.folder, "data")))
	}
	errs = append(errs, os.RemoveAll(filepath.Join(d.folder.Path, "state")), d.folder.Keep())
	d.screen.say("the logs are in %s", d.folder.Path)
	return errors.Join(errs...)
}
