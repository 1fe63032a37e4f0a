// Package retry says when to try again: a policy of capped, jittered, exponential waits and the loop that follows it.
// It knows nothing of what is tried: whether an error is worth another attempt is the caller's word (see
// mysqldb.Classify for databases). Clock and random numbers are handed in, so that a simulation owns both.
//
// In the flow: whoever talks to a database, a broker or another region does so through Do or Backoff.
package retry
