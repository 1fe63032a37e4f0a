package binlog

import (
	"errors"
	"fmt"
	"strings"

	"meridian/internal/row"
)

// layout says how the rows of one table stand in rows events, and what they become. It is made from one table map and the
// live schema's hints, and never changes.
type layout struct {
	name     string // schema.table
	decision Decision
	columns  int // of the table map
	// fault is why its rows cannot be decoded. It is an error only when there are any.
	fault   error
	table   *row.Table
	fields  []field
	aliases bool // some values point into the event's bytes
}

// form is how a column's bytes are read.
type form uint8

const (
	formInt form = iota
	formUint
	formYear
	formDecimal
	formFloat
	formDouble
	formBit
	formDate
	formTime         // the types of MySQL 5.5 and before, which MariaDB still has
	formDatetime     //
	formTimestamp    //
	formOldTime      // MariaDB's own types with fractions, from before it had MySQL's
	formOldDatetime  //
	formOldTimestamp //
	formTime2        // the types with fractions of a second
	formDatetime2    //
	formTimestamp2   //
	formEnum
	formSet
	formBytes // a length and bytes
)

// content is what the bytes of formBytes are.
type content uint8

const (
	contentUTF8   content = iota // text
	contentText                  // text in field.charset
	contentBinary                //
	contentPadded                // BINARY(size)
	contentBinaryJSON
	contentTextJSON // MariaDB
	contentGeometry
	contentVector
	contentUUID
	contentInet4
	contentInet6
)

// field is one column of a row image.
type field struct {
	form       form
	content    content
	compressed bool // MariaDB's COMPRESSED columns
	generated  bool // may be missing from an image
	width      int  // bytes of the value, or of its length
	size       int  // BINARY: its length; DECIMAL: precision
	fraction   int  // digits of a second; DECIMAL: scale
	charset    string
	labels     [][]byte
	name       string
}

// newLayout makes the layout of a table that is wanted. What cannot be read is in layout.fault.
func newLayout(m *tableMap, decision Decision, hints map[string]row.Column, known collations) *layout {
	l := &layout{name: m.schema + "." + m.table, decision: decision, columns: len(m.columns)}
	if !m.described {
		l.fault = &MetadataError{Table: l.name, Setting: settingMetadata, Reason: "the binlog does not describe the table's columns. " +
			"Set " + settingMetadata + "=FULL on the server (SET PERSIST where there is one); what was written without it cannot be read back"}
		return l
	}
	columns := make([]row.Column, len(m.columns))
	l.fields = make([]field, len(m.columns))
	for i := range m.columns {
		c := &m.columns[i]
		hint, live := hints[strings.ToLower(c.name)]
		hint.Generated = hint.Generated || isHidden(c.name) && hints != nil && !live
		f, column, err := newField(c, hint, known)
		if err != nil {
			l.fault = &MetadataError{Table: l.name, Reason: fmt.Sprintf("column %s cannot be read from the binlog: %v", c.name, err)}
			return l
		}
		l.fields[i], columns[i] = f, column
		l.aliases = l.aliases || f.form == formBytes
	}
	switch {
	case len(m.primaryKey) == 0 && decision == Replicated:
		l.fault = &MetadataError{Table: l.name, Reason: "the table has no primary key. Exclude it (tables.exclude), which is " +
			"enough to go on, or give it one"}
	case m.prefixed && decision == Replicated:
		l.fault = &MetadataError{Table: l.name, Reason: "its primary key is over a prefix of a column, which is not supported. " +
			"Exclude the table (tables.exclude), which is enough to go on, or make the key over whole columns"}
	}
	l.table = row.NewTable(m.schema, m.table, columns, m.primaryKey)
	return l
}

// isHidden tells whether a column may be one that MySQL made for an index over an expression. Early versions of 8.0 have
// them in their table maps, under an MD5 sum for a name, but not in their row images.
func isHidden(name string) bool {
	return len(name) == 32 && strings.Trim(name, "0123456789abcdef") == ""
}

var errType = errors.New("its type is not supported")

// newField describes one column.
func newField(c *mapColumn, hint row.Column, known collations) (field, row.Column, error) {
	f := field{name: c.name, generated: hint.Generated}
	column := row.Column{Name: c.name, Generated: hint.Generated}
	if scalar(c, hint, &f, &column) {
		return f, column, nil
	}
	var err error
	switch c.kind {
	case typeEnum, typeSet:
		err = labelled(c, &f, &column, known)
	case typeString, typeVarString, typeVarchar, typeVarcharCompressed:
		f.form, f.width = formBytes, 1
		if c.meta > 255 {
			f.width = 2
		}
		f.compressed = c.kind == typeVarcharCompressed
		err = bytesField(c, hint, &f, &column, known)
	case typeBlob, typeBlobCompressed:
		f.form, f.width, f.compressed = formBytes, int(c.meta), c.kind == typeBlobCompressed
		err = bytesField(c, hint, &f, &column, known)
	case typeJSON:
		f.form, f.width, f.content = formBytes, int(c.meta), contentBinaryJSON
		column.Type = row.TypeJSON
	case typeGeometry:
		f.form, f.width, f.content = formBytes, int(c.meta), contentGeometry
		column.Type = row.TypeGeometry
	case typeVector:
		f.form, f.width, f.content = formBytes, int(c.meta), contentVector
		column.Type, column.Length = row.TypeVector, hint.Length
	default:
		return f, column, fmt.Errorf("%w (type %d)", errType, c.kind)
	}
	if err == nil && (f.width < 1 || f.width > 8) {
		err = fmt.Errorf("its metadata is %d, which makes no sense for type %d", c.meta, c.kind)
	}
	return f, column, err
}

// scalar describes numbers and times; false for all others.
func scalar(c *mapColumn, hint row.Column, f *field, column *row.Column) bool {
	set := func(form form, width int, t row.Type) {
		f.form, f.width, column.Type = form, width, t
	}
	integer := func(width int) {
		set(formInt, width, row.TypeInt)
		if c.unsigned {
			set(formUint, width, row.TypeUint)
		}
	}
	timed := func(form form, base int, t row.Type) {
		f.fraction = min(int(c.meta), 6)
		set(form, base+(f.fraction+1)/2, t)
		column.Fraction = f.fraction
	}
	switch c.kind {
	case typeTiny:
		integer(1)
	case typeShort:
		integer(2)
	case typeInt24:
		integer(3)
	case typeLong:
		integer(4)
	case typeLongLong:
		integer(8)
	case typeYear:
		set(formYear, 1, row.TypeYear)
	case typeFloat:
		set(formFloat, 4, row.TypeFloat)
	case typeDouble:
		set(formDouble, 8, row.TypeDouble)
	case typeNewDecimal:
		f.size, f.fraction = int(c.meta>>8), int(c.meta&0xff)
		if f.size < 1 || f.size > 65 || f.fraction > f.size {
			return false
		}
		set(formDecimal, row.PackedDecimalSize(f.size, f.fraction), row.TypeDecimal)
		column.Length, column.Fraction = f.size, f.fraction
	case typeBit: // whole bytes, and bits beyond them
		column.Length = int(c.meta>>8)*8 + int(c.meta&0xff)
		if column.Length < 1 || column.Length > 64 {
			return false
		}
		set(formBit, (column.Length+7)/8, row.TypeBit)
	case typeDate, typeNewDate:
		set(formDate, 3, row.TypeDate)
	case typeTime:
		set(formTime, 3, row.TypeTime)
		withFraction(formOldTime, [...]int{3, 4, 4, 5, 5, 5, 6}, hint, f, column)
	case typeDatetime:
		set(formDatetime, 8, row.TypeDatetime)
		withFraction(formOldDatetime, [...]int{5, 6, 6, 7, 7, 7, 8}, hint, f, column)
	case typeTimestamp:
		set(formTimestamp, 4, row.TypeTimestamp)
		withFraction(formOldTimestamp, [...]int{4, 5, 5, 6, 6, 7, 7}, hint, f, column)
	case typeTime2:
		timed(formTime2, 3, row.TypeTime)
	case typeDatetime2:
		timed(formDatetime2, 5, row.TypeDatetime)
	case typeTimestamp2:
		timed(formTimestamp2, 4, row.TypeTimestamp)
	default:
		return false
	}
	return true
}

// withFraction describes MariaDB's TIME(n), DATETIME(n) and TIMESTAMP(n) of tables that were made before 10.1, or with
// mysql56_temporal_format=OFF. The binlog does not tell n, nor how many bytes they take: only the live schema does.
func withFraction(as form, widths [7]int, hint row.Column, f *field, column *row.Column) {
	if hint.Type == column.Type && hint.Fraction > 0 && hint.Fraction < len(widths) {
		f.form, f.width, f.fraction, column.Fraction = as, widths[hint.Fraction], hint.Fraction, hint.Fraction
	}
}

// labelled describes an ENUM or a SET. Its labels come in the column's character set.
func labelled(c *mapColumn, f *field, column *row.Column, known collations) error {
	f.form, f.width, column.Type = formEnum, int(c.meta), row.TypeEnum
	if c.kind == typeSet {
		f.form, column.Type = formSet, row.TypeSet
	}
	if len(c.labels) == 0 || (c.kind == typeSet && len(c.labels) > 64) {
		return fmt.Errorf("the binlog gives %d labels for it", len(c.labels))
	}
	of, ok := known[c.collation]
	if !ok {
		return fmt.Errorf("its collation has the number %d, which the server does not list", c.collation)
	}
	column.Collation, column.Charset = of.name, of.charset
	f.labels = make([][]byte, len(c.labels))
	column.Labels = make([]string, len(c.labels))
	for i, label := range c.labels {
		text, valid := label, true
		if c.collation != binaryCollation {
			text, valid = row.DecodeText(of.charset, label)
		}
		if !valid {
			return fmt.Errorf("its label %q is no text in character set %s", label, of.charset)
		}
		f.labels[i], column.Labels[i] = text, string(text)
	}
	return nil
}

// bytesField describes CHAR, VARCHAR, TEXT, BINARY, VARBINARY, BLOB and what MariaDB keeps in them.
func bytesField(c *mapColumn, hint row.Column, f *field, column *row.Column, known collations) error {
	if hinted(c, hint, f, column) {
		return nil
	}
	if c.collation == binaryCollation {
		column.Type, f.content = row.TypeBinary, contentBinary
		if c.kind == typeString {
			f.content, f.size, column.Length = contentPadded, int(c.meta), int(c.meta)
		}
		return nil
	}
	of, ok := known[c.collation]
	if !ok {
		return fmt.Errorf("its collation has the number %d, which the server does not list", c.collation)
	}
	f.charset, f.content = of.charset, contentText
	if of.charset == "utf8mb4" || of.charset == "utf8mb3" || of.charset == "utf8" {
		f.content = contentUTF8
	}
	column.Type, column.Charset, column.Collation = row.TypeText, of.charset, of.name
	if hint.Type == row.TypeJSON {
		f.content, column.Type = contentTextJSON, row.TypeJSON
	}
	return nil
}

// hinted describes the columns that look like BINARY or VARBINARY in the binlog and are not: the live schema tells.
func hinted(c *mapColumn, hint row.Column, f *field, column *row.Column) bool {
	fixed := map[row.Type]struct {
		content content
		size    int
	}{row.TypeUUID: {contentUUID, 16}, row.TypeInet4: {contentInet4, 4}, row.TypeInet6: {contentInet6, 16}}
	if as, ok := fixed[hint.Type]; ok && c.collation == binaryCollation && c.kind == typeString && int(c.meta) == as.size {
		f.content, f.size, column.Type = as.content, as.size, hint.Type
		return true
	}
	if hint.Type == row.TypeVector && c.collation == binaryCollation && !f.compressed && c.kind != typeString {
		f.content, column.Type, column.Length = contentVector, row.TypeVector, hint.Length
		return true
	}
	return false
}
