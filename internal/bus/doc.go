// Package bus is Meridian's way to Kafka: it creates and checks topics, appends records to one partition, and reads one
// partition from an explicit offset. It also starts the embedded broker that stands in for Kafka in trials on one machine.
//
// In the flow: propagate's publisher calls Produce with what envelope encoded, its consumers call Fetch and hand the
// records to envelope. Offsets are kept by the callers, with the data; the consumer groups of Kafka are not used.
//
// What callers can rely on:
//   - Produce appends records in their order, all of them or a prefix, acknowledged by all in-sync replicas. After an error
//     the outcome may be unknown; a caller that keeps the order retries the same records in place.
//   - Fetch returns records with no offset left out. What is missing is a *GapError, never a silent skip.
//   - Errors are typed: *TransientError (try again), *DeniedError, *TooLargeError, *TopicError, *GapError, *CorruptError;
//     any other error is a mistake of the configuration or of this program, and trying again will not help.
//
// kafka-go brings the protocol: its messages, its SASL mechanisms and its codecs. Connections, leadership and the record
// batches are kept here, because its Transport hides a refused connection behind "topic not found", refreshes leaders
// only by a timer, cannot be cancelled in a long poll, and copies and allocates for each record.
package bus
