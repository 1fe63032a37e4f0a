package bus

import (
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
)

// Codes that kafka-go has no name for (https://kafka.apache.org/protocol#protocol_error_codes).
const (
	fencedLeaderEpoch      kafka.Error = 74
	unknownLeaderEpoch     kafka.Error = 75
	offsetNotAvailable     kafka.Error = 78
	throttlingQuotaExceeds kafka.Error = 89
)

// staleError says that the broker is not, or not any longer, the one to ask. The request was not carried out.
type staleError struct{ err *TransientError }

func (e *staleError) Error() string { return e.err.Error() }
func (e *staleError) Unwrap() error { return e.err }

// answerError turns an error code of a broker's answer into this package's errors; nil for code 0.
func answerError(op, topic string, partition int, code int16, text string) error {
	if code == 0 {
		return nil
	}
	err := error(kafka.Error(code))
	if text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	transient := func(reason string, unknown bool) *TransientError {
		return &TransientError{Op: op, Topic: topic, Partition: partition, Reason: reason, Unknown: unknown && op == opProduce, Err: err}
	}
	switch kafka.Error(code) {
	case kafka.NotLeaderForPartition, fencedLeaderEpoch, unknownLeaderEpoch, kafka.ReplicaNotAvailable, kafka.NotController, kafka.KafkaStorageError:
		return &staleError{transient("not_leader", false)} // refused before anything was appended
	case kafka.UnknownTopicOrPartition:
		return &staleError{transient("unknown_topic", false)}
	case kafka.LeaderNotAvailable, kafka.BrokerNotAvailable, offsetNotAvailable:
		return &staleError{transient("no_leader", false)} // an election is under way
	case kafka.RequestTimedOut:
		return transient("timeout", true) // appended at the leader, the replicas did not confirm in time
	case kafka.NotEnoughReplicasAfterAppend:
		return transient("not_enough_replicas", true)
	case kafka.NotEnoughReplicas:
		return transient("not_enough_replicas", false)
	case kafka.NetworkException:
		return transient("connection", true)
	case kafka.InvalidMessage:
		return transient("corrupt", false) // the checksum did not match: damaged on its way
	case throttlingQuotaExceeds:
		return transient("throttled", false)
	case kafka.Unknown:
		return transient("broker_error", true) // the broker does not know itself
	case kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed, kafka.SASLAuthenticationFailed, kafka.IllegalSASLState,
		kafka.GroupAuthorizationFailed, kafka.BrokerAuthorizationFailed:
		return &DeniedError{Op: op, Topic: topic, Err: err}
	default:
		return fmt.Errorf("bus: %s%s: %w", op, place(topic, partition), err)
	}
}

// The operations, as they stand in errors.
const (
	opProduce  = "produce"
	opFetch    = "fetch"
	opOffsets  = "list offsets"
	opMetadata = "metadata"
	opCreate   = "create topic"
	opDescribe = "describe topic"
)

// requestError turns an error of call into this package's errors.
func requestError(op, topic string, partition int, err error) error {
	var known *TransientError
	var denied *DeniedError
	var broken *transportError
	if errors.As(err, &known) || errors.As(err, &denied) || !errors.As(err, &broken) {
		return err // connect, or the broker, has said what it is
	}
	reason := "connection"
	if isTimeout(err) {
		reason = "timeout"
	}
	return &TransientError{Op: op, Topic: topic, Partition: partition, Reason: reason, Unknown: op == opProduce, Err: broken.err}
}
