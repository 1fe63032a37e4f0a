package mysqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"

	"meridian/internal/row"
)

// errNoStream is returned for a driver that is not ours.
var errNoStream = errors.New("the driver's connections cannot run statements")

// StreamRows is QueryRows for reading whole tables: the values, and what they hold, are the caller's only until each returns. A
// row costs a third of what database/sql takes for it, which makes copies and knows no integers.
func StreamRows(ctx context.Context, conn *sql.Conn, query string, t *row.Table, columns []int, each func(values []row.Value) error) error {
	err := conn.Raw(func(raw any) (err error) {
		q, ok := raw.(driver.QueryerContext)
		if !ok {
			return errNoStream
		}
		rows, err := q.QueryContext(ctx, query, nil)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		fields, values := make([]driver.Value, len(columns)), make([]row.Value, len(columns))
		for {
			if err = rows.Next(fields); err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
			for i, at := range columns {
				if values[i], err = fromField(&t.Columns[at], fields[i]); err != nil {
					return err
				}
			}
			if err = each(values); err != nil {
				return err
			}
		}
	})
	if err != nil {
		return fmt.Errorf("reading rows of %s: %w", t, err)
	}
	return nil
}

// fromField makes the value of a column out of what the driver has made of the text protocol: numbers are read already. The value
// holds the driver's bytes.
func fromField(c *row.Column, field driver.Value) (row.Value, error) {
	switch v := field.(type) {
	case nil:
		return row.NullValue(), nil
	case []byte:
		return row.FromTextAliased(c, v)
	case int64:
		switch c.Type {
		case row.TypeInt:
			return row.IntValue(v), nil
		case row.TypeUint, row.TypeYear:
			return row.UintValue(uint64(v)), nil
		default:
			return row.FromText(c, strconv.AppendInt(nil, v, 10))
		}
	case uint64:
		if c.Type == row.TypeUint {
			return row.UintValue(v), nil
		}
		return row.FromText(c, strconv.AppendUint(nil, v, 10))
	case float64:
		switch c.Type {
		case row.TypeDouble:
			return row.DoubleValue(v), nil
		case row.TypeFloat: // selected as a double, which holds it exactly
			return row.FloatValue(float32(v)), nil
		default:
			return row.FromText(c, strconv.AppendFloat(nil, v, 'g', -1, 64))
		}
	default:
		return row.FromText(c, fmt.Append(nil, v))
	}
}
