package inspect

import (
	"context"
	"errors"
	"net/http"
	"strconv"
)

// Restorer brings back what lost a conflict. Its methods are called from many goroutines. Errors that decide: *QuestionError
// for an id that is not there, ErrNotReady, ErrRowChanged, *UnrestorableError; after each of them nothing has been changed.
type Restorer interface {
	// RestorePlan says what bringing back would do. Nothing is changed.
	RestorePlan(ctx context.Context, number uint64) (*Restore, error)
	// Restore writes what was lost as an ordinary local write, if the row is still as the plan found it (Restore.Over).
	Restore(ctx context.Context, number uint64, over string) (*Restore, error)
}

// ErrRowChanged is returned when a row is not as the plan found it any more.
var ErrRowChanged = errors.New("the row is not as the plan found it any more: look at the plan again")

// UnrestorableError is returned when what was lost cannot be written as things are.
type UnrestorableError struct{ Why string }

// Error implements error.
func (e *UnrestorableError) Error() string { return e.Why }

// Restore is what bringing back does, or has done.
type Restore struct {
	ID       ConflictID `json:"id"`
	Table    string     `json:"table"`
	Key      []string   `json:"key"`
	Conflict Conflict   `json:"conflict"`
	Now      Image      `json:"now"`  // the row as it is there; Deleted: there is none
	Then     Image      `json:"then"` // as it will be, as far as the lost row says
	// Different are the columns that change; Kept are those that the lost row did not have: they keep their value, or get their
	// default where there is no row.
	Different []string `json:"different_columns"`
	Kept      []string `json:"kept_columns"`
	Over      string   `json:"over"`    // names Now, for Restorer.Restore
	Already   bool     `json:"already"` // the row is as it was lost: nothing is to be done
	Done      bool     `json:"done"`
}

// Client is a Restorer, seen from outside.
var _ Restorer = (*Client)(nil)

// RestorePlan implements Restorer.
func (c *Client) RestorePlan(ctx context.Context, number uint64) (*Restore, error) {
	r, err := send[Restore](ctx, c, http.MethodGet, "/v1/conflicts/"+strconv.FormatUint(number, 10), nil)
	return r, restored(err)
}

// Restore implements Restorer.
func (c *Client) Restore(ctx context.Context, number uint64, over string) (*Restore, error) {
	r, err := send[Restore](ctx, c, http.MethodPost, "/v1/conflicts/"+strconv.FormatUint(number, 10)+"/restore", restoreOrder{over})
	return r, restored(err)
}

// restored gives the error that the region had.
func restored(err error) error {
	var refused *RefusedError
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Status {
	case http.StatusConflict:
		return ErrRowChanged
	case http.StatusUnprocessableEntity:
		return &UnrestorableError{refused.Detail}
	default:
		return asked(err)
	}
}

// restoreOrder is the body of a POST.
type restoreOrder struct {
	Over string `json:"over"`
}

// MountRestorer serves GET /v1/conflicts/{id}, the plan, and POST /v1/conflicts/{id}/restore. The server lets nobody change
// anything without a token.
func MountRestorer(mount func(pattern string, h http.Handler), r Restorer) {
	turns := make(chan struct{}, concurrent)
	mount("GET /v1/conflicts/{id}", answer(turns, func(q *http.Request, _ *struct{}) (any, error) {
		number, err := conflictNumber(q)
		if err != nil {
			return nil, err
		}
		return r.RestorePlan(q.Context(), number)
	}))
	mount("POST /v1/conflicts/{id}/restore", answer(turns, func(q *http.Request, order *restoreOrder) (any, error) {
		number, err := conflictNumber(q)
		if err != nil {
			return nil, err
		}
		if order.Over == "" {
			return nil, &badQuestion{`the order is {"over": …}, with what the plan gave as "over"`}
		}
		return r.Restore(q.Context(), number, order.Over)
	}))
}

func conflictNumber(q *http.Request) (uint64, error) {
	n, err := strconv.ParseUint(q.PathValue("id"), 10, 64)
	if err != nil {
		return 0, &badQuestion{"a kept conflict is named by a number here, not " + strconv.Quote(q.PathValue("id"))}
	}
	return n, nil
}
