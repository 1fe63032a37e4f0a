package binlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"meridian/internal/row"
)

// layouts remembers the tables that were seen. A table map comes with every statement; as long as it has the same bytes
// the layout stays the same, and as long as the description comes out the same the row.Table stays the same pointer.
type layouts struct {
	decide  func(schema, table string) Decision
	hints   Hints
	known   collations
	written dialect
	byID    map[uint64]*seenTable
	tables  map[string]*row.Table // the last one of each name
}

// seenTable is a table id's last table map.
type seenTable struct {
	body   []byte // whole if the table is wanted, else only up to its name
	layout *layout
}

// maxSeen bounds what is remembered: servers with very many tables give each a new id whenever it is opened.
const maxSeen = 20000

func newLayouts(decide func(schema, table string) Decision, hints Hints) *layouts {
	return &layouts{decide: decide, hints: hints, byID: map[uint64]*seenTable{}, tables: map[string]*row.Table{}}
}

// onServer forgets what holds only for one connection: table ids, and the numbers of collations.
func (c *layouts) onServer(known collations, isMaria bool) *layouts {
	c.known, c.written = known, dialect{isMaria: isMaria}
	clear(c.byID)
	return c
}

var errHints = errors.New("asking the live schema for the columns")

// find gives the layout for a TABLE_MAP event's body.
func (c *layouts) find(ctx context.Context, body []byte) (id uint64, l *layout, err error) {
	if len(body) < tableIDSize {
		return 0, nil, errShortEvent
	}
	id = little(body[:tableIDSize])
	if seen := c.byID[id]; seen != nil && (bytes.Equal(seen.body, body) || seen.layout.decision == Skip && bytes.HasPrefix(body, seen.body)) {
		return id, seen.layout, nil
	}
	schema, table, size, err := mapNames(body)
	if err != nil {
		return id, nil, err
	}
	if len(c.byID) >= maxSeen {
		clear(c.byID)
	}
	decision := c.decide(string(schema), string(table))
	skip := func() (uint64, *layout, error) {
		skipped := &layout{name: string(schema) + "." + string(table)}
		c.byID[id] = &seenTable{body: bytes.Clone(body[:size]), layout: skipped}
		return id, skipped, nil
	}
	if decision == Skip {
		return skip()
	}
	m, err := parseTableMap(body, c.written)
	if err != nil {
		return id, nil, fmt.Errorf("the table map of %s.%s: %w", schema, table, err)
	}
	if m.isSequence() {
		return skip()
	}
	var hints map[string]row.Column
	if c.hints != nil {
		if hints, err = c.hints.Hints(ctx, m.schema, m.table); err != nil {
			return id, nil, fmt.Errorf("%w of %s.%s: %w", errHints, m.schema, m.table, err)
		}
	}
	l = newLayout(m, decision, hints, c.known)
	c.keepPointer(l)
	c.byID[id] = &seenTable{body: bytes.Clone(body), layout: l}
	return id, l, nil
}

// keepPointer gives a layout the row.Table that was handed out before, if nothing about it has changed.
func (c *layouts) keepPointer(l *layout) {
	if l.table == nil {
		return
	}
	last := c.tables[l.name]
	if last != nil && reflect.DeepEqual(last.Columns, l.table.Columns) && reflect.DeepEqual(last.PrimaryKey, l.table.PrimaryKey) {
		l.table = last
		return
	}
	c.tables[l.name] = l.table
}

// forget makes the hints of a table be asked for again.
func (c *layouts) forget(schema, table string) {
	name := schema + "." + table
	for id, seen := range c.byID {
		if strings.EqualFold(seen.layout.name, name) {
			delete(c.byID, id)
		}
	}
}
