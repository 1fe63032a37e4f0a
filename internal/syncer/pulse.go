package syncer

import (
	"context"
	"time"

	"go.uber.org/zap"

	"meridian/internal/checksum"
	"meridian/internal/envelope"
	"meridian/internal/mysqldb"
	"meridian/internal/propagate"
	"meridian/internal/retry"
)

// pulse says, once an interval, in each owned partition of the region's own topic, up to which time everything is
// published there, and what the ledger file includes. It asks the database for its time and its coordinates, waits until
// the tailer has passed them, and only then speaks: so the word stands behind every change up to that time, and who
// reads the topic in order knows how old what he lacks can be.
type pulse struct {
	region    string
	epochs    map[int]uint64
	interval  time.Duration
	server    Server
	ledger    *checksum.Ledger
	publisher *propagate.Publisher
	words     *Words
	clock     retry.Clock
	log       *zap.Logger
	beaten    func()      // hears of each beat: the tailer has passed what the database had, so capture works
	trouble   func(error) // what keeps it from beating; nil when all is well
}

// Server is what the pulse asks of the database.
type Server interface {
	// Now gives the server's time and its binlog coordinates taken after it.
	Now(ctx context.Context) (time.Time, mysqldb.Coordinates, error)
}

func (p *pulse) run(ctx context.Context) error {
	for {
		err := p.beat(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.trouble(err)
		if err != nil {
			p.log.Debug("no heartbeat this time", zap.Error(err))
		}
		if err := p.clock.Sleep(ctx, p.interval); err != nil {
			return err
		}
	}
}

func (p *pulse) beat(ctx context.Context) error {
	now, at, err := p.server.Now(ctx)
	if err != nil {
		return err
	}
	if err := p.ledger.WaitPassed(ctx, at); err != nil {
		return err
	}
	p.beaten()
	ends := p.publisher.Ends()
	// Where something was lost here (a warning), what this region has passed it need not have: the others keep their tombstones until
	// a person has compared the rows. Without them what the region missed to delete would be the newest that there is.
	missed := len(p.ledger.Warnings()) > 0
	for shard, epoch := range p.epochs {
		var applied map[string]int64
		if !missed {
			applied = p.words.Of(shard)
		}
		m := &envelope.Message{
			Kind: envelope.Watermark, Epoch: epoch,
			Source: envelope.Source{Region: p.region, CommitTime: now.UnixMicro()},
			Time:   p.clock.Now().UnixMilli(), Watermark: &envelope.WatermarkMark{
				Region: p.region, Shard: shard, Epoch: epoch, Time: now.UnixMicro(), Applied: applied, Checkpoint: p.words.Checkpoint(),
				Published: ends[shard],
			},
		}
		if err := p.publisher.Put(ctx, propagate.Outbound{Shard: shard, Message: m, Bytes: 256}); err != nil {
			return err
		}
	}
	return nil
}
