package binlog

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// columnType is a column's type in a table map. MySQL: include/field_types.h; MariaDB: include/mysql_com.h.
type columnType byte

const (
	typeTiny              columnType = 1
	typeShort             columnType = 2
	typeLong              columnType = 3
	typeFloat             columnType = 4
	typeDouble            columnType = 5
	typeTimestamp         columnType = 7
	typeLongLong          columnType = 8
	typeInt24             columnType = 9
	typeDate              columnType = 10
	typeTime              columnType = 11
	typeDatetime          columnType = 12
	typeYear              columnType = 13
	typeNewDate           columnType = 14
	typeVarchar           columnType = 15
	typeBit               columnType = 16
	typeTimestamp2        columnType = 17
	typeDatetime2         columnType = 18
	typeTime2             columnType = 19
	typeArray             columnType = 20 // the hidden column behind a multi-valued index
	typeBlobCompressed    columnType = 140
	typeVarcharCompressed columnType = 141
	typeVector            columnType = 242
	typeJSON              columnType = 245
	typeNewDecimal        columnType = 246
	typeEnum              columnType = 247
	typeSet               columnType = 248
	typeBlob              columnType = 252
	typeVarString         columnType = 253
	typeString            columnType = 254
	typeGeometry          columnType = 255
)

// tableMap is what a TABLE_MAP event says. It holds no bytes of the event.
type tableMap struct {
	schema, table string
	columns       []mapColumn
	described     bool  // it has the columns' names: binlog_row_metadata is FULL
	primaryKey    []int // positions, in the key's order
	prefixed      bool  // the primary key is over prefixes of columns
	written       dialect
}

// dialect is what of the server that wrote a binlog file makes its table maps different.
type dialect struct {
	isMaria     bool
	noYearSigns bool // YEAR has no bit in the signedness field
}

// dialectOf reads the server's version from a format description: two bytes, then 50 with the version's text.
func dialectOf(format []byte, isMaria bool) dialect {
	d := dialect{isMaria: isMaria}
	if len(format) < 52 || isMaria {
		return d
	}
	var major, minor, patch int
	version := string(bytes.TrimRight(format[2:52], "\x00"))
	if n, err := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); n == 3 && err == nil {
		d.noYearSigns = major == 8 && minor == 0 && patch < 16
	}
	return d
}

type mapColumn struct {
	kind      columnType // ENUM and SET as such, not as STRING
	meta      uint16     // as its type defines it
	name      string
	unsigned  bool
	collation uint64 // number of the collation; 0 if it has none
	labels    [][]byte
}

// Types of the optional metadata: Table_map_event::Optional_metadata_field_type in rows_event.h of both servers.
const (
	metaSignedness            = 1
	metaDefaultCharset        = 2
	metaColumnCharset         = 3
	metaColumnName            = 4
	metaSetLabels             = 5
	metaEnumLabels            = 6
	metaSimplePrimaryKey      = 8
	metaPrimaryKeyWithPrefix  = 9
	metaEnumSetDefaultCharset = 10
	metaEnumSetColumnCharset  = 11
)

// isSequence tells whether the table is the one row behind a SEQUENCE of MariaDB: a counter of the server's own, no row of
// a table. https://mariadb.com/docs/server/reference/sql-structure/sequences/create-sequence
func (m *tableMap) isSequence() bool {
	names := [...]string{"next_not_cached_value", "minimum_value", "maximum_value", "start_value", "increment", "cache_size",
		"cycle_option", "cycle_count"}
	if !m.written.isMaria || len(m.primaryKey) > 0 || len(m.columns) != len(names) {
		return false
	}
	for i := range m.columns {
		if m.columns[i].name != names[i] {
			return false
		}
	}
	return true
}

const tableIDSize = 6

// mapNames reads only which table the map is of; size is how many bytes of the body that takes.
func mapNames(body []byte) (schema, table []byte, size int, err error) {
	r := reader{b: body}
	r.take(tableIDSize + 2)
	schema = r.take(int(r.number(1)))
	r.take(1)
	table = r.take(int(r.number(1)))
	r.take(1)
	return schema, table, len(body) - len(r.b), r.err()
}

// parseTableMap reads a TABLE_MAP event's body.
func parseTableMap(body []byte, written dialect) (*tableMap, error) {
	schema, table, size, err := mapNames(body)
	if err != nil {
		return nil, err
	}
	m := &tableMap{schema: string(schema), table: string(table), written: written}
	r := reader{b: body[size:]}
	count := r.packed()
	if count > uint64(len(r.b)) {
		return nil, errShortEvent
	}
	types := r.take(int(count))
	metas := reader{b: r.text()}
	m.columns = make([]mapColumn, count)
	for i, t := range types {
		m.columns[i] = typeWithMeta(columnType(t), &metas)
	}
	r.take((len(types) + 7) / 8) // which columns may be NULL
	if r.short || metas.short || len(metas.b) > 0 {
		return nil, errShortEvent
	}
	for len(r.b) > 0 {
		kind := r.number(1)
		if err := m.optional(int(kind), r.text()); err != nil {
			return nil, err
		}
		if r.short {
			return nil, errShortEvent
		}
	}
	return m, nil
}

// typeWithMeta reads a column's metadata. Two types hide what they are in it.
func typeWithMeta(kind columnType, metas *reader) mapColumn {
	c := mapColumn{kind: kind}
	switch kind {
	case typeFloat, typeDouble, typeBlob, typeGeometry, typeVector, typeJSON, typeBlobCompressed, typeTime2, typeDatetime2, typeTimestamp2:
		c.meta = uint16(metas.number(1))
	case typeVarchar, typeVarString, typeVarcharCompressed, typeBit:
		c.meta = uint16(metas.number(2))
	case typeNewDecimal: // precision, scale
		c.meta = uint16(metas.number(1))<<8 | uint16(metas.number(1))
	case typeString, typeEnum, typeSet:
		// The real type, with the upper two bits of the length (inverted) in its bits 4 and 5; then the length's lower byte.
		actual, length := uint16(metas.number(1)), uint16(metas.number(1))
		if actual != 0 {
			length |= (actual&0x30 ^ 0x30) << 4
			c.kind = columnType(actual | 0x30)
		}
		c.meta = length
	case typeArray:
		// The element's type and that type's metadata: Field_typed_array::do_save_field_metadata.
		c = typeWithMeta(columnType(metas.number(1)), metas)
		c.kind = typeArray
	default: // has none
	}
	return c
}

// isNumeric tells whether a column has a bit in the signedness field.
func (c *mapColumn) isNumeric() bool {
	switch c.kind {
	case typeTiny, typeShort, typeInt24, typeLong, typeLongLong, typeNewDecimal, typeFloat, typeDouble, typeYear:
		return true
	default:
		return false
	}
}

// isText tells whether a column has a place in the character set fields.
func (c *mapColumn) isText(isMaria bool) bool {
	switch c.kind {
	case typeString, typeVarString, typeVarchar, typeBlob, typeBlobCompressed, typeVarcharCompressed:
		return true
	case typeVector: // MySQL's; it derives from BLOB there (is_character_type in log_event.cc). MariaDB's is a VARBINARY
		return true
	case typeGeometry:
		return isMaria
	default:
		return false
	}
}

func (c *mapColumn) isEnumOrSet() bool { return c.kind == typeEnum || c.kind == typeSet }

// optional reads one field of the optional metadata. Unknown ones are skipped, as the servers do.
func (m *tableMap) optional(kind int, value []byte) error {
	isText := func(c *mapColumn) bool { return c.isText(m.written.isMaria) }
	r := reader{b: value}
	switch kind {
	case metaSignedness:
		return m.signedness(value)
	case metaDefaultCharset:
		m.defaultCharset(&r, isText)
	case metaColumnCharset:
		m.columnCharset(&r, isText)
	case metaEnumSetDefaultCharset:
		m.defaultCharset(&r, (*mapColumn).isEnumOrSet)
	case metaEnumSetColumnCharset:
		m.columnCharset(&r, (*mapColumn).isEnumOrSet)
	case metaColumnName:
		m.described = true
		for i := range m.columns {
			m.columns[i].name = strings.ToValidUTF8(string(r.text()), "\uFFFD")
		}
	case metaSetLabels:
		return m.labels(&r, typeSet)
	case metaEnumLabels:
		return m.labels(&r, typeEnum)
	case metaSimplePrimaryKey, metaPrimaryKeyWithPrefix:
		return m.key(&r, kind == metaPrimaryKeyWithPrefix)
	}
	return r.err()
}

// signedness reads a bit for each numeric column: set if it is unsigned. Early versions of MySQL 8.0 (8.0.15 is one) leave
// YEAR out, later ones and MariaDB say that it is unsigned. In which version that changed is not documented, so the bits are
// asked as well: most often only one reading fits.
func (m *tableMap) signedness(bits []byte) error {
	if m.sign(bits, !m.written.noYearSigns) || m.sign(bits, m.written.noYearSigns) {
		return nil
	}
	return fmt.Errorf("the table map of %s.%s has signs in %d bytes, which do not fit its numeric columns", m.schema, m.table, len(bits))
}

// sign reads the bits with or without those for YEAR; false if that cannot be right.
func (m *tableMap) sign(bits []byte, withYear bool) bool {
	at := 0
	for i := range m.columns {
		c := &m.columns[i]
		if !c.isNumeric() || c.kind == typeYear && !withYear {
			continue
		}
		if at/8 >= len(bits) {
			return false
		}
		c.unsigned = bits[at/8]&(0x80>>(at%8)) != 0
		if c.kind == typeYear && !c.unsigned {
			return false
		}
		at++
	}
	padding := byte(0)
	if at%8 != 0 {
		padding = bits[at/8] & (0xff >> (at % 8))
	}
	return (at+7)/8 == len(bits) && padding == 0
}

// defaultCharset reads a collation for all columns of a class, and the exceptions: position among them, collation.
func (m *tableMap) defaultCharset(r *reader, in func(*mapColumn) bool) {
	common := r.packed()
	others := map[uint64]uint64{}
	for len(r.b) > 0 {
		at := r.packed()
		others[at] = r.packed()
	}
	at := uint64(0)
	for i := range m.columns {
		if !in(&m.columns[i]) {
			continue
		}
		m.columns[i].collation = common
		if other, ok := others[at]; ok {
			m.columns[i].collation = other
		}
		at++
	}
}

func (m *tableMap) columnCharset(r *reader, in func(*mapColumn) bool) {
	for i := range m.columns {
		if in(&m.columns[i]) {
			m.columns[i].collation = r.packed()
		}
	}
}

func (m *tableMap) labels(r *reader, of columnType) error {
	for i := range m.columns {
		if m.columns[i].kind != of {
			continue
		}
		count := r.packed()
		if count > uint64(len(r.b)) { // each takes at least the byte of its length
			return errShortEvent
		}
		labels := make([][]byte, count)
		for j := range labels {
			labels[j] = append([]byte{}, r.text()...)
		}
		m.columns[i].labels = labels
	}
	return r.err()
}

var errKeyColumn = errors.New("the table map's primary key names a column that is not there")

func (m *tableMap) key(r *reader, withPrefix bool) error {
	m.primaryKey = nil
	for len(r.b) > 0 {
		at := r.packed()
		if at >= uint64(len(m.columns)) {
			return errKeyColumn
		}
		m.primaryKey = append(m.primaryKey, int(at))
		if withPrefix && r.packed() != 0 {
			m.prefixed = true
		}
	}
	return r.err()
}
