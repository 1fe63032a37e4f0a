package propagate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"meridian/internal/conflict"
	"meridian/internal/envelope"
	"meridian/internal/mysqldb"
	"meridian/internal/retry"
)

// Ledger is what the applier asks of the region's ledger.
type Ledger interface {
	// Lookup gives what is known of each place, all at one moment.
	Lookup(places []Place) ([]Known, error)
	// WaitPassed waits until every transaction that ends at or before the coordinates is in the ledger.
	WaitPassed(ctx context.Context, at mysqldb.Coordinates) error
	// WaitApplied waits until the ledger includes the source's changes before offset next.
	WaitApplied(ctx context.Context, source string, shard int, next uint64) error
	// PassControl tells that between the two offsets there are only control records.
	PassControl(source string, shard int, committed, next uint64)
}

// Acknowledgements tells when the bus has this region's own changes.
type Acknowledgements interface {
	WaitAcknowledged(ctx context.Context, sequence uint64) error
}

// Observer hears what the applier does; metrics and logs hang there. It is called from the workers' goroutines.
type Observer interface {
	Committed(r Report)
	Retried(source string, shard int, reason string, err error)
	Heard(w *envelope.WatermarkMark)
}

// Report is what one committed transaction did.
type Report struct {
	Source    string
	Shard     int
	Next      uint64
	Counts    Counts
	Applied   []*Inbound
	Conflicts []Conflict
	Parks     []Park
	Ended     map[string]uint64 // how many changes in review were superseded, by source
}

// ApplierConfig sets the bounds of the applier.
type ApplierConfig struct {
	Region           string
	BatchRows        int
	BatchBytes       int
	TransactionBytes int           // with one shard: the largest source transaction that is kept whole
	FenceTimeout     time.Duration // how long locks are held while waiting for the tailer
	Whole            bool          // one shard: source transactions are never split
	InboxBytes       int           // read ahead, for each source
	MaxAttempts      int           // of a parked change before it is dead
	RetryDelay       time.Duration // between them
	// Match tells whether a table is replicated here: a parked change to one that is not any more waits.
	Match func(schema, table string) bool
	Retry retry.Policy
}

// Worker applies one shard's changes of all other regions, in batches, one transaction at a time. It is used once.
//
// Invariants, each with the step that keeps it:
//   - No older change overwrites a newer row: decide → write → fence → validate → commit (attempt).
//   - Offsets live with the data: the provenance row moves in the transaction that writes the rows, from the offset that
//     this worker committed last, under the epoch that it owns.
//   - Before a batch is decided, the ledger includes the worker's own last commit (WaitApplied).
//   - Nothing is dropped: what the database refuses is parked in the transaction that moves the offset past it.
type Worker struct {
	cfg    ApplierConfig
	shard  int
	epoch  uint64
	target Target
	parked Parking
	review Reviews
	ledger Ledger
	acks   Acknowledgements // nil where a stamp does not need to be acknowledged to be final (MySQL)
	rules  conflict.Rules
	watch  Observer
	clock  retry.Clock
	log    *zap.Logger
	reach  func(step string)

	again chan struct{} // capacity 1: look for parked changes that are due
	inbox *inbox
	state map[string]*place // by source
}

// place is how far a source's shard has come.
type place struct {
	committed uint64 // the provenance row's next offset
	last      uint64 // the fingerprint of the record before it; 0: not known
	next      uint64 // the next offset to be read: past committed there are only control records
	epoch     uint64 // the greatest epoch marker read
	recent    *repeats
}

// WorkerDeps are what a Worker is joined to.
type WorkerDeps struct {
	Target   Target
	Parking  Parking
	Reviews  Reviews
	Ledger   Ledger
	Acks     Acknowledgements
	Rules    conflict.Rules
	Observer Observer
	Clock    retry.Clock
	Log      *zap.Logger
	Reached  func(step string) // called at the named steps; tests end the process there
}

// NewWorker makes the worker of a shard that this process has claimed with the epoch; states says where each source
// stands.
func NewWorker(cfg ApplierConfig, shard int, epoch uint64, states map[string]State, d WorkerDeps) *Worker {
	w := &Worker{
		cfg: cfg, shard: shard, epoch: epoch, target: d.Target, parked: d.Parking, review: d.Reviews, again: make(chan struct{}, 1), ledger: d.Ledger, acks: d.Acks, rules: d.Rules,
		watch: d.Observer, clock: d.Clock, log: d.Log, reach: d.Reached, state: map[string]*place{},
	}
	if w.reach == nil {
		w.reach = func(string) {}
	}
	sources := make([]string, 0, len(states))
	for s, st := range states {
		sources = append(sources, s)
		w.state[s] = &place{committed: st.Next, last: st.Last, next: st.Next, epoch: st.SourceEpoch, recent: newRepeats()}
	}
	ahead := cfg.InboxBytes
	if cfg.Whole {
		ahead = max(ahead, cfg.TransactionBytes) // else a transaction might never be there as a whole
	}
	w.inbox = newInbox(sources, ahead)
	return w
}

// Put hands records of a source over, in order; it waits while the worker is far behind.
func (w *Worker) Put(ctx context.Context, source string, items []Inbound) error {
	return w.inbox.put(ctx, source, items)
}

// Next gives the offset from which the source's topic is to be read, and the fingerprint of the record before it (0: not
// known). Called before Run.
func (w *Worker) Next(source string) (offset, last uint64) {
	at := w.state[source]
	return at.next, at.last
}

// mostIdle is how many control records may pass before the place in the topic is written down for their sake alone.
const mostIdle = 3600

// Run applies until the context ends or the shard is another's (ErrFenced).
func (w *Worker) Run(ctx context.Context) error {
	most := limit{rows: w.cfg.BatchRows, bytes: w.cfg.BatchBytes, whole: w.cfg.Whole, transactionBytes: w.cfg.TransactionBytes}
	for {
		source, items, err := w.inbox.take(ctx, most, w.again)
		if err != nil {
			return err
		}
		if len(items) == 0 {
			if err := w.retryParked(ctx); err != nil {
				return fmt.Errorf("trying parked changes of shard %d again: %w", w.shard, err)
			}
			continue
		}
		if err := w.process(ctx, source, items); err != nil {
			return fmt.Errorf("applying shard %d of %s: %w", w.shard, source, err)
		}
	}
}

func (w *Worker) process(ctx context.Context, source string, items []Inbound) error {
	at := w.state[source]
	for len(items) > 0 && items[0].Offset < at.next {
		items = items[1:] // already applied
	}
	if len(items) == 0 {
		return nil
	}
	if items[0].Offset != at.next {
		return fmt.Errorf("%w: offset %d came where %d is next", errOutOfOrder, items[0].Offset, at.next)
	}
	b := gather(source, items, at.committed, at.epoch, at.recent)
	if !b.idle() || b.to-at.committed > mostIdle {
		if err := w.apply(ctx, b); err != nil {
			return err
		}
		at.committed, at.last = b.to, b.last
	}
	at.next, at.epoch = b.to, b.sourceEpoch
	if len(b.words) > 0 {
		// What a region says of itself counts once everything before it is in the ledger.
		if err := w.ledger.WaitApplied(ctx, source, w.shard, at.committed); err != nil {
			return err
		}
		w.ledger.PassControl(source, w.shard, at.committed, at.next)
		for _, word := range b.words {
			w.watch.Heard(word)
		}
	}
	return nil
}

// errOutOfOrder is returned when a consumer hands over records that do not follow each other: a fault in this program.
var errOutOfOrder = errors.New("records of the bus came out of order")

// apply brings a batch into the database, for as long as it takes. Nothing advances until it has been committed.
func (w *Worker) apply(ctx context.Context, b *batch) error {
	backoff := retry.NewBackoff(w.cfg.Retry, w.clock)
	for {
		err := w.attempt(ctx, b)
		if err == nil {
			w.report(b)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l := w.learn(b, err)
		if l.reason != "" {
			w.watch.Retried(b.source, w.shard, l.reason, err)
		}
		done, err := l.cure(ctx)
		if done { // it had been committed after all
			w.report(b)
			return nil
		}
		if err != nil {
			return err
		}
		if l.wait {
			if err := backoff.Failed(ctx, l.err); err != nil {
				return err
			}
		}
	}
}

// lesson is what a failed attempt teaches.
type lesson struct {
	err    error
	reason string // why it is tried again; empty: it is not
	wait   bool   // before it is tried again
	// cure does what has to be done before: done tells that nothing is left to do, an error that nothing can be done.
	cure func(ctx context.Context) (done bool, err error)
}

// learn draws the consequences of a failed attempt.
func (w *Worker) learn(b *batch, err error) lesson {
	l := lesson{err: err, cure: func(context.Context) (bool, error) { return false, nil }}
	var unexpected *UnexpectedRowsError
	var refused *RefusedError
	var another *mysqldb.AnotherServerError
	switch {
	case errors.Is(err, errChanged):
		l.reason = "changed"
	case errors.Is(err, ErrFenced), errors.As(err, &another), errors.Is(err, ErrNotParked): // none heals by trying again
		l.cure = func(context.Context) (bool, error) { return false, err }
	case errors.Is(err, ErrOutcomeUnknown), errors.Is(err, ErrMoved):
		l.reason, l.wait = "outcome_unknown", true
		l.cure = func(ctx context.Context) (bool, error) { return w.settle(ctx, b) }
	case errors.As(err, &unexpected):
		l.reason = "unexpected_rows"
		l.cure = func(ctx context.Context) (bool, error) { return false, w.catchUp(ctx, b) }
	case errors.As(err, &refused) && b.unpark != 0:
		l.cure = func(context.Context) (bool, error) { return false, refused }
	case errors.As(err, &refused):
		b.refuse(refused)
		l.reason = "refused"
	case errors.Is(err, errFenceTimeout):
		l.reason, l.wait = "fence_timeout", true
		l.cure = func(ctx context.Context) (bool, error) { return false, w.waitTailer(ctx) }
	default:
		l.reason, l.wait = mysqldb.Reason(err), true
	}
	return l
}

// refuse notes what the database does not accept; the next attempt parks it.
func (b *batch) refuse(e *RefusedError) {
	b.single = true
	for i := range e.Rows {
		r := &e.Rows[i]
		if c := b.candidates[Place{r.Change.Table.String(), r.Change.Key}]; c != nil {
			c.refused = r
		}
	}
}
