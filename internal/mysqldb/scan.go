package mysqldb

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"meridian/internal/row"
)

// ScanRows appends a SELECT of all columns (see QueryRows, with every position) of at most limit rows, in the order of the
// primary key, behind the row with the given key values; without values, from the first row on. What m's images are does not
// matter, only its target.
func (m *Mapping) ScanRows(dst []byte, after []row.Value, limit int) ([]byte, error) {
	target := m.target
	all := make([]int, len(target.Columns))
	for i := range all {
		all[i] = i
	}
	sql := AppendSelectList(append(dst, "SELECT "...), target.Table, all, "")
	sql = append(append(append(sql, " FROM "...), m.name...), " FORCE INDEX (PRIMARY)"...)
	if len(after) > 0 {
		var err error
		if sql, err = behind(append(sql, " WHERE "...), target.Table, after); err != nil {
			return dst, fmt.Errorf("table %s: %w", target, err)
		}
	}
	sql = append(sql, " ORDER BY "...)
	for i, at := range target.PrimaryKey {
		if i > 0 {
			sql = append(sql, ',')
		}
		sql = append(sql, QuoteIdentifier(target.Columns[at].Name)...)
	}
	return strconv.AppendInt(append(sql, " LIMIT "...), int64(limit), 10), nil
}

// behind appends the condition that a row's key is greater than the values. A comparison of whole rows, (a,b) > (1,2), would be
// shorter, but no server looks it up in an index.
func behind(sql []byte, t *row.Table, values []row.Value) ([]byte, error) {
	compare := func(i int, operator string) (err error) {
		c := &t.Columns[t.PrimaryKey[i]]
		sql = append(append(sql, QuoteIdentifier(c.Name)...), operator...)
		sql, err = appendOrdered(sql, values[i], c)
		return err
	}
	// This alone says nothing new; it is what the index is entered by.
	if err := compare(0, ">="); err != nil {
		return sql, err
	}
	sql = append(sql, " AND ("...)
	for n := range values {
		if n > 0 {
			sql = append(sql, " OR "...)
		}
		sql = append(sql, '(')
		for i := range n {
			if err := compare(i, "="); err != nil {
				return sql, err
			}
			sql = append(sql, " AND "...)
		}
		if err := compare(n, ">"); err != nil {
			return sql, err
		}
		sql = append(sql, ')')
	}
	return append(sql, ')'), nil
}

// appendOrdered is AppendLiteral for comparing: an ENUM is in the order of its numbers, a SET in that of its bits, and both are
// compared as text with text.
func appendOrdered(dst []byte, v row.Value, c *row.Column) ([]byte, error) {
	switch {
	case c.Type == row.TypeEnum && v.Kind == row.Text:
		at := slices.Index(c.Labels, string(v.Bytes))
		if at < 0 {
			return dst, &LiteralError{c.Name, fmt.Sprintf("%.80q is none of its labels", v.Bytes)}
		}
		return strconv.AppendInt(dst, int64(at)+1, 10), nil
	case c.Type == row.TypeSet && v.Kind == row.Text:
		return appendSetBits(dst, v, c)
	default:
		return AppendLiteral(dst, v, c)
	}
}

func appendSetBits(dst []byte, v row.Value, c *row.Column) ([]byte, error) {
	var bits uint64
	for label := range bytes.SplitSeq(v.Bytes, []byte{','}) {
		if len(label) == 0 {
			continue // the empty set
		}
		at := slices.Index(c.Labels, string(label))
		if at < 0 {
			return dst, &LiteralError{c.Name, fmt.Sprintf("%.80q is none of its labels", label)}
		}
		bits |= 1 << at
	}
	return strconv.AppendUint(dst, bits, 10), nil
}
