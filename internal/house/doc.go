// Package house holds no code: its test reads the imports of all other packages and compares them with the plan of the
// house, which DESIGN.md explains and imports_test.go lists.
package house
