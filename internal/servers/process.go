package servers

import (
	"bufio"
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

// process is one run of a server program. It is used once: a restarted server is a new process.
type process struct {
	name    string
	logPath string
	pid     int
	started chan error    // one value: nil once the program runs
	ready   chan struct{} // closed when a line of its log said that it serves
	ended   chan struct{} // closed when it is gone; result and tail are set before
	result  error
	tail    []string // its last lines, for the error that says why it did not start
}

// tailLines is how much of a log goes into an error.
const tailLines = 12

// command is what to run, and how to see that it serves.
type command struct {
	name     string
	argv     []string
	env      []string // beside our own environment
	dir      string
	logPath  string // its output is appended here
	stdin    string
	isReady  func(line string) bool
	deadline time.Duration
}

// start runs the command and returns when it serves. A server that ends before, or does not get
// there within its deadline, is an error that carries the end of its log.
func start(ctx context.Context, c command) (*process, error) {
	ctx, cancel := context.WithTimeout(ctx, c.deadline)
	defer cancel()
	p := launch(ctx, c)
	if err := <-p.started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.name, err)
	}
	select {
	case <-p.ready:
		return p, nil
	case <-p.ended:
		return nil, &startError{name: c.name, logPath: c.logPath, tail: p.tail, cause: p.result}
	case <-ctx.Done():
		if err := p.kill(); err != nil {
			return nil, err
		}
		return nil, &startError{name: c.name, logPath: c.logPath, tail: p.tail, cause: ctx.Err()}
	}
}

// run runs the command to its end; an exit code other than 0 is an error with the end of its log. When
// ctx or the deadline ends first, the command is asked to end before it is killed: a package manager
// must not be cut off in the middle.
func run(ctx context.Context, c command) error {
	ctx, cancel := context.WithTimeout(ctx, c.deadline)
	defer cancel()
	p := launch(ctx, c)
	if err := <-p.started; err != nil {
		return fmt.Errorf("starting %s: %w", c.name, err)
	}
	var cause error
	select {
	case <-p.ended:
		cause = p.result
	case <-ctx.Done():
		const grace = 5 * time.Second
		grant, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		// It may end well when asked to, and has still not done its work.
		cause = errors.Join(ctx.Err(), p.stop(grant))
	}
	if cause != nil {
		return &startError{name: c.name, logPath: c.logPath, tail: p.tail, cause: cause}
	}
	return nil
}

func launch(ctx context.Context, c command) *process {
	p := &process{name: c.name, logPath: c.logPath, started: make(chan error, 1),
		ready: make(chan struct{}), ended: make(chan struct{})}
	// The server outlives the context that bounds its start: stop and kill end it.
	go p.supervise(context.WithoutCancel(ctx), c)
	return p
}

// supervise is the process's one goroutine: it starts the program, copies its output into the log,
// and waits for its end. The death signal of Linux is sent when the *thread* that forked ends, so
// the goroutine keeps its thread to itself for as long as the server lives.
func (p *process) supervise(ctx context.Context, c command) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.ended)

	log, err := os.OpenFile(c.logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		p.started <- err
		return
	}
	defer func() { p.result = errors.Join(p.result, log.Close()) }()

	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), c.env...)
	cmd.SysProcAttr = dieWithParent()
	var stdin *os.File
	if c.stdin != "" {
		if stdin, err = os.Open(c.stdin); err != nil {
			p.started <- err
			return
		}
		cmd.Stdin = stdin
	}
	output, err := p.fork(cmd)
	if stdin != nil {
		err = errors.Join(err, stdin.Close())
	}
	p.started <- err
	if err != nil {
		return
	}
	copied := p.copyLog(output, log, c.isReady)
	p.result = errors.Join(cmd.Wait(), copied, output.Close())
}

// fork starts cmd with one pipe for its two outputs, and returns the pipe's end to read.
func (p *process) fork(cmd *exec.Cmd) (*os.File, error) {
	output, input, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = input, input
	if err := errors.Join(cmd.Start(), input.Close()); err != nil {
		return nil, errors.Join(err, output.Close())
	}
	p.pid = cmd.Process.Pid
	return output, nil
}

func (p *process) copyLog(from, to *os.File, isReady func(string) bool) error {
	lines := bufio.NewReaderSize(from, 64<<10)
	serving := isReady == nil
	for open := true; open; {
		line, err := lines.ReadString('\n')
		open = err == nil // the pipe ends with the program; how it ended is what Wait says
		if _, writeErr := to.WriteString(line); writeErr != nil {
			return fmt.Errorf("writing the log of %s: %w", p.name, writeErr)
		}
		if text := strings.TrimSpace(line); text != "" {
			if len(p.tail) == tailLines {
				p.tail = p.tail[1:]
			}
			p.tail = append(p.tail, text)
			if !serving && isReady(text) {
				serving = true
				close(p.ready)
			}
		}
	}
	return nil
}

// stop asks the server to end, and kills it if it has not by the time ctx ends.
func (p *process) stop(ctx context.Context) error {
	// A stopped process acts on SIGTERM only when it runs again.
	if err := errors.Join(p.signal(syscall.SIGTERM), p.signal(syscall.SIGCONT)); err != nil {
		return err
	}
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("%s did not end when asked, and was killed: %w", p.name, ctx.Err()), p.kill())
	}
}

// kill ends the server at once and returns when it is gone.
func (p *process) kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.ended
	return nil
}

// signal sends s to the server and what it started, as a terminal does with its group (dieWithParent
// makes the group); a server that has ended is no error.
func (p *process) signal(s syscall.Signal) error {
	select {
	case <-p.ended:
		return nil
	default:
	}
	if err := syscall.Kill(-p.pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("sending %s to %s (process %d): %w", s, p.name, p.pid, err)
	}
	return nil
}

// startError says why a server does not serve.
type startError struct {
	name, logPath string
	tail          []string
	cause         error
}

func (e *startError) Error() string {
	cause := "it ended"
	if e.cause != nil {
		cause = e.cause.Error()
	}
	return fmt.Sprintf("%s did not start: %s; the end of its log (%s):\n  %s", e.name, cause, e.logPath, strings.Join(e.tail, "\n  "))
}

func (e *startError) Unwrap() error { return e.cause }

// portTaken reports whether the server ended because its port is in use.
func (e *startError) portTaken() bool {
	for _, line := range e.tail {
		if strings.Contains(line, "Address already in use") || strings.Contains(line, "port is already in use") ||
			strings.Contains(line, "Do you already have another") {
			return true
		}
	}
	return false
}
