package syncer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// ScanProgress is how far the first reading of a table has come.
type ScanProgress struct {
	Table         string  `json:"table"`
	Rows          uint64  `json:"rows"`           // read so far
	EstimatedRows uint64  `json:"estimated_rows"` // that the table has, as the server guesses
	RowsPerSecond float64 `json:"rows_per_second"`
	SecondsLeft   float64 `json:"seconds_left"`
	Paused        string  `json:"paused,omitempty"` // why it waits
	Done          bool    `json:"done"`
}

// scanProgress is that of all tables.
type scanProgress struct {
	mu     sync.Mutex
	tables map[string]*ScanProgress
	listed bool // it is known which tables there are
	looked bool // all tables have been looked for once
}

// list shows tables that nobody has begun to read as not read: until their turn comes nobody may take them for none.
func (p *scanProgress) list(tables map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for table := range tables {
		if p.tables[table] == nil {
			p.tables[table] = &ScanProgress{Table: table}
		}
	}
	p.listed = true
}

// leaveOut forgets a table that is not read.
func (p *scanProgress) leaveOut(table string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.tables, table)
}

// show notes how far a scan is.
func (p *scanProgress) show(m *Metrics, table string, at scanned, estimate uint64, rate float64) ScanProgress {
	s := ScanProgress{Table: table, Rows: at.Rows, EstimatedRows: max(estimate, at.Rows), RowsPerSecond: rate, Done: at.Done && !at.Sweep}
	if !s.Done && rate > 0 {
		s.SecondsLeft = float64(s.EstimatedRows-at.Rows) / rate
	}
	m.baseline.WithLabelValues(table).Set(float64(at.Rows))
	m.baselineLeft.WithLabelValues(table).Set(s.SecondsLeft)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tables[table] = &s
	return s
}

func (p *scanProgress) pause(table, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.tables[table]; s != nil {
		with := *s
		with.Paused = reason
		p.tables[table] = &with
	}
}

// keep forgets the tables that are not there any more.
func (p *scanProgress) keep(there map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for table := range p.tables {
		if !there[table] {
			delete(p.tables, table)
		}
	}
	p.looked = true
}

// Progress gives how far each table's scan has come, by table.
func (b *baseline) Progress() []ScanProgress {
	p := &b.shown
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]ScanProgress, 0, len(p.tables))
	for _, s := range p.tables {
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b ScanProgress) int { return strings.Compare(a.Table, b.Table) })
	return list
}

// knowsTables tells whether Progress has all tables that there are.
func (b *baseline) knowsTables() bool {
	b.shown.mu.Lock()
	defer b.shown.mu.Unlock()
	return b.shown.listed
}

// lookedAround tells whether all tables have been looked for: one that is in no progress then is gone.
func (b *baseline) lookedAround() bool {
	b.shown.mu.Lock()
	defer b.shown.mu.Unlock()
	return b.shown.looked
}

// keyID gives what the keys of a table's entries are made from, as inspect.Table has it.
func (b *baseline) keyID(table string) string {
	if at := b.noted(table); at.Key != 0 {
		return fmt.Sprintf("%016x", at.Key)
	}
	return ""
}

// covers tells whether the table has been read to its end, under the primary key that it has.
func (b *baseline) covers(table string, key uint64) bool {
	at := b.noted(table)
	return at.Done && !at.Sweep && at.Key == key
}

// noted gives the note about a table's scan; an empty one where there is none.
func (b *baseline) noted(table string) scanned {
	var at scanned
	if note := b.parts.ledger.Note(noteOf(table)); note == nil || json.Unmarshal(note, &at) != nil {
		return scanned{}
	}
	return at
}
