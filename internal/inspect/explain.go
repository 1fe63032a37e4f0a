package inspect

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Explainer tells all that a region knows of one row. Its methods are called from many goroutines.
type Explainer interface {
	// Explain takes the key as a person types it (row.ParseKey). Errors that decide: ErrNotOwned, *QuestionError, ErrNotReady.
	Explain(ctx context.Context, table, key string) (*Explained, error)
}

// ErrNotOwned is returned by an Explainer whose process does not own the row's shard: another one of the region does.
var ErrNotOwned = errors.New("another process of the region owns the row's shard")

// QuestionError is returned for a question that makes no sense: a table that is not there, a key of another shape.
type QuestionError struct {
	Detail string
	Cause  error // may be nil
}

// Error implements error.
func (e *QuestionError) Error() string { return e.Detail }

// Unwrap gives the cause.
func (e *QuestionError) Unwrap() error { return e.Cause }

// Explained is what one region knows of a row: how it stands in the database, what the ledger says of it, which changes to it
// are parked, and which conflicts it was in.
type Explained struct {
	Region  string   `json:"region"`
	Replica int      `json:"replica"`
	Shard   int      `json:"shard"`
	Table   string   `json:"table"`
	Key     []string `json:"key"`         // the primary key's values, as the row spells them
	Columns []string `json:"key_columns"` // the primary key's, in its order
	Ref     KeyRef   `json:"ref"`         // which row it is
	Exists  bool     `json:"exists"`
	Values  []Value  `json:"values,omitempty"` // by column, in the table's order
	Digest  uint64   `json:"digest,string"`    // of the row; 0 where there is none
	Digests uint64   `json:"columns,string"`   // which the digest was made from
	Entry   *Entry   `json:"entry"`            // the ledger's; nil: it knows nothing of the row
	Agrees  bool     `json:"ledger_agrees"`    // the row is what its entry says
	Moved   bool     `json:"moved,omitempty"`  // it is written all the time: row and entry may be of two moments
	// Version says when and where the row was last written: the entry's, "" without one.
	Version   string     `json:"version"`
	Origin    string     `json:"origin"`
	WrittenAt string     `json:"written_at"` // the version's time, RFC 3339 in UTC; "" where it is not known
	Parked    []Waiting  `json:"parked"`
	Conflicts []Conflict `json:"conflicts"`        // that are kept, the newest first
	Hidden    bool       `json:"hidden,omitempty"` // no values are shown, as no token is configured
}

// Waiting is a parked change to the row.
type Waiting struct {
	ID       uint64 `json:"id"`
	State    string `json:"state"` // parked, waiting, dead
	Reason   string `json:"reason"`
	Detail   string `json:"detail"`
	Source   string `json:"source"`
	Version  string `json:"version"`
	Attempts int    `json:"attempts"`
	Since    string `json:"since"`            // RFC 3339 in UTC
	Change   *Image `json:"change,omitempty"` // what waits
}

// Conflict is one that was decided in the region, with what lost it.
type Conflict struct {
	ID      ConflictID `json:"id"`
	At      string     `json:"at"`     // when it was decided there, RFC 3339 in UTC
	Source  string     `json:"source"` // the region whose change met the row
	Winner  string     `json:"winner"` // versions
	Loser   string     `json:"loser"`
	Won     bool       `json:"won"`               // the region's own write did
	Lost    *Image     `json:"lost"`              // what lost; nil: it was not kept
	Omitted string     `json:"omitted,omitempty"` // why: too_large, not_there, unreadable; large: it was, ask for the plan of its restore
}

// Image is what a change makes of a row: its values, or that it is deleted.
type Image struct {
	Deleted bool    `json:"deleted,omitempty"`
	Values  []Value `json:"values,omitempty"`
}

// ConflictID names a kept conflict: REGION:NUMBER.
type ConflictID struct {
	Region string
	Number uint64
}

// String gives REGION:NUMBER.
func (id ConflictID) String() string { return id.Region + ":" + strconv.FormatUint(id.Number, 10) }

// MarshalText implements encoding.TextMarshaler.
func (id ConflictID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ConflictID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseConflictID(string(text))
	return err
}

// ParseConflictID reads REGION:NUMBER.
func ParseConflictID(s string) (ConflictID, error) {
	region, number, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil || region == "" {
		return ConflictID{}, &QuestionError{Detail: `"` + s + `" names no kept conflict: write REGION:NUMBER, as ` + "`verifier explain --history` prints it"}
	}
	return ConflictID{region, n}, nil
}

// Explain implements Explainer.
func (c *Client) Explain(ctx context.Context, table, key string) (*Explained, error) {
	e, err := send[Explained](ctx, c, http.MethodGet, "/v1/rows?"+url.Values{"table": {table}, "key": {key}}.Encode(), nil)
	return e, asked(err)
}

// asked gives the error that the region had.
func asked(err error) error {
	var refused *RefusedError
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Status {
	case http.StatusBadRequest:
		return &QuestionError{Detail: refused.Detail}
	case http.StatusNotFound:
		refused.Detail += " (an older version, or it serves rows behind a token only: set admin.token_env or admin.token_file)"
	}
	return refused
}

// MountRows serves GET /v1/rows/{table}/{key}; and GET /v1/rows?table=…&key=…, since a path is not let through as it is when
// the key is empty or has dots or slashes in a row. Without showValues nobody learns what stands in a row, only its digests.
func MountRows(mount func(pattern string, h http.Handler), e Explainer, showValues bool) {
	turns := make(chan struct{}, concurrent)
	explain := func(q *http.Request, table, key string) (any, error) {
		x, err := e.Explain(q.Context(), table, key)
		if err == nil && !showValues {
			x.hide()
		}
		return x, err
	}
	mount("GET /v1/rows/{table}/{key}", answer(turns, func(q *http.Request, _ *struct{}) (any, error) {
		return explain(q, q.PathValue("table"), q.PathValue("key"))
	}))
	mount("GET /v1/rows", answer(turns, func(q *http.Request, _ *struct{}) (any, error) {
		return explain(q, q.FormValue("table"), q.FormValue("key"))
	}))
}

func (x *Explained) hide() {
	x.Hidden = true
	hideValues(x.Values)
	for i := range x.Parked {
		x.Parked[i].Change.hide()
	}
	for i := range x.Conflicts {
		x.Conflicts[i].Lost.hide()
	}
}

func (i *Image) hide() {
	if i != nil {
		hideValues(i.Values)
	}
}

func hideValues(list []Value) {
	for i := range list {
		list[i].Text = nil
	}
}
