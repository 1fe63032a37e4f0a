package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// process is a `syncer run` that this one has started. It is used once.
type process struct {
	name    string
	logPath string
	started chan error    // one value: nil once it runs
	ended   chan struct{} // closed when it is gone
	command *exec.Cmd     // not to be touched before started
	result  error         // of the process, once it has ended
}

// startProcess starts the program with its output in a file. It outlives ctx: stop ends it.
func startProcess(ctx context.Context, name, logPath string, argv []string) (*process, error) {
	p := &process{name: name, logPath: logPath, started: make(chan error, 1), ended: make(chan struct{})}
	go p.supervise(context.WithoutCancel(ctx), argv)
	if err := <-p.started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return p, nil
}

// supervise starts the program and waits for its end. It keeps its thread to itself for that long, since the kernel ends
// the program with the thread that started it.
func (p *process) supervise(ctx context.Context, argv []string) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.ended)
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		p.started <- err
		return
	}
	defer func() { p.result = errors.Join(p.result, log.Close()) }()
	p.command = exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // our own program, with our own arguments
	p.command.Stdout, p.command.Stderr = log, log
	p.command.Env = environment()
	p.command.SysProcAttr = ownGroup()
	if err := p.command.Start(); err != nil {
		p.started <- err
		return
	}
	p.started <- nil
	p.result = p.command.Wait()
}

// environment is this process's without what configures Meridian: the demo's processes go by their arguments alone.
func environment() []string {
	var kept []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "MERIDIAN_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// stopTime is how long a process may take to write down what it has when it is told to end.
const stopTime = 15 * time.Second

// stop asks the process to end, as an operator would, and returns when it is gone.
func (p *process) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	select {
	case <-p.ended: // before it was asked to: whoever watches it has said so
		return nil
	default:
	}
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", p.name, err)
	}
	select {
	case <-p.ended:
		if p.result != nil {
			return fmt.Errorf("%s did not end well: %w%s", p.name, p.result, p.lastWords())
		}
		return nil
	case <-ctx.Done():
	}
	if err := p.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing %s: %w", p.name, err)
	}
	<-p.ended
	return fmt.Errorf("%s did not end within %v of being asked to, and was killed", p.name, stopTime)
}

// endedError says that a process ended that nobody had asked to.
type endedError struct{ text string }

func (e *endedError) Error() string { return e.text }

func (p *process) endedError() error {
	how := "exit status 0"
	if p.result != nil {
		how = p.result.Error()
	}
	return &endedError{fmt.Sprintf("%s ended by itself (%s)%s", p.name, how, p.lastWords())}
}

// lastWords is the end of the process's log, for an error.
func (p *process) lastWords() string {
	const lines, most = 8, 16 << 10
	text, err := os.ReadFile(p.logPath)
	if err != nil {
		return ""
	}
	text = bytes.TrimSpace(text[max(0, len(text)-most):])
	all := strings.Split(string(text), "\n")
	all = all[max(0, len(all)-lines):]
	return "; the end of its log:\n  " + strings.Join(all, "\n  ")
}
