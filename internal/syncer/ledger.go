package syncer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"meridian/internal/binlog"
	"meridian/internal/checksum"
)

// openFile opens the ledger's file, and gives its checkpoint. There is none where the ledger has to be made anew; what it
// warned of is kept all the same.
func (s *Syncer) openFile(p *parts) (checkpoint []byte, err error) {
	opts := checksum.Options{
		Path: s.ledgerPath(), Region: s.cfg.Region, Shards: s.cfg.Shards, Reached: s.cfg.Reached,
		Share: fmt.Sprintf("replica %d of %d", s.cfg.Replica, s.cfg.Replicas),
	}
	p.ledger, err = checksum.Open(opts)
	switch {
	case errors.Is(err, checksum.ErrDamaged), errors.Is(err, checksum.ErrOtherShare):
		s.lost = err
	case err != nil:
		return nil, err
	case s.lost == nil:
		if checkpoint, _, err = p.ledger.Checkpoint(); err != nil {
			return nil, err
		}
	}
	if err = s.acknowledge(p.ledger); err != nil || len(checkpoint) > 0 {
		return checkpoint, err
	}
	// Nothing, an unfinished rebuild, or a lost ledger: start from an empty file.
	if l := p.ledger; l != nil {
		p.ledger = nil
		if err = l.Close(); err != nil {
			return nil, err
		}
	}
	warnings := checksum.WarningsIn(opts.Path)
	if err = s.removeLedger(opts.Path); err != nil {
		return nil, err
	}
	if p.ledger, err = checksum.Open(opts); err != nil {
		return nil, err
	}
	return nil, p.ledger.Warn(warnings...)
}

// removeLedger makes place for a new ledger. A damaged one is kept beside it.
func (s *Syncer) removeLedger(path string) error {
	if !errors.Is(s.lost, checksum.ErrDamaged) {
		return checksum.Remove(path)
	}
	kept, err := checksum.SetAside(path)
	if err != nil {
		return err
	}
	s.cfg.Log.Error("the ledger file is damaged: it is set aside, and the ledger is made anew from the topics and the database; look at the disk",
		zap.String("region", s.cfg.Region), zap.String("kept", kept), zap.Error(s.lost))
	s.lost = errors.New(s.lost.Error()) //nolint:err113 // why the ledger is rebuilt, but no longer that what stands there is damaged
	return nil
}

// acknowledge forgets the warnings that the ledger has, when that was asked for: those of an earlier start, once.
func (s *Syncer) acknowledge(l *checksum.Ledger) error {
	if l == nil {
		return nil
	}
	log := s.cfg.Log.With(zap.String("region", s.cfg.Region))
	for _, text := range l.Warnings() {
		if s.cfg.AcknowledgeWarnings && !s.forgotten {
			log.Info("acknowledged, and not shown any more (--acknowledge-warnings)", zap.String("warning", text))
		} else {
			log.Warn("not acknowledged yet", zap.String("warning", text))
		}
	}
	if !s.cfg.AcknowledgeWarnings || s.forgotten {
		return nil
	}
	s.forgotten = true
	return l.Acknowledge()
}

// watchLedger ends when the ledger's file is found to be damaged, whoever finds it.
func (s *Syncer) watchLedger(ctx context.Context, l *checksum.Ledger) error {
	select {
	case <-l.Damaged():
		return l.Damage()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// warnOfHole keeps what is known of transactions that were never read, until a person has dealt with it.
func (r *rebuild) warnOfHole(behind binlog.History, purged *binlog.PositionError) error {
	lost := behind.Since(r.resume)
	text := fmt.Sprintf("%s: the binlog was purged before Meridian had read all of it. What the applications wrote in the transactions %s is in this "+
		"region's database, and was never published: the other regions lack it, or keep what is older. Compare the replicated tables with the "+
		"other regions by hand, and write the rows that differ again in the region that is right (an UPDATE that changes something): that "+
		"replicates. Then start `syncer run --acknowledge-warnings` once. Capture goes on behind %s",
		r.s.cfg.Clock.Now().UTC().Format(time.RFC3339), lost, behind)
	r.s.cfg.Log.Error("the binlog behind the last checkpoint is gone", zap.String("region", r.s.cfg.Region), zap.String("lost", lost),
		zap.String("warning", text), zap.Error(purged))
	return r.p.ledger.Warn(text)
}
