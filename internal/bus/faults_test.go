package bus

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// once lets the broker fail one request of a kind.
func once(e *Embedded, key kmsg.Key, err *kerr.Error) *kfake.FaultHandle {
	return e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Topic: "t", Err: err})
}

func TestProduce_SortsTheBrokersErrors(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{NoSync: true})
	c := dial(t, e.ClientConfig())
	ensure(t, c, Topic{Name: "t"})
	write(t, c, "t", 0, "x")
	next := int64(1)
	for _, test := range []struct {
		fault   *kerr.Error
		reason  string // of the TransientError; "" for another error
		unknown bool
		written bool
	}{
		{kerr.NotEnoughReplicas, "not_enough_replicas", false, false},
		{kerr.NotEnoughReplicasAfterAppend, "not_enough_replicas", true, true},
		{kerr.RequestTimedOut, "timeout", true, true},
		{kerr.UnknownServerError, "broker_error", true, false},
		{kerr.CorruptMessage, "corrupt", false, false},
		{kerr.ThrottlingQuotaExceeded, "throttled", false, false},
		{kerr.TopicAuthorizationFailed, "", false, false},
		{kerr.InvalidRecord, "", false, false},
	} {
		h := once(e, kmsg.Produce, test.fault)
		_, err := c.Produce(testContext(t), "t", 0, []Record{{Value: []byte("x")}})
		var transient *TransientError
		if err == nil || errors.As(err, &transient) != (test.reason != "") {
			t.Errorf("%s: error %v", test.fault.Message, err)
		} else if transient != nil && (transient.Reason != test.reason || transient.Unknown != test.unknown) {
			t.Errorf("%s: %+v", test.fault.Message, transient)
		}
		var denied *DeniedError
		if errors.As(err, &denied) != (test.fault == kerr.TopicAuthorizationFailed) {
			t.Errorf("%s: %v", test.fault.Message, err)
		}
		if h.Hits() != 1 {
			t.Errorf("%s: %d requests were made, want one", test.fault.Message, h.Hits())
		}
		if test.written {
			next++
		}
		if _, end, err := c.Offsets(testContext(t), "t", 0); err != nil || end != next {
			t.Fatalf("%s: the partition ends at %d, want %d (%v)", test.fault.Message, end, next, err)
		}
	}
}

// Errors that say "ask again who leads" are not the caller's affair, if asking helps.
func TestClient_AsksAgainWhoLeads(t *testing.T) {
	for _, fault := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.UnknownTopicOrPartition, kerr.LeaderNotAvailable, kerr.FencedLeaderEpoch, kerr.KafkaStorageError} {
		t.Run(fault.Message, func(t *testing.T) {
			e := startEmbedded(t, EmbeddedConfig{NoSync: true})
			c := dial(t, e.ClientConfig())
			ensure(t, c, Topic{Name: "t"})
			write(t, c, "t", 0, "x")
			ctx := testContext(t)
			for _, key := range []kmsg.Key{kmsg.Produce, kmsg.Fetch, kmsg.ListOffsets} {
				asked := e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Observe: true, Count: -1})
				h := once(e, key, fault)
				var err error
				switch key {
				case kmsg.Produce:
					_, err = c.Produce(ctx, "t", 0, []Record{{}})
				case kmsg.Fetch:
					_, _, _, err = c.Fetch(ctx, "t", 0, 0, 1<<20, time.Second)
				default:
					_, _, err = c.Offsets(ctx, "t", 0)
				}
				if err != nil || h.Hits() != 1 || asked.Hits() == 0 {
					t.Errorf("%v: error %v, %d requests failed, asked %d times", key, err, h.Hits(), asked.Hits())
				}
				asked.Remove()
			}
			h := e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "t", Err: fault, Count: -1})
			_, err := c.Produce(ctx, "t", 0, []Record{{}})
			var transient *TransientError
			if !errors.As(err, &transient) || transient.Unknown || h.Hits() != 2 {
				t.Errorf("when it stays so: error %v after %d requests", err, h.Hits())
			}
			h.Remove()
			write(t, c, "t", 0, "y")
		})
	}
}

// cluster is a kfake of several nodes, behind the same guard as the embedded broker.
func startCluster(t *testing.T, nodes int) (*kfake.Cluster, Config) {
	t.Helper()
	k, err := kfake.NewCluster(kfake.NumBrokers(nodes), kfake.SeedTopics(1, "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k, Config{Brokers: k.ListenAddrs()}
}

func TestClient_FollowsThePartitionToAnotherBroker(t *testing.T) {
	k, cfg := startCluster(t, 3)
	c := dial(t, cfg)
	ctx := testContext(t)
	for i := range 9 {
		if err := k.MoveTopicPartition("t", 0, int32(i%3)); err != nil {
			t.Fatal(err)
		}
		if at, err := c.Produce(ctx, "t", 0, []Record{{}}); err != nil || at != int64(i) {
			t.Fatalf("offset %d, error %v", at, err)
		}
		if err := k.MoveTopicPartition("t", 0, int32((i+1)%3)); err != nil {
			t.Fatal(err)
		}
		if records, _, _, err := c.Fetch(ctx, "t", 0, int64(i), 1<<20, time.Second); err != nil || len(records) != 1 {
			t.Fatalf("%d records, error %v", len(records), err)
		}
	}
}

func TestClient_FindsTheOthersWhenABrokerGoes(t *testing.T) {
	k, cfg := startCluster(t, 3)
	c := dial(t, Config{Brokers: cfg.Brokers[:1]}) // one is enough to find the others
	write(t, c, "t", 0, "x")
	if err := k.RemoveNode(0); err != nil {
		t.Fatal(err)
	}
	for _, conn := range c.connections() { // its process ends: what was open breaks
		_ = conn.Close()
	}
	write(t, c, "t", 0, "y")
	read(t, c, "t", 0, 0, 2)
}

func (c *Client) connections() []net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []net.Conn
	for raw := range c.open {
		all = append(all, raw)
	}
	return all
}

func TestProduce_SaysWhenTheOutcomeIsUnknown(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{NoSync: true})
	c := dial(t, e.ClientConfig())
	ensure(t, c, Topic{Name: "t"})
	write(t, c, "t", 0, "x")
	e.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		return nil, errors.New("the connection breaks"), true
	})
	_, err := c.Produce(testContext(t), "t", 0, []Record{{}})
	var transient *TransientError
	if !errors.As(err, &transient) || !transient.Unknown || transient.Reason != "connection" {
		t.Errorf("a connection that breaks: %v", err)
	}
}

func TestClient_GivesUpOnABrokerThatDoesNotAnswer(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{NoSync: true})
	cfg := e.ClientConfig()
	cfg.RequestTimeout = 50 * time.Millisecond
	c := dial(t, cfg)
	ensure(t, c, Topic{Name: "t"})
	release := make(chan struct{})
	e.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		e.cluster.SleepControl(func() { <-release })
		return nil, nil, false
	})
	_, err := c.Produce(testContext(t), "t", 0, []Record{{}})
	var transient *TransientError
	if !errors.As(err, &transient) || !transient.Unknown || transient.Reason != "timeout" {
		t.Errorf("error %v, want a timeout with unknown outcome", err)
	}
	if _, next, _, err := c.Fetch(testContext(t), "t", 0, 0, 1<<20, 0); err != nil || next != 0 {
		t.Errorf("the next request, on another connection: next %d, error %v", next, err)
	}
	// The outcome was unknown indeed: the broker does it later. A broker that closes must not have it before it.
	close(release)
	read(t, c, "t", 0, 0, 1)
}

// Brokers close connections that nothing has come in on for a while. A request must not fail for that.
func TestProduce_NoticesThatTheBrokerHasClosedAnIdleConnection(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{NoSync: true})
	c := dial(t, e.ClientConfig())
	ensure(t, c, Topic{Name: "t"})
	write(t, c, "t", 0, "x")
	e.listener.mu.Lock()
	for k := range e.listener.conns {
		_ = k.Conn.Close()
	}
	e.listener.mu.Unlock()
	e.listener.wait() // the broker has noticed
	if _, err := c.Produce(testContext(t), "t", 0, []Record{{}}); err != nil {
		t.Errorf("on a connection that the broker had closed: %v", err)
	}
}

func TestClient_SaysWhatIsWrongWithABrokerThatIsNone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it returns at once
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 100))
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			_ = conn.Close()
		}
	}()
	c := dial(t, Config{Brokers: []string{l.Addr().String()}, DialTimeout: time.Second})
	var transient *TransientError
	if _, err := c.Ping(testContext(t)); !errors.As(err, &transient) {
		t.Errorf("an HTTP server: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	<-done
	if _, err := c.Ping(testContext(t)); !errors.As(err, &transient) || transient.Reason != "connection" {
		t.Errorf("nobody there: %v", err)
	}
	two := dial(t, Config{Brokers: []string{l.Addr().String(), "127.0.0.1:1"}})
	if _, err := two.Ping(testContext(t)); !errors.As(err, &transient) {
		t.Errorf("neither of two there: %v", err)
	}
}

func TestClient_SaysThatABrokerIsTooOld(t *testing.T) {
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"), kfake.MaxVersions(kversion.V1_0_0()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	c := dial(t, Config{Brokers: k.ListenAddrs()})
	for name, try := range map[string]func() error{
		"produce": func() error { _, err := c.Produce(testContext(t), "t", 0, []Record{{}}); return err },
		"fetch":   func() error { _, _, _, err := c.Fetch(testContext(t), "t", 0, 0, 1, 0); return err },
	} {
		var transient *TransientError
		if err := try(); err == nil || errors.As(err, &transient) || !strings.Contains(err.Error(), "Kafka 2.4") {
			t.Errorf("%s: %v, want that Kafka 2.4 is needed", name, err)
		}
	}
}

// Brokers may end a connection's session after some time (connections.max.reauth.ms): it is left before that.
func TestClient_LeavesAConnectionBeforeItsSessionEnds(t *testing.T) {
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "meridian", "secret"),
		kfake.BrokerConfigs(map[string]string{"connections.max.reauth.ms": "20"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	var dials atomic.Int32
	c := dial(t, Config{Brokers: k.ListenAddrs(), SASL: &SASL{Mechanism: "PLAIN", User: "meridian", Password: password("secret")},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			return new(net.Dialer).DialContext(ctx, network, address)
		}})
	ctx := testContext(t)
	for dials.Load() < 3 {
		if _, err := c.Ping(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDial_RefusesAConfigurationThatCannotWork(t *testing.T) {
	good := Config{Brokers: []string{"127.0.0.1:9092"}}
	for name, change := range map[string]func(*Config){
		"no brokers":          func(c *Config) { c.Brokers = nil },
		"no port":             func(c *Config) { c.Brokers = []string{"kafka"} },
		"compression":         func(c *Config) { c.Compression = "brotli" },
		"record size":         func(c *Config) { c.MaxRecordBytes = 200 << 20 },
		"mechanism":           func(c *Config) { c.SASL = &SASL{Mechanism: "GSSAPI", User: "a", Password: password("b")} },
		"SASL without a user": func(c *Config) { c.SASL = &SASL{Mechanism: "PLAIN", Password: password("b")} },
	} {
		cfg := good
		change(&cfg)
		if _, err := Dial(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := dial(t, good).Produce(t.Context(), "t", 0, nil); err == nil {
		t.Error("no records were produced")
	}
}
