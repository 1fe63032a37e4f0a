package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"meridian/internal/command"
	"meridian/internal/testenv"
)

var update = flag.Bool("update", false, "write down the golden files as they are now")

func TestMain(m *testing.M) { testenv.Main(m, goleak.IgnoreCurrent()) }

// result is what a command leaves behind.
type result struct {
	code           int
	stdout, stderr string
}

func invoke(t *testing.T, args ...string) result {
	t.Helper()
	return invokeUntil(t.Context(), args...)
}

func invokeUntil(ctx context.Context, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := command.ExitCode("verifier", run(ctx, args, &stdout, &stderr), &stderr)
	return result{code, stdout.String(), stderr.String()}
}

func (r result) want(t *testing.T, code int, inStdout, inStderr string) {
	t.Helper()
	if r.code != code || !strings.Contains(r.stdout, inStdout) || !strings.Contains(r.stderr, inStderr) {
		t.Errorf("exit code %d, want %d\nstdout (want %q):\n%s\nstderr (want %q):\n%s", r.code, code, inStdout, r.stdout, inStderr, r.stderr)
	}
	if strings.Contains(r.stderr, "goroutine ") || strings.Contains(r.stderr, ".go:") {
		t.Errorf("a stack trace for a user's mistake:\n%s", r.stderr)
	}
}

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: %s", path, diff)
	}
}

// configure writes a configuration and returns its path.
func configure(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "meridian.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const twoRegions = `
regions:
  a: {mysql: {address: "127.0.0.1:1", user: meridian, password: ""}, admin: {listen: "127.0.0.1:1"}}
  b: {mysql: {address: "127.0.0.1:2", user: meridian, password: ""}, admin: {listen: "127.0.0.1:2"}}
bus: {embedded: {listen: "127.0.0.1:3", region: a}}
tables: {include: ["shop.*"]}
`

func TestHelp_OnEverythingWithAnExample(t *testing.T) {
	var all strings.Builder
	for _, name := range []string{"", "run", "compare", "scrub", "explain", "repair", "review list", "review resolve", "seed", "report", "version"} {
		args := append(strings.Fields(name), "--help")
		r := invoke(t, args...)
		r.want(t, command.ExitOK, "Usage: verifier", "")
		if name != "" && !strings.Contains(r.stdout, "Example:\n\n    verifier "+name) {
			t.Errorf("verifier %s --help has no example", name)
		}
		fmt.Fprintf(&all, "$ verifier %s\n%s\n", strings.Join(args, " "), r.stdout)
	}
	golden(t, "help.golden", all.String())
}

func TestUsage_WrongOnesExitWith2AndSayWhereToLook(t *testing.T) {
	good := configure(t, twoRegions)
	for _, c := range []struct {
		args string
		says string
	}{
		{"", "see: verifier --help"},
		{"compar", `did you mean "compare"?`},
		{"compare --bogus", "unknown flag --bogus\nsee: verifier compare --help"},
		{"compare --table orders --config " + good, `--table: "orders" is no SCHEMA.TABLE`},
		{"compare --table mars.orders --config " + good, "--table: mars.orders is not replicated (tables.include and tables.exclude in " + good},
		{"scrub --rate=-1 --config " + good, "--rate -1: less than nothing"},
		{"report --since 0s --config " + good, "--since 0s: it must be longer than nothing"},
		{"run --config " + filepath.Join(t.TempDir(), "none.yml"), "there is no such file"},
		{"compare --config " + filepath.Join(t.TempDir(), "none.yml"), "there is no such file"},
	} {
		r := invoke(t, strings.Fields(c.args)...)
		r.want(t, command.ExitUsage, "", c.says)
		if r.stdout != "" {
			t.Errorf("verifier %s writes to stdout: %s", c.args, r.stdout)
		}
	}
}

// A region that cannot be asked makes the result unknown: that is exit code 1, and never "equal".
func TestCompare_WithoutAnyRegionIsUnknown(t *testing.T) {
	path := configure(t, twoRegions)
	r := invoke(t, "compare", "--config", path)
	r.want(t, command.ExitFailed, "a could not be asked: asking http://127.0.0.1:1", "")
	r.want(t, command.ExitFailed, "Nobody can tell", "")
	invoke(t, "compare", "--json", "--config", path).want(t, command.ExitFailed, `"equal": null`, "")
}
