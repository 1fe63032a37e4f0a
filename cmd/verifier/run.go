package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"meridian/internal/admin"
	"meridian/internal/command"
	"meridian/internal/config"
	"meridian/internal/findings"
	"meridian/internal/retry"
)

type runCommand struct{}

// Help adds the example.
func (runCommand) Help() string {
	return "It compares all regions every verify.interval, repairs what is proven (verify.repair: auto; more than verify.max_repair_rows or 1 % " +
		"of a table waits for `verifier repair --yes`), keeps what it finds in state_directory/verifier, and serves /healthz, /readyz, " +
		"/metrics and /v1/status at verifier.listen. Two of them, each with a state directory of its own, do no harm. " +
		"SIGTERM ends it in order, a second one at once.\n\nExample:\n\n  verifier run --config meridian.yml"
}

// Run implements the command.
func (*runCommand) Run(ctx context.Context, p *command.Process) (err error) {
	cfg, err := p.Load()
	if err != nil {
		return err
	}
	store, err := openFindings(cfg, p.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	all, err := reach(cfg)
	if err != nil {
		return err
	}
	defer all.close()
	registry := command.NewRegistry()
	match, err := tableFlag{}.match(cfg)
	if err != nil {
		return err
	}
	s := &service{
		verifier: all.verifier(cfg), match: match, interval: cfg.Verify.Interval, window: cfg.Verify.ConsistencyWindow,
		store: store, clock: retry.System{}, log: p.Logger, metrics: newMetrics(registry),
		mending: mending{auto: cfg.Verify.Repair == config.RepairAuto, maxRows: cfg.Verify.MaxRepairRows, perMinute: cfg.Verify.RepairRowsPerMinute},
	}
	server, err := listen(ctx, p, cfg, s, admin.Config{Metrics: registry})
	if err != nil {
		return err
	}
	p.Logger.Info("the verifier starts", zap.String("version", command.ThisBuild().Version), zap.Stringer("listen", server.Addr()),
		zap.Duration("interval", cfg.Verify.Interval), zap.Strings("regions", cfg.RegionNames()))
	g, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g.Go(func() error { defer stop(); return server.Run(ctx) })
	g.Go(func() error { defer stop(); return s.run(ctx) })
	if err = g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	p.Logger.Info("the verifier has ended")
	return nil
}

// findingsPath is the file that the verifier keeps what it finds in.
func findingsPath(c *config.Config) string {
	return filepath.Join(c.VerifierDirectory(), "findings.db")
}

func openFindings(c *config.Config, log *zap.Logger) (*findings.Store, error) {
	if err := os.MkdirAll(c.VerifierDirectory(), 0o750); err != nil {
		return nil, fmt.Errorf("making the verifier's folder (state_directory): %w", err)
	}
	path := findingsPath(c)
	store, err := findings.Open(path, func(damage error) {
		log.Error("the file of findings is damaged: it is set aside, and a new one begun. What was found before is not in reports any more",
			zap.String("aside", path+".damaged"), zap.Error(damage))
	})
	if errors.Is(err, findings.ErrLocked) {
		return nil, fmt.Errorf("%w: another verifier runs with this state_directory. One is enough; a second one needs a directory and a verifier.listen of its own", err)
	}
	return store, err
}

// listen serves the verifier's HTTP, with more set in a.
func listen(ctx context.Context, p *command.Process, c *config.Config, s *service, a admin.Config) (*admin.Server, error) {
	var err error
	if a.TLS, err = c.Admin.TLS.Server(); err != nil {
		return nil, fmt.Errorf("admin.tls: %w", err)
	}
	if c.Admin.Token.IsSet() {
		a.Token = c.Admin.Token.Read
	}
	a.Listen, a.Logger, a.Ready = c.Verifier.Listen, p.Logger, s.reasons
	a.Status = func(context.Context) (any, error) { return s.status(), nil }
	server, err := admin.Listen(ctx, a)
	if err != nil {
		return nil, err
	}
	server.Mount("GET /v1/report", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		since, err := time.Parse(time.RFC3339Nano, r.FormValue("since"))
		if err != nil {
			admin.WriteProblem(w, http.StatusBadRequest, fmt.Sprintf("since=%q is no time like 2026-11-28T12:00:00Z", r.FormValue("since")))
			return
		}
		report, err := s.report(since)
		if err != nil {
			p.Logger.Error("no report could be made", zap.Error(err))
			admin.WriteProblem(w, http.StatusInternalServerError, err.Error())
			return
		}
		admin.WriteJSON(w, http.StatusOK, report)
	}))
	server.Mount("POST /v1/repairs", http.HandlerFunc(s.takeRepairs))
	return server, nil
}
