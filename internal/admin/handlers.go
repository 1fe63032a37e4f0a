package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"

	"go.uber.org/zap"
)

// ServeHTTP checks the token, then hands the request to its route. Every refusal is problem+json.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer s.recover(w, r)
	handler, pattern := s.mux.Handler(r)
	if !s.open[r.URL.Path] && !s.authorized(w, r, handler) {
		return
	}
	if pattern != "" {
		s.mux.ServeHTTP(w, r) // not handler itself: ServeHTTP sets the path's values
		return
	}
	// No route: the mux has a handler that knows whether the path or the method is at fault.
	var refusal recorder
	handler.ServeHTTP(&refusal, r)
	switch refusal.status {
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", refusal.header.Get("Allow"))
		WriteProblem(w, refusal.status, fmt.Sprintf("%s %s: allowed are %s", r.Method, r.URL.Path, refusal.header.Get("Allow")))
	default:
		WriteProblem(w, http.StatusNotFound, fmt.Sprintf("there is nothing at %s", r.URL.Path))
	}
}

// recorder keeps a handler's verdict and forgets its text.
type recorder struct {
	header http.Header
	status int
}

func (r *recorder) Header() http.Header {
	if r.header == nil {
		r.header = http.Header{}
	}
	return r.header
}
func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }
func (r *recorder) WriteHeader(status int)      { r.status = status }

// Question is a handler that changes nothing whatever its method is: one that is asked by POST, since what it is asked is too
// long for a URL.
type Question interface {
	http.Handler
	ChangesNothing() bool
}

// authorized checks the bearer token; it answers the request itself where it refuses.
func (s *Server) authorized(w http.ResponseWriter, r *http.Request, handler http.Handler) bool {
	if s.config.Token == nil {
		q, isQuestion := handler.(Question)
		if r.Method == http.MethodGet || r.Method == http.MethodHead || isQuestion && q.ChangesNothing() {
			return true
		}
		WriteProblem(w, http.StatusForbidden, "nothing that changes state is served without a token: set admin.token_env or admin.token_file in the configuration")
		return false
	}
	want, err := s.config.Token()
	if err == nil && want == "" {
		err = errEmptyToken
	}
	if err != nil {
		s.config.Logger.Error("cannot check the token of an HTTP request: it is refused", zap.Error(err))
		WriteProblem(w, http.StatusServiceUnavailable, "the configured token cannot be read; the process's log says why")
		return false
	}
	scheme, got, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") && equal(strings.TrimSpace(got), want) {
		return true
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="meridian"`)
	WriteProblem(w, http.StatusUnauthorized, "this needs the token of the configuration: Authorization: Bearer TOKEN")
	return false
}

var errEmptyToken = errors.New("the configured token is empty")

// equal compares in a time that tells nothing about either, their lengths included.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// recover keeps a fault in one handler from ending the process, which net/http would do no worse but without an answer.
func (s *Server) recover(w http.ResponseWriter, r *http.Request) {
	fault := recover()
	if fault == nil {
		return
	}
	if fault == http.ErrAbortHandler { //nolint:errorlint // a panic's value, compared as net/http does
		panic(fault)
	}
	s.config.Logger.Error("an HTTP handler panicked: a fault in Meridian", zap.Any("panic", fault),
		zap.String("path", r.URL.Path), zap.ByteString("stack", debug.Stack()))
	WriteProblem(w, http.StatusInternalServerError, "a fault in Meridian; the process's log has the details")
}

func healthz(w http.ResponseWriter, _ *http.Request) {
	WriteJSON(w, http.StatusOK, map[string]bool{"alive": true})
}

// Readiness is the answer of /readyz.
type Readiness struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons"` // why it is not
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	answer := Readiness{Reasons: s.config.Ready()}
	status := http.StatusServiceUnavailable
	if len(answer.Reasons) == 0 {
		answer, status = Readiness{Ready: true, Reasons: []string{}}, http.StatusOK
	}
	WriteJSON(w, status, answer)
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	document, err := s.config.Status(r.Context())
	if err != nil {
		s.config.Logger.Warn("status could not be put together", zap.Error(err))
		WriteProblem(w, http.StatusInternalServerError, "the status could not be put together: "+err.Error())
		return
	}
	WriteJSON(w, http.StatusOK, document)
}

// Problem is an error in the form of RFC 9457.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// WriteProblem answers a request with an error.
func WriteProblem(w http.ResponseWriter, status int, detail string) {
	write(w, status, "application/problem+json", Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail})
}

// WriteJSON answers a request with a document.
func WriteJSON(w http.ResponseWriter, status int, document any) {
	write(w, status, "application/json", document)
}

func write(w http.ResponseWriter, status int, contentType string, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		WriteProblem(w, http.StatusInternalServerError, "the answer is no JSON: "+err.Error())
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // whoever asked has gone: nobody is left to tell
}
