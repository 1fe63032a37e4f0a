package inspect

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// Reviewer tells which changes wait in a region for a person's decision. Its methods are called from many goroutines.
type Reviewer interface {
	// Reviews gives those of the process's shards, by id, from behind one; Reviews.Next says where to go on.
	Reviews(ctx context.Context, after uint64) (*Reviews, error)
}

// Reviews are changes that wait for a person's decision in one region.
type Reviews struct {
	Region  string   `json:"region"`
	Replica int      `json:"replica"`
	Reviews []Review `json:"reviews"`
	Next    uint64   `json:"next,omitempty"`   // ask again for those behind it; 0: these are all
	Hidden  bool     `json:"hidden,omitempty"` // no values are shown, as no token is configured
}

// Review is a change that met a write of this region's which it had not seen, or that came behind one that did.
type Review struct {
	KeyRef
	ID      uint64   `json:"id"` // in the region's meridian.parked
	Shard   int      `json:"shard"`
	Table   string   `json:"table"`
	Text    []string `json:"text"` // the key's values, as people read them
	Source  string   `json:"source"`
	Version string   `json:"version"` // the change's
	Since   string   `json:"since"`   // RFC 3339 in UTC
	Detail  string   `json:"detail"`
	// Remote is what the change makes of the row, Local the row as it stood in this region; nil: it could not be kept.
	Remote       *Image `json:"remote"`
	Local        *Image `json:"local"`
	LocalVersion string `json:"local_version,omitempty"`
}

// Client is a Reviewer, seen from outside.
var _ Reviewer = (*Client)(nil)

// Reviews implements Reviewer.
func (c *Client) Reviews(ctx context.Context, after uint64) (*Reviews, error) {
	return send[Reviews](ctx, c, http.MethodGet, "/v1/reviews?"+url.Values{"after": {strconv.FormatUint(after, 10)}}.Encode(), nil)
}

// MountReviews serves GET /v1/reviews?after=ID. Without showValues nobody learns what stands in a row.
func MountReviews(mount func(pattern string, h http.Handler), r Reviewer, showValues bool) {
	turns := make(chan struct{}, concurrent)
	mount("GET /v1/reviews", answer(turns, func(q *http.Request, _ *struct{}) (any, error) {
		after := uint64(0)
		if text := q.FormValue("after"); text != "" {
			var err error
			if after, err = strconv.ParseUint(text, 10, 64); err != nil {
				return nil, &badQuestion{"after=" + strconv.Quote(text) + " is no number"}
			}
		}
		reviews, err := r.Reviews(q.Context(), after)
		if err == nil && !showValues {
			reviews.hide()
		}
		return reviews, err
	}))
}

func (r *Reviews) hide() {
	r.Hidden = true
	for i := range r.Reviews {
		r.Reviews[i].Remote.hide()
		r.Reviews[i].Local.hide()
	}
}
