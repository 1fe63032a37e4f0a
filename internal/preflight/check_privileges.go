package preflight

import (
	"fmt"
	"slices"
	"strings"
)

// replicationPrivileges are what the tailer needs on the whole server: to read the binlog, and to ask where it ends
func replicationPrivileges(mariadb bool) []string {
	if mariadb {
		return []string{"REPLICATION SLAVE", "BINLOG MONITOR"}
	}
	return []string{"REPLICATION SLAVE", "REPLICATION CLIENT"}
}

// alsoCalled are the names under which SHOW GRANTS of one version or another lists a privilege, and what includes it.
var alsoCalled = map[string][]string{
	"REPLICATION SLAVE":  {"REPLICATION SLAVE", "REPLICATION REPLICA"},
	"BINLOG MONITOR":     {"BINLOG MONITOR", "REPLICATION CLIENT", "SUPER"},
	"REPLICATION CLIENT": {"REPLICATION CLIENT", "SUPER"},
}

// rowPrivileges are needed on every replicated table.
var rowPrivileges = []string{"SELECT", "INSERT", "UPDATE", "DELETE"}

// What is asked of them besides, without which triggers and events do not show themselves.
const (
	seeTriggers = "TRIGGER"
	seeEvents   = "EVENT"
)

// LeastGrants gives the GRANT statements that an account ('meridian'@'%') needs; include are the patterns of tables.include.
// A comment line, which begins with "--", says what is optional, and why it is good to have.
func LeastGrants(mariadb bool, account string, include []Pattern) []string {
	grants := []string{fmt.Sprintf("GRANT %s ON *.* TO %s;", strings.Join(replicationPrivileges(mariadb), ", "), account)}
	for _, p := range include {
		grants = append(grants, grantFor(rowPrivileges, p, account))
	}
	grants = append(grants, fmt.Sprintf("GRANT ALL PRIVILEGES ON %s.* TO %s;", quote(stateSchema), account),
		"-- so that `syncer check` can see triggers and events on these tables; nothing else uses it:")
	for _, p := range include {
		p.Table = "*" // both are about schemas
		if grant := grantFor([]string{seeTriggers, seeEvents}, p, account); !slices.Contains(grants, grant) {
			grants = append(grants, grant)
		}
	}
	return grants
}

// grantFor makes the narrowest GRANT that covers a pattern: one table, or one schema, or all schemas that match.
func grantFor(privileges []string, p Pattern, account string) string {
	target := "*.*"
	switch {
	case p.Schema == "*":
	case strings.Contains(p.Schema, "*"):
		target = quote(strings.ReplaceAll(escapeSchema(p.Schema), "*", "%")) + ".*"
	case strings.Contains(p.Table, "*"):
		target = quote(escapeSchema(p.Schema)) + ".*"
	default:
		target = quoteTable(p.Schema, p.Table)
	}
	return fmt.Sprintf("GRANT %s ON %s TO %s;", strings.Join(privileges, ", "), target, account)
}

// escapeSchema makes a schema's name mean itself in GRANT ... ON schema.*, where _ and % are wildcards.
func escapeSchema(name string) string {
	return strings.NewReplacer(`_`, `\_`, `%`, `\%`).Replace(name)
}

// QuoteAccount turns meridian@% into what SQL takes: 'meridian'@'%'.
func QuoteAccount(account string) string {
	at := strings.LastIndexByte(account, '@')
	if at < 0 {
		return "'" + account + "'"
	}
	return fmt.Sprintf("'%s'@'%s'", strings.ReplaceAll(account[:at], "'", "''"), account[at+1:])
}

func checkPrivileges(i *inspection) []Check {
	f := i.here
	if !i.known() {
		return nil
	}
	account := QuoteAccount(f.account)
	var missing, fixes []string
	var global []string
	for _, p := range replicationPrivileges(f.mariadb) {
		if !f.grants.global(alsoCalled[p]...) {
			global = append(global, p)
		}
	}
	if len(global) > 0 {
		missing = append(missing, strings.Join(global, ", ")+" on the server")
		fixes = append(fixes, fmt.Sprintf("GRANT %s ON *.* TO %s;", strings.Join(global, ", "), account))
	}
	m, x := i.missingOnTables(account)
	missing, fixes = append(missing, m...), append(fixes, x...)
	if lacks := f.missingOnState(); len(lacks) > 0 {
		missing = append(missing, strings.Join(lacks, ", ")+" on schema "+stateSchema)
		fixes = append(fixes, fmt.Sprintf("GRANT ALL PRIVILEGES ON %s.* TO %s;", quote(stateSchema), account))
	}
	if len(missing) == 0 {
		return []Check{pass("privileges", account+" has what it needs")}
	}
	detail := account + " lacks " + list(missing)
	if len(f.grants.roles) > 0 {
		detail += "; it has roles (" + strings.Join(f.grants.roles, ", ") + "), of which only those count that are active at login (SET DEFAULT ROLE)"
	}
	return []Check{fail("privileges", detail, statements(fixes))}
}

// missingOnTables goes by the patterns for the GRANTs, and by the tables for what is missing: a table that the user may not
// see at all is found missing by its pattern.
func (i *inspection) missingOnTables(account string) (missing, fixes []string) {
	f := i.here
	for _, p := range i.config.Include {
		lacks := map[string]bool{}
		var where []string
		seen := false
		for _, t := range f.tables {
			if !p.Match(t.schema, t.name) {
				continue
			}
			seen = true
			before := len(lacks)
			for _, privilege := range rowPrivileges {
				if !f.grants.allows(privilege, t.schema, t.name) {
					lacks[privilege] = true
				}
			}
			if len(lacks) > before {
				where = append(where, t.String())
			}
		}
		if !seen && !strings.Contains(p.Schema, "*") {
			for _, privilege := range rowPrivileges {
				if !f.grants.allows(privilege, p.Schema, p.Table) {
					lacks[privilege] = true
				}
			}
			where = []string{p.Text}
		}
		if len(lacks) == 0 {
			continue
		}
		var names []string
		for _, privilege := range rowPrivileges {
			if lacks[privilege] {
				names = append(names, privilege)
			}
		}
		missing = append(missing, strings.Join(names, ", ")+" on "+strings.Join(where[:min(len(where), 5)], ", "))
		fixes = append(fixes, grantFor(rowPrivileges, p, account))
	}
	return missing, fixes
}

// missingOnState: with the tables there, writing to them is enough; somebody else may have made them.
func (f *facts) missingOnState() []string {
	needed := slices.Clone(rowPrivileges)
	if f.stateTables == 0 {
		needed = append(needed, "CREATE", "ALTER", "INDEX")
	}
	return slices.DeleteFunc(needed, func(p string) bool { return f.grants.allows(p, stateSchema, "*") })
}
