package mysqldb

import "context"

// NewSchemaOf makes a cache in front of any way to load a table.
func NewSchemaOf(load func(ctx context.Context, schema, name string) (*TableInfo, error)) *Schema {
	return &Schema{load: load, tables: map[string]*cachedTable{}}
}
