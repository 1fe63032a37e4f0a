package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"meridian/internal/command"
)

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
	limit, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !yes() {
		select {
		case <-clock.C:
		case <-limit.Done():
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func isReady(t *testing.T, address string) bool {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func TestRun_WithTheRightsThatSchemaPrints(t *testing.T) {
	r := twoServers(t)
	r.createUser()
	listen := map[string]string{"127.0.0.1:1": freeAddress(t), ":8081": freeAddress(t), ":8082": freeAddress(t), "state_directory: state": "state_directory: " + t.TempDir()}
	text, err := os.ReadFile(r.config)
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range listen {
		text = []byte(strings.ReplaceAll(string(text), fmt.Sprintf("%q", from), fmt.Sprintf("%q", to)))
		if strings.HasPrefix(from, "state") {
			text = []byte(strings.ReplaceAll(string(text), from, to))
		}
	}
	r.config = configure(t, string(text))
	for region, db := range r.all() {
		db.Exec("DROP DATABASE IF EXISTS meridian")
		db.Exec(r.invoke(t, "schema", region).stdout)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan result, 2)
	start := func(region string) {
		go func() {
			ended <- invokeUntil(ctx, "run", "--config", r.config, "--region", region, "--log-format", "console")
		}()
	}
	start("a")
	eventually(t, "a serves the bus", func() bool {
		var d net.Dialer
		c, err := d.DialContext(t.Context(), "tcp", listen["127.0.0.1:1"])
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	start("b")
	failed := func() bool {
		select {
		case early := <-ended:
			t.Fatalf("it ended by itself: %+v", early)
		default:
		}
		return false
	}
	eventually(t, "both are ready", func() bool { return failed() || isReady(t, listen[":8081"]) && isReady(t, listen[":8082"]) })
	r.mysql.Exec("INSERT INTO " + r.schema + ".orders VALUES (1, 'from a')")
	r.maria.Exec("INSERT INTO " + r.schema + ".orders VALUES (2, 'from b')")
	for _, db := range r.all() {
		eventually(t, "both rows are in "+db.Address, func() bool {
			var n int
			err := db.DB.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+r.schema+".orders").Scan(&n)
			return failed() || err == nil && n == 2
		})
	}
	r.invoke(t, "check", "b").want(t, command.ExitOK, "as they should be: meridian.b.changes", "")
	invoke(t, "status", "--config", r.config).want(t, command.ExitOK, "yes", "")
	stop()
	for range 2 {
		if got := <-ended; got.code != command.ExitOK {
			t.Errorf("%d: %s", got.code, got.stderr)
		}
	}
}
