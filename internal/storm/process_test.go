package storm_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one process of the storm, started again and again under one name with one log.
//
// start, kill, end and the like are called by whoever holds mu; the state they change is what failures is read from.
type process struct {
	name string
	role role
	log  string // file

	mu  sync.Mutex // held by the one that does something to it
	run *running   // nil: it does not run

	failing  sync.Mutex
	failures []string // ends that nobody asked for
}

// running is one life of a process.
type running struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	log     *os.File
	address string // where it answers; closed-over by started

	started chan struct{} // closed when it has said where it answers, or has ended
	ended   chan struct{} // closed when it has ended
	err     error         // what it ended with

	crashes bool      // it is to kill itself
	asked   sync.Once // somebody wanted it to end
	ask     chan struct{}
}

func newProcess(name string, r role, folder string) *process {
	return &process{name: name, role: r, log: filepath.Join(folder, name+".log")}
}

// start begins a life. It does not wait for anything.
func (p *process) start() error {
	body, err := json.Marshal(&p.role)
	if err != nil {
		return err
	}
	if err = os.MkdirAll(p.role.Directory, 0o750); err != nil {
		return err
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return errors.Join(err, log.Close())
	}
	r := &running{log: log, started: make(chan struct{}), ended: make(chan struct{}), ask: make(chan struct{})}
	r.crashes = p.role.Crash != ""
	r.cmd = exec.Command(self) //nolint:noctx // it is ended in many ways, none of which is a context
	r.cmd.Env = append(os.Environ(), roleVariable+"="+string(body), "GORACE=halt_on_error=1 exitcode=66")
	r.cmd.Stderr = log
	stdin, err := r.cmd.StdinPipe()
	if err != nil {
		return errors.Join(err, log.Close())
	}
	r.stdin = stdin
	stdout, err := r.cmd.StdoutPipe()
	if err != nil {
		return errors.Join(err, log.Close())
	}
	if err := r.cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("starting %s: %w", p.name, err), log.Close())
	}
	p.run = r
	go p.watch(r, stdout)
	return nil
}

// watch reads what a life says, waits for its end, and notes it if nobody wanted it.
func (p *process) watch(r *running, stdout io.Reader) {
	lines := bufio.NewReader(stdout)
	line, _ := lines.ReadString('\n')
	r.address = strings.TrimSpace(line)
	close(r.started)
	_, _ = io.Copy(io.Discard, lines)
	err := r.cmd.Wait()
	_ = r.log.Close()
	r.err = err
	select {
	case <-r.ask:
	default:
		if r.crashes && r.killedItself() {
			break
		}
		p.failing.Lock()
		p.failures = append(p.failures, fmt.Sprintf("%s ended by itself: %v", p.name, err))
		p.failing.Unlock()
	}
	close(r.ended)
}

func (r *running) want() { r.asked.Do(func() { close(r.ask) }) }

// failed gives the ends that nobody asked for.
func (p *process) failed() []string {
	p.failing.Lock()
	defer p.failing.Unlock()
	return append([]string(nil), p.failures...)
}

func (p *process) signal(s syscall.Signal) {
	if p.run != nil {
		_ = p.run.cmd.Process.Signal(s) // it may have ended meanwhile, which is noted elsewhere
	}
}

// kill ends the process as a crash would.
func (p *process) kill() {
	if p.run == nil {
		return
	}
	p.run.want()
	p.signal(syscall.SIGKILL)
	<-p.run.ended
	p.run = nil
}

var errStuck = errors.New("did not end in time")

// end asks the process to end and waits for it; the error is what it ended with. One that does not end in time leaves
// the stacks of its goroutines in its log.
func (p *process) end(most time.Duration) error {
	if p.run == nil {
		return nil
	}
	r := p.run
	p.run = nil
	r.want()
	select {
	case <-r.started: // before that it may not know the signal yet
	case <-r.ended:
	}
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-r.ended:
	case <-timer.C:
		_ = r.cmd.Process.Signal(syscall.SIGQUIT)
		<-r.ended
		return fmt.Errorf("%s %w: SIGTERM %v ago, its stacks are in %s", p.name, errStuck, most, p.log)
	}
	if r.err != nil {
		return fmt.Errorf("%s, told to end, ended with: %w", p.name, r.err)
	}
	return nil
}

var asking = &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// status asks a syncer's process how it is doing.
func (p *process) status() (*answer, error) {
	r := p.run
	if r == nil {
		return nil, fmt.Errorf("%s does not run", p.name)
	}
	select {
	case <-r.started:
	case <-r.ended:
		return nil, fmt.Errorf("%s has ended", p.name)
	}
	response, err := asking.Get("http://" + r.address + "/status") //nolint:noctx // the client has a timeout
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	a := &answer{}
	return a, json.NewDecoder(response.Body).Decode(a)
}
