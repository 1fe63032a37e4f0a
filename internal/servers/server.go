package servers

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// startDeadline is generous: a dozen servers may start at once on two cores.
const startDeadline = 2 * time.Minute

// Server is what every server that this package starts has in common. It listens on loopback, on
// ports that it keeps when it is started again, and ends with the process that started it. Its
// methods are not for concurrent use.
type Server struct {
	Program *Program
	LogPath string // what the server says, all its runs

	ports []*Port // the first is the one that clients use
	// prepare readies the folder for a start and says what to start.
	prepare func(context.Context) (command, error)
	process *process // the current or last run; nil before the first
}

// startOnFreePorts reserves as many ports and starts the server. Somebody who does not ask this
// package can take a port in between: then it tries others.
func (s *Server) startOnFreePorts(ctx context.Context, count int) error {
	const attempts = 5
	for attempt := 1; ; attempt++ {
		if err := s.reserve(ctx, count); err != nil {
			return errors.Join(err, s.release())
		}
		err := s.Start(ctx)
		if err == nil {
			return nil
		}
		var failed *startError
		taken := errors.As(err, &failed) && failed.portTaken()
		if err = errors.Join(err, s.release()); !taken || attempt == attempts {
			return err
		}
	}
}

func (s *Server) reserve(ctx context.Context, count int) error {
	for range count {
		port, err := ReservePort(ctx)
		if err != nil {
			return err
		}
		s.ports = append(s.ports, port)
	}
	return nil
}

func (s *Server) release() error {
	var err error
	for _, port := range s.ports {
		err = errors.Join(err, port.Release())
	}
	s.ports = nil
	return err
}

// Address is where clients of the server connect, as host:port.
func (s *Server) Address() string { return s.ports[0].Address() }

// Start starts the server again after Stop or Kill, with the same data and on the same ports, and
// returns when it serves; ctx bounds the start, not the server.
func (s *Server) Start(ctx context.Context) error {
	if s.process != nil {
		select {
		case <-s.process.ended:
		default:
			return fmt.Errorf("starting %s: it runs already", s.Program.Kind)
		}
	}
	c, err := s.prepare(ctx)
	if err != nil {
		return fmt.Errorf("preparing to start %s: %w", s.Program.Kind, err)
	}
	c.name = fmt.Sprintf("%s %s on %s", s.Program.Kind, s.Program.Version, s.Address())
	c.logPath, c.deadline = s.LogPath, startDeadline
	process, err := start(ctx, c)
	if err != nil {
		return err
	}
	s.process = process
	return nil
}

// PID is the process's id.
func (s *Server) PID() int { return s.process.pid }

// Stop ends the server in order (SIGTERM); when ctx ends first, it is killed, and that is an error.
func (s *Server) Stop(ctx context.Context) error { return s.process.stop(ctx) }

// Kill ends the server as a crash would (SIGKILL).
func (s *Server) Kill() error { return s.process.kill() }

// Pause stops the server where it stands (SIGSTOP) and returns when it has: its connections hang.
// Continue ends that.
func (s *Server) Pause() error {
	if err := s.process.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return awaitStopped(s.process.pid)
}

// Continue lets a paused server run again.
func (s *Server) Continue() error { return s.process.signal(syscall.SIGCONT) }

// Close kills the server if it runs and gives its ports back. Its folder stays.
func (s *Server) Close() error { return errors.Join(s.process.kill(), s.release()) }
