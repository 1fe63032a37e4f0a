package inspect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Mender is what a syncer can be asked to do about rows that differ. Its methods are called from many goroutines. They change
// state, and are served only where a token is configured.
type Mender interface {
	// Republish puts rows on the region's topic again, as they stand there and with the versions that they have, for the regions
	// that lack them. A row that is not what was wanted any more is passed over, and the answer says so.
	Republish(ctx context.Context, order Order) (*Mended, error)
	// Adopt makes rows as they stand in the region the newest everywhere: it gives them a new version, and republishes them.
	Adopt(ctx context.Context, order Order) (*Mended, error)
	// Writable tells whether the region's database lets itself be written to; "" is yes, anything else why not.
	Writable(ctx context.Context) (*Writable, error)
}

// MaxOrder bounds the rows of one order: they are locked for a moment, and capture waits while they are put on the bus.
const MaxOrder = 500

// Order is which rows of a table are to be mended. All of them are of shards that the asked process owns.
type Order struct {
	Table string   `json:"table"`
	As    string   `json:"as"` // AsRepair or AsSeed
	Rows  []Wanted `json:"rows"`
}

// What republished rows are on the bus.
const (
	AsRepair = "repair" // wins against the very same version: the row itself is in doubt there
	AsSeed   = "seed"   // is passed over where that version is already
)

// Wanted is a row, as it was when it was decided to mend it.
type Wanted struct {
	KeyRef
	Version string `json:"version"`           // the ledger entry's; for Adopt: what the new version must be above
	Deleted bool   `json:"deleted,omitempty"` // there is no such row
}

// Mended says what became of an order.
type Mended struct {
	Rows []MendedRow `json:"rows"` // in the order's order
}

// MendedRow says what became of one row.
type MendedRow struct {
	Outcome string `json:"outcome"`
	Detail  string `json:"detail,omitempty"`
	Version string `json:"version,omitempty"` // under which it was published
}

// The outcomes.
const (
	Published = "published" // it is on the bus, acknowledged
	Changed   = "changed"   // it has been written since it was decided to mend it: nothing was done
	InDoubt   = "in doubt"  // the row is not, or not certainly, what the ledger says here: nothing was done
)

// Writable is the answer of Mender.Writable.
type Writable struct {
	WhyNot string `json:"why_not,omitempty"`
}

// Client is a Mender, seen from outside.
var _ Mender = (*Client)(nil)

// Republish implements Mender.
func (c *Client) Republish(ctx context.Context, order Order) (*Mended, error) {
	return send[Mended](ctx, c, http.MethodPost, "/v1/ledger/republish", order)
}

// Adopt implements Mender.
func (c *Client) Adopt(ctx context.Context, order Order) (*Mended, error) {
	return send[Mended](ctx, c, http.MethodPost, "/v1/ledger/adopt", order)
}

// Writable implements Mender.
func (c *Client) Writable(ctx context.Context) (*Writable, error) {
	return send[Writable](ctx, c, http.MethodGet, "/v1/ledger/writable", nil)
}

// MountMender serves what a region can be asked to do.
func MountMender(mount func(pattern string, h http.Handler), m Mender) {
	turns := make(chan struct{}, concurrent)
	mount("GET /v1/ledger/writable", versioned(answer(turns, func(h *http.Request, _ *struct{}) (any, error) { return m.Writable(h.Context()) })))
	mount("POST /v1/ledger/republish", versioned(answer(turns, func(h *http.Request, order *Order) (any, error) {
		if err := order.check(); err != nil {
			return nil, err
		}
		return m.Republish(h.Context(), *order)
	})))
	mount("POST /v1/ledger/adopt", versioned(answer(turns, func(h *http.Request, order *Order) (any, error) {
		if err := order.check(); err != nil {
			return nil, err
		}
		return m.Adopt(h.Context(), *order)
	})))
}

func (o *Order) check() error {
	if o.Table == "" || len(o.Rows) == 0 || len(o.Rows) > MaxOrder {
		return &badQuestion{fmt.Sprintf("an order names a table and 1 to %d rows", MaxOrder)}
	}
	if o.As != AsRepair && o.As != AsSeed {
		return &badQuestion{fmt.Sprintf("as=%q is neither %s nor %s", o.As, AsRepair, AsSeed)}
	}
	return nil
}

// ErrBusy is returned by a Mender where an order cannot be carried out now; nothing was done, and it may be given again.
var ErrBusy = errors.New("the row is in use")
