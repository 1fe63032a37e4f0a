// Package checksum keeps the ledger: a region's record, in bbolt, of every row's version, digest and deleted flag, and
// of how far the region has applied the other regions' topics.
//
// In the flow: everything that happens to a region's database passes the tailer in commit order, and the tailer's
// owner tells the ledger of it: Stamp for a local write (which gives it its version), Replay for a replayed one, Pass
// at the end of each transaction. The applier decides by what Lookup says, and its fence waits in WaitPassed. The
// package knows neither the binlog's nor the bus's types.
package checksum
