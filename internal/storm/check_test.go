package storm_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"meridian/internal/mysqldb"
)

// strictness says what must hold.
type strictness bool

const (
	strict  strictness = true  // all of it
	lenient strictness = false // some changes may be parked: databases may differ, nothing may be lost or made up
)

// check ends the syncers and checks everything. The world is of no use afterwards.
func (w *world) check(s strictness) {
	w.t.Helper()
	ctx := w.t.Context()
	i := &inspection{w: w, ctx: ctx, strict: bool(s)}
	for _, g := range w.regions {
		i.report("journal", w.history.decide(ctx, g, g.sql)...)
	}
	i.rows()
	w.endSyncers()
	i.logs()
	i.topics()
	i.provenance()
	i.ledgers()
	w.must("saving the history", w.history.save(filepath.Join(w.folder, "history.jsonl")))
	i.explain()
	if err := w.bus.end(waitForEnd); err != nil {
		w.t.Error(err)
	}
	if failed := w.failed(); failed != "" {
		w.t.Error(failed)
	}
	i.summary()
}

// inspection is one check and what it has found.
type inspection struct {
	w      *world
	ctx    context.Context
	strict bool

	found   map[string]int // problems by kind
	suspect []rowName      // rows to be explained

	state    map[string]map[rowName][]string // by region: the texts of each row
	records  []published
	counts   string
	aside    int // changes that are parked or dead
	lastWins int
	servers  map[string]*mysqldb.Server

	originals map[rowVersion]uint64 // digests of what was published first; see repaired
	repairs   int
}

// most is how many problems of one kind are told.
const most = 10

func (i *inspection) report(kind string, problems ...string) {
	i.w.t.Helper()
	if i.found == nil {
		i.found = map[string]int{}
	}
	for _, p := range problems {
		if i.found[kind]++; i.found[kind] <= most {
			i.w.t.Errorf("%s: %s", kind, p)
		}
	}
}

func (i *inspection) reportRow(kind string, at rowName, problem string) {
	i.w.t.Helper()
	i.report(kind, fmt.Sprintf("%s %s: %s", at.table, at.row, problem))
	i.suspect = append(i.suspect, at)
}

// rows reads all databases, compares them, and compares them with the history.
func (i *inspection) rows() {
	i.w.t.Helper()
	i.state = map[string]map[rowName][]string{}
	for _, g := range i.w.regions {
		i.state[g.name] = map[rowName][]string{}
		for _, t := range i.w.tables {
			if err := i.read(g, t); err != nil {
				i.report("reading", err.Error())
			}
		}
	}
	if i.strict {
		i.equal()
	}
	events := i.w.history.byRow()
	for _, g := range i.w.regions {
		for at, row := range i.state[g.name] {
			i.whole(g, at, row, events[at])
		}
	}
	if i.strict {
		for at, list := range events {
			i.latest(at, list)
		}
	}
}

func (i *inspection) read(g *region, t *table) error {
	rows, err := g.sql.QueryContext(i.ctx, t.query())
	if err != nil {
		return fmt.Errorf("%s: %w", g.name, err)
	}
	defer rows.Close()
	n := len(t.key) + 1 + len(t.columns)
	for rows.Next() {
		values, into := make([]sql.NullString, n), make([]any, n)
		for k := range into {
			into[k] = &values[k]
		}
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		texts := make([]string, n)
		for k, v := range values {
			if texts[k] = v.String; !v.Valid {
				texts[k] = null
			}
		}
		at := rowName{t.name, t.identity(texts[:len(t.key)])}
		if _, twice := i.state[g.name][at]; twice {
			i.reportRow("rows", at, "there are two of it in "+g.name)
		}
		i.state[g.name][at] = texts
	}
	return rows.Err()
}

// equal compares the databases with each other.
func (i *inspection) equal() {
	i.w.t.Helper()
	first := i.w.regions[0].name
	for _, g := range i.w.regions[1:] {
		for at, row := range i.state[first] {
			if other := i.state[g.name][at]; !slices.Equal(row, other) {
				i.reportRow("divergence", at, fmt.Sprintf("%s has %q, %s has %q", first, row, g.name, other))
			}
		}
		for at, row := range i.state[g.name] {
			if i.state[first][at] == nil {
				i.reportRow("divergence", at, fmt.Sprintf("%s has nothing, %s has %q", first, g.name, row))
			}
		}
	}
}

// whole checks that a row is one that somebody wrote and committed, with all its columns.
func (i *inspection) whole(g *region, at rowName, row []string, events []event) {
	i.w.t.Helper()
	t := i.w.table(at.table)
	key, token := row[:len(t.key)], row[len(t.key)]
	if want := t.texts(token); !slices.Equal(row[len(t.key):], want) {
		i.reportRow("torn row", at, fmt.Sprintf("%s has %q, want %q", g.name, row[len(t.key):], want))
	}
	if !slices.ContainsFunc(events, func(e event) bool { return e.Token() == token && slices.Equal(e.Key, key) }) {
		i.reportRow("unknown row", at, fmt.Sprintf("%s has %q, which nobody has committed", g.name, row))
	}
}

// latest checks that the write that came more than a second after all others is the one that stands.
func (i *inspection) latest(at rowName, events []event) {
	i.w.t.Helper()
	last, ok := certain(events)
	if !ok {
		return
	}
	i.lastWins++
	for _, g := range i.w.regions {
		row := i.state[g.name][at]
		switch {
		case last.Token() == "" && row != nil:
			i.reportRow("newest write", at, fmt.Sprintf("%s deleted it last (%s), %s has %q", last.Region, last.transaction.Token, g.name, row))
		case last.Token() != "" && (row == nil || row[len(i.w.table(at.table).key)] != last.Token()):
			i.reportRow("newest write", at, fmt.Sprintf("%s wrote it last (%s), %s has %q", last.Region, last.Token(), g.name, row))
		}
	}
}

// Token is the token of the write: "" for a delete.
func (e event) Token() string { return e.write.Token }

func (w *world) table(name string) *table {
	for _, t := range w.tables {
		if t.name == name {
			return t
		}
	}
	return nil
}

// bad are what no log may say.
var bad = []string{
	"a newer row was overwritten by an older version", "DATA RACE", "panic:", "goroutine ", "a replayed row was altered",
	"has lost the records", "the log was truncated", "cannot be read", "out of order",
}

// logs looks for what must never be said.
func (i *inspection) logs() {
	i.w.t.Helper()
	for _, p := range i.w.processes() {
		text, err := os.ReadFile(p.log)
		if err != nil {
			i.report("logs", err.Error())
			continue
		}
		for line := range bytes.Lines(text) {
			for _, b := range bad {
				if bytes.Contains(line, []byte(b)) {
					i.report("log of "+p.name, strings.TrimSpace(string(line)))
				}
			}
		}
	}
}

func (i *inspection) summary() {
	n := map[outcome]int{}
	changes := 0
	for _, t := range i.w.history.transactions {
		n[t.Outcome]++
		if t.Outcome == committed {
			changes += t.Changes
		}
	}
	i.w.t.Logf("%d transactions committed with %d changes, %d rolled back; %d rows at the end, the newest write of %d was certain; %s%d set aside",
		n[committed], changes, n[rolledBack], len(i.state[i.w.regions[0].name]), i.lastWins, i.counts, i.aside)
}
