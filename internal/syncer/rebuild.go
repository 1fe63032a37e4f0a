package syncer

import (
	"meridian/internal/binlog"
)

// ledgerLost follows when the server cannot continue from the checkpoint: it has lost transactions that the ledger knows
// of, or purged some that the ledger lacks. The ledger counts as lost, and is rebuilt at the next start.
func (s *Syncer) ledgerLost(err *binlog.PositionError) error {
	s.lost = err
	return &againError{err}
}
