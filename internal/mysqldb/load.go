package mysqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"meridian/internal/row"
)

// TableName is a table that the server has.
type TableName struct {
	Schema, Name string
	Engine       string
}

// String gives "schema.table".
func (t TableName) String() string { return t.Schema + "." + t.Name }

// ListTables gives all tables of rows (no views, no sequences) outside of the servers' own schemas, by schema and name.
func (s *Server) ListTables(ctx context.Context) ([]TableName, error) {
	var tables []TableName
	err := s.each(ctx, "listing the tables", `SELECT TABLE_SCHEMA, TABLE_NAME, COALESCE(ENGINE, '') FROM information_schema.TABLES
		WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')
		AND TABLE_SCHEMA NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys', 'ndbinfo')
		ORDER BY TABLE_SCHEMA, TABLE_NAME`, nil, func(rows *sql.Rows) error {
		var t TableName
		if err := rows.Scan(&t.Schema, &t.Name, &t.Engine); err != nil {
			return err
		}
		tables = append(tables, t)
		return nil
	})
	return tables, err
}

// EstimateRows gives about how many rows a table has, as the server's statistics tell.
func (s *Server) EstimateRows(ctx context.Context, t TableName) (rows uint64, err error) {
	err = s.DB.QueryRowContext(ctx, "SELECT COALESCE(TABLE_ROWS, 0) FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?", t.Schema, t.Name).Scan(&rows)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, &NoTableError{Schema: t.Schema, Name: t.Name}
	}
	if err != nil {
		return 0, fmt.Errorf("estimating the rows of %s: %w", t, err)
	}
	return rows, nil
}

// LoadTable reads a table's definition. A table that is not there, or is none, gives a *NoTableError; a column whose type
// cannot be moved gives an error that says so.
func (s *Server) LoadTable(ctx context.Context, schema, name string) (*TableInfo, error) {
	l := loading{server: s, from: s.DB, ctx: ctx, schema: schema, name: name, info: &TableInfo{AutoIncrement: -1}}
	for _, step := range []func() error{l.kind, l.checks, l.columns, l.keys, l.triggers, l.foreignKeys} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return l.info, nil
}

// loading is one LoadTable.
type loading struct {
	server       *Server
	from         Queryer
	ctx          context.Context
	schema, name string
	json         map[string]bool // columns that a check constraint makes JSON, in lower case
	info         *TableInfo
}

func (l *loading) each(what, query string, scan func(*sql.Rows) error) error {
	return l.server.eachOf(l.ctx, l.from, what+" of table "+l.schema+"."+l.name, query, []any{l.schema, l.name}, scan)
}

func (l *loading) kind() error {
	kind := ""
	err := l.each("reading the kind", `SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, COALESCE(ENGINE, '') FROM information_schema.TABLES
		WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?`, func(rows *sql.Rows) error {
		return rows.Scan(&l.schema, &l.name, &kind, &l.info.Engine)
	})
	if err != nil {
		return err
	}
	l.info.SystemVersioned = kind == "SYSTEM VERSIONED"
	if kind != "BASE TABLE" && !l.info.SystemVersioned {
		return &NoTableError{Schema: l.schema, Name: l.name, Type: kind}
	}
	return nil
}

// checks finds MariaDB's JSON columns: a LONGTEXT with the check json_valid(`column`), which is what JSON is short for there.
func (l *loading) checks() error {
	if l.server.Flavor != MariaDB {
		return nil
	}
	l.json = map[string]bool{}
	return l.each("reading the check constraints", `SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS
		WHERE CONSTRAINT_SCHEMA = ? AND TABLE_NAME = ?`, func(rows *sql.Rows) error {
		var clause string
		if err := rows.Scan(&clause); err != nil {
			return err
		}
		column, starts := strings.CutPrefix(clause, "json_valid(`")
		column, ends := strings.CutSuffix(column, "`)")
		if starts && ends {
			l.json[strings.ToLower(strings.ReplaceAll(column, "``", "`"))] = true
		}
		return nil
	})
}

func (l *loading) columns() error {
	var columns []row.Column
	err := l.each("reading the columns", `SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, COALESCE(CHARACTER_SET_NAME, ''), COALESCE(COLLATION_NAME, ''),
		EXTRA, COALESCE(GENERATION_EXPRESSION, ''), IS_NULLABLE FROM information_schema.COLUMNS
		WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION`, func(rows *sql.Rows) error {
		var c row.ColumnInfo
		var nullable string
		if err := rows.Scan(&c.Name, &c.DataType, &c.ColumnType, &c.CharacterSet, &c.Collation, &c.Extra, &c.GenerationExpression, &nullable); err != nil {
			return err
		}
		c.JSON = l.json[strings.ToLower(c.Name)]
		column, err := row.ParseColumn(c)
		if err != nil {
			return err
		}
		extra := strings.ToUpper(c.Extra)
		if strings.Contains(extra, "AUTO_INCREMENT") {
			l.info.AutoIncrement = len(columns)
		}
		l.info.Nullable = append(l.info.Nullable, nullable == "YES")
		l.info.Invisible = append(l.info.Invisible, strings.Contains(extra, "INVISIBLE"))
		columns = append(columns, column)
		return nil
	})
	if err != nil {
		return err
	}
	l.info.Table = row.NewTable(l.schema, l.name, columns, nil)
	return nil
}

func (l *loading) keys() error {
	var primary []int
	t := l.info.Table
	err := l.each("reading the keys", `SELECT INDEX_NAME, COALESCE(COLUMN_NAME, ''), COALESCE(SUB_PART, 0) FROM information_schema.STATISTICS
		WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX`, func(rows *sql.Rows) error {
		var index, column string
		var prefix int
		if err := rows.Scan(&index, &column, &prefix); err != nil {
			return err
		}
		at := -1
		if column != "" {
			at = t.Column(column)
		}
		if strings.EqualFold(index, "PRIMARY") {
			if at < 0 {
				return fmt.Errorf("column %q of the primary key is not among the columns: the table changed while it was read", column)
			}
			primary = append(primary, at)
			l.info.KeyPrefix = append(l.info.KeyPrefix, prefix)
			return nil
		}
		keys := l.info.UniqueKeys
		if n := len(keys); n == 0 || keys[n-1].Name != index {
			keys = append(keys, UniqueKey{Name: index})
		}
		last := &keys[len(keys)-1]
		last.Columns = append(last.Columns, at)
		l.info.UniqueKeys = keys
		return nil
	})
	if err != nil {
		return err
	}
	l.info.Table = row.NewTable(t.Schema, t.Name, t.Columns, primary)
	return nil
}

func (l *loading) triggers() error {
	return l.each("reading the triggers", `SELECT TRIGGER_NAME, ACTION_TIMING, EVENT_MANIPULATION FROM information_schema.TRIGGERS
		WHERE EVENT_OBJECT_SCHEMA = ? AND EVENT_OBJECT_TABLE = ? ORDER BY TRIGGER_NAME`, func(rows *sql.Rows) error {
		var t Trigger
		if err := rows.Scan(&t.Name, &t.Timing, &t.Event); err != nil {
			return err
		}
		l.info.Triggers = append(l.info.Triggers, t)
		return nil
	})
}

func (l *loading) foreignKeys() error {
	const query = `SELECT r.CONSTRAINT_NAME, k.TABLE_SCHEMA, k.TABLE_NAME, k.COLUMN_NAME,
		k.REFERENCED_TABLE_SCHEMA, k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME, r.UPDATE_RULE, r.DELETE_RULE
		FROM information_schema.REFERENTIAL_CONSTRAINTS r JOIN information_schema.KEY_COLUMN_USAGE k
		ON k.CONSTRAINT_SCHEMA = r.CONSTRAINT_SCHEMA AND k.CONSTRAINT_NAME = r.CONSTRAINT_NAME AND k.TABLE_NAME = r.TABLE_NAME
		WHERE k.REFERENCED_COLUMN_NAME IS NOT NULL AND `
	const order = ` ORDER BY k.TABLE_SCHEMA, k.TABLE_NAME, r.CONSTRAINT_NAME, k.ORDINAL_POSITION`
	for _, of := range []struct {
		which string
		into  *[]ForeignKey
	}{
		{"k.TABLE_SCHEMA = ? AND k.TABLE_NAME = ?", &l.info.ForeignKeys},
		{"k.REFERENCED_TABLE_SCHEMA = ? AND k.REFERENCED_TABLE_NAME = ?", &l.info.ReferencedBy},
	} {
		err := l.each("reading the foreign keys", query+of.which+order, func(rows *sql.Rows) error {
			var f ForeignKey
			var column, referenced string
			if err := rows.Scan(&f.Name, &f.Schema, &f.Table, &column, &f.ReferencedSchema, &f.ReferencedTable, &referenced, &f.OnUpdate, &f.OnDelete); err != nil {
				return err
			}
			all := *of.into
			if n := len(all); n == 0 || all[n-1].Name != f.Name || all[n-1].Schema != f.Schema || all[n-1].Table != f.Table {
				all = append(all, f)
			}
			last := &all[len(all)-1]
			last.Columns = append(last.Columns, column)
			last.ReferencedColumns = append(last.ReferencedColumns, referenced)
			*of.into = all
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// each runs a query and hands each row to scan.
func (s *Server) each(ctx context.Context, what, query string, args []any, scan func(*sql.Rows) error) error {
	return s.eachOf(ctx, s.DB, what, query, args, scan)
}

func (s *Server) eachOf(ctx context.Context, q Queryer, what, query string, args []any, scan func(*sql.Rows) error) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", s.Address, what, err)
	}
	defer func() { _ = rows.Close() }() // the error is the one that rows.Err gives
	for rows.Next() {
		if err := scan(rows); err != nil {
			return fmt.Errorf("%s: %s: %w", s.Address, what, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("%s: %s: %w", s.Address, what, err)
	}
	return nil
}
