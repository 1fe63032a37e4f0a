package checksum

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Alteration is a DDL statement that changed a table's rows, or may have, without a row event. Entries tell whether they are
// from before it: each belongs to the table's generation of its time, which is the number of alterations that had passed.
type Alteration struct {
	Generation uint32    `json:"generation"` // of entries behind it
	Kind       string    `json:"kind"`       // "TRUNCATE"
	Seen       time.Time `json:"seen"`
	Removes    bool      `json:"removes,omitempty"`  // rows may be gone
	Brings     bool      `json:"brings,omitempty"`   // rows may have come
	Rewrites   bool      `json:"rewrites,omitempty"` // values may be others
}

// keptAlterations is how many of them are kept of a table. Of older ones it is only known that they were.
const keptAlterations = 50

func alterationNote(table string) string { return alterationPrefix + table }

const alterationPrefix = "altered/"

// Alter notes that a DDL statement on a table has passed; table "" stands for all tables of the schema. Names are compared
// without regard to case, as some servers do: one too many does no harm. Called by the writer, in commit order.
func (l *Ledger) Alter(schema, table string, a Alteration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := map[string]bool{}
	if table != "" {
		names[schema+"."+table] = true
	}
	for _, known := range l.tables.names[1:] {
		s, t, _ := strings.Cut(known, ".")
		if strings.EqualFold(s, schema) && (table == "" || strings.EqualFold(t, table)) {
			names[known] = true
		}
	}
	for name := range names {
		list := l.altered[name]
		a.Generation = 1
		if n := len(list); n > 0 {
			a.Generation = list[n-1].Generation + 1
		}
		list = append(list[:len(list):len(list)], a) // readers have the old one
		if len(list) > keptAlterations {
			list = list[len(list)-keptAlterations:]
		}
		body, err := json.Marshal(list)
		if err != nil {
			return fmt.Errorf("noting a DDL statement on %s: %w", name, err)
		}
		l.altered[name] = list
		l.note(alterationNote(name), body)
	}
	return nil
}

// Alterations gives those of a table, the oldest first. The list is not to be written to.
func (l *Ledger) Alterations(table string) []Alteration {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.altered[table]
}

// Generation gives a table's: entries of an older one are from before the last alteration.
func (l *Ledger) Generation(table string) uint32 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.generation(table)
}

// generation is Generation; mu is held.
func (l *Ledger) generation(table string) uint32 {
	if len(l.altered) == 0 {
		return 0
	}
	list := l.altered[table]
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1].Generation
}

// Describe keeps the names of the columns that digests with a ColumnsID are made from.
func (l *Ledger) Describe(columns uint64, names []string) {
	note := columnsNote(columns)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.notes[note] == nil {
		l.note(note, []byte(strings.Join(names, "\x00")))
	}
}

// Described gives the names that Describe keeps; nil where there are none.
func (l *Ledger) Described(columns uint64) []string {
	if note := l.Note(columnsNote(columns)); note != nil {
		return strings.Split(string(note), "\x00")
	}
	return nil
}

func columnsNote(columns uint64) string { return fmt.Sprintf("columns/%016x", columns) }

// loadAlterations reads what the notes say, once they are loaded.
func (l *Ledger) loadAlterations() error {
	for name, body := range l.notes {
		table, ok := strings.CutPrefix(name, alterationPrefix)
		if !ok {
			continue
		}
		var list []Alteration
		if err := json.Unmarshal(body, &list); err != nil {
			return fmt.Errorf("%w: the note about DDL on %s: %w", ErrDamaged, table, err)
		}
		l.altered[table] = list
	}
	return nil
}
