package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"go.uber.org/zap"

	"meridian/internal/command"
)

// syncers serve what is given as the status of each region; "" is nobody there, a number an error.
func statusServer(t *testing.T, body string, status int, asked chan<- *http.Request) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked != nil {
			asked <- r
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

const healthy = `{"regions": [{"region": "a", "replica": 0, "ready": true, "reasons": [], "capture": {"lag_seconds": 0.0123, "coordinates": "bin.000001:4"},
	"sources": [{"source": "b", "lag_seconds": 0.5, "applied": 12345, "lost": 3}, {"source": "c", "lag_seconds": -1, "applied": 0, "lost": 0, "error": "no answer from kafka"}],
	"parked": 2, "dead": 1, "drift": 0, "unproven": 4, "conflicts": 17, "clock_skew_seconds": -0.002, "binlog_headroom_seconds": 86400.4, "new_key": {"x": [1]},
	"baseline": [{"table": "s.done", "rows": 5, "done": true}, {"table": "s.new", "rows": 1000, "estimated_rows": 5000, "rows_per_second": 200.4, "seconds_left": 20}],
	"scrub": [{"table": "s.done", "rows": 3, "estimated_rows": 5, "seconds_left": 1, "paused": "40 threads run", "found": {"missing": 2}, "covered": "2026-01-02T03:04:05Z"}]}]}`

const lagging = `{"regions": [{"region": "b", "ready": false, "reasons": ["source a: 45s behind (limits.ready_max_lag is 30s)"], "warnings": ["transactions x:1-5 are lost"], "sources": []}]}`

func statusConfig(t *testing.T, urls ...string) string {
	t.Helper()
	text := "regions:\n"
	for n, url := range urls {
		name := string(rune('a' + n))
		text += "  " + name + ": {mysql: {address: \"" + name + ":1\", user: m, password: \"\"}, admin: {url: \"" + url + "\"}}\n"
	}
	return configure(t, text+"bus: {brokers: [\"k:1\"]}\ntables: {include: [\"s.*\"]}\nadmin: {token: hush}\n")
}

func TestStatus_MergesAllRegionsAndNamesTheUnreachable(t *testing.T) {
	asked := make(chan *http.Request, 4)
	path := statusConfig(t, statusServer(t, healthy, 200, asked), statusServer(t, lagging, 200, nil),
		statusServer(t, `{"title": "Unauthorized", "status": 401, "detail": "this needs the token"}`, 401, nil), "http://127.0.0.1:1")
	r := invoke(t, "status", "--config", path)
	if request := <-asked; request.URL.Path != "/v1/status" || request.Header.Get("Authorization") != "Bearer hush" {
		t.Errorf("%s %s", request.URL, request.Header)
	}
	c, err := loadURL(path, 2)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "status.golden", strings.ReplaceAll(r.stdout, c, "http://URL-OF-C"))
	if r.code != command.ExitFailed || r.stderr != "" {
		t.Errorf("%d %s", r.code, r.stderr)
	}

	r = invoke(t, "status", "--config", path, "--json")
	var document struct {
		Regions []struct {
			Region  string
			Ready   bool
			Reasons []string
			New     map[string][]int `json:"new_key"`
		}
		Unreachable []string
	}
	if err := json.Unmarshal([]byte(r.stdout), &document); err != nil || r.code != command.ExitFailed {
		t.Fatalf("%d %v: %s", r.code, err, r.stdout)
	}
	if len(document.Regions) != 4 || document.Regions[0].New["x"][0] != 1 || document.Regions[3].Region != "d" || document.Regions[3].Ready ||
		len(document.Regions[3].Reasons) != 1 || strings.Join(document.Unreachable, ",") != "c,d" {
		t.Errorf("%s", r.stdout)
	}
}

// loadURL finds the URL of a region in a configuration.
func loadURL(path string, region int) (string, error) {
	c, err := (&command.Process{Logger: zap.NewNop(), ConfigPath: path}).Load()
	if err != nil {
		return "", err
	}
	return c.AdminURL(c.Regions[region], 0), nil
}

func TestStatus_AllAnswer(t *testing.T) {
	path := statusConfig(t, statusServer(t, healthy, 200, nil), statusServer(t, lagging, 200, nil))
	invoke(t, "status", "--config", path).want(t, command.ExitOK, "12345", "") // not being ready is no failure of status
	invoke(t, "status", "--config", path, "--json").want(t, command.ExitOK, `"unreachable": []`, "")
}

func TestStatus_AsksEveryReplica(t *testing.T) {
	asked := make(chan *http.Request, 4)
	url := statusServer(t, healthy, 200, asked)
	invoke(t, "status", "--config", statusConfig(t, url+"/{replica}"), "--replicas", "2").want(t, command.ExitOK, "", "")
	paths := map[string]bool{(<-asked).URL.Path: true, (<-asked).URL.Path: true}
	if !paths["/0/v1/status"] || !paths["/1/v1/status"] {
		t.Errorf("%v", paths)
	}
	invoke(t, "status", "--config", statusConfig(t, "http://127.0.0.1:1/{replica}"), "--replicas", "2", "--json").want(t, command.ExitFailed, `"a/1"`, "")
}

// The verifier knows how many rows differ, if one runs.
func TestStatus_ShowsWhatTheVerifierHasFound(t *testing.T) {
	path := statusConfig(t, statusServer(t, healthy, 200, nil))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	verifier := statusServer(t, `{"verifier": {"equal": false}, "regions": [{"region": "a", "drift": 4711, "unproven": 815}]}`, 200, nil)
	path = configure(t, string(text)+"verifier: {listen: \""+strings.TrimPrefix(verifier, "http://")+"\"}\n")
	invoke(t, "status", "--config", path).want(t, command.ExitOK, "4711", "")
	r := invoke(t, "status", "--config", path, "--json")
	r.want(t, command.ExitOK, `"drift": 4711`, "")
	r.want(t, command.ExitOK, `"unproven": 815`, "")
	r.want(t, command.ExitOK, `"new_key"`, "")
}

func TestStatus_AnswersThatAreNoStatus(t *testing.T) {
	for body, says := range map[string]string{"<html>": "is no syncer", "{}": "names no region", `{"regions": [{"region": 7}]}`: "no status"} {
		invoke(t, "status", "--config", statusConfig(t, statusServer(t, body, 200, nil))).want(t, command.ExitFailed, says, "")
	}
}

func TestStatus_WatchShowsItAgainUntilItIsInterrupted(t *testing.T) {
	asked := make(chan *http.Request)
	path := statusConfig(t, statusServer(t, healthy, 200, asked))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan result)
	go func() { ended <- invokeUntil(ctx, "status", "--config", path, "--watch", "--interval", "100ms") }()
	for range 3 {
		<-asked
	}
	cancel()
	for {
		select {
		case <-asked: // one that was on its way
			continue
		case r := <-ended:
			r.want(t, command.ExitOK, "REGION", "")
			if n := strings.Count(r.stdout, "CAPTURE LAG"); n < 2 {
				t.Errorf("shown %d times", n)
			}
			if strings.Contains(r.stdout, "\x1b") {
				t.Error("escape sequences where there is no terminal")
			}
			return
		}
	}
}

func TestSeconds_ForPeople(t *testing.T) {
	for s, want := range map[float64]string{0.00123456: "1.2ms", 12.3456: "12.3s", 86400.4: "24h0m0s", -1: "-"} {
		if got := seconds(&s).Text; got != want {
			t.Errorf("%v: %s, want %s", s, got, want)
		}
	}
	negative := -0.002
	if seconds(nil).Text != "-" || skew(nil).Text != "-" || skew(&negative).Text != "-2ms" {
		t.Error("unknown or negative")
	}
}

func TestStatus_SaysHowFarTheTablesHaveBeenRead(t *testing.T) {
	r := invoke(t, "status", "--config", statusConfig(t, statusServer(t, healthy, 200, nil)))
	for _, want := range []string{"1000 of 5000 rows, 200/s, 20s left", "2026-01-02T03:04:05Z", "waits: 40 threads run", "2 missing"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q is missing in\n%s", want, r.stdout)
		}
	}
	if strings.Index(r.stdout, "s.new") > strings.Index(r.stdout, "s.done") {
		t.Errorf("what is being read comes first:\n%s", r.stdout)
	}
}
