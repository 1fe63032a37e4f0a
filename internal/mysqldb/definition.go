package mysqldb

import (
	"context"
	"errors"
	"fmt"
)

// ErrDefinitionChanged is returned by CheckDefinition for a table that was altered.
var ErrDefinitionChanged = errors.New("the table's definition has changed")

// CheckDefinition tells whether a table still is what info says, as far as its rows' values, keys and digests go:
// ErrDefinitionChanged if not, a *NoTableError if it is gone. Asked within a transaction that has read rows of the table, the
// answer holds for those rows: the transaction's metadata lock keeps any ALTER TABLE from coming to its end before.
func (s *Server) CheckDefinition(ctx context.Context, q Queryer, info *TableInfo) error {
	l := loading{server: s, from: q, ctx: ctx, schema: info.Schema, name: info.Name, info: &TableInfo{AutoIncrement: -1}}
	for _, step := range []func() error{l.checks, l.columns, l.keys} {
		if err := step(); err != nil {
			return err
		}
	}
	now := l.info.Table
	switch {
	case len(now.Columns) == 0:
		return &NoTableError{Schema: info.Schema, Name: info.Name}
	case now.ColumnsID() != info.ColumnsID() || now.KeyID() != info.KeyID():
		return fmt.Errorf("%s: %w", info, ErrDefinitionChanged)
	default:
		return nil
	}
}
