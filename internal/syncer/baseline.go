package syncer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
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
//   - How far a scan has come is a note in the same cut as its rows: a crash loses both or neither.
type baseline struct {
	cfg     *Config
	server  *mysqldb.Server
	schema  *mysqldb.Schema
	ledger  *checksum.Ledger
	capture *Capture
	told    map[string]bool // tables of which it was said that they cannot be read

	mu       sync.Mutex
	progress map[string]*ScanProgress // by table
}

// ScanProgress is how far the first reading of a table has come.
type ScanProgress struct {
	Table         string  `json:"table"`
	Rows          uint64  `json:"rows"`           // read so far
	EstimatedRows uint64  `json:"estimated_rows"` // that the table has, as the server guesses
	RowsPerSecond float64 `json:"rows_per_second"`
	SecondsLeft   float64 `json:"seconds_left"`
	Done          bool    `json:"done"`
}

// scanned is the note about a table's scan.
type scanned struct {
	Rows  uint64 `json:"rows"`
	After []byte `json:"after,omitempty"` // the last row's key, see keyBytes
	Done  bool   `json:"done,omitempty"`
}

const (
	pieceTime     = 200 * time.Millisecond // about what a piece takes
	firstPiece    = 500                    // rows
	largestPiece  = 20_000
	smallestPiece = 10
	tablesEvery   = time.Minute // between looking for new tables
)

func newBaseline(s *Syncer, p *parts) *baseline {
	return &baseline{cfg: &s.cfg, server: p.server, schema: p.target.Schema(), ledger: p.ledger, capture: p.capture, told: map[string]bool{}, progress: map[string]*ScanProgress{}}
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
			err = b.cfg.Clock.Sleep(ctx, tablesEvery)
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

func (b *baseline) all(ctx context.Context) error {
	tables, err := b.server.ListTables(ctx)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if !b.cfg.Tables.Match(t.Schema, t.Name) {
			continue
		}
		err := b.table(ctx, t)
		switch {
		case err == nil, errors.Is(err, mysqldb.ErrNoTable): // dropped meanwhile
		case passes(err), ctx.Err() != nil, ends(err):
			return fmt.Errorf("reading the rows of %s that were there before: %w", t, err)
		default: // altered meanwhile, most likely: the next round begins anew. The other tables can be read.
			b.schema.Forget(t.Schema, t.Name)
			b.ledger.SetNote(noteOf(t.String()), nil)
			if !b.told[t.String()] {
				b.told[t.String()] = true
				b.cfg.Log.Warn("the rows of a table that were there before could not be read as a whole; it is tried again",
					zap.Stringer("table", t), zap.Error(err))
			}
		}
	}
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

func (b *baseline) table(ctx context.Context, name mysqldb.TableName) error {
	var at scanned
	if note := b.ledger.Note(noteOf(name.String())); note != nil {
		if err := json.Unmarshal(note, &at); err != nil {
			return fmt.Errorf("the note about the scan cannot be read: %w", err)
		}
	}
	if at.Done {
		b.show(name.String(), at, 0, 0)
		return nil
	}
	info, err := b.schema.Table(ctx, name.Schema, name.Name)
	if err != nil {
		return err
	}
	if len(info.PrimaryKey) == 0 {
		return nil // check refuses it; it is not replicated
	}
	m, err := b.server.Mapping(info, info.Table)
	if err != nil {
		return err
	}
	estimate, err := b.server.EstimateRows(ctx, name)
	if err != nil {
		return err
	}
	began, had := b.cfg.Clock.Now(), at.Rows
	size := firstPiece
	for !at.Done {
		from := b.cfg.Clock.Now()
		if at, err = b.piece(ctx, info, m, at, size); err != nil {
			return err
		}
		took := b.cfg.Clock.Now().Sub(from)
		size = nextPiece(size, took)
		b.show(name.String(), at, estimate, float64(at.Rows-had)/max(b.cfg.Clock.Now().Sub(began).Seconds(), 1e-3))
		if err = b.keep(ctx, info.String(), at); err != nil {
			return err
		}
		if !at.Done { // as long again: half of the time is left to others
			if err = b.cfg.Clock.Sleep(ctx, took); err != nil {
				return err
			}
		}
	}
	if at.Rows > 0 {
		b.cfg.Log.Info("the rows that were there before are in the ledger", zap.String("table", info.String()), zap.Uint64("rows", at.Rows),
			zap.Duration("took", b.cfg.Clock.Now().Sub(began)))
	}
	return nil
}

// nextPiece brings pieces to the time that they are to take.
func nextPiece(size int, took time.Duration) int {
	wanted := float64(size) * float64(pieceTime) / float64(max(took, time.Millisecond))
	return int(min(max(wanted, float64(size)/4, smallestPiece), float64(size)*2, largestPiece))
}

// piece reads up to size rows behind at, and enters those that this process keeps a ledger of and that nothing is known of.
func (b *baseline) piece(ctx context.Context, info *mysqldb.TableInfo, m *mysqldb.Mapping, at scanned, size int) (scanned, error) {
	collected := b.ledger.Collected()
	var after []row.Value
	var err error
	if len(at.After) > 0 {
		if after, err = info.KeyValues("", at.After); err != nil {
			return at, err
		}
	}
	query, err := m.ScanRows(nil, after, size)
	if err != nil {
		return at, err
	}
	var rows []checksum.Base
	n := 0
	err = mysqldb.QueryRows(ctx, b.server.DB, string(query), info.Table, allColumns(info.Table), func(values []row.Value) error {
		n++
		key, failed := info.Key(values)
		if failed != nil {
			return failed
		}
		at.After = keyBytes(info.Table, values)
		if b.cfg.owned(row.Shard(info.String(), key, b.cfg.Shards)) {
			rows = append(rows, checksum.Base{
				Place: checksum.Place{Table: info.String(), Key: key}, Digest: info.Digest(key, values), Columns: info.ColumnsID(), Label: string(info.KeyLabel(values)),
			})
		}
		return nil
	})
	if err != nil {
		return at, err
	}
	behind, err := b.server.Coordinates(ctx, b.server.DB)
	if err != nil {
		return at, err
	}
	if err = b.ledger.WaitPassed(ctx, behind); err != nil {
		return at, err
	}
	if _, err = b.ledger.Baseline(rows, collected); err != nil {
		return at, err
	}
	at.Rows += uint64(n)
	at.Done = n < size
	return at, nil
}

// keep notes how far the scan has come, and waits while the ledger's memory is full: that is capture's.
func (b *baseline) keep(ctx context.Context, table string, at scanned) error {
	if at.Done {
		at.After = nil
	}
	note, err := json.Marshal(at)
	if err != nil {
		return fmt.Errorf("noting how far the scan has come: %w", err)
	}
	b.ledger.SetNote(noteOf(table), note)
	for b.ledger.Recent() >= b.cfg.FlushEntries {
		done := b.capture.flushing.done()
		if err := b.capture.flushNow(ctx); err != nil {
			return err
		}
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (b *baseline) show(table string, at scanned, estimate uint64, rate float64) {
	p := &ScanProgress{Table: table, Rows: at.Rows, EstimatedRows: max(estimate, at.Rows), RowsPerSecond: rate, Done: at.Done}
	if !at.Done && rate > 0 {
		p.SecondsLeft = float64(p.EstimatedRows-at.Rows) / rate
	}
	b.cfg.Metrics.baseline.WithLabelValues(table).Set(float64(at.Rows))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.progress[table] = p
}

// Progress gives how far each table's scan has come, by table.
func (b *baseline) Progress() []ScanProgress {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]ScanProgress, 0, len(b.progress))
	for _, p := range b.progress {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(x, y ScanProgress) int {
		if x.Table < y.Table {
			return -1
		}
		return 1
	})
	return list
}

// keyBytes gives the canonical bytes of the primary key's values, from which KeyValues reads them.
func keyBytes(t *row.Table, image []row.Value) []byte {
	var b []byte
	for _, at := range t.PrimaryKey {
		b = row.AppendValue(b, image[at])
	}
	return b
}

func allColumns(t *row.Table) []int {
	columns := make([]int, len(t.Columns))
	for i := range columns {
		columns[i] = i
	}
	return columns
}
