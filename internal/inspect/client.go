package inspect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Client asks one process of a region. It is safe for concurrent use.
type Client struct {
	base  string // URL without a slash at the end
	http  *http.Client
	token func() (string, error) // nil: none is configured
}

// NewClient makes a Client. base is the process's admin.url.
func NewClient(base string, client *http.Client, token func() (string, error)) *Client {
	return &Client{base: strings.TrimSuffix(base, "/"), http: client, token: token}
}

// Client is a Region, seen from outside.
var _ Region = (*Client)(nil)

// Overview implements Region.
func (c *Client) Overview(ctx context.Context) (*Overview, error) {
	return send[Overview](ctx, c, http.MethodGet, "/v1/ledger", nil)
}

// Buckets implements Region.
func (c *Client) Buckets(ctx context.Context, table string, shard int) (*Buckets, error) {
	return send[Buckets](ctx, c, http.MethodPost, "/v1/ledger/buckets", bucketsQuestion{table, shard})
}

// Entries implements Region.
func (c *Client) Entries(ctx context.Context, q EntriesQuestion) (*Entries, error) {
	return send[Entries](ctx, c, http.MethodPost, "/v1/ledger/entries", q)
}

// Rows implements Region.
func (c *Client) Rows(ctx context.Context, table string, keys []KeyRef) (*Rows, error) {
	return send[Rows](ctx, c, http.MethodPost, "/v1/ledger/rows", rowsQuestion{table, keys})
}

// RefusedError is an answer that is none.
type RefusedError struct {
	URL    string
	Status int
	Detail string

	foreign bool // whoever answers does not speak the ledger protocol
}

// Error implements error: it says what to do where that is known.
func (e *RefusedError) Error() string {
	switch {
	case e.Status == http.StatusUnauthorized:
		return fmt.Sprintf("%s refuses the token: admin.token must be the same here and there", e.URL)
	case e.Status == http.StatusNotFound && e.foreign:
		return fmt.Sprintf("%s answers 404 (%s): if a syncer is there it does not show its ledger, which it does with admin.token configured, or to its own host only", e.URL, e.Detail)
	default:
		return fmt.Sprintf("%s answers %d: %s", e.URL, e.Status, e.Detail)
	}
}

// Is tells that a region which is not ready, or busy, has said so, that there is no such thing, or that another process is to be
// asked.
func (e *RefusedError) Is(target error) bool {
	switch target {
	case ErrNotReady:
		return e.Status == http.StatusServiceUnavailable
	case ErrBusy:
		return e.Status == http.StatusConflict
	case ErrNoScrub, ErrUnknownTable:
		return e.Status == http.StatusNotFound
	case ErrNotOwned:
		return e.Status == http.StatusMisdirectedRequest
	default:
		return false
	}
}

// VersionError is returned when a syncer speaks another version of the ledger protocol.
type VersionError struct {
	URL    string
	Theirs string // "": it does not say, as the first one does not
}

// Error implements error.
func (e *VersionError) Error() string {
	return fmt.Sprintf("%s speaks %s of the ledger protocol, this program version %d: run the same version of Meridian on both ends", e.URL, versionText(e.Theirs), Protocol)
}

// maxAnswerBytes is more than any answer has: an overview of ten thousand tables with a hundred shards each.
const maxAnswerBytes = 128 << 20

// send asks a question, nil for none, and reads the answer.
func send[T any](ctx context.Context, c *Client, method, path string, question any) (*T, error) {
	at, _, _ := strings.Cut(c.base+path, "?") // a question may hold a row's key, which is nothing for logs
	var body io.Reader = http.NoBody
	if question != nil {
		b, err := json.Marshal(question)
		if err != nil {
			return nil, fmt.Errorf("asking %s: %w", at, err)
		}
		body = bytes.NewReader(b)
	}
	q, err := http.NewRequestWithContext(ctx, method, c.base+path, body) //nolint:gosec // the address is the configuration's
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", c.base, err)
	}
	q.Header.Set(protocolHeader, strconv.Itoa(Protocol))
	if question != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	if c.token != nil {
		token, unread := c.token()
		if unread != nil {
			return nil, fmt.Errorf("reading the token: %w", unread)
		}
		q.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := c.http.Do(q) //nolint:gosec // as above
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", at, inner(err))
	}
	defer func() { _ = response.Body.Close() }() // it has been read, or is of no interest
	answer := io.LimitReader(response.Body, maxAnswerBytes)
	theirs := response.Header.Get(protocolHeader)
	ofLedger := strings.HasPrefix(path, "/v1/ledger") // what else there is people ask as well
	if theirs != strconv.Itoa(Protocol) && (theirs != "" || ofLedger && response.StatusCode == http.StatusOK) {
		return nil, &VersionError{URL: c.base, Theirs: theirs}
	}
	if response.StatusCode != http.StatusOK {
		var said struct{ Title, Detail string }
		if err := json.NewDecoder(answer).Decode(&said); err != nil || said.Detail == "" {
			said.Detail = response.Status
		}
		return nil, &RefusedError{URL: at, Status: response.StatusCode, Detail: said.Detail, foreign: ofLedger && theirs == ""}
	}
	document := new(T)
	if err := json.NewDecoder(answer).Decode(document); err != nil {
		return nil, fmt.Errorf("the answer of %s cannot be read: %w", at, err)
	}
	return document, nil
}

// inner leaves out what a URL error repeats: the URL.
func inner(err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
