// Package storm is Meridian's randomized end-to-end test: real database servers, each region's syncer and the bus as
// processes of their own, writers that fight over the same rows, and a driver that kills, stops and cuts off whatever
// it can. When all is quiet again, the databases, the topics, the ledgers and the provenance are checked against what
// the writers know they have committed, by code that shares nothing with the product but its file and wire formats.
//
// It has tests only. Every choice derives from one seed, which is printed and can be given:
//
//	MERIDIAN_SEED       the seed of the writers' and the driver's choices
//	MERIDIAN_SOAK       how long the storm of each test blows (a duration); a few seconds without it
//	MERIDIAN_ARTEFACTS  the folder that keeps what a failed test leaves (default: the system's temporary folder)
package storm
