package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shell is a command that is ready when it says so.
func shell(t *testing.T, text string) command {
	t.Helper()
	return command{name: "the test's server", argv: []string{"/bin/sh", "-c", text}, logPath: filepath.Join(t.TempDir(), "log"),
		deadline: time.Minute, isReady: func(line string) bool { return line == "ready" }}
}

// serving says that it is ready and then waits to be ended.
const serving = "echo warming up; echo ready; exec sleep 600"

func TestStart_ReturnsWhenTheServerServes(t *testing.T) {
	c := shell(t, serving)
	p, err := start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err = p.stop(t.Context()); err != nil {
		t.Error(err)
	}
	log, err := os.ReadFile(c.logPath)
	if err != nil || string(log) != "warming up\nready\n" {
		t.Errorf("the log is %q (%v)", log, err)
	}
	if err := errors.Join(p.kill(), p.stop(t.Context())); err != nil {
		t.Errorf("ending what has ended: %v", err)
	}
}

func TestStart_SaysWhyAServerEnded(t *testing.T) {
	_, err := start(t.Context(), shell(t, "echo the disk is full; exit 3"))
	if err == nil || !strings.Contains(err.Error(), "the disk is full") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("the error is %v", err)
	}
}

func TestStart_KillsWhatIsNotReadyInTime(t *testing.T) {
	c := shell(t, "exec sleep 600")
	c.deadline = 50 * time.Millisecond
	if _, err := start(t.Context(), c); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v", err)
	}
}

func TestStart_ReportsAProgramThatIsNotThere(t *testing.T) {
	c := shell(t, "")
	c.argv = []string{"/nowhere/mysqld"}
	if _, err := start(t.Context(), c); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the error is %v", err)
	}
}

func TestStop_KillsWhatDoesNotEndWhenAsked(t *testing.T) {
	p, err := start(t.Context(), shell(t, "trap '' TERM; echo ready; exec sleep 600"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stopping ended with %v", err)
	}
	<-p.ended
}

func TestRun_AsksACommandToEndWithItsContext(t *testing.T) {
	c := shell(t, "trap 'echo asked; exit 0' TERM; sleep 600 & wait")
	c.deadline = 300 * time.Millisecond
	if err := run(t.Context(), c); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a command that was cut short ended with %v", err)
	}
	log, err := os.ReadFile(c.logPath)
	if err != nil || string(log) != "asked\n" {
		t.Errorf("the command's log is %q (%v)", log, err)
	}
}

func TestServer_TriesAnotherPortWhenItsOwnIsTaken(t *testing.T) {
	var tried []int
	s := &Server{Program: &Program{Kind: Redis}, LogPath: filepath.Join(t.TempDir(), "log")}
	s.prepare = func(context.Context) (command, error) {
		c := shell(t, serving)
		if len(tried) < 2 {
			c.argv[2] = "echo 'bind: Address already in use'; exit 1"
		}
		tried = append(tried, s.ports[0].Number)
		return c, nil
	}
	if err := s.startOnFreePorts(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if len(tried) != 3 || !strings.HasSuffix(s.Address(), fmt.Sprint(":", tried[2])) {
		t.Errorf("tried %v, serves on %s", tried, s.Address())
	}
	if err := s.Start(t.Context()); err == nil {
		t.Error("a running server was started again")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestReservePort_GivesAPortToOneOnly(t *testing.T) {
	taken := map[int]bool{}
	for range 200 {
		port, err := ReservePort(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := port.Release(); err != nil {
				t.Error(err)
			}
		})
		if taken[port.Number] {
			t.Fatalf("port %d was reserved twice", port.Number)
		}
		taken[port.Number] = true
	}
}

func TestReservePort_SeesWhoListens(t *testing.T) {
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	number := listener.Addr().(*net.TCPAddr).Port
	if portIsFree(t.Context(), number) {
		t.Error("a port that somebody listens on is taken for free")
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if !portIsFree(t.Context(), number) {
		t.Error("a port that nobody listens on is not free")
	}
}

func TestSweepFolders_RemovesWhatTheDeadLeft(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	folders := map[string]*Folder{}
	for _, name := range []string{"used", "left", "kept"} {
		folder, err := NewFolder()
		if err != nil {
			t.Fatal(err)
		}
		folders[name] = folder
	}
	// A process that dies gives up its locks, and nothing else.
	if err := errors.Join(folders["left"].lock.Close(), folders["kept"].Keep()); err != nil {
		t.Fatal(err)
	}
	if err := sweepFolders(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"used": true, "left": false, "kept": true} {
		if _, err := os.Stat(folders[name].Path); want != (err == nil) {
			t.Errorf("the folder that is %s: %v", name, err)
		}
	}
	if err := folders["used"].Remove(); err != nil {
		t.Error(err)
	}
}
