package syncer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"meridian/internal/checksum"
	"meridian/internal/mysqldb"
	"meridian/internal/retry"
	"meridian/internal/row"
)

// baseline enters into the ledger the rows that were there before Meridian came: it reads each table once, in pieces, in the
// order of its primary key, while everything else goes on. No lock is taken, and no transaction is open for longer than
// one piece.
//
// Invariants:
//   - A row is entered only when the tailer has passed a place in the binlog behind its reading, and nothing is known of it
//     then: what touched it meanwhile counts, not what was read (checksum.Baseline).
//   - A row was read as the definition says by which it is digested: an ALTER TABLE since, seen by the tailer or not, has the
//     piece read again.
//   - How far a scan has come is a note in the same cut as its rows: a crash loses both or neither.
type baseline struct {
	cfg   *Config
	parts *parts
	told  map[string]bool // tables of which it was said that they cannot be read
	shown scanProgress
}

// scanned is the note about a table's scan.
type scanned struct {
	Rows  uint64 `json:"rows"`
	After []byte `json:"after,omitempty"` // the last row's key, see keyBytes
	Done  bool   `json:"done,omitempty"`
	// Key is the KeyID of the entries. After an ALTER TABLE that changes it no row is known by its entry any more.
	Key   uint64 `json:"key,omitempty"`
	Sweep bool   `json:"sweep,omitempty"` // entries with keys of before are left
}

const (
	pieceTime     = 200 * time.Millisecond // about what a piece takes
	firstPiece    = 500                    // rows
	largestPiece  = 20_000
	smallestPiece = 10
	tablesEvery   = time.Minute // between looking for new tables
)

func newBaseline(s *Syncer, p *parts) *baseline {
	return &baseline{cfg: &s.cfg, parts: p, told: map[string]bool{}, shown: scanProgress{tables: map[string]*ScanProgress{}}}
}

func noteOf(table string) string { return "baseline/" + table }

// run scans what has not been scanned, and looks for new tables from time to time.
func (b *baseline) run(ctx context.Context) error {
	backoff := retry.NewBackoff(b.cfg.Retry, b.cfg.Clock)
	for {
		err := b.all(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			backoff.Succeeded()
			err = b.wait(ctx)
		case ends(err):
			return err
		default:
			b.cfg.Metrics.retries.WithLabelValues("baseline", mysqldb.Reason(err)).Inc()
			err = backoff.Failed(ctx, err)
		}
		if err != nil {
			return err
		}
	}
}

// wait waits until it is time to look for new tables, or a DDL statement has passed.
func (b *baseline) wait(ctx context.Context) error {
	sleeping, wake := context.WithCancel(ctx)
	defer wake()
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		select {
		case <-b.parts.altered:
			wake()
		case <-sleeping.Done():
		}
	}()
	err := b.cfg.Clock.Sleep(sleeping, tablesEvery)
	wake()
	<-heard
	if ctx.Err() == nil && sleeping.Err() != nil {
		return nil // woken, or slept enough
	}
	return err
}

func (b *baseline) all(ctx context.Context) error {
	tables, err := b.parts.server.ListTables(ctx)
	if err != nil {
		return err
	}
	tables = slices.DeleteFunc(tables, func(t mysqldb.TableName) bool { return !b.cfg.Tables.Match(t.Schema, t.Name) })
	there := map[string]bool{}
	for _, t := range tables {
		there[t.String()] = true
	}
	b.shown.list(there)
	for _, t := range tables {
		err := b.table(ctx, t)
		switch {
		case err == nil:
			delete(b.told, t.String())
		case errors.Is(err, mysqldb.ErrNoTable): // dropped meanwhile
		case passes(err), ctx.Err() != nil, ends(err):
			return fmt.Errorf("reading the rows of %s that were there before: %w", t, err)
		default: // the next round begins anew. The other tables can be read.
			b.parts.target.Forget(t.Schema, t.Name)
			b.parts.ledger.SetNote(noteOf(t.String()), nil)
			if !b.told[t.String()] {
				b.told[t.String()] = true
				b.cfg.Log.Warn("the rows of a table that were there before could not be read as a whole; it is tried again",
					zap.Stringer("table", t), zap.Error(err))
			}
		}
	}
	b.shown.keep(there)
	return nil
}

// ends tells whether the process has to start over: the ledger's file is damaged, or the database is another one.
func ends(err error) bool {
	var another *mysqldb.AnotherServerError
	return errors.Is(err, checksum.ErrDamaged) || errors.Is(err, checksum.ErrOtherServer) || errors.As(err, &another)
}

// passes tells whether trying again is the cure.
func passes(err error) bool {
	return mysqldb.Classify(err) == mysqldb.Transient || errors.Is(err, checksum.ErrCollected)
}

// altered tells whether the table has become another one since it was looked at.
func altered(err error) bool {
	return errors.Is(err, checksum.ErrAltered) || errors.Is(err, mysqldb.ErrDefinitionChanged)
}

func (b *baseline) table(ctx context.Context, name mysqldb.TableName) error {
	for {
		at, err := b.resume(ctx, name)
		if err != nil || at == nil {
			return err
		}
		if err = at.run(ctx); !altered(err) {
			return err
		}
		b.parts.target.Forget(name.Schema, name.Name)
	}
}

// tableScan is the scan of one table, as long as nobody alters it.
type tableScan struct {
	*baseline
	info     *mysqldb.TableInfo
	at       scanned
	estimate uint64
	size     int
	began    time.Time
	had      uint64 // rows read before began
	told     time.Time
}

// resume takes a table's scan up where it was; nil where there is nothing to be done.
func (b *baseline) resume(ctx context.Context, name mysqldb.TableName) (*tableScan, error) {
	s := &tableScan{baseline: b, size: firstPiece, began: b.cfg.Clock.Now()}
	if note := b.parts.ledger.Note(noteOf(name.String())); note != nil {
		if err := json.Unmarshal(note, &s.at); err != nil {
			return nil, fmt.Errorf("the note about the scan cannot be read: %w", err)
		}
	}
	var err error
	if s.info, err = b.parts.target.Schema().Table(ctx, name.Schema, name.Name); err != nil {
		return nil, err
	}
	if len(s.info.PrimaryKey) == 0 {
		b.shown.leaveOut(name.String())
		return nil, nil // check refuses it; it is not replicated
	}
	if key := s.info.KeyID(); s.at.Key != key {
		if s.at.Key != 0 {
			b.cfg.Log.Warn("the primary key of a table was altered: its rows are read from the start, and are taken as if they had been there before Meridian; "+
				"what is known of their versions is lost", zap.Stringer("table", name))
			s.at = scanned{Sweep: true}
		}
		s.at.Key = key
	}
	if s.at.Done && !s.at.Sweep {
		if err = s.note(); err != nil { // one of an older version has no key
			return nil, err
		}
		b.shown.show(b.cfg.Metrics, name.String(), s.at, 0, 0)
		return nil, nil
	}
	s.had, s.told = s.at.Rows, s.began
	s.estimate, err = b.parts.server.EstimateRows(ctx, name)
	return s, err
}

func (s *tableScan) run(ctx context.Context) error {
	s.parts.ledger.Describe(s.info.ColumnsID(), s.info.DigestedColumns())
	for !s.at.Done {
		from := s.cfg.Clock.Now()
		n, err := s.piece(ctx)
		if err != nil {
			return err
		}
		took := s.cfg.Clock.Now().Sub(from)
		s.size = nextPiece(s.size, took)
		if s.cfg.BaselineRows > 0 {
			s.size = min(s.size, max(s.cfg.BaselineRows/piecesPerSecond, smallestPiece))
		}
		if err = s.keep(ctx); err != nil {
			return err
		}
		if err = s.throttle(ctx, n, took); err != nil {
			return err
		}
	}
	if err := s.sweep(ctx); err != nil {
		return err
	}
	if s.at.Rows > 0 {
		s.cfg.Log.Info("the rows that were there before are in the ledger", zap.String("table", s.info.String()), zap.Uint64("rows", s.at.Rows),
			zap.Duration("took", s.cfg.Clock.Now().Sub(s.began)))
	}
	return nil
}

// nextPiece brings pieces to the time that they are to take.
func nextPiece(size int, took time.Duration) int {
	wanted := float64(size) * float64(pieceTime) / float64(max(took, time.Millisecond))
	return int(min(max(wanted, float64(size)/4, smallestPiece), float64(size)*2, largestPiece))
}

// piece reads the next rows, and enters those that this process keeps a ledger of and that nothing is known of.
func (s *tableScan) piece(ctx context.Context) (n int, err error) {
	ledger := s.parts.ledger
	collected, generation := ledger.Collected(), ledger.Generation(s.info.String())
	rows, n, last, err := s.read(ctx)
	if err != nil {
		return n, err
	}
	behind, err := s.parts.server.Coordinates(ctx, s.parts.server.DB)
	if err != nil {
		return n, err
	}
	if err = ledger.WaitPassed(ctx, behind); err != nil {
		return n, err
	}
	if _, err = ledger.Baseline(rows, collected, generation); err != nil {
		return n, err
	}
	s.at.Rows += uint64(n)
	s.at.After, s.at.Done = last, n < s.size
	return n, nil
}

// read reads the next rows in one transaction, in which nobody can alter the table.
func (s *tableScan) read(ctx context.Context) (rows []checksum.Base, n int, last []byte, err error) {
	conn, err := s.parts.server.DB.Conn(ctx)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("reading rows of %s: %w", s.info, err)
	}
	defer func() { _ = conn.Close() }() // gives it back to the pool
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("reading rows of %s: %w", s.info, err)
	}
	defer func() { _ = tx.Rollback() }() // it has only read
	rows = make([]checksum.Base, 0, s.size)
	table, columns := s.info.String(), s.info.ColumnsID()
	n, last, err = s.parts.scan(ctx, s.cfg, conn, s.info, s.at.After, s.size, func(key row.Key, values []row.Value) {
		rows = append(rows, checksum.Base{
			Place: checksum.Place{Table: table, Key: key}, Digest: s.info.Digest(key, values), Columns: columns, Label: string(s.info.KeyLabel(values)),
		})
	})
	if err == nil {
		err = s.parts.server.CheckDefinition(ctx, tx, s.info)
	}
	return rows, n, last, err
}

// keep notes how far the scan has come, shows it, and waits while the ledger's memory is full.
func (s *tableScan) keep(ctx context.Context) error {
	if s.at.Done {
		s.at.After = nil
	}
	if err := s.note(); err != nil {
		return err
	}
	table, now := s.info.String(), s.cfg.Clock.Now()
	rate := float64(s.at.Rows-s.had) / max(now.Sub(s.began).Seconds(), 1e-3)
	p := s.shown.show(s.cfg.Metrics, table, s.at, s.estimate, rate)
	if now.Sub(s.told) >= tellEvery {
		s.told = now
		s.cfg.Log.Info("reading the rows that were there before", zap.String("table", table), zap.Uint64("rows", p.Rows), zap.Uint64("estimated", p.EstimatedRows),
			zap.Float64("rows_per_second", p.RowsPerSecond), zap.Float64("seconds_left", p.SecondsLeft))
	}
	return s.parts.room(ctx, s.cfg)
}

func (s *tableScan) note() error {
	note, err := json.Marshal(s.at)
	if err != nil {
		return fmt.Errorf("noting how far the scan has come: %w", err)
	}
	s.parts.ledger.SetNote(noteOf(s.info.String()), note)
	return nil
}

// tellEvery is how often a long reading says in the log how far it is.
const tellEvery = 10 * time.Second

// throttle leaves time to others: as long again as the piece took, or as the configured rate says, and while the database is busy.
func (s *tableScan) throttle(ctx context.Context, n int, took time.Duration) error {
	if s.at.Done {
		return nil
	}
	pause := took
	if rate := s.cfg.BaselineRows; rate > 0 {
		pause = time.Duration(float64(n)/float64(max(rate/s.cfg.Replicas, 1))*float64(time.Second)) - took
	}
	if pause > 0 {
		if err := s.cfg.Clock.Sleep(ctx, pause); err != nil {
			return err
		}
	}
	for {
		reason, err := s.parts.load.busy(ctx)
		s.shown.pause(s.info.String(), reason)
		if err != nil || reason == "" {
			return err
		}
		if err := s.cfg.Clock.Sleep(ctx, s.cfg.ScrubPause); err != nil {
			return err
		}
	}
}

// sweep ends the entries whose keys are from before an ALTER TABLE of the primary key: their rows are known under other keys now.
func (s *tableScan) sweep(ctx context.Context) error {
	if !s.at.Sweep {
		return nil
	}
	table, ledger := s.info.String(), s.parts.ledger
	for _, shard := range s.cfg.ownedShards() {
		var rows []checksum.Sighting
		snapshot, err := ledger.Snapshot(table, shard)
		if err != nil {
			return err
		}
		generation := ledger.Generation(table)
		err = snapshot.Each("", func(key row.Key, e checksum.Entry) bool {
			if !e.Deleted && !s.info.OwnsKey(key, []byte(e.Label)) {
				rows = append(rows, checksum.Sighting{Place: checksum.Place{Table: table, Key: key}, Was: e, Had: true,
					Found: checksum.Found{Columns: e.Columns, Generation: generation}})
			}
			return true
		})
		if err = errors.Join(err, snapshot.Close()); err != nil {
			return err
		}
		for len(rows) > 0 {
			n := min(len(rows), s.cfg.FlushEntries/2+1)
			if _, err = ledger.Sweep(rows[:n]); err != nil {
				return err
			}
			rows = rows[n:]
			if err = s.parts.room(ctx, s.cfg); err != nil {
				return err
			}
		}
	}
	s.at.Sweep = false
	return s.keep(ctx)
}
