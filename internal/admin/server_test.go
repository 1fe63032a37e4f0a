package admin

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// served is a running server and what the test changes about it.
type served struct {
	t       *testing.T
	url     string
	client  *http.Client
	server  *Server
	stop    context.CancelFunc
	ended   chan error
	reasons []string
	log     *observer.ObservedLogs
}

func serve(t *testing.T, change func(*Config), mount ...func(*Server)) *served {
	t.Helper()
	s := &served{t: t, ended: make(chan error, 1)}
	core, log := observer.New(zapcore.DebugLevel)
	s.log = log
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "meridian_test", Help: "A number."}, func() float64 { return 42 }))
	config := Config{Listen: "127.0.0.1:0", Metrics: registry, Logger: zap.New(core),
		Ready:  func() []string { return s.reasons },
		Status: func(context.Context) (any, error) { return map[string]any{"regions": []string{"a"}}, nil }}
	if change != nil {
		change(&config)
	}
	var err error
	if s.server, err = Listen(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	for _, f := range mount {
		f(s.server)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	s.client = &http.Client{Transport: transport}
	scheme := "http://"
	if config.TLS != nil {
		scheme = "https://"
	}
	s.url = scheme + s.server.Addr().String()
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.WithoutCancel(t.Context()))
	go func() { s.ended <- s.server.Run(ctx) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		s.stop()
		if err := <-s.ended; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
	return s
}

// answer is a response and its body.
type answer struct {
	*http.Response
	body string
}

func (s *served) ask(method, path, token string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	response, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{response, string(body)}
}

func (s *served) want(method, path, token string, status int, inBody string) answer {
	s.t.Helper()
	a := s.ask(method, path, token)
	if a.StatusCode != status || !strings.Contains(a.body, inBody) {
		s.t.Errorf("%s %s: %d %s, want %d with %q", method, path, a.StatusCode, a.body, status, inBody)
	}
	if status >= 400 && path != "/readyz" {
		var p Problem
		if err := json.Unmarshal([]byte(a.body), &p); err != nil || p.Status != status || p.Title == "" || p.Detail == "" ||
			a.Header.Get("Content-Type") != "application/problem+json" {
			s.t.Errorf("%s %s: no problem+json: %s %q", method, path, a.Header.Get("Content-Type"), a.body)
		}
	}
	return a
}

func TestServer_ServesHealthMetricsAndStatusWithoutToken(t *testing.T) {
	s := serve(t, nil)
	s.want("GET", "/healthz", "", 200, "alive")
	s.want("HEAD", "/healthz", "", 200, "")
	s.want("GET", "/metrics", "", 200, "meridian_test 42")
	s.want("GET", "/v1/status", "", 200, `{"regions":["a"]}`)
}

func TestServer_ReadyzNamesTheReasons(t *testing.T) {
	s := serve(t, nil)
	s.want("GET", "/readyz", "", 200, `{"ready":true,"reasons":[]}`)
	s.reasons = []string{"lag of eu-west-1 is 45s, more than 30s"}
	s.want("GET", "/readyz", "", 503, `{"ready":false,"reasons":["lag of eu-west-1 is 45s, more than 30s"]}`)
}

func TestServer_WithTokenGuardsEverythingButHealthAndMetrics(t *testing.T) {
	token := "s3cret"
	s := serve(t, func(c *Config) { c.Token = func() (string, error) { return token, nil } })
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		s.want("GET", path, "", 200, "")
	}
	for _, wrong := range []string{"", "Bearer", "Bearer s3cre", "Bearer s3crets", "Basic s3cret", "s3cret"} {
		a := s.want("GET", "/v1/status", wrong, 401, "Bearer")
		if a.Header.Get("WWW-Authenticate") == "" {
			t.Error("401 without WWW-Authenticate")
		}
		if strings.Contains(a.body, token) {
			t.Error("the answer holds the token")
		}
		s.want("GET", "/debug/pprof/", wrong, 401, "")
		s.want("GET", "/nowhere", wrong, 401, "")
	}
	s.want("GET", "/v1/status", "Bearer s3cret", 200, "regions")
	s.want("GET", "/v1/status", "bearer  s3cret", 200, "regions")
	token = "rotated"
	s.want("GET", "/v1/status", "Bearer s3cret", 401, "")
	s.want("GET", "/v1/status", "Bearer rotated", 200, "")
}

func TestServer_RefusesWhileItsTokenCannotBeRead(t *testing.T) {
	for _, token := range []TokenSource{
		func() (string, error) { return "", errors.New("open /run/secrets/token: gone") },
		func() (string, error) { return "", nil },
	} {
		s := serve(t, func(c *Config) { c.Token = token })
		a := s.want("GET", "/v1/status", "Bearer ", 503, "token cannot be read")
		if strings.Contains(a.body, "/run/secrets") {
			t.Error("the answer tells a stranger where the token lies")
		}
		if s.log.FilterMessageSnippet("token").Len() == 0 {
			t.Error("nothing in the log")
		}
	}
}

func TestServer_WrongMethodsAndPathsAreProblems(t *testing.T) {
	s := serve(t, func(c *Config) { c.Token = func() (string, error) { return "x", nil } })
	a := s.want("POST", "/healthz", "", 405, "allowed are GET, HEAD")
	if a.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow is %q", a.Header.Get("Allow"))
	}
	s.want("DELETE", "/v1/status", "Bearer x", 405, "allowed are")
	s.want("GET", "/v2/status", "Bearer x", 404, "/v2/status")
}

func TestServer_MountedRoutes(t *testing.T) {
	mount := func(s *Server) {
		s.Mount("GET /v1/rows/{table}/{key}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			WriteJSON(w, 200, []string{r.PathValue("table"), r.PathValue("key")})
		}))
		s.Mount("POST /v1/parked/{id}", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { WriteJSON(w, 200, "done") }))
		s.Mount("GET /v1/fault", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }))
		s.Mount("GET /v1/nojson", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { WriteJSON(w, 200, func() {}) }))
	}
	t.Run("with a token", func(t *testing.T) {
		s := serve(t, func(c *Config) { c.Token = func() (string, error) { return "x", nil } }, mount)
		s.want("GET", "/v1/rows/shop.orders/a%2Fb,1", "Bearer x", 200, `["shop.orders","a/b,1"]`)
		s.want("POST", "/v1/parked/7", "Bearer x", 200, "done")
		s.want("POST", "/v1/parked/7", "", 401, "")
		s.want("GET", "/v1/parked/7", "Bearer x", 405, "POST")
		s.want("GET", "/v1/fault", "Bearer x", 500, "log has the details")
		s.want("GET", "/v1/nojson", "Bearer x", 500, "no JSON")
		if s.log.FilterMessageSnippet("panicked").Len() != 1 {
			t.Error("the panic is not in the log")
		}
	})
	t.Run("without a token nothing changes state", func(t *testing.T) {
		s := serve(t, nil, mount)
		s.want("GET", "/v1/rows/t/k", "", 200, "t")
		s.want("POST", "/v1/parked/7", "", 403, "admin.token_env")
	})
}

func TestServer_ProfilesOnlyOnLoopback(t *testing.T) {
	serve(t, nil).want("GET", "/debug/pprof/goroutine?debug=1", "", 200, "goroutine profile")
	open := serve(t, func(c *Config) { c.Listen = ":0" })
	_, port, _ := net.SplitHostPort(open.server.Addr().String())
	open.url = "http://127.0.0.1:" + port
	open.want("GET", "/debug/pprof/", "", 404, "nothing at")
}

func TestServer_StatusFails(t *testing.T) {
	s := serve(t, func(c *Config) {
		c.Status = func(context.Context) (any, error) { return nil, errors.New("ledger closed") }
	})
	s.want("GET", "/v1/status", "", 500, "ledger closed")
}

func TestServer_ServesTLS(t *testing.T) {
	certificates := httptest.NewUnstartedServer(nil)
	certificates.StartTLS()
	pair := certificates.TLS.Certificates
	certificates.Close()
	s := serve(t, func(c *Config) { c.TLS = &tls.Config{Certificates: pair, MinVersion: tls.VersionTLS12} })
	s.want("GET", "/healthz", "", 200, "alive")
}

func TestServer_EndsRequestsUnderWayBeforeItReturns(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s := serve(t, func(c *Config) { c.Drain = time.Minute }, func(s *Server) {
		s.Mount("GET /v1/slow", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			<-release
			if r.Context().Err() != nil {
				WriteProblem(w, 500, "cancelled")
				return
			}
			WriteJSON(w, 200, "whole")
		}))
	})
	got := make(chan answer, 1)
	go func() { got <- s.ask("GET", "/v1/slow", "") }()
	<-entered
	s.stop()
	select {
	case err := <-s.ended:
		t.Fatalf("Run returned while a request was under way: %v", err)
	default:
	}
	close(release)
	if a := <-got; a.StatusCode != http.StatusOK || !strings.Contains(a.body, "whole") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

func TestServer_CutsOffRequestsThatOutlastTheDrain(t *testing.T) {
	entered := make(chan struct{})
	s := serve(t, func(c *Config) { c.Drain = time.Millisecond }, func(s *Server) {
		s.Mount("GET /v1/stuck", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(entered)
			<-r.Context().Done()
		}))
	})
	got := make(chan error, 1)
	go func() {
		r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, s.url+"/v1/stuck", nil)
		if err == nil {
			var response *http.Response
			if response, err = s.client.Do(r); err == nil {
				err = response.Body.Close()
			}
		}
		got <- err
	}()
	<-entered
	s.stop()
	if err := <-got; err == nil {
		t.Error("the request was answered")
	}
	err := <-s.ended
	s.ended <- err
	if s.log.FilterMessageSnippet("cut off").Len() != 1 {
		t.Error("nothing in the log about it")
	}
}

func TestListen_SaysWhichAddressIsTaken(t *testing.T) {
	s := serve(t, nil)
	_, err := Listen(t.Context(), Config{Listen: s.server.Addr().String(), Metrics: prometheus.NewRegistry(), Logger: zap.NewNop()})
	if err == nil || !strings.Contains(err.Error(), s.server.Addr().String()) {
		t.Errorf("%v", err)
	}
}
