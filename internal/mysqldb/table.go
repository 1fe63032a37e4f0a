package mysqldb

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"meridian/internal/row"
)

// TableInfo is a table as the server's information schema describes it. It is immutable: an ALTER TABLE makes another.
type TableInfo struct {
	*row.Table
	Engine          string       // "InnoDB"
	SystemVersioned bool         // MariaDB: WITH SYSTEM VERSIONING, whose history is no rows of ours
	AutoIncrement   int          // position of the AUTO_INCREMENT column, -1 if there is none
	Nullable        []bool       // by column
	Invisible       []bool       // by column
	KeyPrefix       []int        // by part of the primary key: the characters or bytes that count, 0 for all of them
	UniqueKeys      []UniqueKey  // secondary ones
	Triggers        []Trigger    // needs the TRIGGER privilege: without it the server shows none
	ForeignKeys     []ForeignKey // of this table, to others
	ReferencedBy    []ForeignKey // of others, to this table
}

// UniqueKey is a secondary unique key.
type UniqueKey struct {
	Name string
	// Columns are positions in Table.Columns; -1 stands for an expression.
	Columns []int
}

// Trigger runs when a row of the table is written, also when Meridian writes it.
type Trigger struct {
	Name   string
	Timing string // BEFORE, AFTER
	Event  string // INSERT, UPDATE, DELETE; several joined by commas on MariaDB 12
}

// ForeignKey is a constraint of Table that refers to ReferencedTable.
type ForeignKey struct {
	Name                              string
	Schema, Table                     string
	Columns                           []string
	ReferencedSchema, ReferencedTable string
	ReferencedColumns                 []string
	OnUpdate, OnDelete                string // CASCADE, SET NULL, SET DEFAULT, RESTRICT, NO ACTION
}

// Cascades tells whether a change of the referenced row changes rows of Table. InnoDB does that beneath the binlog (MySQL
// before 9.6, MariaDB): no row event shows it.
func (f *ForeignKey) Cascades() bool {
	acts := func(rule string) bool { return rule == "CASCADE" || rule == "SET NULL" || rule == "SET DEFAULT" }
	return acts(f.OnUpdate) || acts(f.OnDelete)
}

// Hints gives the columns by name in lower case: what the binlog does not say about a table's columns (which are generated,
// which hold JSON, UUID or INET6 on MariaDB), for its decoder.
func (t *TableInfo) Hints() map[string]row.Column {
	hints := make(map[string]row.Column, len(t.Columns))
	for _, c := range t.Columns {
		hints[strings.ToLower(c.Name)] = c
	}
	return hints
}

// KeyCollations gives the collations of the primary key's text columns, in the key's order.
func (t *TableInfo) KeyCollations() []string {
	var collations []string
	for _, at := range t.PrimaryKey {
		if c := &t.Columns[at]; c.Type == row.TypeText {
			collations = append(collations, c.Collation)
		}
	}
	return collations
}

// HasPrefixKey tells whether only the beginning of some part of the primary key counts. Two rows with different keys cannot
// be told apart by such a key: the table cannot be replicated.
func (t *TableInfo) HasPrefixKey() bool {
	return slices.ContainsFunc(t.KeyPrefix, func(n int) bool { return n > 0 })
}

func (t *TableInfo) hasUniqueKey(name string) bool {
	return strings.EqualFold(name, "PRIMARY") ||
		slices.ContainsFunc(t.UniqueKeys, func(u UniqueKey) bool { return strings.EqualFold(u.Name, name) })
}

// ErrNoTable is what errors.Is finds in every *NoTableError.
var ErrNoTable = errors.New("no such table")

// NoTableError is returned when the table is not there, or is something else than a table of rows.
type NoTableError struct {
	Schema, Name string
	Type         string // what it is: "VIEW", "SEQUENCE"; "" when it is not there
}

// Error implements error.
func (e *NoTableError) Error() string {
	if e.Type != "" {
		return fmt.Sprintf("%s.%s is a %s, not a table: exclude it", e.Schema, e.Name, strings.ToLower(e.Type))
	}
	return fmt.Sprintf("table %s.%s does not exist (or the user may not see it)", e.Schema, e.Name)
}

// Unwrap gives ErrNoTable.
func (e *NoTableError) Unwrap() error { return ErrNoTable }
