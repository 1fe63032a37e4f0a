package inspect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ErrNoScrub is returned for a scrub that the process knows nothing of: it was restarted meanwhile. Ask for it again.
var ErrNoScrub = errors.New("there is no such scrub")

// ErrUnknownTable is returned for a table that is not replicated, or not there.
var ErrUnknownTable = errors.New("no such table")

// Scrubber is a process that can be asked to read the rows of a table again, now, and to compare them with its ledger.
type Scrubber interface {
	// StartScrub asks for one pass over a table, over its rows and its ledger's entries, for the shards that the process owns. Where
	// one is under way already that one is given, at its own rate: asking twice does no harm.
	StartScrub(ctx context.Context, q ScrubRequest) (*Scrub, error)
	// ScrubProgress says how far a scrub is; ErrNoScrub when the process does not know it.
	ScrubProgress(ctx context.Context, id string) (*Scrub, error)
}

// ScrubRequest asks for a scrub.
type ScrubRequest struct {
	Table string `json:"table"` // "schema.table", as the server spells it
	// RowsPerSecond is how many rows this process may read; 0: as its configuration says (verify.scrub_rows_per_second).
	RowsPerSecond int `json:"rows_per_second"`
}

// The states of a Scrub.
const (
	ScrubWaiting = "waiting" // another one is under way
	ScrubRunning = "running"
	ScrubDone    = "done"
	ScrubFailed  = "failed" // see Scrub.Error
)

// Scrub is a scrub that was asked for.
type Scrub struct {
	ID    string `json:"id"`
	Table string `json:"table"`
	State string `json:"state"`
	Error string `json:"error,omitempty"`
	// Rows have been read, of about EstimatedRows; the entries of rows that are gone come after them.
	Rows          uint64  `json:"rows"`
	EstimatedRows uint64  `json:"estimated_rows"`
	RowsPerSecond float64 `json:"rows_per_second"`
	SecondsLeft   float64 `json:"seconds_left"`
	Paused        string  `json:"paused,omitempty"` // why it waits: the database is busy
	// Found counts the rows that are not what the ledger says, by kind (missing, extra, different). They are marked as suspect in
	// the ledger: the next comparison says what they are.
	Found map[string]uint64 `json:"found"`
	Began time.Time         `json:"began,omitzero"`
	Ended time.Time         `json:"ended,omitzero"`
}

// Over tells whether nothing more is to be expected of it.
func (s *Scrub) Over() bool { return s.State == ScrubDone || s.State == ScrubFailed }

// MountScrub serves a Scrubber on a server: POST /v1/scrub with a ScrubRequest, GET /v1/scrub?id=ID.
func MountScrub(mount func(pattern string, h http.Handler), r Scrubber) {
	turns := make(chan struct{}, concurrent)
	mount("POST /v1/scrub", answer(turns, func(h *http.Request, asked *ScrubRequest) (any, error) {
		if schema, table, ok := strings.Cut(asked.Table, "."); !ok || schema == "" || table == "" {
			return nil, &badQuestion{fmt.Sprintf("table %q: name it as schema.table", asked.Table)}
		}
		if asked.RowsPerSecond < 0 {
			return nil, &badQuestion{fmt.Sprintf("rows_per_second: %d is less than nothing", asked.RowsPerSecond)}
		}
		return r.StartScrub(h.Context(), *asked)
	}))
	mount("GET /v1/scrub", answer(turns, func(h *http.Request, _ *struct{}) (any, error) {
		return r.ScrubProgress(h.Context(), h.FormValue("id"))
	}))
}

// Client is a Scrubber, seen from outside.
var _ Scrubber = (*Client)(nil)

// StartScrub implements Scrubber. The process must be configured with a token: without one it changes nothing for anybody, and
// answers 403 (a *RefusedError).
func (c *Client) StartScrub(ctx context.Context, q ScrubRequest) (*Scrub, error) {
	return send[Scrub](ctx, c, http.MethodPost, "/v1/scrub", q)
}

// ScrubProgress implements Scrubber.
func (c *Client) ScrubProgress(ctx context.Context, id string) (*Scrub, error) {
	return send[Scrub](ctx, c, http.MethodGet, "/v1/scrub?id="+url.QueryEscape(id), nil)
}
