package inspect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	return ask[Overview](ctx, c, "/v1/ledger", nil)
}

// Buckets implements Region.
func (c *Client) Buckets(ctx context.Context, table string, shard int) (*Buckets, error) {
	return ask[Buckets](ctx, c, "/v1/ledger/buckets", url.Values{"table": {table}, "shard": {strconv.Itoa(shard)}})
}

// Entries implements Region.
func (c *Client) Entries(ctx context.Context, table string, shard int, buckets []int) (*Entries, error) {
	return ask[Entries](ctx, c, "/v1/ledger/entries", url.Values{"table": {table}, "shard": {strconv.Itoa(shard)}, "buckets": {formatNumbers(buckets)}})
}

// Rows implements Region.
func (c *Client) Rows(ctx context.Context, table string, keys []KeyRef) (*Rows, error) {
	return ask[Rows](ctx, c, "/v1/ledger/rows", url.Values{"table": {table}, "keys": {formatKeyRefs(keys)}})
}

// RefusedError is an answer that is none.
type RefusedError struct {
	URL    string
	Status int
	Detail string
}

// Error implements error.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s answers %d: %s", e.URL, e.Status, e.Detail)
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

func ask[T any](ctx context.Context, c *Client, path string, values url.Values) (*T, error) {
	return send[T](ctx, c, http.MethodGet, path, values, nil)
}

func send[T any](ctx context.Context, c *Client, method, path string, values url.Values, body []byte) (*T, error) {
	address := c.base + path
	if len(values) > 0 {
		address += "?" + values.Encode()
	}
	q, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body)) //nolint:gosec // the address is the configuration's
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", c.base, err)
	}
	if body != nil {
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
		return nil, fmt.Errorf("asking %s%s: %w", c.base, path, inner(err))
	}
	defer func() { _ = response.Body.Close() }() // it has been read, or is of no interest
	if response.StatusCode != http.StatusOK {
		var said struct{ Title, Detail string }
		if err := json.NewDecoder(response.Body).Decode(&said); err != nil || said.Detail == "" {
			said.Detail = response.Status
		}
		return nil, &RefusedError{URL: c.base + path, Status: response.StatusCode, Detail: said.Detail}
	}
	document := new(T)
	if err := json.NewDecoder(response.Body).Decode(document); err != nil {
		return nil, fmt.Errorf("the answer of %s%s cannot be read: %w", c.base, path, err)
	}
	return document, nil
}

// inner leaves out what a URL error repeats: the URL, with all that was asked.
func inner(err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
