package testenv

import (
	"context"
	"errors"
	"testing"
	"time"

	"meridian/internal/servers"
)

// control is what the servers of package servers have in common.
type control interface {
	Start(context.Context) error
	Stop(context.Context) error
	Kill() error
	Pause() error
	Continue() error
	Close() error
}

// Server is a running server, as one test sees it. Its methods fail that test when they cannot do
// what they say.
type Server struct {
	Kind    Kind
	Version servers.Version
	Address string // host:port on loopback
	LogPath string

	t       testing.TB
	control control
}

// Kill ends the server as a crash would.
func (s *Server) Kill() {
	s.t.Helper()
	s.must("killing", s.control.Kill())
}

// Stop ends the server in order.
func (s *Server) Stop() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	s.must("stopping", s.control.Stop(ctx))
}

// Start starts the server again after Kill or Stop: the same data, the same address.
func (s *Server) Start() {
	s.t.Helper()
	s.must("starting", s.control.Start(s.t.Context()))
}

// Restart is Stop and Start.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.Start()
}

// Pause stops the server where it stands: connections to it hang. Continue ends that.
func (s *Server) Pause() {
	s.t.Helper()
	s.must("pausing", s.control.Pause())
}

// Continue lets a paused server go on.
func (s *Server) Continue() {
	s.t.Helper()
	s.must("continuing", s.control.Continue())
}

func (s *Server) must(doing string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s the %s server: %v", doing, s.Kind, err)
	}
}

// running is a started server with its folder, of one test or shared by a package.
type running struct {
	kind    Kind
	logPath string
	folder  *servers.Folder
	control control
	keep    bool
	closers []func() error // what else ends with it, before it
}

// launch finds the kind's program, gives it a folder, and starts it by start.
func launch[S control](ctx context.Context, kind Kind, start func(ctx context.Context, cache string, program *servers.Program, folder string) (S, error)) (S, *running, error) {
	var none S
	cache, err := servers.CacheDirectory()
	if err != nil {
		return none, nil, err
	}
	program, err := servers.Find(ctx, cache, kind)
	if err != nil {
		return none, nil, err
	}
	folder, err := servers.NewFolder()
	if err != nil {
		return none, nil, err
	}
	server, err := start(ctx, cache, program, folder.Path)
	if err != nil {
		return none, nil, errors.Join(err, folder.Remove())
	}
	return server, &running{kind: kind, folder: folder, control: server}, nil
}

// endWith ends the server with the test.
func (r *running) endWith(t testing.TB) {
	t.Cleanup(func() {
		r.reportIfFailed(t)
		if err := r.close(); err != nil {
			t.Errorf("ending the %s server: %v", r.kind, err)
		}
	})
}

// reportIfFailed keeps the server's log, and its data if that was asked for.
func (r *running) reportIfFailed(t testing.TB) {
	if !t.Failed() {
		return
	}
	reportLog(t, r.kind, r.logPath)
	if keepData() {
		r.keep = true
	}
}

// close ends the server and removes its folder. Its data is thrown away: killing it is quicker than
// asking it to write its pages.
func (r *running) close() error {
	var err error
	for _, closer := range r.closers {
		err = errors.Join(err, closer())
	}
	err = errors.Join(err, r.control.Close())
	if r.keep {
		return errors.Join(err, r.folder.Keep())
	}
	return errors.Join(err, r.folder.Remove())
}
