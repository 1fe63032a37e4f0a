// Package admin is the HTTP side of a process: health, metrics, status and whatever routes others mount on it.
//
// In the flow it stands beside everything: it changes nothing itself, asks what it is handed for answers, and guards what
// is mounted with the configured token.
package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Config is what a Server is made of.
type Config struct {
	Listen  string      // [host]:port; port 0 takes a free one, see Server.Addr
	TLS     *tls.Config // nil: plain HTTP
	Token   TokenSource // nil: no token is configured; nothing that changes state is then served
	Metrics prometheus.Gatherer
	Ready   func() (reasons []string)              // why the process is not ready, for people; none: it is ready
	Status  func(ctx context.Context) (any, error) // the document of /v1/status
	Drain   time.Duration                          // how long requests under way may take to end; 0: 2 s
	Logger  *zap.Logger
}

// TokenSource gives the token as it is configured now; it is asked for every request, so that rotation needs no restart.
type TokenSource func() (string, error)

// The limits that keep slow or greedy clients from holding on to a process.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 60 * time.Second
	writeTimeout      = 5 * time.Minute // a profile takes as long as it was asked to, a ledger's entries as long as the line needs
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	maxBodyBytes      = 16 << 20
	defaultDrain      = 2 * time.Second
)

// Server serves one address. Routes are mounted before Run; afterwards it is used from any goroutine.
type Server struct {
	config   Config
	listener net.Listener
	mux      *http.ServeMux
	open     map[string]bool // paths that need no token
}

// Listen takes the address and sets up what every process serves: /healthz, /readyz, /metrics, /v1/status, and
// /debug/pprof where nobody but this host can reach it. Nothing is answered before Run.
func Listen(ctx context.Context, config Config) (*Server, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", config.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for HTTP on %s (admin.listen or verifier.listen): %w", config.Listen, err)
	}
	if config.Drain == 0 {
		config.Drain = defaultDrain
	}
	s := &Server{config: config, listener: listener, mux: http.NewServeMux(),
		open: map[string]bool{"/healthz": true, "/readyz": true, "/metrics": true}}
	s.mux.HandleFunc("GET /healthz", healthz)
	s.mux.HandleFunc("GET /readyz", s.readyz)
	s.mux.Handle("GET /metrics", promhttp.HandlerFor(config.Metrics, promhttp.HandlerOpts{
		ErrorLog: zap.NewStdLog(config.Logger), ErrorHandling: promhttp.ContinueOnError, EnableOpenMetrics: true}))
	s.mux.HandleFunc("GET /v1/status", s.status)
	if isLoopback(listener.Addr()) {
		s.mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		s.mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		s.mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		s.mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		s.mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return s, nil
}

// Mount adds routes; pattern is one of http.ServeMux ("GET /v1/parked/{id}"). They need the token if one is configured, and
// what is no GET or HEAD, and no Question, is refused if none is. To be called before Run.
func (s *Server) Mount(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// Addr tells where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close gives the address back if Run was never called.
func (s *Server) Close() error { return s.listener.Close() }

// Run serves until the context ends, lets the requests under way end within Config.Drain, and returns nil then.
func (s *Server) Run(ctx context.Context) error {
	errorLog, err := zap.NewStdLogAt(s.config.Logger, zapcore.WarnLevel)
	if err != nil {
		return fmt.Errorf("prepare the log of the HTTP server: %w", err)
	}
	// A request under way outlives the context: it is what Drain is for.
	base := context.WithoutCancel(ctx)
	server := &http.Server{
		Handler: http.MaxBytesHandler(s, maxBodyBytes), TLSConfig: s.config.TLS, ErrorLog: errorLog,
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		BaseContext: func(net.Listener) context.Context { return base },
	}
	ended := make(chan error, 1)
	go func() {
		if s.config.TLS != nil {
			ended <- server.ServeTLS(s.listener, "", "")
			return
		}
		ended <- server.Serve(s.listener)
	}()
	select {
	case err = <-ended:
		return fmt.Errorf("serve HTTP on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(base, s.config.Drain)
	defer cancel()
	if err = server.Shutdown(drain); err != nil {
		s.config.Logger.Warn("HTTP requests were cut off: they did not end in time", zap.Duration("waited", s.config.Drain))
		err = server.Close()
	}
	if serveErr := <-ended; !errors.Is(serveErr, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", s.Addr(), serveErr)
	}
	if err != nil {
		return fmt.Errorf("close the HTTP server on %s: %w", s.Addr(), err)
	}
	return nil
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
