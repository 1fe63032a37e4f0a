// Package mysqldb is a region's database as Meridian sees it: a server that is opened with fixed session settings, its
// errors sorted by what to do about them, its tables' definitions, and the SQL text that writes row.Values exactly, on
// MySQL 8.0 to 9.7 and MariaDB 10.11 to 11.8.
//
// In the flow: the applier (propagate) writes rows with the statements made here and decides on errors by Classify; the
// tailer (binlog) takes from LoadTable what the binlog does not say about columns; checksum and cmd read rows, tables,
// coordinates and clocks. It knows nothing of versions, ledgers or the bus.
//
// What holds for every connection of a Server:
//   - It reached the very server that Open met: a fail-over or a load balancer is an error (*AnotherServerError), never a
//     surprise. Coordinates of two connections may be compared.
//   - Session settings are those of session.go: UTC, strict, results as stored.
//   - RowsAffected of an UPDATE, and what a Packet says, counts the rows that were matched, not those that changed.
package mysqldb
