package storm_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// write is what one statement did to one row.
type write struct {
	Table string   `json:"table"`
	Row   string   `json:"row"`             // which row: the key's identity
	Key   []string `json:"key,omitempty"`   // the key as it was spelled; nil for a delete
	Token string   `json:"token,omitempty"` // "": the row was deleted
}

type outcome string

const (
	committed  outcome = "committed"
	rolledBack outcome = "rolled back"
	unknown    outcome = "unknown" // the connection was lost at COMMIT; the journal knows
)

// transaction is what a writer knows of one of its transactions.
type transaction struct {
	Token   string    `json:"token"` // its name in the journal: region-writer-number
	Region  string    `json:"region"`
	Writes  []write   `json:"writes"`
	Changes int       `json:"changes"` // rows changed, as a binlog shows them: a new key counts twice
	Before  time.Time `json:"before"`  // before the COMMIT was sent
	After   time.Time `json:"after"`   // after its answer came
	Outcome outcome   `json:"outcome"`
	Error   string    `json:"error,omitempty"`
}

// history is what all writers did.
type history struct {
	transactions []*transaction
}

// decide settles the unknown outcomes by the journals, and checks that the journals agree with all others.
func (h *history) decide(ctx context.Context, g *region, db *sql.DB) (problems []string) {
	found := map[string]bool{}
	rows, err := db.QueryContext(ctx, "SELECT token FROM storm_journal.journal")
	if err != nil {
		return []string{fmt.Sprintf("reading the journal of %s: %v", g.name, err)}
	}
	defer rows.Close()
	for rows.Next() {
		var token string
		if err := rows.Scan(&token); err != nil {
			return []string{err.Error()}
		}
		found[token] = true
	}
	if err := rows.Err(); err != nil {
		return []string{err.Error()}
	}
	for _, t := range h.transactions {
		if t.Region != g.name {
			continue
		}
		switch is := found[t.Token]; {
		case t.Outcome == unknown && is:
			t.Outcome = committed
		case t.Outcome == unknown:
			t.Outcome = rolledBack
		case is != (t.Outcome == committed):
			problems = append(problems, fmt.Sprintf("%s: transaction %s, %s to its writer, is in the journal: %v", g.name, t.Token, t.Outcome, is))
		}
	}
	return problems
}

// rowName names a row over all tables.
type rowName struct{ table, row string }

// event is what a committed transaction left of one row.
type event struct {
	*transaction
	write
}

// byRow gives the committed writes of each row, at most one of each transaction: its last.
func (h *history) byRow() map[rowName][]event {
	by := map[rowName][]event{}
	for _, t := range h.transactions {
		if t.Outcome != committed {
			continue
		}
		last := map[rowName]write{}
		for _, w := range t.Writes {
			last[rowName{w.Table, w.Row}] = w
		}
		for at, w := range last {
			by[at] = append(by[at], event{t, w})
		}
	}
	return by
}

// certain tells which of a row's writes must stand in the end: the one that began to commit more than a second after
// every other had been committed. false when there is none.
func certain(events []event) (event, bool) {
	last := slices.MaxFunc(events, func(a, b event) int { return a.Before.Compare(b.Before) })
	for _, e := range events {
		if e.transaction != last.transaction && last.Before.Sub(e.After) <= time.Second {
			return event{}, false
		}
	}
	return last, true
}

// save writes the history down, a transaction a line.
func (h *history) save(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	encoder := json.NewEncoder(f)
	for _, t := range h.transactions {
		if err := encoder.Encode(t); err != nil {
			return err
		}
	}
	return nil
}
