// Package servers finds, installs, starts and stops the real servers that Meridian is tried and
// tested on: MySQL, MariaDB, Apache Kafka and Redis.
//
// It stands beside the flow, not in it: `make servers` installs with it, `syncer demo` and
// internal/testenv start servers with it. Everything it installs goes into one cache folder outside
// the checkout ([CacheDirectory]); what the machine already has is used where its version fits.
// Servers listen on loopback only and end with the process that started them.
package servers
