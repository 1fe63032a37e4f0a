// Package envelope turns a change into a record of the bus and back. It does no I/O and keeps nothing but caches of table
// descriptions.
//
// In the flow: propagate's publisher encodes what the ledger has stamped, and gives the records to bus; its consumers
// decode what bus has fetched, and hand the changes to the applier.
//
// A record can be read in two ways:
//   - By any consumer written for Debezium's JSON converter with schemas disabled: the key is
//     {"table":"shop.orders","key":{"id":42}}, the value has before, after, op, source, transaction and ts_ms.
//   - By Decode, without knowing the table: the header meridian-meta holds the columns' description and what JSON has no place for.
//     Decode(Encode(m)) is m, for every value of every type, bit for bit.
//
// The headers meridian-version, meridian-origin and meridian-kind are text, for people and for filters.
package envelope
