package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian/internal/command"
	"meridian/internal/findings"
	"meridian/internal/testenv"
	"meridian/internal/verify"
)

// world is two regions, replicated by the program that users run.
type world struct {
	t       *testing.T
	program string
	schema  string
	config  string // path
	db      map[string]*testenv.Database
	listen  map[string]string
	syncers map[string]*exec.Cmd
}

// newWorld starts a MySQL and a MariaDB, runs the statements in both and the others in b only, and then their syncers.
func newWorld(t *testing.T, both, onlyB []string) *world {
	t.Helper()
	w := &world{t: t, program: filepath.Join(t.TempDir(), "syncer"), listen: map[string]string{}, syncers: map[string]*exec.Cmd{}, db: map[string]*testenv.Database{
		"a": testenv.Shared(t, testenv.KindMySQL, "a", testenv.AutoIncrement(10, 1), testenv.Args("--max-allowed-packet=64M")),
		"b": testenv.Shared(t, testenv.KindMariaDB, "b", testenv.AutoIncrement(10, 2), testenv.Args("--max-allowed-packet=64M")),
	}}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", w.program, "../syncer").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.schema = w.db["a"].FreshSchema(t)
	w.db["b"].Exec("CREATE DATABASE " + w.schema)
	for name, db := range w.db {
		db.Exec("DROP DATABASE IF EXISTS meridian")
		for _, query := range both {
			db.Exec(strings.ReplaceAll(query, "SCHEMA", w.schema))
		}
		w.listen[name] = freeAddress(t)
	}
	for _, query := range onlyB {
		w.db["b"].Exec(strings.ReplaceAll(query, "SCHEMA", w.schema))
	}
	w.listen["verifier"], w.listen["bus"] = freeAddress(t), freeAddress(t)
	text := "regions:\n"
	for _, name := range []string{"a", "b"} {
		db := w.db[name]
		text += fmt.Sprintf("  %s: {mysql: {address: %q, user: %q, password: %q}, admin: {listen: %q}}\n", name, db.Address, db.User, db.Password, w.listen[name])
	}
	w.config = configure(t, text+fmt.Sprintf("bus: {embedded: {listen: %q, region: a}, partitions: 4}\ntables: {include: [%q]}\nadmin: {token: hush}\n"+
		"verify: {interval: 200ms, consistency_window: 20s}\nstate_directory: %q\nverifier: {listen: %q}\n", w.listen["bus"], w.schema+".*", t.TempDir(), w.listen["verifier"]))
	for _, name := range []string{"a", "b"} {
		w.syncer("schema", "--region", name, "--apply")
	}
	for _, name := range []string{"a", "b"} {
		w.start(name)
	}
	for _, name := range []string{"a", "b"} {
		eventually(t, name+" is ready", func() bool { return w.get(name, "/readyz", "").StatusCode == http.StatusOK })
	}
	return w
}

func (w *world) syncer(args ...string) {
	w.t.Helper()
	if out, err := exec.CommandContext(w.t.Context(), w.program, append(args, "--config", w.config)...).CombinedOutput(); err != nil {
		w.t.Fatalf("syncer %v: %v: %s", args, err, out)
	}
}

// start starts a region's syncer, and waits until it listens: a serves the bus of both.
func (w *world) start(name string) {
	w.t.Helper()
	log, err := os.Create(filepath.Join(w.t.TempDir(), name+".log"))
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(w.t.Context()), w.program, "run", "--region", name, "--config", w.config)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.syncers[name] = cmd
	w.t.Cleanup(func() {
		w.end(name)
		if w.t.Failed() {
			said, _ := os.ReadFile(log.Name())
			w.t.Logf("the syncer of %s said:\n%s", name, said)
		}
		log.Close()
	})
	eventually(w.t, name+" listens", func() bool { return w.get(name, "/healthz", "").StatusCode == http.StatusOK })
}

func (w *world) end(name string) {
	if cmd := w.syncers[name]; cmd.ProcessState == nil {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
}

type answer struct {
	StatusCode int // 0: nobody answers
	body       string
}

func (w *world) get(at, path, token string) answer {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+w.listen[at]+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	request.Close = true
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{response.StatusCode, string(body)}
}

// outOfBand runs a statement that leaves no trace in the binlog.
func (w *world) outOfBand(name, query string) {
	w.t.Helper()
	conn, err := w.db[name].Open("mysql").Conn(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	for _, q := range []string{"SET sql_log_bin = 0", query, "SET sql_log_bin = 1"} {
		if _, err := conn.ExecContext(w.t.Context(), q); err != nil {
			w.t.Fatalf("%s: %v", q, err)
		}
	}
}

func (w *world) verifier(args ...string) result {
	w.t.Helper()
	return invoke(w.t, append(args, "--config", w.config)...)
}

// freeAddress finds a port that nobody has now.
func freeAddress(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// eventually asks until the answer is yes or the test has no more time.
func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	clock := time.NewTicker(50 * time.Millisecond)
	defer clock.Stop()
	limit, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for !yes() {
		select {
		case <-clock.C:
		case <-limit.Done():
			t.Fatalf("not within two minutes: %s", what)
		}
	}
}

// Two regions as users run them: what differs is found, told in every form, remembered through a restart, and over when it is.
func TestVerifier_FindsTellsAndRemembers(t *testing.T) {
	w := newWorld(t, []string{
		"CREATE TABLE SCHEMA.orders (id INT PRIMARY KEY, item VARCHAR(99) NOT NULL)",
		"INSERT INTO SCHEMA.orders SELECT seq, 'same' FROM (WITH RECURSIVE s AS (SELECT 1 seq UNION ALL SELECT seq + 1 FROM s WHERE seq < 200) SELECT seq FROM s) x",
		"CREATE TABLE SCHEMA.empty (id INT PRIMARY KEY)",
	}, []string{"UPDATE SCHEMA.orders SET item = 'other' WHERE id = 7", "DELETE FROM SCHEMA.orders WHERE id = 9"})

	eventually(t, "the rows that were there have been read", func() bool {
		said := w.verifier("compare").stdout
		return !strings.Contains(said, "has not read all rows") && !strings.Contains(said, "does not know the table yet")
	})
	w.verifier("compare").want(t, command.ExitFound, "The regions differ in 2 rows", "")
	w.verifier("compare", "--table", w.schema+".empty").want(t, command.ExitOK, "All regions are equal.", "")
	w.verifier("compare", "--table", w.schema+".none").want(t, command.ExitUsage, "", "no region has a table "+w.schema+".none")
	var document verify.Result
	r := w.verifier("compare", "--rows", "--json")
	if err := json.Unmarshal([]byte(r.stdout), &document); err != nil || r.code != command.ExitFound || len(document.Drift) != 2 || document.Drift[0].Key[0] != "7" ||
		document.Drift[1].Kind != verify.Missing || document.Drift[1].Winner != "a" {
		t.Errorf("%d %v: %s", r.code, err, r.stdout)
	}
	w.verifier("compare", "--rows").want(t, command.ExitFound, "missing", "")

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan result, 1)
	go func() { ended <- invokeUntil(ctx, "run", "--config", w.config) }()
	eventually(t, "the verifier has compared", func() bool { return w.get("verifier", "/readyz", "").StatusCode == http.StatusOK })
	w.verifier("run").want(t, command.ExitFailed, "", "another verifier runs with this state_directory")
	if a := w.get("verifier", "/v1/status", ""); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %+v", a)
	}
	if a := w.get("verifier", "/v1/status", "hush"); !strings.Contains(a.body, `"equal":false`) || !strings.Contains(a.body, `{"region":"b","drift":2,"unproven":0}`) {
		t.Errorf("%s", a.body)
	}
	if a := w.get("verifier", "/metrics", ""); !strings.Contains(a.body, `meridian_drift_rows{kind="missing",table="`+w.schema+`.orders"} 1`) || !strings.Contains(a.body, "meridian_regions_equal 0") {
		t.Errorf("%s", a.body)
	}
	w.verifier("report").want(t, command.ExitOK, "still differs", "")

	w.db["a"].Exec("UPDATE " + w.schema + ".orders SET item = 'agreed' WHERE id IN (7, 9)")
	eventually(t, "the findings are over", func() bool {
		return strings.Contains(w.get("verifier", "/metrics", "").body, "meridian_regions_equal 1")
	})
	w.verifier("compare").want(t, command.ExitOK, "All regions are equal.", "")
	stop()
	if r = <-ended; r.code != command.ExitOK || !strings.Contains(r.stderr, "a row differs no more") {
		t.Errorf("%d: %s", r.code, r.stderr)
	}
	var report findings.Report
	r = w.verifier("report", "--json") // from the file
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || len(report.Findings) != 2 || report.Findings[0].Ended.IsZero() || len(report.Comparisons) < 2 {
		t.Errorf("%d %v: %s %s", r.code, err, r.stdout, r.stderr)
	}

	w.outOfBand("b", "UPDATE "+w.schema+".orders SET item = 'behind' WHERE id = 11")
	w.verifier("compare").want(t, command.ExitOK, "All regions are equal.", "") // the ledgers know nothing of it
	scrubbed := w.verifier("scrub", "--rate", "100000", "--rows")
	scrubbed.want(t, command.ExitFound, "The regions differ in 1 rows", "")
	if !strings.Contains(scrubbed.stdout, "not as written") {
		t.Errorf("%s", scrubbed.stdout)
	}

	text, err := os.ReadFile(w.config)
	if err != nil {
		t.Fatal(err)
	}
	other := configure(t, strings.Replace(string(text), "token: hush", "token: wrong", 1))
	invoke(t, "compare", "--config", other).want(t, command.ExitFailed, "refuses the token: admin.token must be the same", "")
	w.end("b")
	w.verifier("compare").want(t, command.ExitFailed, "b could not be asked: asking http://"+w.listen["b"], "")
}

// What was changed past the binlog is found by the syncers and repaired by the service; more than it may is not, until a person says
// yes; and both stand in the report.
func TestVerifier_RepairsByItselfWithinBounds(t *testing.T) {
	w := newWorld(t, []string{
		"CREATE TABLE SCHEMA.orders (id INT PRIMARY KEY, item VARCHAR(99) NOT NULL)",
		"INSERT INTO SCHEMA.orders SELECT seq, 'same' FROM (WITH RECURSIVE s AS (SELECT 1 seq UNION ALL SELECT seq + 1 FROM s WHERE seq < 200) SELECT seq FROM s) x",
	}, nil)
	eventually(t, "the rows that were there have been read", func() bool { return w.verifier("compare").code == command.ExitOK })
	rows := func(where string) (n int) {
		if err := w.db["b"].DB.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+w.schema+".orders WHERE "+where).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan result, 1)
	go func() { ended <- invokeUntil(ctx, "run", "--config", w.config) }()
	w.outOfBand("b", "UPDATE "+w.schema+".orders SET item = 'bit rot' WHERE id IN (3, 4)")
	w.outOfBand("b", "DELETE FROM "+w.schema+".orders WHERE id = 5")
	w.verifier("scrub", "--rate", "100000")
	eventually(t, "the rows are as they were", func() bool { return rows("item = 'same'") == 200 })
	eventually(t, "it is told", func() bool {
		return strings.Contains(w.get("verifier", "/metrics", "").body, `meridian_repairs_total{result="repaired",table="`+w.schema+`.orders"} 3`)
	})

	w.outOfBand("b", "DELETE FROM "+w.schema+".orders WHERE id > 150")
	w.verifier("scrub", "--rate", "100000")
	eventually(t, "it is held", func() bool {
		return strings.Contains(w.get("verifier", "/v1/status", "hush").body, `"held":[{"table":"`+w.schema+`.orders","rows":`)
	})
	// Rows are found as they are read again: some may have been repaired before it was known how many they are, with the three.
	if n := rows("TRUE"); n > 150+10-3 {
		t.Errorf("%d rows: nobody has said yes", n)
	}
	w.verifier("repair").want(t, command.ExitFound, "HELD", "")
	w.verifier("repair", "--dry-run", "--yes").want(t, command.ExitFound, " rows would be repaired", "")
	w.verifier("repair", "--from", "b").want(t, command.ExitUsage, "", "--dry-run")
	w.verifier("repair", "--yes").want(t, command.ExitOK, " rows repaired", "")
	if n := rows("TRUE"); n != 200 {
		t.Errorf("%d rows, want 200", n)
	}
	stop()
	if r := <-ended; r.code != command.ExitOK {
		t.Errorf("%d: %s", r.code, r.stderr)
	}
	var report findings.Report
	r := w.verifier("report", "--json")
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || len(report.Repairs) != 53 {
		t.Errorf("%v: %d repairs in the report", err, len(report.Repairs))
	}
	w.verifier("repair").want(t, command.ExitOK, "Nothing has drifted.", "")
	w.verifier("repair", "--table", w.schema+".none").want(t, command.ExitUsage, "", "no region has a table "+w.schema+".none")
	w.verifier("seed", "--into", "b", "--from", "a", "--table", w.schema+".none").want(t, command.ExitFailed, "", "nothing was seeded: a has no such table")
	w.verifier("seed", "--into", "b", "--from", "a").want(t, command.ExitOK, "b has what a has: 0 rows and tombstones were sent", "")
	w.verifier("seed", "--into", "b", "--from", "b").want(t, command.ExitUsage, "", "the same region")
	w.verifier("seed", "--into", "b", "--from", "x").want(t, command.ExitUsage, "", "--from")
}
