package syncer

import (
	"context"
	"errors"

	"meridian/internal/binlog"
	"meridian/internal/mysqldb"
	"meridian/internal/row"
)

// errReached ends a tailer that has read up to where it was to read.
var errReached = errors.New("the place in the binlog is reached")

// historian reads a stretch of the binlog that is over, for a rebuild. It is a binlog.Handler.
type historian struct {
	until  mysqldb.Coordinates
	change func(c *row.Change, own bool) error // may be nil
}

// Begin implements binlog.Handler.
func (h *historian) Begin(context.Context, *binlog.Transaction) error { return nil }

// Change implements binlog.Handler.
func (h *historian) Change(_ context.Context, rows *binlog.Rows) error {
	for i := range rows.Changes {
		if h.change == nil {
			return nil
		}
		if err := h.change(&rows.Changes[i], rows.Own); err != nil {
			return err
		}
	}
	return nil
}

// Schema implements binlog.Handler.
func (h *historian) Schema(context.Context, *binlog.SchemaEvent) error { return nil }

// Commit implements binlog.Handler.
func (h *historian) Commit(_ context.Context, end *binlog.End) error { return h.reached(end) }

// Progress implements binlog.Handler.
func (h *historian) Progress(_ context.Context, end *binlog.End) error { return h.reached(end) }

func (h *historian) reached(end *binlog.End) error {
	if end.Coordinates.File != "" && end.Coordinates.Server == h.until.Server && end.Coordinates.Compare(h.until) >= 0 {
		return errReached
	}
	return nil
}
