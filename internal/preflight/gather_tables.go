package preflight

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"meridian/internal/row"
)

// table is a replicated table as information_schema describes it.
type table struct {
	tableName
	kind    string // BASE TABLE, SYSTEM VERSIONED, …
	engine  string
	columns []column
	primary []keyPart
	unique  []uniqueKey
}

type column struct {
	row.ColumnInfo
	nullable  bool
	precision int // digits of a second; 0 for what has none
}

type keyPart struct {
	column string
	prefix int // characters or bytes that count; 0: all
}

type uniqueKey struct {
	name    string
	columns []string // "" for an expression
}

func (t *table) column(name string) *column {
	for i := range t.columns {
		if strings.EqualFold(t.columns[i].Name, name) {
			return &t.columns[i]
		}
	}
	return nil
}

// keyColumns gives the names of the primary key's columns.
func (t *table) keyColumns() []string {
	names := make([]string, len(t.primary))
	for i, p := range t.primary {
		names[i] = p.column
	}
	return names
}

// foreignKey is a constraint between any two tables.
type foreignKey struct {
	name               string
	child, parent      tableName
	onUpdate, onDelete string
}

type trigger struct {
	name   string
	table  tableName
	timing string // "BEFORE INSERT"
	body   string
}

type event struct {
	schema, name string
	status       string // ENABLED, DISABLED, SLAVESIDE_DISABLED, REPLICA_SIDE_DISABLED
}

// serverSchemas are no business of ours.
const serverSchemas = "('mysql', 'information_schema', 'performance_schema', 'sys', 'ndbinfo')"

func (f *facts) askTables(q *asker, wanted Tables) error {
	byName := map[tableName]*table{}
	var schemas []string
	err := q.each("its tables", `SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES
		WHERE TABLE_TYPE NOT IN ('VIEW', 'SYSTEM VIEW') AND TABLE_SCHEMA NOT IN `+serverSchemas+` ORDER BY TABLE_SCHEMA, TABLE_NAME`, nil,
		func(r []string) error {
			name := tableName{r[0], r[1]}
			f.seen = append(f.seen, name)
			if !wanted.Match(name.schema, name.name) {
				return nil
			}
			t := &table{tableName: name, kind: r[2], engine: r[3]}
			f.tables, byName[name] = append(f.tables, t), t
			if !slices.Contains(schemas, name.schema) {
				schemas = append(schemas, name.schema)
			}
			return nil
		})
	if err != nil {
		return err
	}
	for _, schema := range schemas {
		if err := f.askColumns(q, schema, byName); err != nil {
			return err
		}
		if err := f.askKeys(q, schema, byName); err != nil {
			return err
		}
	}
	return nil
}

func (f *facts) askColumns(q *asker, schema string, byName map[tableName]*table) error {
	json, err := f.askJSON(q, schema)
	if err != nil {
		return err
	}
	return q.each("the columns of "+schema, `SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME,
		EXTRA, GENERATION_EXPRESSION, IS_NULLABLE, DATETIME_PRECISION FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ?
		ORDER BY TABLE_NAME, ORDINAL_POSITION`, []any{schema}, func(r []string) error {
		t := byName[tableName{schema, r[0]}]
		if t == nil {
			return nil
		}
		c := column{nullable: r[8] == "YES", ColumnInfo: row.ColumnInfo{Name: r[1], DataType: r[2], ColumnType: r[3],
			CharacterSet: r[4], Collation: r[5], Extra: r[6], GenerationExpression: r[7],
			JSON: json[r[0]+"\x00"+strings.ToLower(r[1])]}}
		c.precision, _ = strconv.Atoi(r[9]) // no time: no digits
		t.columns = append(t.columns, c)
		return nil
	})
}

// askJSON finds MariaDB's JSON columns, which are LONGTEXT with the check json_valid(`column`).
func (f *facts) askJSON(q *asker, schema string) (map[string]bool, error) {
	json := map[string]bool{}
	if !f.mariadb {
		return json, nil
	}
	err := q.each("the checks of "+schema, "SELECT TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = ?",
		[]any{schema}, func(r []string) error {
			column, isJSON := strings.CutPrefix(r[1], "json_valid(`")
			column, whole := strings.CutSuffix(column, "`)")
			if isJSON && whole {
				json[r[0]+"\x00"+strings.ToLower(strings.ReplaceAll(column, "``", "`"))] = true
			}
			return nil
		})
	return json, err
}

func (f *facts) askKeys(q *asker, schema string, byName map[tableName]*table) error {
	return q.each("the keys of "+schema, `SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS
		WHERE TABLE_SCHEMA = ? AND NON_UNIQUE = 0 ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX`, []any{schema}, func(r []string) error {
		t := byName[tableName{schema, r[0]}]
		if t == nil {
			return nil
		}
		if strings.EqualFold(r[1], "PRIMARY") {
			prefix, _ := strconv.Atoi(r[3]) // NULL: the whole column
			t.primary = append(t.primary, keyPart{column: r[2], prefix: prefix})
			return nil
		}
		if n := len(t.unique); n == 0 || t.unique[n-1].name != r[1] {
			t.unique = append(t.unique, uniqueKey{name: r[1]})
		}
		last := &t.unique[len(t.unique)-1]
		last.columns = append(last.columns, r[2])
		return nil
	})
}

// askEffects finds what writes rows by itself, and Meridian's own tables.
func (f *facts) askEffects(q *asker) error {
	err := q.each("its foreign keys", `SELECT CONSTRAINT_NAME, CONSTRAINT_SCHEMA, TABLE_NAME, UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME,
		UPDATE_RULE, DELETE_RULE FROM information_schema.REFERENTIAL_CONSTRAINTS ORDER BY CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME`, nil,
		func(r []string) error {
			f.foreignKeys = append(f.foreignKeys, foreignKey{name: r[0], child: tableName{r[1], r[2]}, parent: tableName{r[3], r[4]},
				onUpdate: r[5], onDelete: r[6]})
			return nil
		})
	if err != nil {
		return err
	}
	err = q.each("its triggers", `SELECT TRIGGER_NAME, EVENT_OBJECT_SCHEMA, EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT
		FROM information_schema.TRIGGERS ORDER BY EVENT_OBJECT_SCHEMA, EVENT_OBJECT_TABLE, TRIGGER_NAME`, nil, func(r []string) error {
		f.triggers = append(f.triggers, trigger{name: r[0], table: tableName{r[1], r[2]}, timing: r[3] + " " + r[4], body: r[5]})
		return nil
	})
	if err != nil {
		return err
	}
	err = q.each("its events", "SELECT EVENT_SCHEMA, EVENT_NAME, STATUS FROM information_schema.EVENTS ORDER BY EVENT_SCHEMA, EVENT_NAME", nil,
		func(r []string) error {
			f.events = append(f.events, event{schema: r[0], name: r[1], status: r[2]})
			return nil
		})
	if err != nil {
		return err
	}
	for _, t := range f.seen {
		if t.schema == stateSchema {
			f.stateTables++
		}
	}
	return nil
}

// stateSchema holds Meridian's own tables.
const stateSchema = "meridian"

// describeKey is "PRIMARY KEY (a, b)" for people.
func describeKey(columns []string) string { return fmt.Sprintf("(%s)", strings.Join(columns, ", ")) }
