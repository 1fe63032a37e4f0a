package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Tables says which tables are replicated, and how.
type Tables struct {
	Include []Pattern `config:"include"`
	Exclude []Pattern `config:"exclude"`
	Rules   []Rule    `config:"rules"`
}

// Rule is how the tables that it matches are treated.
type Rule struct {
	Patterns        []Pattern `config:"match"`
	Conflict        string    `config:"conflict"`         // ConflictLastWriterWins, ConflictReview
	VersionColumn   string    `config:"version_column"`   // "": the commit's time
	UniqueConflicts string    `config:"unique_conflicts"` // UniquePark, UniqueNewestWins
	Cache           *Cache    `config:"cache"`            // nil: rows are not cached
}

// Cache is how a table's rows stand in Redis.
type Cache struct {
	Key  KeyTemplate `config:"key"`
	Mode string      `config:"mode"` // CacheInvalidate, CacheRefresh
}

// The words that rules are made of.
const (
	ConflictLastWriterWins = "last_writer_wins"
	ConflictReview         = "review"
	UniquePark             = "park"
	UniqueNewestWins       = "newest_wins"
	CacheInvalidate        = "invalidate"
	CacheRefresh           = "refresh"
)

// StateSchema is the schema of Meridian's own tables. It is never replicated.
const StateSchema = "meridian"

// ownSchemas are those that belong to the server or to Meridian: no pattern matches their tables.
var ownSchemas = []string{"mysql", "sys", "information_schema", "performance_schema", StateSchema}

// Match tells whether a table is replicated: one of include matches it and none of exclude does. The tables of the server
// itself and of Meridian are never replicated. Names are compared as the server spells them, case included.
func (t *Tables) Match(schema, table string) bool {
	if isOwnSchema(schema) {
		return false
	}
	matches := func(p Pattern) bool { return p.Match(schema, table) }
	return slices.ContainsFunc(t.Include, matches) && !slices.ContainsFunc(t.Exclude, matches)
}

// Rule gives what holds for a table: the first rule that matches it, or the defaults.
func (t *Tables) Rule(schema, table string) Rule {
	for _, r := range t.Rules {
		if slices.ContainsFunc(r.Patterns, func(p Pattern) bool { return p.Match(schema, table) }) {
			return r
		}
	}
	var r Rule
	r.complete()
	return r
}

// Rule gives what holds for a table: the first rule that matches it, or the defaults.
func (c *Config) Rule(schema, table string) Rule { return c.Tables.Rule(schema, table) }

func (r *Rule) complete() {
	if r.Conflict == "" {
		r.Conflict = ConflictLastWriterWins
	}
	if r.UniqueConflicts == "" {
		r.UniqueConflicts = UniquePark
	}
	if r.Cache != nil && r.Cache.Mode == "" {
		r.Cache.Mode = CacheInvalidate
	}
}

func isOwnSchema(schema string) bool {
	return slices.ContainsFunc(ownSchemas, func(own string) bool { return strings.EqualFold(own, schema) })
}

// Pattern names tables: "schema.table", in both of which * stands for any run of letters.
type Pattern struct{ Schema, Table string }

// ParsePattern reads "shop.*". A dot after the first belongs to the table's name.
func ParsePattern(text string) (Pattern, error) {
	schema, table, ok := strings.Cut(text, ".")
	if !ok || schema == "" || table == "" {
		return Pattern{}, fmt.Errorf("%q is no SCHEMA.TABLE (shop.orders, shop.*, shop.tmp_*)", text)
	}
	if strings.ContainsAny(text, "`'\" ,") {
		return Pattern{}, fmt.Errorf("%q: write the names without quotes, blanks or commas, one pattern an item", text)
	}
	return Pattern{Schema: schema, Table: table}, nil
}

// String gives what ParsePattern read.
func (p Pattern) String() string { return p.Schema + "." + p.Table }

// Exact tells whether the pattern is one table's name.
func (p Pattern) Exact() bool { return !strings.Contains(p.String(), "*") }

// Match tells whether the pattern names the table.
func (p Pattern) Match(schema, table string) bool {
	return glob(p.Schema, schema) && glob(p.Table, table)
}

// glob matches a text against a pattern in which * stands for any run of letters, in time linear in both.
func glob(pattern, text string) bool {
	pieces := strings.Split(pattern, "*")
	if len(pieces) == 1 {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, pieces[0])
	if !ok {
		return false
	}
	last := len(pieces) - 1
	for _, piece := range pieces[1:last] {
		at := strings.Index(text, piece)
		if at < 0 {
			return false
		}
		text = text[at+len(piece):]
	}
	return strings.HasSuffix(text, pieces[last])
}

// KeyTemplate is a cache key with the row's columns in it: "order:{id}". {{ and }} stand for the braces themselves.
type KeyTemplate struct {
	text  string
	parts []templatePart
}

type templatePart struct {
	text     string
	isColumn bool
}

// ParseKeyTemplate reads "order:{id}".
func ParseKeyTemplate(text string) (KeyTemplate, error) {
	t := KeyTemplate{text: text}
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			t.parts = append(t.parts, templatePart{text: literal.String()})
			literal.Reset()
		}
	}
	for rest := text; rest != ""; {
		switch {
		case strings.HasPrefix(rest, "{{"), strings.HasPrefix(rest, "}}"):
			literal.WriteByte(rest[0])
			rest = rest[2:]
		case rest[0] == '{':
			name, after, ok := strings.Cut(rest[1:], "}")
			if !ok || name == "" || strings.ContainsAny(name, "{ ") {
				return KeyTemplate{}, fmt.Errorf("%q: { must be followed by a column's name and } ({{ is the brace itself)", text)
			}
			flush()
			t.parts = append(t.parts, templatePart{text: name, isColumn: true})
			rest = after
		case rest[0] == '}':
			return KeyTemplate{}, fmt.Errorf("%q: } without { (}} is the brace itself)", text)
		default:
			literal.WriteByte(rest[0])
			rest = rest[1:]
		}
	}
	flush()
	if len(t.Columns()) == 0 {
		return KeyTemplate{}, fmt.Errorf("%q: %w", text, errNoColumn)
	}
	return t, nil
}

var errNoColumn = errors.New("no column in it: all rows would share one entry (write it like order:{id})")

// Columns gives the columns that the key is made of, in their order, as often as they stand in it.
func (t KeyTemplate) Columns() []string {
	var columns []string
	for _, p := range t.parts {
		if p.isColumn {
			columns = append(columns, p.text)
		}
	}
	return columns
}

// Expand makes a row's key; column gives the value of a column as text.
func (t KeyTemplate) Expand(column func(name string) string) string {
	var key strings.Builder
	for _, p := range t.parts {
		if p.isColumn {
			key.WriteString(column(p.text))
		} else {
			key.WriteString(p.text)
		}
	}
	return key.String()
}

// String gives the template as it was written.
func (t KeyTemplate) String() string { return t.text }
