package binlog_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"meridian/internal/binlog"
	"meridian/internal/mysqldb"
	"meridian/internal/row"
	"meridian/internal/testenv"
)

// patience bounds every wait of a test: longer means that something hangs.
const patience = 30 * time.Second

var kinds = []testenv.Kind{testenv.KindMySQL, testenv.KindMySQL80, testenv.KindMariaDB, testenv.KindMariaDB1011}

// onEach runs a test on a shared server of each kind.
func onEach(t *testing.T, test func(t *testing.T, db *testenv.Database)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) { test(t, testenv.Shared(t, kind, "")) })
	}
}

// seen is a transaction as the Handler saw it.
type seen struct {
	tx      *binlog.Transaction
	changes []row.Change
	chunks  []binlog.Rows
	schema  []binlog.SchemaEvent
	end     *binlog.End // nil as long as it is open
}

// recorder is a Handler that keeps everything.
type recorder struct {
	mu       sync.Mutex
	changed  chan struct{} // closed at every change
	done     []*seen
	open     *seen
	last     *binlog.End // of a Commit or Progress
	progress int
	ended    chan struct{}            // closed when Run has ended
	onChange func(*binlog.Rows) error // nil: none
	onCommit func(*binlog.End) error
	discard  bool // keep counts only
	total    int
}

func newRecorder() *recorder { return &recorder{changed: make(chan struct{})} }

func (r *recorder) locked(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *recorder) Begin(_ context.Context, tx *binlog.Transaction) error {
	r.locked(func() { r.open = &seen{tx: tx} })
	return nil
}

func (r *recorder) Change(_ context.Context, rows *binlog.Rows) error {
	if r.onChange != nil {
		if err := r.onChange(rows); err != nil {
			return err
		}
	}
	r.locked(func() {
		r.total += len(rows.Changes)
		if r.discard {
			return
		}
		r.open.changes = append(r.open.changes, rows.Changes...)
		r.open.chunks = append(r.open.chunks, *rows)
	})
	return nil
}

func (r *recorder) Schema(_ context.Context, e *binlog.SchemaEvent) error {
	r.locked(func() { r.open.schema = append(r.open.schema, *e) })
	return nil
}

func (r *recorder) Commit(_ context.Context, end *binlog.End) error {
	if r.onCommit != nil {
		if err := r.onCommit(end); err != nil {
			return err
		}
	}
	r.locked(func() {
		r.open.end, r.last = end, end
		r.done = append(r.done, r.open)
		r.open = nil
	})
	return nil
}

func (r *recorder) Progress(_ context.Context, end *binlog.End) error {
	r.locked(func() { r.last, r.progress = end, r.progress+1 })
	return nil
}

// until waits for a condition, which is called with the lock held.
func (r *recorder) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		r.mu.Lock()
		ok, changed := holds(), r.changed
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-r.ended:
			r.mu.Lock()
			ok := holds()
			r.mu.Unlock()
			if !ok {
				t.Fatalf("the tailer ended before %s", what)
			}
			return
		case <-timeout:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// tail is a Tailer that runs.
type tail struct {
	*recorder
	t      *testing.T
	cancel context.CancelCauseFunc
	err    error // valid when ended is closed
}

var errStopped = errors.New("stopped by the test")

// options of a tail; zero values are sensible.
type options struct {
	config   func(*binlog.Config)
	recorder *recorder
	from     *binlog.Position
	hints    binlog.Hints
}

// server opens a server as Meridian does.
func server(t *testing.T, db *testenv.Database) *mysqldb.Server {
	t.Helper()
	s, err := mysqldb.Open(t.Context(), mysqldb.Config{Address: db.Address, User: db.User, Password: password(db)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func password(db *testenv.Database) func() (string, error) {
	return func() (string, error) { return db.Password, nil }
}

// replicated wants all tables of a schema, except those whose name begins with "skip"; "own…" are Meridian's.
func replicated(schema string) func(schema, table string) binlog.Decision {
	return func(s, table string) binlog.Decision {
		switch {
		case s != schema || strings.HasPrefix(table, "skip"):
			return binlog.Skip
		case strings.HasPrefix(table, "own"):
			return binlog.Own
		default:
			return binlog.Replicated
		}
	}
}

// hints asks the live schema.
type hints struct{ server *mysqldb.Server }

func (h hints) Hints(ctx context.Context, schema, table string) (map[string]row.Column, error) {
	info, err := h.server.LoadTable(ctx, schema, table)
	if errors.Is(err, mysqldb.ErrNoTable) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return info.Hints(), nil
}

var lastServerID uint32 = 5000

func newTailer(t *testing.T, db *testenv.Database, schema string, o options) *binlog.Tailer {
	t.Helper()
	lastServerID++
	config := binlog.Config{Address: db.Address, User: db.User, Password: password(db), ServerID: lastServerID,
		Tables: replicated(schema), Hints: o.hints, Logger: zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))}
	if o.config != nil {
		o.config(&config)
	}
	tailer, err := binlog.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return tailer
}

// follow starts a Tailer, from where the server's binlog ends now unless told otherwise.
func follow(t *testing.T, db *testenv.Database, schema string, o options) *tail {
	t.Helper()
	from := o.from
	if from == nil {
		from = now(t, db)
	}
	return run(t, newTailer(t, db, schema, o), *from, o.recorder)
}

func now(t *testing.T, db *testenv.Database) *binlog.Position {
	t.Helper()
	gtids, err := server(t, db).ExecutedGTIDs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &binlog.Position{GTIDs: gtids}
}

func run(t *testing.T, tailer *binlog.Tailer, from binlog.Position, r *recorder) *tail {
	if r == nil {
		r = newRecorder()
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	f := &tail{recorder: r, t: t, cancel: cancel}
	r.ended = make(chan struct{})
	go func() {
		defer close(f.ended)
		f.err = tailer.Run(ctx, from, r)
	}()
	t.Cleanup(func() {
		cancel(errStopped)
		<-f.ended
	})
	return f
}

// stop ends the Tailer, which must have had no error, and gives what it saw.
func (f *tail) stop() []*seen {
	f.t.Helper()
	f.cancel(errStopped)
	if err := f.wait(); !errors.Is(err, errStopped) {
		f.t.Fatalf("the tailer ended with: %v", err)
	}
	return f.done
}

// wait gives the error that the Tailer ends with.
func (f *tail) wait() error {
	f.t.Helper()
	select {
	case <-f.ended:
		return f.err
	case <-time.After(patience):
		f.t.Fatal("the tailer does not end")
		return nil
	}
}

// fence waits until the Tailer has passed what the server has written by now, and gives the transactions so far.
func (f *tail) fence(db *testenv.Database) []*seen {
	f.t.Helper()
	s := server(f.t, db)
	at, err := s.Coordinates(f.t.Context(), s.DB)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if f.t.Failed() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.t.Logf("on the way to %s the tailer got to %+v after %d transactions; error: %v", at, f.last, len(f.done), f.err)
		}
	})
	f.until(f.t, at.String(), func() bool {
		return f.last != nil && f.last.Coordinates.Server == at.Server && f.last.Coordinates.Compare(at) >= 0
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*seen(nil), f.done...)
}

// text writes changes in short: "insert t(1,a) …".
func text(changes []row.Change) string {
	parts := make([]string, len(changes))
	for i := range changes {
		c := &changes[i]
		parts[i] = fmt.Sprintf("%s %s(%s)", c.Op, c.Table.Name, values(c.Table, c.Row()))
		if c.Op == row.Update {
			parts[i] = fmt.Sprintf("%s %s(%s→%s)", c.Op, c.Table.Name, values(c.Table, c.Before), values(c.Table, c.After))
		}
	}
	return strings.Join(parts, " ")
}

func values(t *row.Table, image []row.Value) string {
	var b []byte
	for i, v := range image {
		if i > 0 {
			b = append(b, ',')
		}
		if v.IsNull() {
			b = append(b, "NULL"...)
			continue
		}
		b = row.AppendText(b, v, &t.Columns[i])
	}
	return string(b)
}

// texts writes transactions in short.
func texts(transactions []*seen) []string {
	all := make([]string, len(transactions))
	for i, s := range transactions {
		all[i] = text(s.changes)
		for _, e := range s.schema {
			all[i] = strings.TrimSpace(all[i] + " " + e.Kind.String() + " " + e.Table)
		}
	}
	return all
}
