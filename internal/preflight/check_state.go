package preflight

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// checkState wants Meridian's own tables as this version makes them: statements would fail for ever otherwise, each at its own
// time, or keep less than they must. Which they are Config.StateSchema says.
func checkState(i *inspection) []Check {
	f := i.here
	if !i.known() {
		return nil
	}
	const name = "state_schema"
	if f.stateTables == 0 {
		return []Check{pass(name, "schema "+stateSchema+" is not there yet: `syncer run` makes it, or `syncer schema --apply`")}
	}
	var wrong, strange, fixes, drops []string
	for _, statement := range i.config.StateSchema {
		want, ok := parseStateTable(statement)
		if !ok {
			continue // the schema's own
		}
		w, s := want.compare(f.state[want.name])
		wrong, fixes = append(wrong, w.details...), append(fixes, w.fixes...)
		strange, drops = append(strange, s.details...), append(drops, s.fixes...)
	}
	const why = ": another version of Meridian made these tables, or somebody has altered them"
	switch {
	case len(wrong) > 0:
		return []Check{fail(name, list(wrong)+why, statements(append(fixes, "-- before that, end every process of the region; or use the version of Meridian that made them")))}
	case len(strange) > 0:
		return []Check{warn(name, list(strange)+": a newer version of Meridian may have made that, or somebody; it is left alone",
			statements(append(drops, "-- unless a newer version of Meridian is to be used here again")))}
	default:
		return []Check{pass(name, fmt.Sprintf("schema %s has %d tables, as this version makes them", stateSchema, f.stateTables))}
	}
}

// complaints are about one table: what is wrong, and the SQL that mends it.
type complaints struct{ details, fixes []string }

func (c *complaints) add(detail, fix string) {
	c.details, c.fixes = append(c.details, detail), append(c.fixes, fix)
}

// stateTable is a table as a statement of the state schema makes it.
type stateTable struct {
	name      string
	statement string
	columns   []stateColumn
	keys      []stateKey
}

type stateColumn struct{ name, definition string }

type stateKey struct {
	name       string   // PRIMARY, as the servers call it, or its own
	columns    []string // with the length of a prefix, if it is of one: "row_key(255)"
	definition string
}

var (
	createLine = regexp.MustCompile("^CREATE TABLE IF NOT EXISTS `" + stateSchema + "`\\.`(\\w+)`")
	columnLine = regexp.MustCompile("^  `(\\w+)` (.*?),?$")
	keyLine    = regexp.MustCompile("^  ((?:PRIMARY KEY|UNIQUE KEY `(\\w+)`|KEY `(\\w+)`) \\((.*)\\)),?$")
)

// parseStateTable reads a statement that makes a state table, a line for each column and key.
func parseStateTable(statement string) (t stateTable, ok bool) {
	lines := strings.Split(statement, "\n")
	found := createLine.FindStringSubmatch(lines[0])
	if found == nil {
		return t, false
	}
	t.name, t.statement = found[1], statement
	for _, line := range lines[1:] {
		if c := columnLine.FindStringSubmatch(line); c != nil {
			t.columns = append(t.columns, stateColumn{c[1], c[2]})
		} else if k := keyLine.FindStringSubmatch(line); k != nil {
			key := stateKey{name: k[2] + k[3], definition: k[1]}
			if key.name == "" {
				key.name = "PRIMARY"
			}
			for column := range strings.SplitSeq(k[4], ",") {
				key.columns = append(key.columns, strings.TrimSpace(strings.ReplaceAll(column, "`", "")))
			}
			t.keys = append(t.keys, key)
		}
	}
	return t, true
}

// compare says what is wrong with the table that is there, and what is there that this version does not know.
func (t *stateTable) compare(is *stateFacts) (wrong, strange complaints) {
	full := quoteTable(stateSchema, t.name)
	if is == nil {
		wrong.add("table "+stateSchema+"."+t.name+" is missing, though others are there", t.statement+";")
		return wrong, strange
	}
	for n, c := range t.columns {
		there, ok := is.columns[c.name]
		if !ok {
			place := " FIRST"
			if n > 0 {
				place = " AFTER " + quote(t.columns[n-1].name)
			}
			wrong.add(fmt.Sprintf("table %s.%s has no column %s", stateSchema, t.name, c.name),
				fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s%s;", full, quote(c.name), c.definition, place))
			continue
		}
		if differs := c.differs(there); differs != "" {
			wrong.add(fmt.Sprintf("column %s of table %s.%s is %s, not %s", c.name, stateSchema, t.name, differs, c.definition),
				fmt.Sprintf("ALTER TABLE %s MODIFY COLUMN %s %s;", full, quote(c.name), c.definition))
		}
	}
	t.compareKeys(is, &wrong)
	for _, name := range is.order {
		if slices.ContainsFunc(t.columns, func(c stateColumn) bool { return c.name == name }) {
			continue
		}
		complain, drop := &strange, fmt.Sprintf("ALTER TABLE %s DROP COLUMN %s;", full, quote(name))
		detail := fmt.Sprintf("table %s.%s has a column %s, which this version does not know", stateSchema, t.name, name)
		if there := is.columns[name]; !there.nullable && !there.hasDefault && !there.generated {
			complain, detail = &wrong, detail+" and which takes no row without a value"
		}
		complain.add(detail, drop)
	}
	return wrong, strange
}

func (t *stateTable) compareKeys(is *stateFacts, wrong *complaints) {
	full := quoteTable(stateSchema, t.name)
	for _, k := range t.keys {
		there := is.keys[k.name]
		if slices.Equal(there, k.columns) {
			continue
		}
		fix, detail := "ALTER TABLE "+full, "has no key "+k.name
		if there != nil {
			detail = fmt.Sprintf("has the key %s on %s", k.name, describeKey(there))
			fix += " DROP " + strings.TrimSpace(dropKey(k.name)) + ","
		}
		wrong.add(fmt.Sprintf("table %s.%s %s, not on %s", stateSchema, t.name, detail, describeKey(k.columns)), fix+" ADD "+k.definition+";")
	}
}

func dropKey(name string) string {
	if name == "PRIMARY" {
		return "PRIMARY KEY"
	}
	return "KEY " + quote(name)
}

var (
	integerWidth   = regexp.MustCompile(`^(tinyint|smallint|mediumint|int|bigint)\(\d+\)`)
	definedType    = regexp.MustCompile(`^\w+(?:\(\d+\))?(?: unsigned)?`)
	definedCollate = regexp.MustCompile(`collate (\w+)`)
)

// differs tells what a column is that is not as its definition says; "" when it is.
func (c *stateColumn) differs(there stateColumnFacts) string {
	definition := strings.ToLower(c.definition)
	var is []string
	bare := integerWidth.ReplaceAllString(there.columnType, "$1") // MariaDB and MySQL 8.0 before 8.0.19 tell a width for display
	if bare != definedType.FindString(definition) {
		is = append(is, there.columnType)
	}
	if strings.Contains(definition, "not null") == there.nullable {
		is = append(is, map[bool]string{true: "NULL", false: "NOT NULL"}[there.nullable])
	}
	if collation := definedCollate.FindStringSubmatch(definition); collation != nil && collation[1] != there.collation {
		is = append(is, "COLLATE "+there.collation)
	}
	if strings.Contains(definition, " default ") && !there.hasDefault {
		is = append(is, "without a default")
	}
	if strings.Contains(definition, "auto_increment") && !there.autoIncrement {
		is = append(is, "without AUTO_INCREMENT")
	}
	return strings.Join(is, " ")
}
