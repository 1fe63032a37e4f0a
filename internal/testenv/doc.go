// Package testenv gives tests real servers: MySQL, MariaDB, Apache Kafka and Redis.
//
// A test takes a server of its own, which ends with the test:
//
//	db := testenv.MySQL(t, testenv.Args("--sync-binlog=0"))
//
// or the one that its package shares, with a schema of its own on it:
//
//	func TestMain(m *testing.M) { testenv.Main(m) }
//
//	db := testenv.SharedMySQL(t)
//	schema := db.FreshSchema(t)
//
// Servers listen on loopback, on ports that no other test gets, and die with the test's process,
// however it dies. No test is skipped because a server is missing: it fails and says which command
// gets it. When a test fails, the logs of its servers are kept and named; with MERIDIAN_KEEP=1 in
// the environment their data stays too.
package testenv
