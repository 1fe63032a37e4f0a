package storm_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"meridian/internal/testenv"
)

// roleVariable makes the test binary one of the storm's processes instead: it holds a role in JSON.
const roleVariable = "MERIDIAN_STORM_ROLE"

func TestMain(m *testing.M) {
	if text := os.Getenv(roleVariable); text != "" {
		os.Exit(play(text))
	}
	testenv.Main(m)
}

// play runs one process of the storm, until it is told to end or its parent is gone.
func play(text string) int {
	var r role
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // it ends when the parent does
		os.Exit(3)
	}()
	run := r.runSyncer
	if r.Listen != "" {
		run = r.runBus
	}
	if err := run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "the process ends with: %v\n", err)
		return 1
	}
	return 0
}
