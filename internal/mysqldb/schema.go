package mysqldb

import (
	"context"
	"strings"
	"sync"
)

// Schema remembers table definitions until DDL makes them stale: whoever sees a DDL statement pass the tailer calls Forget.
// It is safe for concurrent use.
//
// A definition that was being read while Forget was called is given to those who had asked before, and not remembered.
type Schema struct {
	load func(ctx context.Context, schema, name string) (*TableInfo, error)

	mu     sync.Mutex
	tables map[string]*cachedTable // by schema and name, see tableKey
}

// cachedTable is a definition that is there, or on its way. Its fields are written before ready is closed.
type cachedTable struct {
	ready chan struct{}
	info  *TableInfo
	err   error
}

// NewSchema makes an empty cache in front of a server.
func NewSchema(s *Server) *Schema {
	return &Schema{load: s.LoadTable, tables: map[string]*cachedTable{}}
}

// Table gives a table's definition, from memory or from the server (see Server.LoadTable). Errors are not remembered.
func (c *Schema) Table(ctx context.Context, schema, name string) (*TableInfo, error) {
	key := tableKey(schema, name)
	for {
		c.mu.Lock()
		t, found := c.tables[key]
		if !found {
			t = &cachedTable{ready: make(chan struct{})}
			c.tables[key] = t
		}
		c.mu.Unlock()
		if !found {
			t.info, t.err = c.load(ctx, schema, name)
			if t.err != nil {
				c.drop(key, t)
			}
			close(t.ready)
			return t.info, t.err
		}
		select {
		case <-t.ready:
			if t.err == nil {
				return t.info, nil
			}
			// It was somebody else's attempt that failed, perhaps because their context ended: make one of our own.
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Forget makes the next Table ask the server again. An empty name forgets all tables of the schema.
func (c *Schema) Forget(schema, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if name != "" {
		delete(c.tables, tableKey(schema, name))
		return
	}
	for key := range c.tables {
		if strings.HasPrefix(key, tableKey(schema, "")) {
			delete(c.tables, key)
		}
	}
}

// ForgetAll forgets everything, for when DDL may have been missed.
func (c *Schema) ForgetAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.tables)
}

func (c *Schema) drop(key string, t *cachedTable) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tables[key] == t {
		delete(c.tables, key)
	}
}

// tableKey joins the names with a byte that neither can hold.
func tableKey(schema, name string) string { return schema + "\x00" + name }
