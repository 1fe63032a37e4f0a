package servers

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestPause_ReturnsWhenTheServerHasStopped(t *testing.T) {
	p, err := start(t.Context(), shell(t, serving))
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Program: &Program{Kind: Redis}, process: p}
	if err = s.Pause(); err != nil {
		t.Fatal(err)
	}
	if got := state(t, p.pid); got != "T" {
		t.Errorf("a paused server is in state %s, want T", got)
	}
	if err = s.Continue(); err != nil {
		t.Fatal(err)
	}
	if got := state(t, p.pid); got == "T" {
		t.Error("a continued server is still stopped")
	}
	if err = s.Pause(); err != nil {
		t.Fatal(err)
	}
	if err = s.Close(); err != nil {
		t.Errorf("ending a paused server: %v", err)
	}
}

// state is the third field of proc_pid_stat(5).
func state(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	return fields[0]
}
