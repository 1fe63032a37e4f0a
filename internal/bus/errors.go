package bus

import (
	"errors"
	"fmt"
	"strconv"
)

// ErrClosed is returned by every method of a Client after Close.
var ErrClosed = errors.New("bus: the client is closed")

// TransientError says that trying the same again may help: the network, a leader election, a broker that restarts, too
// few replicas in sync, a topic that does not exist yet.
type TransientError struct {
	Op        string // "produce", "fetch", "connect", ...
	Topic     string // "" when the request is about no topic
	Partition int
	// Reason is one of a small fixed set of words, fit for a metric's label: connection, timeout, tls_or_plain, no_leader,
	// not_leader, not_enough_replicas, unknown_topic, throttled, broker_error, corrupt.
	Reason string
	// Unknown: the records may have been written, or may still be. Only ever set for "produce".
	Unknown bool
	Err     error
}

func (e *TransientError) Error() string {
	s := "bus: " + e.Op + place(e.Topic, e.Partition) + ": " + e.Err.Error()
	if e.Unknown {
		s += " (the records may have been written)"
	}
	return s
}

func (e *TransientError) Unwrap() error { return e.Err }

// DeniedError says that the broker refused the credentials, or that they do not allow the request, or that its
// certificate was not accepted. Trying again helps only after somebody has changed something.
type DeniedError struct {
	Op    string
	Topic string
	Err   error
}

func (e *DeniedError) Error() string {
	s := "bus: " + e.Op
	if e.Topic != "" {
		s += " " + e.Topic
	}
	return s + ": denied: " + e.Err.Error()
}

func (e *DeniedError) Unwrap() error { return e.Err }

// TooLargeError says that one of the records given to Produce is larger than what the bus takes.
type TooLargeError struct {
	Topic     string
	Partition int
	Index     int   // of the record in the list
	Written   int   // how many of the records before it are written, acknowledged
	Next      int64 // the offset behind those
	Bytes     int   // of the record, uncompressed, with key and headers
	Limit     int   // max_record_bytes; 0 when it was the broker that refused it
}

func (e *TooLargeError) Error() string {
	if e.Limit == 0 {
		return fmt.Sprintf("bus: produce%s: the broker refuses a record of %d bytes: raise the topic's max.message.bytes",
			place(e.Topic, e.Partition), e.Bytes)
	}
	return fmt.Sprintf("bus: produce%s: a record of %d bytes is larger than max_record_bytes (%d)",
		place(e.Topic, e.Partition), e.Bytes, e.Limit)
}

// GapError says that records are gone that the caller has not read: retention removed them, or the log was truncated or
// made anew. There is nothing to retry: what was between Want and First is lost.
type GapError struct {
	Topic     string
	Partition int
	Want      int64 // the offset asked for
	First     int64 // the first offset there is at or after Want; when Want is beyond the end, the first one of the log
	Next      int64 // the offset that the next record of the partition will get
	// Replaced: the log goes beyond Want, but the record before Want is not the one that was read there. Fetch does not
	// know what was read: who does sets it.
	Replaced bool
}

// Truncated tells whether the log was truncated or made anew; otherwise retention has removed its beginning.
func (e *GapError) Truncated() bool { return e.Replaced || e.Want > e.Next }

func (e *GapError) Error() string {
	if e.Replaced {
		return fmt.Sprintf("bus: the record of %s/%d before offset %d is not the one that was read there: the log was truncated or the topic was made anew, "+
			"and has grown since", e.Topic, e.Partition, e.Want)
	}
	if e.Want > e.Next {
		return fmt.Sprintf("bus: %s/%d ends at offset %d, before the wanted %d: the log was truncated or the topic was made anew",
			e.Topic, e.Partition, e.Next, e.Want)
	}
	return fmt.Sprintf("bus: %s/%d has lost the records at offsets %d to %d: retention removed them before they were read",
		e.Topic, e.Partition, e.Want, e.First-1)
}

// CorruptError says that a batch in the log cannot be read and will not be readable later.
type CorruptError struct {
	Topic     string
	Partition int
	Offset    int64 // the batch's first offset
	Next      int64 // the first offset after the batch
	Err       error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("bus: %s/%d: the records at offsets %d to %d cannot be read: %v", e.Topic, e.Partition, e.Offset, e.Next-1, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }

// TopicError says that a topic is not as it must be, or cannot be created.
type TopicError struct {
	Topic  string
	There  string // what is there
	Wanted string // what was wanted
	Fix    string // what to do
}

func (e *TopicError) Error() string {
	return fmt.Sprintf("bus: topic %s: %s, wanted %s: %s", e.Topic, e.There, e.Wanted, e.Fix)
}

// place names a partition in an error's text.
func place(topic string, partition int) string {
	switch {
	case topic == "":
		return ""
	case partition < 0:
		return " " + topic
	default:
		return " " + topic + "/" + strconv.Itoa(partition)
	}
}
