package mysqldb

import (
	"fmt"
	"strings"

	"meridian/internal/row"
)

// How much one statement of a Mapping holds unless Limit says otherwise. Beyond a few hundred rows the server gains nothing.
const (
	DefaultStatementRows  = 500
	DefaultStatementBytes = 4 << 20
)

// Mapping writes statements that bring row images of one table definition, the source's, into a table here, the target:
// by column name, whatever the order. Columns that only the target has keep their default or their value; columns that
// the target computes are not written.
//
// Every statement method appends one statement for the first of the images it is given, and tells for how many: as many as
// fit the limits and can be said in one statement. The caller goes on with the rest:
//
//	for len(images) > 0 {
//		sql, n, err := m.UpdateRows(buffer[:0], images)
//		… execute; compare RowsAffected with n …
//		images = images[n:]
//	}
//
// Images are in the order of the source's columns. A Mapping is immutable but for Limit, and safe for concurrent use.
type Mapping struct {
	flavor   Flavor
	target   *TableInfo
	source   *row.Table
	name     string         // `schema`.`table`
	columns  []mappedColumn // what is written
	keys     []mappedColumn // the target's primary key, in its order
	hint     string         // for statements that join a list of rows
	maxRows  int
	maxBytes int
}

// mappedColumn is a column of the target that the images have a value for.
type mappedColumn struct {
	at     int // position in an image
	source *row.Column
	target *row.Column
	quoted string // the target's name, in backticks
	alias  string // the name in a list of rows
	match  string // for a part of the key: the condition that joins the table, as t, to the list
	named  string // the same, with the table's full name for t
	key    bool
	again  bool // a part of the key that is written again: the image may spell it differently
	must   bool // the target's column is NOT NULL
}

// MissingColumnError is returned when an image has a column that the target lacks. The change waits for the target's ALTER
// TABLE.
type MissingColumnError struct{ Table, Column string }

// Error implements error.
func (e *MissingColumnError) Error() string {
	return fmt.Sprintf("table %s has no column %s: add it here, or drop it where the change came from", e.Table, e.Column)
}

// KeyMismatchError is returned when the target's primary key is on other columns than the source's.
type KeyMismatchError struct {
	Table  string
	Source []string // the key's columns where the change came from
	Target []string // and here
}

// Error implements error.
func (e *KeyMismatchError) Error() string {
	return fmt.Sprintf("table %s has the primary key (%s) here and (%s) where the change came from: make them the same",
		e.Table, strings.Join(e.Target, ", "), strings.Join(e.Source, ", "))
}

// Mapping makes the Mapping from a source's table to a table of this server, with limits that the server's
// max_allowed_packet allows. Errors: *MissingColumnError, *KeyMismatchError.
func (s *Server) Mapping(target *TableInfo, source *row.Table) (*Mapping, error) {
	m, err := NewMapping(s.Flavor, target, source)
	if err == nil {
		m.Limit(DefaultStatementRows, min(DefaultStatementBytes, s.MaxPacket()/2)) // half: what stands around the rows counts, too
	}
	return m, err
}

// NewMapping makes a Mapping with the default limits. Errors: *MissingColumnError, *KeyMismatchError.
func NewMapping(flavor Flavor, target *TableInfo, source *row.Table) (*Mapping, error) {
	m := &Mapping{flavor: flavor, target: target, source: source, name: tableName(target.Table),
		maxRows: DefaultStatementRows, maxBytes: DefaultStatementBytes}
	if !sameKey(target.Table, source) {
		return nil, &KeyMismatchError{Table: target.String(), Source: keyNames(source), Target: keyNames(target.Table)}
	}
	m.mapKey(func(part int) int { return source.Column(target.Columns[target.PrimaryKey[part]].Name) })
	for i := range source.Columns {
		c := &source.Columns[i]
		if c.Generated {
			continue
		}
		at := target.Column(c.Name)
		if at < 0 {
			return nil, &MissingColumnError{Table: target.String(), Column: c.Name}
		}
		if to := &target.Columns[at]; !to.Generated {
			m.columns = append(m.columns, mappedColumn{at: i, source: c, target: to,
				quoted: QuoteIdentifier(to.Name), alias: fmt.Sprintf("c%d", i), must: at < len(target.Nullable) && !target.Nullable[at]})
		}
	}
	m.mergeKeys()
	return m, nil
}

// NewKeyMapping makes a Mapping whose images are the values of the primary key alone, in the key's order (see
// row.Change.KeyValues), for DeleteRows, LockRows and ReadRows.
func NewKeyMapping(flavor Flavor, target *TableInfo) (*Mapping, error) {
	if len(target.PrimaryKey) == 0 {
		return nil, &KeyMismatchError{Table: target.String()}
	}
	m := &Mapping{flavor: flavor, target: target, source: target.KeyOnly(),
		name: tableName(target.Table), maxRows: DefaultStatementRows, maxBytes: DefaultStatementBytes}
	m.mapKey(func(part int) int { return part })
	return m, nil
}

// Limit sets how many rows a statement has at most, and how many bytes (unless a single row has more).
func (m *Mapping) Limit(rows, bytes int) { m.maxRows, m.maxBytes = max(rows, 1), bytes }

// Target gives the table that is written to.
func (m *Mapping) Target() *TableInfo { return m.target }

// Source gives the table whose images are written.
func (m *Mapping) Source() *row.Table { return m.source }

func (m *Mapping) mapKey(position func(part int) int) {
	for part, to := range m.target.PrimaryKey {
		at := position(part)
		k := mappedColumn{at: at, source: &m.source.Columns[at], target: &m.target.Columns[to], alias: fmt.Sprintf("k%d", part), key: true}
		k.quoted = QuoteIdentifier(k.target.Name)
		k.match, k.named = k.matchCondition("t"), k.matchCondition(m.name)
		m.keys = append(m.keys, k)
		if m.flavor == MySQL && strings.Contains(k.match, " AND ") {
			// The second condition is about the list alone: MySQL would copy it into every row's SELECT, by printing and
			// parsing it once for each. Servers that do not know the hint (before 8.0.22) do not do that either.
			m.hint = "/*+ NO_DERIVED_CONDITION_PUSHDOWN(v) */ "
		}
	}
}

// mergeKeys lets the columns that are part of the key share its place in a list of rows.
func (m *Mapping) mergeKeys() {
	others := false
	for i := range m.columns {
		c := &m.columns[i]
		for k := range m.keys {
			if m.keys[k].target == c.target {
				c.key, c.alias = true, m.keys[k].alias
				c.again = c.target.Type == row.TypeText
			}
		}
		others = others || !c.key
	}
	for i := range m.columns {
		m.columns[i].again = m.columns[i].again || !others // an UPDATE must set something
	}
}

// matchCondition compares the column of the table, t or its full name, with the list's, v.k0, so that the column's index is
// used and the comparison is the column's own: its type, its collation. The servers look a value of another type up by converting it to
// the column's, whatever the list's type; only text must be brought to the column's character set and collation by name.
//
// A text that the character set cannot hold would be looked up with '?' in place of what is missing, and could find
// another row; the second condition says that no question mark was put in.
func (k *mappedColumn) matchCondition(table string) string {
	left, right := table+"."+k.quoted, "v."+k.alias
	switch k.target.Type {
	case row.TypeText, row.TypeEnum, row.TypeSet:
	case row.TypeDate:
		return left + "=CAST(" + right + " AS DATE)"
	case row.TypeTime:
		return left + "=CAST(" + right + " AS TIME(6))"
	case row.TypeDatetime, row.TypeTimestamp:
		return left + "=CAST(" + right + " AS DATETIME(6))"
	default:
		return left + "=" + right
	}
	set := k.target.Charset
	if !isName(set) || !isName(k.target.Collation) {
		return left + "=" + right
	}
	if set == "utf8mb4" {
		return left + "=" + right + " COLLATE " + k.target.Collation
	}
	converted := "CONVERT(" + right + " USING " + set + ")"
	return left + "=" + converted + " COLLATE " + k.target.Collation +
		" AND CHAR_LENGTH(REPLACE(" + converted + ",'?',''))=CHAR_LENGTH(REPLACE(" + right + ",'?',''))"
}

func tableName(t *row.Table) string { return QuoteIdentifier(t.Schema) + "." + QuoteIdentifier(t.Name) }

// sameKey tells whether two tables have a primary key, on the same columns.
func sameKey(a, b *row.Table) bool {
	if len(a.PrimaryKey) == 0 || len(a.PrimaryKey) != len(b.PrimaryKey) {
		return false
	}
	for i := range a.PrimaryKey {
		if !strings.EqualFold(a.Columns[a.PrimaryKey[i]].Name, b.Columns[b.PrimaryKey[i]].Name) {
			return false
		}
	}
	return true
}

func keyNames(t *row.Table) []string {
	names := make([]string, len(t.PrimaryKey))
	for i, at := range t.PrimaryKey {
		names[i] = t.Columns[at].Name
	}
	return names
}
