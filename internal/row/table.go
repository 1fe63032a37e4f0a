package row

import (
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Type is a column's type as far as moving its values needs it.
type Type uint8

// The types. They are finer than the kinds: a Datetime column with 6 digits reads differently on the bus from one with 3.
const (
	TypeUnknown   Type = iota
	TypeInt            // TINYINT to BIGINT, signed
	TypeUint           // the same, UNSIGNED
	TypeYear           //
	TypeDecimal        // Length: precision, Fraction: scale
	TypeFloat          //
	TypeDouble         //
	TypeBit            // Length: bits
	TypeText           // CHAR, VARCHAR, TEXT
	TypeEnum           // Labels
	TypeSet            // Labels
	TypeBinary         // BINARY(Length); VARBINARY and BLOB with Length 0
	TypeDate           //
	TypeTime           // Fraction: digits of a second
	TypeDatetime       // Fraction
	TypeTimestamp      // Fraction
	TypeJSON           // MySQL's JSON; MariaDB's LONGTEXT with a json_valid check
	TypeGeometry       //
	TypeVector         //
	TypeUUID           // MariaDB
	TypeInet4          // MariaDB
	TypeInet6          // MariaDB
)

// Column describes one column of a table at one moment.
type Column struct {
	Name      string
	Type      Type
	Length    int      // see Type
	Fraction  int      // see Type
	Charset   string   // MySQL's name of the character set, "" for what is no text
	Collation string   // MySQL's or MariaDB's name of the collation, "" for what is no text
	Labels    []string // ENUM and SET, in UTF-8, in the order of their numbers
	Generated bool     // computed by the server: never written by an apply, never part of a digest
}

// Table describes a table at one moment. It is immutable: an ALTER TABLE makes another Table.
// Schema and Name are as the server spells them.
type Table struct {
	Schema, Name string
	Columns      []Column
	PrimaryKey   []int // positions in Columns, in the key's order; empty: no primary key

	full    string      // Schema.Name
	order   []int       // positions of the digested columns, sorted by name in lower case
	names   uint64      // identity of the digested columns' names: a digest begins with it
	columns uint64      // identity of the digested columns' names and types, see ColumnsID
	key     uint64      // see KeyID
	keys    []keyColumn // how each column of the primary key is written into a Key
}

// NewTable makes a Table and computes what is derived from its columns.
func NewTable(schema, name string, columns []Column, primaryKey []int) *Table {
	t := &Table{Schema: schema, Name: name, Columns: columns, PrimaryKey: primaryKey, full: schema + "." + name}
	for i := range columns {
		if !columns[i].Generated {
			t.order = append(t.order, i)
		}
	}
	slices.SortFunc(t.order, func(a, b int) int {
		return strings.Compare(strings.ToLower(columns[a].Name), strings.ToLower(columns[b].Name))
	})
	var names, columnTypes, key []byte
	for _, i := range t.order {
		names = append(append(names, strings.ToLower(columns[i].Name)...), 0)
		columnTypes = append(append(append(append(columnTypes, strings.ToLower(columns[i].Name)...), 0), columns[i].ValueType()...), 0)
	}
	for _, i := range primaryKey {
		key = append(append(append(append(key, strings.ToLower(columns[i].Name)...), 0), columns[i].keyType()...), 0)
	}
	t.names, t.columns, t.key = xxhash.Sum64(names), xxhash.Sum64(columnTypes), xxhash.Sum64(key)
	t.keys = newKeyColumns(columns, primaryKey)
	return t
}

// String gives "schema.table", the table's name everywhere: in the ledger, on the bus, in messages.
func (t *Table) String() string { return t.full }

// ColumnsID identifies the columns that a digest of this table is made from, by their names and types (Column.ValueType),
// without regard to their order and to the case of their names. Two digests that differ say that two rows differ only when
// their ColumnsID is the same: an ALTER TABLE that gives a column another type may have rewritten its values. Two that are
// the same say that the rows are the same whatever the types are: those are not part of a digest.
func (t *Table) ColumnsID() uint64 { return t.columns }

// KeyID identifies what a Key is made from: the primary key's columns, and for text their collations. Keys of one row say
// something about each other only when their KeyID is the same.
func (t *Table) KeyID() uint64 { return t.key }

// DigestedColumns names the columns that a digest is made from, in lower case and sorted.
func (t *Table) DigestedColumns() []string {
	names := make([]string, len(t.order))
	for i, at := range t.order {
		names[i] = strings.ToLower(t.Columns[at].Name)
	}
	return names
}

// DigestOf gives the digest that the row had when the table had only the named columns; false where they are not all there, or
// had other types: columns is the ColumnsID of that time.
func (t *Table) DigestOf(names []string, columns uint64, key Key, image []Value) (digest uint64, ok bool) {
	old := make([]Column, 0, len(names))
	values := make([]Value, 0, len(names))
	for _, name := range names {
		at := t.Column(name)
		if at < 0 || at >= len(image) || t.Columns[at].Generated {
			return 0, false
		}
		old, values = append(old, t.Columns[at]), append(values, image[at])
	}
	as := NewTable(t.Schema, t.Name, old, nil)
	if as.ColumnsID() != columns {
		return 0, false
	}
	return as.Digest(key, values), true
}

// Column gives the position of the named column (names are compared without regard to case), -1 if there is none.
func (t *Table) Column(name string) int {
	return slices.IndexFunc(t.Columns, func(c Column) bool { return strings.EqualFold(c.Name, name) })
}
