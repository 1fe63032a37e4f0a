package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// The bounds of one question and its answer.
const (
	MaxKeys    = 100     // rows that are read, and locked for that, at once
	MaxLookups = 1000    // entries that are asked for by their keys
	MaxBuckets = 1024    // of one shard: all of them
	MaxEntries = 4 << 20 // bytes of an answer's entries, or little more

	maxQuestionBytes = 16 << 20 // MaxLookups keys as long as a key can be
)

// protocolHeader names the version of the sender in every question and answer.
const protocolHeader = "Meridian-Ledger-Protocol"

// A process answers that many questions at the same time; others wait for their turn, and are told to come again after a while.
// A question takes memory and, for rows, locks: an impatient verifier, or several, must not add up.
const (
	concurrent = 4
	patience   = 10 * time.Second
)

var errBusy = fmt.Errorf("it answers %d questions already; ask again: %w", concurrent, ErrNotReady)

// Mount serves a region's answers on a server: mount adds a route. Without showValues nobody learns what stands in a row, only
// its digests: for servers that anybody can reach without a token.
func Mount(mount func(pattern string, h http.Handler), r Region, showValues bool) {
	turns := make(chan struct{}, concurrent)
	mount("GET /v1/ledger", question(versioned(answer(turns, func(h *http.Request, _ *struct{}) (any, error) { return r.Overview(h.Context()) }))))
	mount("POST /v1/ledger/buckets", question(versioned(answer(turns, func(h *http.Request, q *bucketsQuestion) (any, error) {
		if q.Shard < 0 {
			return nil, &badQuestion{fmt.Sprintf("shard %d is none", q.Shard)}
		}
		return r.Buckets(h.Context(), q.Table, q.Shard)
	}))))
	mount("POST /v1/ledger/entries", question(versioned(answer(turns, func(h *http.Request, q *EntriesQuestion) (any, error) {
		if err := q.check(); err != nil {
			return nil, err
		}
		return r.Entries(h.Context(), *q)
	}))))
	mount("POST /v1/ledger/rows", question(versioned(answer(turns, func(h *http.Request, q *rowsQuestion) (any, error) {
		if err := q.check(); err != nil {
			return nil, err
		}
		rows, err := r.Rows(h.Context(), q.Table, q.Keys)
		if err == nil && !showValues {
			rows.hide()
		}
		return rows, err
	}))))
}

type bucketsQuestion struct {
	Table string `json:"table"`
	Shard int    `json:"shard"`
}

type rowsQuestion struct {
	Table string   `json:"table"`
	Keys  []KeyRef `json:"keys"`
}

// badQuestion is the asker's mistake.
type badQuestion struct{ what string }

func (e *badQuestion) Error() string { return e.what }

func (q *EntriesQuestion) check() error {
	if q.Shard < 0 {
		return &badQuestion{fmt.Sprintf("shard %d is none", q.Shard)}
	}
	if len(q.Keys) > MaxLookups || len(q.Buckets) > MaxBuckets {
		return &badQuestion{fmt.Sprintf("at most %d keys, or %d buckets, at once", MaxLookups, MaxBuckets)}
	}
	for _, b := range q.Buckets {
		if b < 0 || b >= MaxBuckets {
			return &badQuestion{fmt.Sprintf("bucket %d is none: they are 0 to %d", b, MaxBuckets-1)}
		}
	}
	return nil
}

func (q *rowsQuestion) check() error {
	if len(q.Keys) > MaxKeys {
		return &badQuestion{fmt.Sprintf("at most %d keys at once", MaxKeys)}
	}
	for _, k := range q.Keys {
		if len(k.Key) == 0 {
			return &badQuestion{"a key is empty"}
		}
	}
	return nil
}

func (r *Rows) hide() {
	r.Hidden = true
	for i := range r.Rows {
		hideValues(r.Rows[i].Values)
	}
}

// question is a handler that changes nothing, although it is asked by POST: what it is asked may be too long for a URL.
type question http.HandlerFunc

func (q question) ServeHTTP(w http.ResponseWriter, r *http.Request) { q(w, r) }

// ChangesNothing tells the admin server that no token is needed where none is configured.
func (q question) ChangesNothing() bool { return true }

// versioned lets only those ask who speak the same version of the ledger protocol.
func versioned(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(protocolHeader, strconv.Itoa(Protocol))
		if theirs := r.Header.Get(protocolHeader); theirs != strconv.Itoa(Protocol) {
			problem(w, http.StatusBadRequest, &badQuestion{fmt.Sprintf("this syncer speaks version %d of the ledger protocol, who asks speaks %s", Protocol, versionText(theirs))})
			return
		}
		next(w, r)
	}
}

// answer makes a handler: it reads the question, waits for a turn and writes the answer.
func answer[Q any](turns chan struct{}, f func(h *http.Request, q *Q) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := new(Q)
		if r.Method == http.MethodPost {
			d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxQuestionBytes))
			d.DisallowUnknownFields()
			if err := d.Decode(q); err != nil && !errors.Is(err, io.EOF) {
				problem(w, http.StatusBadRequest, fmt.Errorf("the question cannot be read: %w", err))
				return
			}
		}
		waiting, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		select {
		case turns <- struct{}{}:
			defer func() { <-turns }()
		case <-waiting.Done():
			w.Header().Set("Retry-After", "1")
			problem(w, http.StatusServiceUnavailable, errBusy)
			return
		}
		document, err := f(r, q)
		if err != nil {
			problem(w, statusOf(err), err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(document) // whoever asked is gone
	}
}

func statusOf(err error) int {
	var bad *badQuestion
	var asked *QuestionError
	var unrestorable *UnrestorableError
	switch {
	case errors.As(err, &bad), errors.As(err, &asked):
		return http.StatusBadRequest
	case errors.Is(err, ErrNoScrub), errors.Is(err, ErrUnknownTable):
		return http.StatusNotFound
	case errors.Is(err, ErrNotOwned):
		return http.StatusMisdirectedRequest
	case errors.Is(err, ErrBusy), errors.Is(err, ErrRowChanged):
		return http.StatusConflict
	case errors.As(err, &unrestorable):
		return http.StatusUnprocessableEntity
	case errors.Is(err, ErrNotReady):
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// versionText names a version that a peer sent; the first one sent none.
func versionText(sent string) string {
	if sent == "" {
		return "an older one"
	}
	return "version " + strconv.Quote(sent)
}

// problem answers as RFC 9457 says.
func problem(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "title": http.StatusText(status), "detail": err.Error()}) // whoever asked is gone
}
