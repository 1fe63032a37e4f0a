// Package row holds the words that all of Meridian shares: a row's change, its key, its version, its table, and the
// canonical bytes and digest of its values. It does no I/O, changes nothing after it was made and may be imported by every
// other package; it imports none of them.
//
// In the flow: binlog makes changes from row events, checksum stamps and remembers them, propagate moves them.
//
// What the others build on:
//
//   - A Value is the same whatever server, column or SELECT it was read from: text is UTF-8, times are UTC, an ENUM is its
//     label, a DECIMAL its digits. What is no text in its column's character set stays as bytes (RawText).
//   - Equal values have equal canonical bytes, different ones different bytes, and no two lists of values have the same.
//     These bytes, keys, digests and shards outlive the program: the golden tests fail when one changes, and must.
//   - Two primary keys are one Key exactly when the server calls them equal. The servers decide what that is: the tests
//     compare every supported collation, and every character set, with MySQL and MariaDB.
//   - Whatever bytes a decoder of this package is given, it answers with a value or an error; it never panics and never
//     keeps or changes what it was given.
//
// tables.bin holds what was read from the servers themselves; `go test -run TestTables -update ./internal/row` writes it.
package row
