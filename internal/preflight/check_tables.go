package preflight

import (
	"fmt"
	"slices"
	"strings"

	"meridian/internal/row"
)

// exclude is the other way out of most of what can be wrong with a table.
func exclude(t *table) string {
	return fmt.Sprintf("or exclude it: tables.exclude: [%q]", t.String())
}

// checkPatterns warns of patterns that name nothing, which are mostly misspelt.
func checkPatterns(i *inspection) []Check {
	f := i.here
	if !i.known() {
		return nil
	}
	if len(f.tables) == 0 {
		return []Check{warn("tables", "no table is replicated: none that "+QuoteAccount(f.account)+" may see matches tables.include",
			"correct tables.include, create the tables, or grant the privileges on them")}
	}
	var nothing []string
	for _, p := range slices.Concat(i.config.Include, i.config.Rules) {
		if !slices.ContainsFunc(f.seen, func(t tableName) bool { return p.Match(t.schema, t.name) }) && !slices.Contains(nothing, p.Text) {
			nothing = append(nothing, p.Text)
		}
	}
	good := fmt.Sprintf("%d are replicated", len(f.tables))
	if len(nothing) > 0 {
		return []Check{warn("tables", fmt.Sprintf("%s; nothing matches %s (names are compared with their case)", good, strings.Join(nothing, ", ")),
			"correct tables.include or tables.rules, if these are misspelt")}
	}
	return []Check{pass("tables", good)}
}

// checkPrimaryKeys: a row is known by its primary key alone, in every region.
func checkPrimaryKeys(i *inspection) []Check {
	if !i.known() {
		return nil
	}
	var complaints, fixes []string
	for _, t := range i.here.tables {
		switch {
		case len(t.primary) == 0:
			complaints = append(complaints, t.String()+" has no primary key")
			fixes = append(fixes, fmt.Sprintf("ALTER TABLE %s ADD PRIMARY KEY (...); -- %s", quoteTable(t.schema, t.name), exclude(t)))
		case slices.ContainsFunc(t.primary, func(p keyPart) bool { return p.prefix > 0 }):
			complaints = append(complaints, t.String()+"'s primary key counts only the beginning of a column: two different rows can be one key")
			fixes = append(fixes, fmt.Sprintf("ALTER TABLE %s DROP PRIMARY KEY, ADD PRIMARY KEY (...); -- with whole columns; %s", quoteTable(t.schema, t.name), exclude(t)))
		default:
			for _, p := range t.primary {
				c := t.column(p.column)
				if c == nil {
					continue
				}
				if generated(c) {
					complaints = append(complaints, fmt.Sprintf("%s's primary key has the generated column %s, which cannot be written elsewhere", t, c.Name))
					fixes = append(fixes, fmt.Sprintf("ALTER TABLE %s DROP PRIMARY KEY, ADD PRIMARY KEY (...); -- with plain columns; %s", quoteTable(t.schema, t.name), exclude(t)))
				}
				if err := keyCollation(c); err != nil {
					complaints = append(complaints, fmt.Sprintf("%s.%s: %v", t, c.Name, err))
					fixes = append(fixes, fmt.Sprintf("ALTER TABLE %s MODIFY %s %s CHARACTER SET %s COLLATE %s_bin NOT NULL; -- %s",
						quoteTable(t.schema, t.name), quote(c.Name), c.ColumnType, c.CharacterSet, c.CharacterSet, exclude(t)))
				}
			}
		}
	}
	return verdict("primary_keys", complaints, fixes, "every replicated table has one that is supported")
}

func generated(c *column) bool { return c.GenerationExpression != "" }

// keyCollation is nil for what is no text, and for text that two regions compare alike.
func keyCollation(c *column) error {
	if c.Collation == "" || c.DataType == "enum" || c.DataType == "set" {
		return nil
	}
	return row.KeyCollation(c.Collation)
}

// checkColumns wants types whose values can be moved.
func checkColumns(i *inspection) []Check {
	if !i.known() {
		return nil
	}
	var complaints, fixes []string
	for _, t := range i.here.tables {
		if t.kind != "BASE TABLE" {
			complaints = append(complaints, t.String()+" is "+strings.ToLower(t.kind)+": its history or its state is no rows that could be replicated")
			fixes = append(fixes, fmt.Sprintf("tables.exclude: [%q]", t.String()))
			continue
		}
		for n := range t.columns {
			if _, err := row.ParseColumn(t.columns[n].ColumnInfo); err != nil {
				complaints = append(complaints, fmt.Sprintf("%s.%s: %v", t, t.columns[n].Name, err))
				fixes = append(fixes, exclude(t))
			}
		}
	}
	return verdict("columns", complaints, fixes, "all columns have types that are supported")
}

// checkEngines: only InnoDB has the row locks and transactions that an apply stands on.
func checkEngines(i *inspection) []Check {
	if !i.known() {
		return nil
	}
	var complaints, fixes []string
	for _, t := range i.here.tables {
		if !strings.EqualFold(t.engine, "InnoDB") && t.kind == "BASE TABLE" {
			complaints = append(complaints, fmt.Sprintf("%s is %s: no transactions, no row locks", t, t.engine))
			fixes = append(fixes, fmt.Sprintf("ALTER TABLE %s ENGINE = InnoDB; -- %s", quoteTable(t.schema, t.name), exclude(t)))
		}
	}
	return verdict("engines", complaints, fixes, "all replicated tables are InnoDB")
}

// checkKeysAlike compares primary keys with those of the other regions: a row must be the same row everywhere.
func checkKeysAlike(i *inspection) []Check {
	if !i.known() {
		return nil
	}
	var differ, absent, fixes []string
	compared := 0
	for _, o := range i.others {
		if o.err != nil {
			continue
		}
		compared++
		for _, t := range i.here.tables {
			there := o.table(t.tableName)
			if there == nil {
				absent = append(absent, fmt.Sprintf("%s is not in region %s", t, o.region))
				continue
			}
			if why := keysDiffer(t, there); why != "" {
				differ = append(differ, fmt.Sprintf("%s: %s in region %s", t, why, o.region))
				fixes = append(fixes, fmt.Sprintf("-- give %s the same primary key, with the same collations, in all regions", t))
			}
		}
	}
	const name = "keys_alike"
	switch {
	case len(differ) > 0:
		return []Check{fail(name, list(append(differ, absent...)), statements(fixes))}
	case len(absent) > 0:
		return []Check{warn(name, list(absent)+": changes to it wait there until it is", "create it there with the definition that SHOW CREATE TABLE gives here")}
	case compared == 0:
		return []Check{pass(name, "no other region could be compared with")}
	default:
		return []Check{pass(name, fmt.Sprintf("primary keys and their collations are the same in %d other regions", compared))}
	}
}

func (f *facts) table(name tableName) *table {
	for _, t := range f.tables {
		if t.tableName == name {
			return t
		}
	}
	return nil
}

// keysDiffer says in what two regions' keys differ; "" if they do not.
func keysDiffer(here, there *table) string {
	mine, theirs := here.keyColumns(), there.keyColumns()
	if !slices.EqualFunc(mine, theirs, strings.EqualFold) {
		return fmt.Sprintf("the primary key is %s here and %s", describeKey(mine), describeKey(theirs))
	}
	for _, name := range mine {
		a, b := here.column(name), there.column(name)
		if a == nil || b == nil {
			continue
		}
		if !strings.EqualFold(a.Collation, b.Collation) {
			return fmt.Sprintf("key column %s has collation %s here and %s", name, orNone(a.Collation), orNone(b.Collation))
		}
		if !sameKind(a, b) {
			return fmt.Sprintf("key column %s is %s here and %s", name, a.ColumnType, b.ColumnType)
		}
	}
	return ""
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// sameKind tells whether two columns hold values of one kind: an INT may meet a BIGINT, a VARCHAR may be longer.
func sameKind(a, b *column) bool {
	x, errX := row.ParseColumn(a.ColumnInfo)
	y, errY := row.ParseColumn(b.ColumnInfo)
	return errX != nil || errY != nil || x.Type == y.Type // unsupported types have a check of their own
}

// checkUniqueKeys says what a second unique key leads to: only the primary key decides which row is which.
func checkUniqueKeys(i *inspection) []Check {
	if !i.known() {
		return nil
	}
	var parks []string
	newest := 0
	for _, t := range i.here.tables {
		for _, u := range t.unique {
			if !i.config.Tables.Rule(t.schema, t.name).ParkUnique {
				newest++
				continue
			}
			parks = append(parks, fmt.Sprintf("%s.%s %s", t, u.name, describeKey(u.columns)))
		}
	}
	if len(parks) > 0 {
		return []Check{warn("unique_keys", "two regions can give the same value to two rows at once; the one that comes second is then parked until somebody decides: "+list(parks),
			"let each region make its own values (a prefix, a UUID)")}
	}
	if newest > 0 {
		return []Check{pass("unique_keys", fmt.Sprintf("%d secondary unique keys; of two rows with the same value the newest removes the other, as configured", newest))}
	}
	return []Check{pass("unique_keys", "no replicated table has a secondary unique key")}
}

// checkVersionColumns wants version columns that hold a time.
func checkVersionColumns(i *inspection) []Check {
	if !i.known() {
		return nil
	}
	var wrong, coarse, fixes []string
	used := 0
	for _, t := range i.here.tables {
		name := i.config.Tables.Rule(t.schema, t.name).VersionColumn
		if name == "" {
			continue
		}
		used++
		c := t.column(name)
		switch {
		case c == nil:
			wrong = append(wrong, fmt.Sprintf("%s has no column %s", t, name))
			fixes = append(fixes, fmt.Sprintf("correct version_column in the rule for %s", t))
		case c.DataType != "timestamp" && c.DataType != "datetime":
			wrong = append(wrong, fmt.Sprintf("%s.%s is %s, no time", t, name, c.ColumnType))
			fixes = append(fixes, fmt.Sprintf("name a TIMESTAMP(6) or DATETIME(6) column in the rule for %s", t))
		case c.precision < 6 || c.nullable:
			coarse = append(coarse, fmt.Sprintf("%s.%s is %s", t, name, describeTime(c)))
			fixes = append(fixes, fmt.Sprintf("ALTER TABLE %s MODIFY %s %s(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6);",
				quoteTable(t.schema, t.name), quote(c.Name), strings.ToUpper(c.DataType)))
		}
	}
	const name = "version_columns"
	switch {
	case len(wrong) > 0:
		return []Check{fail(name, list(wrong), statements(fixes))}
	case len(coarse) > 0:
		return []Check{warn(name, "writes that the column cannot tell apart in time are ordered by the region's name: "+list(coarse), statements(fixes))}
	case used == 0:
		return []Check{pass(name, "versions are the times of the commits")}
	default:
		return []Check{pass(name, fmt.Sprintf("%d tables take their versions from a column", used))}
	}
}

func describeTime(c *column) string {
	text := fmt.Sprintf("%s with %d digits of a second", strings.ToUpper(c.DataType), c.precision)
	if c.nullable {
		text += ", and may be NULL"
	}
	return text
}

// checkCacheKeys wants cache keys that are made of columns which are there and tell the rows apart.
func checkCacheKeys(i *inspection) []Check {
	if !i.known() {
		return nil
	}
	var complaints, fixes []string
	used := 0
	for _, t := range i.here.tables {
		columns := i.config.Tables.Rule(t.schema, t.name).CacheColumns
		if columns == nil {
			continue
		}
		used++
		missing := slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return t.column(c) != nil })
		switch {
		case len(missing) > 0:
			complaints = append(complaints, fmt.Sprintf("%s has no column %s", t, strings.Join(missing, ", ")))
			fixes = append(fixes, fmt.Sprintf("correct cache.key in the rule for %s", t))
		case !t.identifiedBy(columns):
			complaints = append(complaints, fmt.Sprintf("%s: two rows can have the same cache key: %s is no unique key", t, describeKey(columns)))
			fixes = append(fixes, fmt.Sprintf("put all of %s into cache.key in the rule for %s", describeKey(t.keyColumns()), t))
		}
	}
	if used == 0 {
		return nil
	}
	return verdict("cache_keys", complaints, fixes, fmt.Sprintf("%d tables are cached under keys of their own", used))
}

// identifiedBy tells whether the columns contain a whole unique key.
func (t *table) identifiedBy(columns []string) bool {
	has := func(name string) bool {
		return slices.ContainsFunc(columns, func(c string) bool { return strings.EqualFold(c, name) })
	}
	keys := [][]string{t.keyColumns()}
	for _, u := range t.unique {
		keys = append(keys, u.columns)
	}
	return slices.ContainsFunc(keys, func(key []string) bool {
		return len(key) > 0 && !slices.ContainsFunc(key, func(c string) bool { return !has(c) })
	})
}
