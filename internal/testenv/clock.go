package testenv

import (
	_ "embed"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

//go:embed shiftedclock/clock.c
var shiftedClock []byte

// Clock is the wall clock of a server that is started with it: the machine's, and as far ahead of it as Set says last. It is for
// MySQL 9: MariaDB waits for much by the wall clock (a heartbeat in its binlog's stream), and the kernel, which wakes it, has the
// right one.
type Clock struct {
	t       testing.TB
	library string // that is loaded into the server
	file    string // that the library looks into
}

// NewClock makes a clock that is right. It needs a C compiler, as the race detector does.
//
// Why not libfaketime: under it MySQL 9's threads do not wait any more, and the server does not come up.
func NewClock(t testing.TB) *Clock {
	t.Helper()
	dir := t.TempDir()
	c := &Clock{t: t, library: filepath.Join(dir, "clock.so"), file: filepath.Join(dir, "ahead")}
	c.Set(0)
	source := filepath.Join(dir, "clock.c")
	if err := os.WriteFile(source, shiftedClock, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, compiler := range []string{os.Getenv("CC"), "gcc", "clang"} {
		path, err := exec.LookPath(compiler)
		if err != nil {
			continue
		}
		compile := exec.CommandContext(t.Context(), path, "-shared", "-fPIC", "-O2", "-o", c.library, source) //nolint:gosec // the machine's C compiler
		if said, err := compile.CombinedOutput(); err != nil {
			t.Fatalf("compiling the shifted clock: %v\n%s", err, said)
		}
		return c
	}
	t.Fatal("there is no C compiler, which the shifted clock needs; `make servers` gets one")
	return nil
}

// Set puts the clock so far ahead of the machine's; behind it if that is negative. A server that runs sees it at once.
func (c *Clock) Set(ahead time.Duration) {
	c.t.Helper()
	file, err := os.OpenFile(c.file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	if err = binary.Write(file, binary.NativeEndian, int64(ahead)); err != nil {
		c.t.Fatal(err)
	}
	if err = file.Close(); err != nil {
		c.t.Fatal(err)
	}
}

// Option starts a database server with the clock.
func (c *Clock) Option() Option {
	return func(s *settings) { s.env = append(s.env, "LD_PRELOAD="+c.library, "MERIDIAN_SHIFTED_CLOCK="+c.file) }
}
