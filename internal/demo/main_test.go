package demo

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

// built is where the program is built that the tests run.
var built struct {
	folder string
	once   sync.Once
	err    error
}

func runTests(m *testing.M) int {
	folder, err := os.MkdirTemp("", "meridian-demo-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	built.folder = folder
	code := m.Run()
	if err := os.RemoveAll(folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left over:", err)
			code = 1
		}
	}
	return code
}

// syncer and verifier build the programs that users run.
func syncer(t *testing.T) string { return program(t, "syncer") }

func verifier(t *testing.T) string { return program(t, "verifier") }

func program(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(built.folder, name)
	built.once.Do(func() {
		out, err := exec.CommandContext(t.Context(), "go", "build", "-o", built.folder+"/", "meridian/cmd/syncer", "meridian/cmd/verifier").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return path
}
