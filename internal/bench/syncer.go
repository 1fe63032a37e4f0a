package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"meridian/internal/servers"
)

// syncer is one region's `syncer run`, started and stopped as often as the phases want.
type syncer struct {
	name                    string // of the region
	program, config, folder string
	port                    *servers.Port // of its HTTP
	profiles                string

	command *exec.Cmd     // nil when it does not run
	ended   chan struct{} // closed when it is gone
	result  error         // of the process, once it has ended
	peak    int           // the most resident memory since forgetPeak, over all its processes, in bytes
}

// schema is what `syncer schema` prints for the region.
func (s *syncer) schema(ctx context.Context) (string, error) {
	command := exec.CommandContext(ctx, s.program, "schema", "--config", s.config, "--region", s.name, "--log-level", "error") //nolint:gosec // our own program
	command.Env = environment()
	out, err := command.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return "", fmt.Errorf("syncer schema: %w: %s", err, failed.Stderr)
	}
	return string(out), err
}

// environment is this process's without what configures Meridian.
func environment() []string {
	var kept []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "MERIDIAN_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

func (s *syncer) logPath() string { return filepath.Join(s.folder, "syncer-"+s.name+".log") }

// start starts the process. It outlives ctx: stop ends it.
func (s *syncer) start(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	started := make(chan error, 1)
	s.ended, s.result = make(chan struct{}), nil
	go s.supervise(ctx, started)
	if err := <-started; err != nil {
		return fmt.Errorf("starting the syncer of %s: %w", s.name, err)
	}
	return nil
}

// supervise keeps its thread to itself: the kernel ends the process with the thread that started it.
func (s *syncer) supervise(ctx context.Context, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(s.ended)
	log, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		started <- err
		return
	}
	defer func() { s.result = errors.Join(s.result, log.Close()) }()
	c := exec.CommandContext(ctx, s.program, "run", "--config", s.config, "--region", s.name, "--replica", "0", "--log-format", "console") //nolint:gosec // our own program
	c.Stdout, c.Stderr, c.Env, c.SysProcAttr = log, log, environment(), dieWithParent()
	if err := c.Start(); err != nil {
		started <- err
		return
	}
	s.command = c
	started <- nil
	s.result = c.Wait()
}

// runs tells whether the process is there.
func (s *syncer) runs() bool {
	if s.command == nil {
		return false
	}
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// stop asks the process to end, and kills it if it does not within half a minute.
func (s *syncer) stop(ctx context.Context) error {
	if !s.runs() {
		return nil
	}
	if err := s.notePeak(); err != nil {
		return err
	}
	const stopTime = 30 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.ended:
		return s.endError()
	case <-ctx.Done():
	}
	if err := s.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.ended
	return fmt.Errorf("the syncer of %s did not end within %v of being asked to, and was killed", s.name, stopTime)
}

// endError is how the process ended, with the end of its log; nil if well.
func (s *syncer) endError() error {
	if s.result == nil {
		return nil
	}
	const lines = 8
	text, err := os.ReadFile(s.logPath())
	all := strings.Split(string(bytes.TrimSpace(text)), "\n")
	all = all[max(0, len(all)-lines):]
	return errors.Join(fmt.Errorf("the syncer of %s ended: %w; the end of its log:\n  %s", s.name, s.result, strings.Join(all, "\n  ")), err)
}

// get asks the process over HTTP.
func (s *syncer) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.port.Address()+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept-Encoding", "identity") // compressing would be work of the process that is measured
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it has been read
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", path, response.Status, body)
	}
	return body, err
}

// status is what the measurement wants of /v1/status.
type status struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons"`
	Capture struct {
		PendingBytes int `json:"pending_bytes"`
	} `json:"capture"`
	Baseline []struct {
		Table string `json:"table"`
		Rows  int    `json:"rows"`
		Done  bool   `json:"done"`
	} `json:"baseline"`
	Scrub []struct {
		Table       string     `json:"table"`
		Covered     *time.Time `json:"covered"`
		CoveredFrom *time.Time `json:"covered_from"`
	} `json:"scrub"`
}

func (s *syncer) status(ctx context.Context) (status, error) {
	var document struct {
		Regions []status `json:"regions"`
	}
	body, err := s.get(ctx, "/v1/status")
	if err == nil {
		err = json.Unmarshal(body, &document)
	}
	if err == nil && len(document.Regions) != 1 {
		err = fmt.Errorf("/v1/status tells of %d regions", len(document.Regions))
	}
	if err != nil {
		return status{}, err
	}
	return document.Regions[0], nil
}

// counter is the sum of a metric.
func (s *syncer) counter(ctx context.Context, name string) (float64, error) {
	body, err := s.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, m := range families[name].GetMetric() {
		sum += m.GetCounter().GetValue()
	}
	return sum, nil
}

// ready waits until the region is; a process that ends is an error.
func (s *syncer) ready(ctx context.Context) error {
	var last string
	err := until(ctx, countInterval, func() (bool, error) {
		if !s.runs() {
			return false, errors.Join(errors.New("it has ended"), s.endError())
		}
		st, err := s.status(ctx)
		if err != nil {
			last = err.Error() // it does not listen yet
			return false, nil  //nolint:nilerr // tried again
		}
		last = strings.Join(st.Reasons, "; ")
		return st.Ready, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the syncer of %s: %w (%s)", s.name, err, last)
	}
	return nil
}

// forgetPeak lets the memory's high water mark begin anew (proc(5), clear_refs).
func (s *syncer) forgetPeak() error {
	s.peak = 0
	if !s.runs() {
		return nil
	}
	return os.WriteFile(s.proc("clear_refs"), []byte("5"), 0)
}

// notePeak looks at the high water mark of the process's resident memory.
func (s *syncer) notePeak() error {
	if !s.runs() {
		return nil
	}
	text, err := os.ReadFile(s.proc("status"))
	if err != nil {
		return fmt.Errorf("the memory of the syncer of %s: %w", s.name, err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmHWM:" {
			kilobytes, err := strconv.Atoi(fields[1])
			s.peak = max(s.peak, kilobytes<<10)
			return err
		}
	}
	return nil
}

// cpu is the processor time of the process so far. Unlike the time on the clock it hardly depends on what else the machine
// does.
func (s *syncer) cpu() time.Duration { return processorTime(s.pid()) }

func (s *syncer) pid() int { return s.command.Process.Pid }

func (s *syncer) proc(name string) string {
	return filepath.Join("/proc", strconv.Itoa(s.pid()), name)
}

// profile takes a CPU profile of the process for so long, beside what else goes on, if profiles are wanted. The function
// that it gives waits for it.
func (s *syncer) profile(ctx context.Context, phase string, length time.Duration) func() error {
	if s.profiles == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() {
		body, err := s.get(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", max(int(length.Seconds()), 1)))
		if err == nil {
			err = os.WriteFile(filepath.Join(s.profiles, phase+"-"+s.name+".pprof"), body, 0o600)
		}
		if err == nil {
			body, err = s.get(ctx, "/debug/pprof/heap")
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(s.profiles, phase+"-"+s.name+".heap"), body, 0o600)
		}
		done <- err
	}()
	return func() error { return <-done }
}

// profileWhenUp is profile for a process that has only been started.
func (s *syncer) profileWhenUp(ctx context.Context, phase string, length time.Duration) func() error {
	if s.profiles == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() {
		const interval = 20 * time.Millisecond
		err := until(ctx, interval, func() (bool, error) {
			_, err := s.get(ctx, "/healthz")
			return err == nil, nil
		})
		if err == nil {
			err = s.profile(ctx, phase, length)()
		}
		done <- err
	}()
	return func() error { return <-done }
}
