package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"meridian/internal/command"
	"meridian/internal/testenv"
)

var update = flag.Bool("update", false, "write down the golden files as they are now")

// asChild makes the test binary a process that signals are sent to.
const asChild = "SYNCER_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(asChild) {
	case "main":
		main()
	case "stubborn": // asked to end, it never does
		ctx := command.UntilSignal(context.Background())
		fmt.Println("ready")
		<-ctx.Done()
		fmt.Println("draining")
		_, _ = os.Stdin.Read(make([]byte, 1)) // which nobody writes to
	default:
		testenv.Main(m, goleak.IgnoreCurrent())
	}
}

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
	code := command.ExitCode("syncer", run(ctx, args, &stdout, &stderr), &stderr)
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
	for _, name := range []string{"", "run", "check", "schema", "status", "gap", "gap show", "gap accept", "demo", "version"} {
		args := append(strings.Fields(name), "--help")
		r := invoke(t, args...)
		r.want(t, command.ExitOK, "Usage: syncer", "")
		if name != "" && name != "gap" && !strings.Contains(r.stdout, "Example:\n\n    syncer "+name) {
			t.Errorf("syncer %s --help has no example", name)
		}
		fmt.Fprintf(&all, "$ syncer %s\n%s\n", strings.Join(args, " "), r.stdout)
	}
	golden(t, "help.golden", all.String())
}

func TestUsage_WrongOnesExitWith2AndSayWhereToLook(t *testing.T) {
	good := configure(t, twoRegions)
	for _, c := range []struct {
		args string
		says string
	}{
		{"", "see: syncer --help"},
		{"chek", `did you mean "check"?`},
		{"check --bogus", "unknown flag --bogus\nsee: syncer check --help"},
		{"check --config " + good, "which region? Name one with --region or MERIDIAN_REGION: a, b"},
		{"check --config " + good + " --region mars", `no region "mars"; it has a, b`},
		{"run --config " + good + " --region mars", `no region "mars"`},
		{"run --config " + good + " --region a --replica 3 --replicas 3", "numbered from 0 to 2"},
		{"run --config " + good + " --region a --replica 0 --replicas 99", "only 16 shards"},
		{"run --config " + good + " --region a --replicas 0", "there is at least 1"},
		{"run --skip-transaction 23", `--skip-transaction: "23" is no GTID: MySQL's are UUID:NUMBER or UUID:TAG:NUMBER, MariaDB's are DOMAIN-SERVER-NUMBER`},
		{"run --skip-transaction 0-1-23,0-1-24", "is no GTID"},
		{"run --skip-transaction 0-1-22 --skip-transaction 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5", "more than one transaction: name each by itself"},
		{"status --json --watch", "does not go with"},
		{"status --interval 1ms", "at least 100ms"},
		{"gap accept --config " + good + " --region a", "missing flags: --source"},
		{"gap show --config " + good + " --region a --source a", "does not read its own topic"},
		{"gap show --config " + good + " --region a --source mars", `no region "mars"`},
		{"gap show --config " + good + " --region a --shard 1", "--shard goes with --source"},
		{"gap accept --config " + good + " --region a --source b --shard 16", "numbered from 0 to 15"},
		{"demo --regions 1", "2 to 9"},
		{"demo --duration 0s", "longer than nothing"},
		{"version --log-level loud", "--log-level"},
		{"version --log-format xml", "--log-format"},
		{"check --config " + filepath.Join(t.TempDir(), "none.yml") + " --region a", "there is no such file"},
	} {
		r := invoke(t, strings.Fields(c.args)...)
		r.want(t, command.ExitUsage, "", c.says)
		if r.stdout != "" {
			t.Errorf("syncer %s writes to stdout: %s", c.args, r.stdout)
		}
	}
}

func TestConfiguration_AllFaultsAtOnceWithTheirLines(t *testing.T) {
	path := configure(t, "regions: {a: {mysql: {adress: x}}}\nbus: {partitions: many}\ntabels: {}\n")
	for _, name := range []string{"run", "check", "schema", "status"} {
		args := []string{name, "--config", path}
		if name != "status" {
			args = append(args, "--region", "a")
		}
		r := invoke(t, args...)
		r.want(t, command.ExitUsage, "", path+`:1: regions.a.mysql: unknown key "adress" (did you mean "address"?)`)
		r.want(t, command.ExitUsage, "", path+`:2: bus.partitions: must be a whole number, not "many"`)
		r.want(t, command.ExitUsage, "", path+`:3: unknown key "tabels" (did you mean "tables"?)`)
	}
}

func TestConfiguration_FromTheEnvironment(t *testing.T) {
	t.Setenv("MERIDIAN_CONFIG", configure(t, twoRegions))
	t.Setenv("MERIDIAN_REGION", "b")
	invoke(t, "check").want(t, command.ExitFailed, "127.0.0.1:2", "")
	invoke(t, "check", "--region", "a").want(t, command.ExitFailed, "127.0.0.1:1", "")
}

func TestConfiguration_WarningsGoToTheLog(t *testing.T) {
	path := configure(t, strings.Replace(twoRegions, "127.0.0.1:2\"}}", "127.0.0.1:1\"}}", 1))
	r := invoke(t, "check", "--config", path, "--region", "a", "--log-format", "console")
	r.want(t, command.ExitFailed, "", "WARN\tconfiguration: 127.0.0.1:1 is also where the syncer of region a listens")
}

func TestVersion(t *testing.T) {
	invoke(t, "version").want(t, command.ExitOK, "syncer ", "")
	var b command.Build
	if err := json.Unmarshal([]byte(invoke(t, "version", "--json").stdout), &b); err != nil || b.Version == "" || b.Commit == "" || !strings.HasPrefix(b.Go, "go1.") {
		t.Errorf("%v %+v", err, b)
	}
}

func TestReplicaOf(t *testing.T) {
	two := 2
	for _, c := range []struct {
		flag     *int
		replicas int
		host     string
		want     int
		fails    bool
	}{
		{nil, 1, "laptop", 0, false},
		{nil, 1, "syncer-7", 0, false}, // one process, whatever its host is called
		{nil, 3, "syncer-2", 2, false},
		{nil, 3, "syncer-us-east-1-0", 0, false},
		{&two, 3, "syncer-0", 2, false},
		{nil, 3, "laptop", 0, true},
		{nil, 3, "syncer-3", 0, true},
		{&two, 2, "x", 0, true},
		{nil, 3, "ip-10-0-0-99999", 0, true},
	} {
		got, err := replicaOf(c.flag, c.replicas, c.host)
		if got != c.want && err == nil || (err != nil) != c.fails {
			t.Errorf("%+v: %d %v", c, got, err)
		}
	}
}

// child starts the test binary as a process of its own and reads its lines.
func child(t *testing.T, mode string, args ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, asChild) }), asChild+"="+mode)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil { // the test failed before it waited
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd, bufio.NewScanner(out)
}

func send(t *testing.T, cmd *exec.Cmd, signal os.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

func TestSignals_TheFirstEndsInOrderAndExitsWith0(t *testing.T) {
	cmd, lines := child(t, "main", "status", "--watch", "--config", configure(t, twoRegions))
	if !lines.Scan() {
		t.Fatal("it says nothing")
	}
	send(t, cmd, syscall.SIGTERM)
	for lines.Scan() { // to its end
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v", err)
	}
}

func TestSignals_ASecondEndsAtOnce(t *testing.T) {
	cmd, lines := child(t, "stubborn")
	next := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("%q, want %q", lines.Text(), want)
		}
	}
	next("ready")
	send(t, cmd, syscall.SIGTERM)
	next("draining")
	send(t, cmd, syscall.SIGTERM)
	var ended *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &ended) {
		t.Fatalf("%v", err)
	}
	if status, ok := ended.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGTERM {
		t.Errorf("%v", ended)
	}
}
