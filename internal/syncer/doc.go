// Package syncer is one region's process: it joins the tailer (binlog), the ledger (checksum), the publisher, the
// consumers and the applier (propagate), and runs them as one group of actors. The first to end stops all, and Run
// returns when all have ended.
//
// In the flow it is the only package besides cmd that knows all the others. Capture is its heart: everything that
// happens to the region's database passes it in commit order.
package syncer
