package preflight

import (
	"fmt"
	"slices"
	"strings"
)

// mostListed is how many offenders one check names; a thousand tables without a key are told from the first fifty.
const mostListed = 50

// list joins sentences about several things.
func list(parts []string) string {
	if len(parts) > mostListed {
		parts = append(slices.Clone(parts[:mostListed]), fmt.Sprintf("and %d more", len(parts)-mostListed))
	}
	return strings.Join(parts, "; ")
}

// statements joins SQL statements and settings, a line each and none twice.
func statements(parts []string) string {
	var lines []string
	for _, p := range parts {
		if p != "" && !slices.Contains(lines, p) {
			lines = append(lines, p)
		}
	}
	if len(lines) > mostListed {
		lines = append(lines[:mostListed], "-- and so on")
	}
	return strings.Join(lines, "\n")
}

// quote makes an identifier.
func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// quoteTable makes a table's full name.
func quoteTable(schema, table string) string { return quote(schema) + "." + quote(table) }

// setting says how a server's variable is changed for good. dynamic: without a restart.
func (f *facts) setting(name, value string, dynamic bool) string {
	file, group := name+" = "+value, "[mysqld]"
	if f.mariadb {
		group = "[mariadbd]"
	}
	switch {
	case !dynamic:
		return fmt.Sprintf("in the server's configuration, %s: %s, then restart it", group, file)
	case f.mariadb:
		return fmt.Sprintf("SET GLOBAL %s = %s; and in the server's configuration, %s: %s", name, value, group, file)
	default:
		return fmt.Sprintf("SET PERSIST %s = %s;", name, value)
	}
}

// forSessions is what must be added where a global value is only the default of new sessions.
const forSessions = "-- sessions that are open keep the old value: let the applications reconnect"

// is compares a variable's value without regard to case; false for a variable that the server does not have.
func (f *facts) is(name, value string) bool {
	v, ok := f.variables[name]
	return ok && strings.EqualFold(v, value)
}

// on tells whether a switch is on, however the server spells that.
func (f *facts) on(name string) bool { return f.is(name, "ON") || f.is(name, "1") || f.is(name, "YES") }

// has tells whether the server has the variable.
func (f *facts) has(name string) bool {
	_, ok := f.variables[name]
	return ok
}

// product is the server's name and version for people.
func (f *facts) product() string { return f.flavor.String() + " " + f.version }
