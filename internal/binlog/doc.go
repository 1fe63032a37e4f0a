// Package binlog turns a server's binlog into transactions of row changes. It is the first step of Meridian's flow:
// everything that happens to a region's database, a local write or a replayed change, passes the Tailer in commit order.
//
//	server ── packets ──▶ stream ── events ──▶ assembler ── Begin, Change, Commit ──▶ Handler
//	                                              └─ table maps ─▶ layout ─▶ row images ─▶ row.Value
//
// What comes out is exact or it is an error. Every rows event is described by the table map that the server wrote beside
// it (binlog_row_metadata=FULL), never by the schema of now; whatever cannot be turned into exact row changes (a
// statement instead of rows, a partial row image, XA, an event that is not known) ends Run with a typed error that names
// the table, the transaction and what to do. A transaction that a person has named is passed over whole (skip.go).
//
// Non-obvious:
//   - The events are read and decoded here and not by go-mysql's BinlogSyncer: it describes every event of every table,
//     wanted or not, inflates a compressed transaction whole, cannot parse MariaDB's compressed columns, asks the server to
//     take off the checksums, and opens a second connection to end the first, which hangs with the server. Its client
//     package makes the connection.
//   - A transaction is handed over event by event, so memory does not depend on its size; a compressed one is inflated
//     as it is read.
//   - Coordinates are claimed only between transactions: see assembler.
package binlog
