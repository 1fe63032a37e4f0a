package demo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"meridian/internal/bus"
	"meridian/internal/servers"
)

func TestRedirect_ReplacesEveryBrokerInEveryVersion(t *testing.T) {
	for version := range kmsg.NewPtrMetadataRequest().MaxVersion() + 1 {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			response := kmsg.NewPtrMetadataResponse()
			response.SetVersion(version)
			for id := range int32(3) {
				b := kmsg.NewMetadataResponseBroker()
				b.NodeID, b.Host, b.Port = id, "elsewhere", 9092
				response.Brokers = append(response.Brokers, b)
			}
			response.ControllerID = 2
			var body []byte
			if response.IsFlexible() {
				body = append(body, 0)
			}
			redirected, err := redirect(response.AppendTo(body), version, "127.0.0.1:1234")
			if err != nil {
				t.Fatal(err)
			}
			got := kmsg.NewPtrMetadataResponse()
			got.SetVersion(version)
			if err := got.ReadFrom(redirected[len(body):]); err != nil {
				t.Fatal(err)
			}
			if len(got.Brokers) != 3 || version > 0 && got.ControllerID != 2 {
				t.Errorf("%d brokers, controller %d", len(got.Brokers), got.ControllerID)
			}
			for i, b := range got.Brokers {
				if b.NodeID != int32(i) || b.Host != "127.0.0.1" || b.Port != 1234 {
					t.Errorf("broker %d at %s:%d", b.NodeID, b.Host, b.Port)
				}
			}
		})
	}
	if _, err := redirect([]byte{1, 2, 3}, 9, "127.0.0.1:1234"); !errors.Is(err, errNotKafka) {
		t.Errorf("garbage: %v", err)
	}
}

// wholeLine makes a line to the broker that ends with the test.
func wholeLine(t *testing.T, broker string) *line {
	t.Helper()
	port, err := servers.ReservePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := newLine(port.Address(), broker)
	t.Cleanup(func() {
		l.cut()
		if failed := port.Release(); failed != nil {
			t.Error(failed)
		}
	})
	if err = l.heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLine_CarriesTheBusUntilItIsCutAndAgainAfterwards(t *testing.T) {
	broker, err := bus.StartEmbedded(t.Context(), bus.EmbeddedConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	l := wholeLine(t, broker.Addr())
	client, err := bus.Dial(bus.Config{Brokers: []string{l.address}, DialTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	addresses, err := client.Ping(t.Context())
	if err != nil || len(addresses) != 1 || addresses[0] != l.address {
		t.Fatalf("clients are led to %v, not over the line at %s: %v", addresses, l.address, err)
	}
	const topic = "meridian.us-east-1.changes"
	if err = client.EnsureTopic(t.Context(), bus.Topic{Name: topic, Partitions: 1, ReplicationFactor: 1, Retention: time.Hour, MaxRecordBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	produce := func() error {
		_, failed := client.Produce(t.Context(), topic, 0, []bus.Record{{Key: []byte("k"), Value: make([]byte, 100<<10)}})
		return failed
	}
	if err = produce(); err != nil {
		t.Fatal(err)
	}
	l.cut()
	var transient *bus.TransientError
	if err = produce(); !errors.As(err, &transient) {
		t.Fatalf("over a line that is cut: %v", err)
	}
	if err = l.heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err = produce(); err != nil {
		t.Fatalf("over a line that is whole again: %v", err)
	}
}

func TestLine_EndsConnectionsOfWhatIsNoKafka(t *testing.T) {
	var config net.ListenConfig
	upstream, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer upstream.Close()
	l := wholeLine(t, upstream.Addr().String())
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err = c.Write(append(binary.BigEndian.AppendUint32(nil, 3), make([]byte, 16)...)); err != nil {
		t.Fatal(err)
	}
	if err = c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err = c.Read(make([]byte, 1))
	var late net.Error
	if err == nil || errors.As(err, &late) && late.Timeout() {
		t.Errorf("the connection goes on: %v", err)
	}
}
