package testenv_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian/internal/testenv"
)

// holdServer makes this test binary, run again as a child, start a server and hold it.
const holdServer = "MERIDIAN_TESTENV_HOLD_SERVER"

func TestMain(m *testing.M) { testenv.Main(m) }

func TestServer_DiesWithAKilledTest(t *testing.T) {
	if os.Getenv(holdServer) != "" {
		if _, err := fmt.Fprintln(os.Stdout, "SERVER "+testenv.MariaDB1011(t).Address); err != nil {
			t.Fatal(err)
		}
		select {} // until the parent kills this process
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), holdServer+"=1")
	child.Stderr = os.Stderr
	output, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var address string
	for lines := bufio.NewScanner(output); address == "" && lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "SERVER "); ok {
			address = rest
		}
	}
	conn := dial(t, address)
	if conn == nil {
		t.Fatalf("the child's server does not answer at %q", address)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err == nil {
		t.Error("a killed process ended well")
	}
	// The server greets and waits for a login; a connection to it ends when it does. One of its sockets
	// can close a moment before the one that it listens on.
	for ; conn != nil; conn = dial(t, address) {
		if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// dial returns nil when nobody listens at the address. What a server that lives on keeps open fails
// the test after half a minute.
func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		return nil
	}
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}
