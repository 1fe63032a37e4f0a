package testenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// keepData reports whether the data of a failed test's servers is to stay.
func keepData() bool { return os.Getenv("MERIDIAN_KEEP") == "1" }

// reportLog copies the log of a failed test's server to where it stays, and says where that is. A
// shared server's log goes on being written; the copy ends with the test that failed.
func reportLog(t testing.TB, kind Kind, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Logf("the log of the %s server is lost: %v", kind, err)
		return
	}
	kept, err := keepLog(t.Name(), kind, text)
	if err != nil {
		t.Logf("the log of the %s server could not be kept: %v", kind, err)
		return
	}
	const lines = 8
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	t.Logf("the log of the %s server: %s\nits end:\n  %s", kind, kept, strings.Join(all[max(0, len(all)-lines):], "\n  "))
	if keepData() {
		t.Logf("the data of the %s server stays in %s", kind, filepath.Dir(path))
	}
}

func keepLog(test string, kind Kind, text []byte) (string, error) {
	dir := filepath.Join(os.TempDir(), "meridian-logs")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", err
	}
	file, err := os.CreateTemp(dir, fmt.Sprintf("%s-%s-*.log", strings.ReplaceAll(test, "/", "_"), kind))
	if err != nil {
		return "", err
	}
	_, err = file.Write(text)
	return file.Name(), errors.Join(err, file.Close())
}
