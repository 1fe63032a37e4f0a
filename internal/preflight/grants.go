package preflight

import (
	"strings"
)

// grants is what SHOW GRANTS says that our account may do.
type grants struct {
	literal  bool // partial_revokes=ON: % and _ in the name of a schema are no wildcards
	foldCase bool // names are compared without regard to case
	list     []grant
	roles    []string // that are granted; what they allow is in list if they are active
}

type grant struct {
	revoked       bool // MySQL's partial revoke
	privileges    map[string]bool
	schema, table string // "*" as written
}

// add takes one line of SHOW GRANTS:
//
//	GRANT SELECT, INSERT (`a`, `b`) ON `shop`.* TO `meridian`@`%`
//	REVOKE SELECT ON `mysql`.* FROM `meridian`@`%`
//	GRANT `role`@`%` TO `meridian`@`%`
//
// Lines about routines, proxies and default roles say nothing about tables and are passed over.
func (g *grants) add(line string) {
	rest, ok := strings.CutPrefix(line, "GRANT ")
	revoked := false
	if !ok {
		if rest, revoked = strings.CutPrefix(line, "REVOKE "); !revoked {
			return
		}
	}
	head, rest, ok := cutOutside(rest, " ON ")
	if !ok {
		if roles, _, isRole := cutOutside(head, " TO "); isRole {
			g.roles = append(g.roles, roles)
		}
		return
	}
	target, _, ok := cutOutside(rest, " TO ")
	if !ok {
		target, _, _ = cutOutside(rest, " FROM ")
	}
	for _, kind := range []string{"FUNCTION ", "PROCEDURE ", "PACKAGE "} {
		if strings.HasPrefix(target, kind) {
			return
		}
	}
	schema, table, ok := cutOutside(strings.TrimPrefix(target, "TABLE "), ".")
	if !ok {
		return // a proxy: 'user'@'host'
	}
	g.list = append(g.list, grant{revoked: revoked, privileges: privilegesOf(head), schema: unquote(schema), table: unquote(table)})
}

// privilegesOf reads "SELECT, INSERT (`a`), REPLICATION SLAVE". What is granted on some columns only is left out.
func privilegesOf(text string) map[string]bool {
	privileges := map[string]bool{}
	for text != "" {
		var one string
		one, text, _ = cutOutside(text, ",")
		one = strings.ToUpper(strings.TrimSpace(one))
		if !strings.ContainsAny(one, "(`") {
			privileges[one] = true
		}
	}
	return privileges
}

// cutOutside is strings.Cut that looks outside of quotes and parentheses only.
func cutOutside(text, separator string) (before, after string, found bool) {
	depth := 0
	var quoted byte
	for i := range len(text) {
		switch c := text[i]; {
		case quoted != 0:
			if c == quoted {
				quoted = 0
			}
			continue
		case c == '`' || c == '\'' || c == '"':
			quoted = c
		case c == '(':
			depth++
		case c == ')':
			depth--
		}
		if depth == 0 && quoted == 0 && strings.HasPrefix(text[i:], separator) {
			return text[:i], text[i+len(separator):], true
		}
	}
	return text, "", false
}

func unquote(name string) string {
	if len(name) >= 2 && name[0] == '`' {
		return strings.ReplaceAll(name[1:len(name)-1], "``", "`")
	}
	return name
}

// global tells whether one of the privileges is held on the whole server.
func (g *grants) global(anyOf ...string) bool {
	for _, grant := range g.list {
		if grant.schema == "*" && !grant.revoked && grant.has(anyOf...) {
			return true
		}
	}
	return false
}

// allows tells whether a privilege is held on a table; table "*" asks for all tables of the schema.
func (g *grants) allows(privilege, schema, table string) bool {
	taken := false
	for _, grant := range g.list {
		taken = taken || grant.revoked && g.same(grant.schema, schema) && grant.has(privilege)
	}
	for _, grant := range g.list {
		if grant.revoked || !grant.has(privilege) {
			continue
		}
		switch {
		case grant.schema == "*" && !taken,
			grant.schema != "*" && grant.table == "*" && g.covers(grant.schema, schema),
			grant.schema != "*" && grant.table != "*" && g.same(grant.schema, schema) && g.same(grant.table, table):
			return true
		}
	}
	return false
}

func (g *grant) has(anyOf ...string) bool {
	if g.privileges["ALL PRIVILEGES"] || g.privileges["ALL"] {
		return true
	}
	for _, p := range anyOf {
		if g.privileges[p] {
			return true
		}
	}
	return false
}

func (g *grants) same(a, b string) bool {
	if g.foldCase {
		return strings.EqualFold(a, b)
	}
	return a == b
}

// covers tells whether the name of a schema in a grant, with its wildcards, names the schema.
func (g *grants) covers(pattern, schema string) bool {
	if g.literal {
		return g.same(pattern, schema)
	}
	if g.foldCase {
		pattern, schema = strings.ToLower(pattern), strings.ToLower(schema)
	}
	return like(pattern, schema)
}

// like is SQL's LIKE: % for any run, _ for one letter, \ before what is meant literally.
func like(pattern, text string) bool {
	for pattern != "" {
		switch c := pattern[0]; {
		case c == '%':
			for i := 0; i <= len(text); i++ {
				if like(pattern[1:], text[i:]) {
					return true
				}
			}
			return false
		case text == "":
			return false
		case c == '\\' && len(pattern) > 1:
			if pattern[1] != text[0] {
				return false
			}
			pattern = pattern[1:]
		case c != '_' && c != text[0]:
			return false
		}
		pattern, text = pattern[1:], text[1:]
	}
	return text == ""
}
