package syncer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"meridian/internal/binlog"
	"meridian/internal/checksum"
	"meridian/internal/mysqldb"
	"meridian/internal/propagate"
	"meridian/internal/retry"
	"meridian/internal/row"
)

// The adapters give one room's type the shape that another room's interface asks for.

// ledgerForApply is the ledger as the applier asks for it.
type ledgerForApply struct{ *checksum.Ledger }

// Lookup implements propagate.Ledger.
func (l ledgerForApply) Lookup(places []propagate.Place) ([]propagate.Known, error) {
	asked := make([]checksum.Place, len(places))
	for i, p := range places {
		asked[i] = checksum.Place(p)
	}
	entries, found, err := l.Ledger.Lookup(asked)
	if err != nil {
		return nil, err
	}
	known := make([]propagate.Known, len(places))
	for i := range entries {
		known[i] = propagate.Known{
			Found: found[i], Version: entries[i].Version, Deleted: entries[i].Deleted, Suspect: entries[i].Suspect, Sequence: entries[i].Sequence,
		}
	}
	return known, nil
}

// WaitPassed implements propagate.Ledger. Coordinates of another server than the tailer's mean that the database has been
// replaced: the applier's connections are of no more use.
func (l ledgerForApply) WaitPassed(ctx context.Context, at mysqldb.Coordinates) error {
	err := l.Ledger.WaitPassed(ctx, at)
	if errors.Is(err, checksum.ErrOtherServer) {
		passed, _ := l.Passed()
		return errors.Join(&mysqldb.AnotherServerError{Address: "the database", Was: at.Server, Is: passed.Server}, err)
	}
	return err
}

// serverClock is the database as the pulse asks it.
type serverClock struct {
	server *mysqldb.Server
	clock  retry.Clock
}

// Now implements Server: the time first, then the coordinates, so that everything committed up to the time lies before
// them.
func (s serverClock) Now(ctx context.Context) (time.Time, mysqldb.Coordinates, error) {
	ahead, roundTrip, err := s.server.Clock(ctx)
	if err != nil {
		return time.Time{}, mysqldb.Coordinates{}, err
	}
	// The server read its clock before the answer came: not later than this.
	now := s.clock.Now().Add(ahead - roundTrip)
	at, err := s.server.Coordinates(ctx, s.server.DB)
	return now, at, err
}

// hints is the live schema as the tailer asks it.
type hints struct{ schema *mysqldb.Schema }

// Hints implements binlog.Hints. A table that is no longer there has no hints. A database that goes away while it is
// asked is no fault of the binlog: the tailer's connection is about to break, too, and is made again.
func (h hints) Hints(ctx context.Context, schema, table string) (map[string]row.Column, error) {
	info, err := h.schema.Table(ctx, schema, table)
	if errors.Is(err, mysqldb.ErrNoTable) {
		return nil, nil
	}
	if mysqldb.Classify(err) == mysqldb.Transient {
		return nil, fmt.Errorf("%w: %w", binlog.ErrConnection, err)
	}
	if err != nil {
		return nil, err
	}
	return info.Hints(), nil
}

// decideTables tells the tailer what to do with a table's row events.
func decideTables(t Tables) func(schema, table string) binlog.Decision {
	return func(schema, table string) binlog.Decision {
		switch {
		case schema == propagate.StateDatabase && table == propagate.TableConflicts:
			return binlog.Skip // whole rows, written and deleted, of which capture needs to know nothing
		case schema == propagate.StateDatabase:
			return binlog.Own
		case t.Match(schema, table):
			return binlog.Replicated
		default:
			return binlog.Skip
		}
	}
}
