// Package propagate moves changes between regions: the publisher puts a region's own changes on its topic, the
// consumers read the other regions' topics, and the applier replays what they bring into the region's database.
//
// In the flow: publisher ← stamped changes of the ledger's owner; consumer → applier → the database, whose binlog the
// tailer reads, which closes the circle. The applier knows the ledger only as the interface Ledger, the database only
// as Target.
package propagate
