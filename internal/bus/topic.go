package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"go.uber.org/zap"
)

// Topic is what a topic must be like.
type Topic struct {
	Name              string
	Partitions        int
	ReplicationFactor int           // 0: the broker's default
	Retention         time.Duration // 0: the broker's default
	MaxRecordBytes    int           // 0: the Client's
}

// batchFraming is what a batch of one record is larger than the record as Produce counts it.
const batchFraming = 1 << 10

// Description is what a topic is like. Settings that could not be read are nil.
type Description struct {
	Name              string
	Partitions        int
	ReplicationFactor int            // of the partition that has the fewest replicas
	Retention         *time.Duration // negative: for ever
	RetentionBytes    *int64         // negative: without limit
	MaxMessageBytes   *int
	MinInsyncReplicas *int
	CleanupPolicy     *string
}

// EnsureTopic creates the topic, or checks the one that is there. An existing topic is never changed: what makes it unusable is a
// *TopicError, what makes it less safe than configured is logged as a warning (see Topic.Check). Other errors are those of Fetch.
func (c *Client) EnsureTopic(ctx context.Context, t Topic) error {
	t.MaxRecordBytes = orDefault(t.MaxRecordBytes, c.cfg.MaxRecordBytes)
	d, err := c.Describe(ctx, t.Name)
	if err != nil {
		return err
	}
	if d == nil {
		var created bool
		if created, err = c.create(ctx, t); err != nil || created {
			return err
		}
		if d, err = c.Describe(ctx, t.Name); err != nil {
			return err
		}
		if d == nil { // another process has created it, and this broker has not heard of it yet
			return &TransientError{Op: opDescribe, Topic: t.Name, Partition: -1, Reason: "unknown_topic", Err: kafka.UnknownTopicOrPartition}
		}
	}
	warnings, err := t.Check(d)
	for _, w := range warnings {
		c.cfg.Logger.Warn("a topic differs from the configuration", zap.String("topic", t.Name), zap.String("difference", w))
	}
	return err
}

// Check compares a topic with what it must be like: the error is a *TopicError when Meridian cannot work with it,
// the warnings say what is less safe than configured and what mends it.
func (t Topic) Check(d *Description) (warnings []string, err error) {
	if d.Partitions != t.Partitions {
		return nil, &TopicError{Topic: t.Name, There: fmt.Sprintf("%d partitions", d.Partitions), Wanted: fmt.Sprintf("%d (bus.partitions)", t.Partitions),
			Fix: fmt.Sprintf("set bus.partitions to %d; once data has flowed the number cannot be changed, as it decides which shard a row is in", d.Partitions)}
	}
	if d.CleanupPolicy != nil && strings.Contains(*d.CleanupPolicy, "compact") {
		return nil, &TopicError{Topic: t.Name, There: "cleanup.policy=" + *d.CleanupPolicy, Wanted: "cleanup.policy=delete",
			Fix: "set cleanup.policy=delete on the topic: compaction removes changes that others have not read"}
	}
	warn := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	if t.ReplicationFactor > 0 && d.ReplicationFactor < t.ReplicationFactor {
		warn("it has %d replicas, bus.replication_factor is %d: add replicas with kafka-reassign-partitions", d.ReplicationFactor, t.ReplicationFactor)
	}
	if t.Retention > 0 && d.Retention != nil && *d.Retention >= 0 && *d.Retention < t.Retention {
		warn("its retention.ms is %s, bus.retention is %s: a region that is away longer than that loses changes; raise retention.ms", *d.Retention, t.Retention)
	}
	if d.RetentionBytes != nil && *d.RetentionBytes >= 0 {
		warn("its retention.bytes is %d: changes can go before bus.retention (%s) has passed; set it to -1", *d.RetentionBytes, t.Retention)
	}
	if need := t.MaxRecordBytes + batchFraming; t.MaxRecordBytes > 0 && d.MaxMessageBytes != nil && *d.MaxMessageBytes < need {
		warn("its max.message.bytes is %d, bus.max_record_bytes needs %d: larger rows become dead changes; raise max.message.bytes", *d.MaxMessageBytes, need)
	}
	if d.ReplicationFactor >= 3 && d.MinInsyncReplicas != nil && *d.MinInsyncReplicas < 2 {
		warn("its min.insync.replicas is %d: a broker that fails can take acknowledged changes with it; set it to 2", *d.MinInsyncReplicas)
	}
	return warnings, nil
}

// create makes the topic. created is false when it is there already.
func (c *Client) create(ctx context.Context, t Topic) (created bool, err error) {
	configs := []createtopics.RequestConfig{
		{Name: "cleanup.policy", Value: "delete"},
		{Name: "max.message.bytes", Value: strconv.Itoa(t.MaxRecordBytes + batchFraming)},
		// The broker's clock decides when a record is old enough to go, not that of a region that is wrong.
		{Name: "message.timestamp.type", Value: "LogAppendTime"},
	}
	if t.Retention > 0 {
		configs = append(configs, createtopics.RequestConfig{Name: "retention.ms", Value: strconv.FormatInt(t.Retention.Milliseconds(), 10)})
	}
	if t.ReplicationFactor >= 3 {
		configs = append(configs, createtopics.RequestConfig{Name: "min.insync.replicas", Value: "2"})
	}
	req := &createtopics.Request{TimeoutMs: int32(c.cfg.RequestTimeout.Milliseconds() / 2), Topics: []createtopics.RequestTopic{{
		Name: t.Name, NumPartitions: int32(t.Partitions), ReplicationFactor: int16(orDefault(t.ReplicationFactor, -1)), Configs: configs}}}
	for attempt := 0; ; attempt++ {
		l, err := c.refresh(ctx, t.Name, c.known().generation)
		if err != nil {
			return false, err
		}
		res, err := message[*createtopics.Response](ctx, c, l.controller, req, true)
		if err != nil {
			return false, requestError(opCreate, t.Name, -1, err)
		}
		if len(res.Topics) != 1 {
			return false, fmt.Errorf("bus: %s %s: an answer about %d topics", opCreate, t.Name, len(res.Topics))
		}
		err = createError(t, &res.Topics[0])
		var moved *staleError
		if errors.As(err, &moved) && attempt == 0 {
			continue // the controller has moved
		}
		c.forget(l.generation)
		if errors.Is(err, kafka.TopicAlreadyExists) {
			return false, nil
		}
		return err == nil, settled(err)
	}
}

func createError(t Topic, r *createtopics.ResponseTopic) error {
	refused := func(there, fix string) error {
		return &TopicError{Topic: t.Name, There: fmt.Sprintf("cannot be created: %v: %s (%s)", kafka.Error(r.ErrorCode).Title(), r.ErrorMessage, there),
			Wanted: fmt.Sprintf("%d partitions and %d replicas", t.Partitions, t.ReplicationFactor), Fix: fix}
	}
	switch kafka.Error(r.ErrorCode) {
	case kafka.InvalidReplicationFactor:
		return refused("too few brokers are up", "lower bus.replication_factor to the number of brokers, or start more of them")
	case kafka.InvalidPartitionNumber:
		return refused("the number of partitions", "correct bus.partitions")
	case kafka.InvalidTopic:
		return refused("the name", "choose a bus.topic_prefix and region names of letters, digits, '.', '_' and '-', and no two topics that differ in '.' and '_' only")
	case kafka.InvalidConfiguration, kafka.PolicyViolation:
		return refused("the settings", "create the topic by hand within the cluster's policy")
	default:
		return answerError(opCreate, t.Name, -1, r.ErrorCode, r.ErrorMessage)
	}
}

// ListTopics gives the number of partitions of each topic in the cluster that we are allowed to see, by name.
func (c *Client) ListTopics(ctx context.Context) (map[string]int, error) {
	res, err := c.askMetadata(ctx, nil)
	if err != nil {
		return nil, err
	}
	topics := make(map[string]int, len(res.Topics))
	for _, t := range res.Topics {
		if t.ErrorCode == 0 && !t.IsInternal {
			topics[t.Name] = len(t.Partitions)
		}
	}
	return topics, nil
}

// Describe tells what a topic is like; nil when there is none of that name. Settings that we are not allowed to read stay nil.
func (c *Client) Describe(ctx context.Context, name string) (*Description, error) {
	res, err := c.askMetadata(ctx, []string{name})
	if err != nil {
		return nil, err
	}
	l := newLayout(res)
	t := l.topics[name]
	if errors.Is(t.err, kafka.UnknownTopicOrPartition) {
		return nil, nil //nolint:nilnil // no topic is an answer, as documented
	}
	if t.err != nil {
		return nil, settled(t.err)
	}
	d := &Description{Name: name, Partitions: len(t.leaders), ReplicationFactor: t.replicas}
	return d, c.describeSettings(ctx, c.candidates()[0], d)
}

func (c *Client) describeSettings(ctx context.Context, addr string, d *Description) error {
	const topicResource = 2
	names := []string{"retention.ms", "retention.bytes", "max.message.bytes", "min.insync.replicas", "cleanup.policy"}
	res, err := message[*describeconfigs.Response](ctx, c, addr, &describeconfigs.Request{Resources: []describeconfigs.RequestResource{
		{ResourceType: topicResource, ResourceName: d.Name, ConfigNames: names}}}, true)
	if err != nil {
		return requestError(opDescribe, d.Name, -1, err)
	}
	if len(res.Resources) != 1 {
		return fmt.Errorf("bus: %s %s: an answer about %d resources", opDescribe, d.Name, len(res.Resources))
	}
	r := &res.Resources[0]
	err = settled(answerError(opDescribe, d.Name, -1, r.ErrorCode, r.ErrorMessage))
	var denied *DeniedError
	if errors.As(err, &denied) {
		return nil // reading a topic's settings is a right of its own; without it they stay unknown
	}
	if err != nil {
		return err
	}
	for _, e := range r.ConfigEntries {
		d.set(e.ConfigName, e.ConfigValue)
	}
	return nil
}

func (d *Description) set(name, value string) {
	n, err := strconv.ParseInt(value, 10, 64)
	if name == "cleanup.policy" {
		d.CleanupPolicy = &value
	}
	if err != nil {
		return
	}
	switch name {
	case "retention.ms":
		retention := time.Duration(min(n, int64(1<<63-1)/int64(time.Millisecond))) * time.Millisecond
		d.Retention = &retention
	case "retention.bytes":
		d.RetentionBytes = &n
	case "max.message.bytes":
		size := int(n)
		d.MaxMessageBytes = &size
	case "min.insync.replicas":
		replicas := int(n)
		d.MinInsyncReplicas = &replicas
	}
}
