package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"meridian/internal/command"
	"meridian/internal/config"
	"meridian/internal/console"
)

type statusCommand struct {
	JSON     bool          `name:"json" help:"Print JSON."`
	Watch    bool          `help:"Show it again every --interval, until Ctrl-C."`
	Interval time.Duration `placeholder:"D" default:"2s" help:"How often --watch asks (${default})."`
	Replicas *int          `placeholder:"N" env:"MERIDIAN_REPLICAS" help:"How many replicas each region has (its replicas in the configuration)."`
}

// Help adds the example.
func (statusCommand) Help() string {
	return "It asks the admin.url of every region. Exit code: 0 all have answered, 1 one has not, 2 wrong usage or configuration.\n\n" +
		"Example:\n\n  syncer status --config meridian.yml --watch"
}

// statusTimeout is how long a region may take to answer.
const statusTimeout = 5 * time.Second

// Run implements the command.
func (s *statusCommand) Run(ctx context.Context, p *command.Process) error {
	switch {
	case s.JSON && s.Watch:
		return &command.UsageError{Text: "--json prints one document: it does not go with --watch"}
	case s.Interval < 100*time.Millisecond:
		return &command.UsageError{Text: fmt.Sprintf("--interval %v: at least 100ms", s.Interval)}
	case s.Replicas != nil && *s.Replicas < 1:
		return &command.UsageError{Text: fmt.Sprintf("--replicas %d: there is at least 1", *s.Replicas)}
	}
	replicas := 0
	if s.Replicas != nil {
		replicas = *s.Replicas
	}
	c, err := p.Load()
	if err != nil {
		return err
	}
	asker, err := newStatusAsker(c, replicas)
	if err != nil {
		return err
	}
	defer asker.close()
	if s.Watch {
		return s.watch(ctx, p, asker)
	}
	all := asker.ask(ctx)
	asker.addDrift(ctx, all)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if s.JSON {
		err = p.PrintJSON(all)
	} else {
		err = p.Print(all.text(console.Colors(p.Stdout)))
	}
	if err == nil && len(all.Unreachable) > 0 {
		err = command.ErrReported
	}
	return err
}

// watch shows the status again and again; on a terminal in the same place.
func (s *statusCommand) watch(ctx context.Context, p *command.Process, asker *statusAsker) error {
	const home = "\x1b[H\x1b[2J"
	clock := time.NewTicker(s.Interval)
	defer clock.Stop()
	for {
		all := asker.ask(ctx)
		asker.addDrift(ctx, all)
		if ctx.Err() != nil {
			return nil // Ctrl-C is how watching ends
		}
		text := all.text(console.Colors(p.Stdout))
		if console.IsTerminal(p.Stdout) {
			text = home + text
		}
		if err := p.Print(text + "\n" + time.Now().UTC().Format(time.RFC3339) + "\n"); err != nil {
			return err
		}
		select {
		case <-clock.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// allStatus is the document of `syncer status --json`: what each process says of itself, word for word.
type allStatus struct {
	Regions     []json.RawMessage `json:"regions"`
	Unreachable []string          `json:"unreachable"` // names of regions, with "/replica" where there are several

	views []regionView
}

// regionView is what the table shows of a process.
type regionView struct {
	Region   string       `json:"region"`
	Replica  int          `json:"replica"`
	Ready    bool         `json:"ready"`
	Reasons  []string     `json:"reasons"`
	Warnings []string     `json:"warnings"`
	Capture  captureView  `json:"capture"`
	Sources  []sourceView `json:"sources"`
	Parked   uint64       `json:"parked"`
	Dead     uint64       `json:"dead"`
	Drift    uint64       `json:"drift"`
	Unproven uint64       `json:"unproven"`
	Conflict uint64       `json:"conflicts"`
	Skew     *float64     `json:"clock_skew_seconds"`
	Headroom *float64     `json:"binlog_headroom_seconds"`

	Baseline []baselineView `json:"baseline"`
	Scrub    []scrubView    `json:"scrub"`

	unreachable bool
}

type captureView struct {
	LagSeconds *float64 `json:"lag_seconds"`
}

type sourceView struct {
	Source     string   `json:"source"`
	LagSeconds *float64 `json:"lag_seconds"` // negative: not heard from yet
	Applied    uint64   `json:"applied"`
	Lost       uint64   `json:"lost"`
	Error      string   `json:"error"`
}

// statusAsker asks all processes.
type statusAsker struct {
	processes []config.Process
	verifier  string // URL
	client    *http.Client
	token     func() (string, error) // nil: none is configured
}

func newStatusAsker(c *config.Config, replicas int) (*statusAsker, error) {
	client, token, err := command.Client(c, statusTimeout)
	if err != nil {
		return nil, err
	}
	return &statusAsker{processes: c.Processes(replicas), verifier: c.VerifierURL(), client: client, token: token}, nil
}

func (a *statusAsker) close() { a.client.CloseIdleConnections() }

// ask asks all at once and keeps the order of the configuration.
func (a *statusAsker) ask(ctx context.Context) *allStatus {
	type answer struct {
		documents []json.RawMessage
		err       error
	}
	answers := make([]answer, len(a.processes))
	var asking sync.WaitGroup
	for n := range answers {
		asking.Go(func() {
			answers[n].documents, answers[n].err = a.askOne(ctx, a.processes[n].URL)
		})
	}
	asking.Wait()
	all := &allStatus{Regions: []json.RawMessage{}, Unreachable: []string{}}
	for n, answer := range answers {
		region, replica := a.processes[n].Region.Name, a.processes[n].Replica
		if answer.err == nil {
			answer.err = all.add(answer.documents)
		}
		if answer.err == nil {
			continue
		}
		v := regionView{Region: region, Replica: replica, Reasons: []string{answer.err.Error()}, unreachable: true}
		// It has the keys that every region has, so that a program finds it in the list.
		document, err := json.Marshal(map[string]any{"region": region, "replica": replica, "ready": false, "reasons": v.Reasons, "sources": []any{}})
		if err == nil {
			all.Regions = append(all.Regions, document)
		}
		name := region
		if a.several(region) {
			name += "/" + strconv.Itoa(replica)
		}
		all.Unreachable = append(all.Unreachable, name)
		all.views = append(all.views, v)
	}
	return all
}

// several tells whether a region has more than one process.
func (a *statusAsker) several(region string) bool {
	return slices.ContainsFunc(a.processes, func(p config.Process) bool { return p.Region.Name == region && p.Replica > 0 })
}

// add takes what one process answered.
func (s *allStatus) add(documents []json.RawMessage) error {
	var views []regionView
	for _, d := range documents {
		var v regionView
		if err := json.Unmarshal(d, &v); err != nil {
			return fmt.Errorf("its answer is no status: %w", err)
		}
		views = append(views, v)
	}
	s.views = append(s.views, views...)
	s.Regions = append(s.Regions, documents...)
	return nil
}

// askOne asks one process for its part of the document.
func (a *statusAsker) askOne(ctx context.Context, url string) ([]json.RawMessage, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/status", nil)
	if err != nil {
		return nil, fmt.Errorf("admin.url: %w", err)
	}
	if a.token != nil {
		token, unread := a.token()
		if unread != nil {
			return nil, unread
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := a.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("no answer: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // it has been read
	const most = 16 << 20
	body, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return nil, fmt.Errorf("%s broke off: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, refusal(url, response.Status, body)
	}
	var document struct {
		Regions []json.RawMessage `json:"regions"`
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return nil, fmt.Errorf("%s is no syncer: %w", url, err)
	}
	if len(document.Regions) == 0 {
		return nil, fmt.Errorf("%s is no syncer: %w", url, errNoRegions)
	}
	return document.Regions, nil
}

var errNoRegions = errors.New("its answer names no region")

// refusal makes an error of problem+json, or of whatever it was.
func refusal(url, status string, body []byte) error {
	var problem struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal(body, &problem) == nil && problem.Detail != "" {
		status += ": " + problem.Detail
	}
	return fmt.Errorf("%s answers %s", url, status) //nolint:err113 // nobody decides on it; it is shown
}

// text shows the status to people: the regions, what each gets from the others, and what is wrong.
func (s *allStatus) text(colors bool) string {
	regions := console.Table{Header: []string{"REGION", "READY", "CAPTURE LAG", "PARKED", "DEAD", "CONFLICTS", "DRIFT", "UNPROVEN", "CLOCK SKEW", "BINLOG HEADROOM"}}
	sources := console.Table{Header: []string{"REGION", "FROM", "LAG", "APPLIED", "LOST", ""}}
	tables := console.Table{Header: []string{"REGION", "TABLE", "FIRST READING", "READ AGAIN UP TO", "READING AGAIN", "NOT AS WRITTEN"}}
	var notes []string
	for i := range s.views {
		v := &s.views[i]
		ready := console.Cell{Text: "yes", Color: console.Green}
		switch {
		case v.unreachable:
			ready = console.Cell{Text: "unreachable", Color: console.Red}
		case !v.Ready:
			ready = console.Cell{Text: "no", Color: console.Yellow}
		}
		for _, reason := range v.Reasons {
			notes = append(notes, v.name()+": "+reason)
		}
		for _, warning := range v.Warnings {
			notes = append(notes, v.name()+": warning: "+warning)
		}
		if v.unreachable {
			regions.Add(console.Text(v.name()), ready, empty, empty, empty, empty, empty, empty, empty, empty)
			continue
		}
		regions.Add(console.Text(v.name()), ready, seconds(v.Capture.LagSeconds), troubling(v.Parked, console.Yellow), troubling(v.Dead, console.Red),
			console.Number(v.Conflict), troubling(v.Drift, console.Red), console.Number(v.Unproven), skew(v.Skew), seconds(v.Headroom))
		v.tables(&tables)
		for _, src := range v.Sources {
			sources.Add(console.Text(v.name()), console.Text(src.Source), seconds(src.LagSeconds), console.Number(src.Applied), console.Number(src.Lost),
				console.Cell{Text: src.Error, Color: console.Red})
		}
	}
	var out strings.Builder
	_ = regions.Write(&out, colors) // a Builder takes everything
	if len(sources.Rows) > 0 {
		out.WriteByte('\n')
		_ = sources.Write(&out, colors)
	}
	if len(tables.Rows) > 0 {
		out.WriteByte('\n')
		_ = tables.Write(&out, colors)
	}
	if len(notes) > 0 {
		out.WriteByte('\n')
	}
	for _, n := range notes {
		out.WriteString(n + "\n")
	}
	return out.String()
}

var empty = console.Cell{Text: "-", Right: true}

func (v *regionView) name() string {
	if v.Replica > 0 {
		return v.Region + "/" + strconv.Itoa(v.Replica)
	}
	return v.Region
}

// troubling is a number that should be zero.
func troubling(n uint64, c console.Color) console.Cell {
	cell := console.Number(n)
	if n > 0 {
		cell.Color = c
	}
	return cell
}

// seconds is a duration for people; what is not known (nothing, or less than nothing) is a dash.
func seconds(s *float64) console.Cell {
	if s == nil || *s < 0 {
		return empty
	}
	return skew(s)
}

// skew is a duration that may well be negative.
func skew(s *float64) console.Cell {
	if s == nil {
		return empty
	}
	d := time.Duration(*s * float64(time.Second))
	switch {
	case d.Abs() < time.Second:
		d = d.Round(100 * time.Microsecond)
	case d < time.Hour:
		d = d.Round(100 * time.Millisecond)
	default:
		d = d.Round(time.Minute)
	}
	return console.Number(d)
}
