package preflight

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"meridian/internal/bus"
)

// busFacts is what one Kafka said.
type busFacts struct {
	err    error
	topics []*bus.Description // in the order of Bus.Topics; nil: there is none of that name
}

func askBus(ctx context.Context, b *Bus, region string) busFacts {
	if _, err := b.Client.Ping(ctx); err != nil {
		if b.Embedded == region {
			return busFacts{} // it begins with the process that is to be started
		}
		return busFacts{err: err}
	}
	f := busFacts{topics: make([]*bus.Description, len(b.Topics))}
	for n := range b.Topics {
		if f.topics[n], f.err = b.Client.Describe(ctx, b.Topics[n].Name); f.err != nil {
			break
		}
	}
	return f
}

// checkBuses wants the region's own Kafka at hand with the right topics. Those of other regions are read only: a cut there
// stops nothing here but what comes from them.
func checkBuses(i *inspection) []Check {
	var checks []Check
	var abroad []string
	var bad, odd, fixes []string
	described := 0
	for n := range i.config.Buses {
		b, f := &i.config.Buses[n], &i.buses[n]
		switch {
		case b.Own:
			checks = append(checks, ownBus(b, f))
		case f.err != nil:
			abroad = append(abroad, fmt.Sprintf("%s: %v", b.Of, f.err))
		}
		if f.err != nil {
			continue
		}
		for k, d := range f.topics {
			described++
			if d == nil {
				continue
			}
			warnings, err := b.Topics[k].Check(d)
			for _, w := range warnings {
				odd = append(odd, d.Name+": "+w)
			}
			var topic *bus.TopicError
			switch {
			case errors.As(err, &topic):
				bad = append(bad, fmt.Sprintf("%s has %s, wanted %s", topic.Topic, topic.There, topic.Wanted))
				fixes = append(fixes, topic.Topic+": "+topic.Fix)
			case err != nil:
				bad = append(bad, err.Error())
			}
		}
	}
	if len(abroad) > 0 {
		checks = append(checks, warn("kafka_abroad", "the Kafka of other regions cannot be reached, and nothing comes from them until it can: "+list(abroad),
			"see that the brokers run, and that this host may connect to all of their advertised listeners"))
	}
	switch {
	case described == 0:
	case len(bad) > 0:
		checks = append(checks, fail("topics", list(append(bad, odd...)), statements(fixes)))
	case len(odd) > 0:
		checks = append(checks, warn("topics", list(odd), "change the topics with kafka-configs or kafka-reassign-partitions"))
	default:
		checks = append(checks, pass("topics", i.describeTopics()))
	}
	return checks
}

func ownBus(b *Bus, f *busFacts) Check {
	brokers := strings.Join(b.Brokers, ", ")
	var denied *bus.DeniedError
	switch {
	case b.Embedded == b.Of && b.Embedded != "":
		return pass("kafka", "embedded: `syncer run` of this region serves it at "+brokers)
	case f.err == nil:
		return pass("kafka", brokers+" answers")
	case errors.As(f.err, &denied):
		return fail("kafka", f.err.Error(), "correct tls and sasl of the bus, or allow the user to create, describe, write and read the topics")
	case b.Embedded != "":
		return fail("kafka", f.err.Error(), "start the syncer of region "+b.Embedded+" first: it serves the embedded bus")
	default:
		return fail("kafka", f.err.Error(), "see that the brokers run, and that this host may connect to all of their advertised listeners")
	}
}

func (i *inspection) describeTopics() string {
	var there, absent []string
	for n := range i.config.Buses {
		for k, d := range i.buses[n].topics {
			if d != nil {
				there = append(there, d.Name)
			} else {
				absent = append(absent, i.config.Buses[n].Topics[k].Name)
			}
		}
	}
	var parts []string
	if len(there) > 0 {
		parts = append(parts, "as they should be: "+strings.Join(there, ", "))
	}
	if len(absent) > 0 {
		parts = append(parts, "created when a region starts: "+strings.Join(absent, ", "))
	}
	return strings.Join(parts, "; ")
}
