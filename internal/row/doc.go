// Package row holds the words that all of Meridian shares: a row's change, its key, its version, its table, and the
// canonical bytes and digest of its values. It does no I/O, keeps no state and may be imported by every other package;
// it imports none of them.
//
// In the flow: binlog makes changes from row events, checksum stamps and remembers them, propagate moves them.
package row
