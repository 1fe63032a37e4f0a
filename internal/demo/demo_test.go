package demo

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// output collects what is written and tells when a text has come.
type output struct {
	awaited string
	came    chan struct{}

	mu   sync.Mutex
	text bytes.Buffer
	told bool
}

func newOutput(awaited string) *output { return &output{awaited: awaited, came: make(chan struct{})} }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(b)
	if !o.told && o.awaited != "" && strings.Contains(o.text.String(), o.awaited) {
		o.told = true
		close(o.came)
	}
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// folderOf finds the demo's folder in what it said.
func folderOf(t *testing.T, stderr *output) string {
	t.Helper()
	found := regexp.MustCompile(`--config (\S+)`).FindStringSubmatch(stderr.String())
	if found == nil {
		t.Fatalf("it did not say where its configuration is:\n%s", stderr)
	}
	return filepath.Dir(found[1])
}

// removeFolder removes what a failed demo leaves, when the test has looked at it.
func removeFolder(t *testing.T, stderr *output) {
	t.Cleanup(func() {
		if err := os.RemoveAll(folderOf(t, stderr)); err != nil {
			t.Error(err)
		}
	})
}

func wantGone(t *testing.T, folder string) {
	t.Helper()
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", folder, err)
	}
}

// wantEnded wants the processes to be gone that the demo had started.
func wantEnded(t *testing.T, d *demo) {
	t.Helper()
	for _, r := range d.regions {
		select {
		case <-r.syncer.ended:
		default:
			t.Errorf("%s still runs", r.syncer.name)
		}
		if err := r.db.PingContext(t.Context()); err == nil {
			t.Errorf("the database of %s still answers", r.name)
		}
	}
}

// With --keep it shows conflicts, a cut and the proof, runs on until it is told to end, and leaves nothing behind.
func TestRun_ProvesThatAllRegionsAreEqualAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	stdout, stderr := newOutput("until Ctrl-C"), newOutput("")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var shown *demo
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, Options{Syncer: syncer(t), Verifier: verifier(t), Regions: 3, Duration: 5 * time.Second, Keep: true, Stdout: stdout, Stderr: stderr},
			func(_ context.Context, d *demo) error { shown = d; return nil })
	}()
	select {
	case <-stdout.came:
	case err := <-ended:
		t.Fatalf("it ended: %v\n%s%s", err, stderr, stdout)
	}
	admin := regexp.MustCompile(`http://[0-9.:]+`).FindString(stdout.String())
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, admin+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatalf("what it prints to connect to does not answer: %v", err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("/readyz answers %s", response.Status)
	}
	folder := folderOf(t, stderr)
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Ctrl-C after the proof: %v", err)
	}
	wantGone(t, folder)
	wantEnded(t, shown)
	for _, want := range []string{"All 3 regions hold the same", "shop.order_items", "equal", "mysql --host=127.0.0.1", "status --config",
		"$ verifier compare --rows", "by nobody", "3 rows repaired", "All regions are equal."} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("no %q in the report:\n%s", want, stdout)
		}
	}
	for _, want := range []string{"cutting the line", "CUT OFF", "whole again", "settled"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("no %q in what it said:\n%s", want, stderr)
		}
	}
	if strings.Contains(stdout.String(), " 0 conflicts") {
		t.Errorf("there were no conflicts:\n%s", stdout)
	}
	if strings.Contains(stdout.String(), "never said that it was cut off") {
		t.Errorf("the cut did not cut:\n%s", stdout)
	}
	if shown.story.behind < shown.story.cut {
		t.Errorf("cut for %v, the region was only %v behind", shown.story.cut, shown.story.behind)
	}
}

// Whatever differs between two databases makes it fail, and is shown: a changed row, a missing one, a table of its own.
func TestRun_TellsWhichRowsDiffer(t *testing.T) {
	t.Parallel()
	stdout, stderr := newOutput(""), newOutput("")
	err := run(t.Context(), Options{Syncer: syncer(t), Verifier: verifier(t), Regions: 2, Duration: 2 * time.Second, Stdout: stdout, Stderr: stderr},
		func(ctx context.Context, d *demo) error {
			// Behind Meridian's back: what is not in the binlog is seen by nobody.
			_, err := d.regions[1].db.ExecContext(ctx, `SET sql_log_bin=0;
				DELETE FROM shop.prices WHERE sku='SKU-01';
				INSERT INTO shop.prices VALUES ('SKU-01', 0.01, 'nowhere', '2000-01-01'), ('SKU-99', 1, 'nowhere', '2000-01-01');
				CREATE TABLE shop.mine (id INT PRIMARY KEY); INSERT INTO shop.mine VALUES (7)`)
			return err
		})
	removeFolder(t, stderr)
	if !errors.Is(err, ErrNotEqual) {
		t.Fatalf("the databases differ, and the error is %v\n%s%s", err, stderr, stdout)
	}
	for _, want := range []string{"shop.prices is not the same everywhere", `sku="SKU-01" price="0.01"`, `sku="SKU-99"`, "(no such row)",
		"shop.mine is not the same everywhere", "DIFFERENT", "THE REGIONS DIFFER in 2 of 5 tables"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("no %q in the report:\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout.String(), "hold the same") {
		t.Errorf("it claims that they are equal:\n%s", stdout)
	}
	logs, err := filepath.Glob(filepath.Join(folderOf(t, stderr), "*.log"))
	if err != nil || len(logs) != 2 {
		t.Errorf("the logs to look into: %v %v", logs, err)
	}
}

func TestRun_InterruptedCleansUpAndClaimsNothing(t *testing.T) {
	t.Parallel()
	stdout, stderr := newOutput(""), newOutput("writing in all regions")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{Syncer: syncer(t), Verifier: verifier(t), Regions: 2, Duration: time.Hour, Stdout: stdout, Stderr: stderr})
	}()
	select {
	case <-stderr.came:
	case err := <-ended:
		t.Fatalf("it ended: %v\n%s", err, stderr)
	}
	stop()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "interrupted before") {
		t.Errorf("interrupted, and the error is %v", err)
	}
	if stdout.String() != "" {
		t.Errorf("a report of something that was not finished:\n%s", stdout)
	}
	wantGone(t, folderOf(t, stderr))
}

func TestRun_TellsWhichSyncerEndedAndWhatItSaidLast(t *testing.T) {
	t.Parallel()
	stdout, stderr := newOutput(""), newOutput("")
	err := run(t.Context(), Options{Syncer: syncer(t), Verifier: verifier(t), Regions: 2, Duration: time.Second, Stdout: stdout, Stderr: stderr},
		func(ctx context.Context, d *demo) error {
			if err := d.regions[1].syncer.command.Process.Kill(); err != nil {
				return err
			}
			<-ctx.Done() // it is noticed
			return context.Cause(ctx)
		})
	removeFolder(t, stderr)
	var end *endedError
	if !errors.As(err, &end) || !strings.Contains(err.Error(), "eu-west-1 ended by itself (signal: killed)") || !strings.Contains(err.Error(), "the end of its log") {
		t.Errorf("a syncer was killed, and the error is %v", err)
	}
}

func TestRun_RefusesAProgramThatIsNoDatabase(t *testing.T) {
	for _, path := range []string{"/nowhere/mysqld", os.Args[0]} {
		stderr := newOutput("")
		err := Run(t.Context(), Options{Syncer: "syncer", Regions: 2, Duration: time.Second, Mysqld: path, Stdout: newOutput(""), Stderr: stderr})
		if err == nil || !strings.Contains(err.Error(), filepath.Base(path)) {
			t.Errorf("--mysqld %s: %v", path, err)
		}
		if strings.Contains(stderr.String(), "logs are in") {
			t.Errorf("it left logs of nothing: %s", stderr)
		}
	}
}
