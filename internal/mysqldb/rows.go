package mysqldb

import (
	"context"
	"database/sql"
	"fmt"

	"meridian/internal/row"
)

// AppendSelectList appends the expressions by which a SELECT gets the exact values of some of a table's columns, for
// QueryRows. qualifier stands before each column's name: "t." or "".
func AppendSelectList(dst []byte, t *row.Table, columns []int, qualifier string) []byte {
	for i, at := range columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		c := &t.Columns[at]
		dst = append(dst, row.SelectExpression(c, qualifier+QuoteIdentifier(c.Name))...)
	}
	return dst
}

// QueryRows runs a SELECT whose list AppendSelectList wrote for the same columns, and hands over each row's values in that
// order. The slice is the callee's to keep.
func QueryRows(ctx context.Context, q Queryer, query string, t *row.Table, columns []int, each func(values []row.Value) error) error {
	rows, err := q.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("reading rows of %s: %w", t, err)
	}
	defer func() { _ = rows.Close() }() // the error is the one that rows.Err gives
	return ReadRows(rows, t, columns, each)
}

// ReadRows is QueryRows for a result that is there already: one of a Packet's.
func ReadRows(rows *sql.Rows, t *row.Table, columns []int, each func(values []row.Value) error) (err error) {
	raw := make([]sql.RawBytes, len(columns))
	into := make([]any, len(columns))
	for i := range raw {
		into[i] = &raw[i]
	}
	for rows.Next() {
		if err = rows.Scan(into...); err != nil {
			return fmt.Errorf("reading rows of %s: %w", t, err)
		}
		values := make([]row.Value, len(columns))
		for i, at := range columns {
			if values[i], err = row.FromText(&t.Columns[at], raw[i]); err != nil {
				return fmt.Errorf("reading rows of %s: %w", t, err)
			}
		}
		if err = each(values); err != nil {
			return err
		}
	}
	if err = rows.Err(); err != nil {
		return fmt.Errorf("reading rows of %s: %w", t, err)
	}
	return nil
}
