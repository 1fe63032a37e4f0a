package row

// Op is what a change does to its row.
type Op uint8

// The operations. The numbers stand in provenance rows: they are never reused.
const (
	Insert Op = 1
	Update Op = 2
	Delete Op = 3
)

// String gives the operation's name.
func (o Op) String() string {
	switch o {
	case Insert:
		return "insert"
	case Update:
		return "update"
	case Delete:
		return "delete"
	default:
		return "unknown"
	}
}

// Key is a row's identity within its table: the primary key's values in canonical bytes (see Table.Key). Two values that
// the column's collation calls equal give one Key. Partition, ledger and provenance all use these bytes.
type Key string

// Change is one row written by one transaction. A change of the primary key is two changes, a delete and an insert.
// A Change and everything it points to is immutable once its Version is set.
type Change struct {
	Table  *Table
	Op     Op
	Key    Key
	Before []Value // the row before, by position in Table.Columns; nil for an insert
	After  []Value // the row after; nil for a delete
	Digest uint64  // of After (see Table.Digest); 0 for a delete

	Version   Version // when and where it was written
	Overwrote Version // what it overwrote there; the baseline if nothing is known of it
}

// Row gives the image that tells what row it is: After, or Before for a delete.
func (c *Change) Row() []Value {
	if c.After != nil {
		return c.After
	}
	return c.Before
}

// KeyValues gives the primary key's values, in the key's order.
func (c *Change) KeyValues() []Value {
	image := c.Row()
	values := make([]Value, len(c.Table.PrimaryKey))
	for i, at := range c.Table.PrimaryKey {
		values[i] = image[at]
	}
	return values
}
