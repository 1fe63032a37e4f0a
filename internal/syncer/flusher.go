package syncer

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"sync"
	"time"

	"go.uber.org/zap"

	"meridian/internal/checksum"
	"meridian/internal/propagate"
	"meridian/internal/retry"
	"meridian/internal/row"
)

// flushing is how capture and the flusher speak: something was set aside; it has been written.
type flushing struct {
	begin chan struct{} // capacity 1

	mu       sync.Mutex
	finished chan struct{} // closed and replaced when a flush is done
}

func newFlushing() *flushing {
	return &flushing{begin: make(chan struct{}, 1), finished: make(chan struct{})}
}

func (f *flushing) start() {
	select {
	case f.begin <- struct{}{}:
	default:
	}
}

// done is closed when the next flush is done; taken before looking whether one is under way.
func (f *flushing) done() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.finished
}

func (f *flushing) finish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.finished)
	f.finished = make(chan struct{})
}

// Words are what this region says of itself: up to where its ledger file includes each topic, by shard and source.
type Words struct {
	mu         sync.Mutex
	by         map[int]map[string]int64
	checkpoint string // the transactions that the file includes
}

// Of gives the word for a shard.
func (w *Words) Of(shard int) map[string]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.by[shard])
}

// Checkpoint gives the transactions that the ledger file includes, as GTIDs.
func (w *Words) Checkpoint() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.checkpoint
}

func (w *Words) setCheckpoint(gtids string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.checkpoint = gtids
}

func (w *Words) set(by map[int]map[string]int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.by = by
}

// collector is what the flusher tells and asks of tombstones: a checksum.Collector.
type collector interface {
	Heard(w checksum.Word)
	Flushed(shards map[int]map[string]int64)
	Collect(ctx context.Context, held func(table string, key row.Key) bool) (int, error)
}

// flusher writes what capture sets aside, once the bus has acknowledged all of it, and then collects tombstones.
//
// Invariant: the checkpoint in the file never passes what the bus has acknowledged.
type flusher struct {
	region    string
	ledger    *checksum.Ledger
	publisher *propagate.Publisher
	collector collector
	held      func(table string, key row.Key) bool // tombstones that may not go
	flushing  *flushing
	words     *Words
	policy    retry.Policy
	clock     retry.Clock
	log       *zap.Logger
	observe   func(time.Duration)
	collected func(int)   // hears how many tombstones have gone
	trouble   func(error) // what keeps it from writing; nil when all is well
	retried   func()
}

func (f *flusher) run(ctx context.Context) error {
	for {
		select {
		case <-f.flushing.begin:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := f.flush(ctx); err != nil {
			return err
		}
	}
}

// flush writes what is set aside, and then collects the tombstones that may go.
func (f *flusher) flush(ctx context.Context) error {
	cut, ok := f.ledger.Frozen()
	if !ok {
		return nil
	}
	if err := f.publisher.WaitAcknowledged(ctx, cut.Sequence); err != nil {
		return err
	}
	began := f.clock.Now()
	ends := f.publisher.Ends()
	var applied map[checksum.SourceShard]uint64
	err := f.persist(ctx, func(ctx context.Context) (err error) {
		applied, err = f.ledger.Flush(ctx)
		return err
	})
	if err != nil {
		return err
	}
	f.observe(f.clock.Now().Sub(began))
	f.flushing.finish()
	f.say(cut, applied, ends)
	return f.persist(ctx, func(ctx context.Context) error {
		n, err := f.collector.Collect(ctx, f.held)
		if n > 0 {
			f.collected(n)
		}
		return err
	})
}

// persist writes to the ledger's file, for as long as it takes: a full disk may become free. A damaged file does not heal.
func (f *flusher) persist(ctx context.Context, write func(context.Context) error) error {
	backoff := retry.NewBackoff(f.policy, f.clock)
	for {
		err := write(ctx)
		if err == nil {
			f.trouble(nil)
			return nil
		}
		if errors.Is(err, checksum.ErrDamaged) {
			return err
		}
		f.trouble(err)
		f.retried()
		f.log.Error("the ledger cannot be written; capture stops when its memory is full, nothing is lost; trying again", zap.Error(err))
		if err = backoff.Failed(ctx, err); err != nil {
			return err
		}
	}
}

// say notes what the file includes now. For this region's own topic the word is what had been acknowledged when the cut
// was made (nothing in front of it is newer than the cut); a tombstone of the cut lies below what had been acknowledged
// when all of the cut was.
func (f *flusher) say(cut checksum.Cut, applied map[checksum.SourceShard]uint64, ends map[int]int64) {
	words, cuts := map[int]map[string]int64{}, map[int]map[string]int64{}
	for shard, end := range ends {
		word := map[string]int64{f.region: int64(cut.Own[shard])}
		upper := map[string]int64{f.region: end}
		if cut.Settled {
			upper[f.region] = word[f.region]
		}
		for at, next := range applied {
			if at.Shard == shard {
				word[at.Source], upper[at.Source] = int64(next), int64(next)
			}
		}
		words[shard], cuts[shard] = word, upper
		f.collector.Heard(checksum.Word{Region: f.region, Shard: shard, Applied: word})
	}
	f.words.set(words)
	var c checkpoint
	if err := json.Unmarshal(cut.Checkpoint, &c); err == nil { // it is what freeze wrote
		f.words.setCheckpoint(c.Position.GTIDs)
	}
	f.collector.Flushed(cuts)
}
