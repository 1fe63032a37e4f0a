package testenv_test

import (
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"meridian/internal/testenv"
)

// connect opens a connection to one broker. It is closed with the test, unless it broke before.
func connect(t *testing.T, dialer *kafka.Dialer, address string) (*kafka.Conn, error) {
	t.Helper()
	dialer.Timeout = 20 * time.Second
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return conn, conn.SetDeadline(time.Now().Add(30 * time.Second))
}

// client returns a client with connections of its own: those of before a crash are broken.
func client(t *testing.T, broker *testenv.KafkaServer) *kafka.Client {
	t.Helper()
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &kafka.Client{Addr: kafka.TCP(broker.Address), Transport: transport}
}

func TestKafka_KeepsWhatItAcknowledgedThroughACrash(t *testing.T) {
	broker := testenv.SharedKafka(t)
	conn, err := connect(t, &kafka.Dialer{}, broker.Address)
	if err != nil {
		t.Fatal(err)
	}
	if err = conn.CreateTopics(kafka.TopicConfig{Topic: "kept", NumPartitions: 1, ReplicationFactor: 1}); err != nil {
		t.Fatal(err)
	}
	write := client(t, broker)
	again(t, func() error { // a new topic has no leader yet, which the answer says
		answer, err := write.Produce(t.Context(), &kafka.ProduceRequest{Topic: "kept", RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("one"))})})
		if err == nil {
			err = answer.Error
		}
		return err
	})
	broker.Kill()
	broker.Start()
	read := client(t, broker)
	var record *kafka.Record
	again(t, func() error {
		fetched, err := read.Fetch(t.Context(), &kafka.FetchRequest{Topic: "kept", MaxBytes: 1 << 20, MinBytes: 1, MaxWait: 10 * time.Second})
		if err == nil {
			err = fetched.Error
		}
		if err == nil {
			record, err = fetched.Records.ReadRecord() // io.EOF while the broker has not made it visible again
		}
		return err
	})
	if value, err := kafka.ReadAll(record.Value); err != nil || string(value) != "one" {
		t.Errorf("after the crash the record is %q (%v)", value, err)
	}
}

// again calls f until it succeeds; it fails the test when that takes minutes.
func again(t *testing.T, f func() error) {
	t.Helper()
	deadline := time.After(3 * time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(err)
		}
	}
}

func TestKafka_LetsInWhoHasCertificateAndPassword(t *testing.T) {
	certificates := testenv.NewCertificates(t)
	broker := testenv.Kafka(t, testenv.KafkaTLS(certificates), testenv.KafkaClientCertificates(),
		testenv.KafkaUser("meridian", "secret"))
	mechanisms := func(password string) map[string]sasl.Mechanism {
		all := map[string]sasl.Mechanism{"PLAIN": plain.Mechanism{Username: "meridian", Password: password}}
		for _, algorithm := range []scram.Algorithm{scram.SHA256, scram.SHA512} {
			mechanism, err := scram.Mechanism(algorithm, "meridian", password)
			if err != nil {
				t.Fatal(err)
			}
			all[mechanism.Name()] = mechanism
		}
		return all
	}
	for name, mechanism := range mechanisms("secret") {
		conn, err := connect(t, &kafka.Dialer{TLS: certificates.ClientConfig(), SASLMechanism: mechanism}, broker.SecureAddress)
		if err == nil {
			_, err = conn.Brokers()
		}
		if err != nil {
			t.Errorf("by %s: %v", name, err)
		}
	}
	for name, mechanism := range mechanisms("wrong") {
		_, err := connect(t, &kafka.Dialer{TLS: certificates.ClientConfig(), SASLMechanism: mechanism}, broker.SecureAddress)
		if !errors.Is(err, kafka.SASLAuthenticationFailed) {
			t.Errorf("by %s with a wrong password: %v", name, err)
		}
	}
	anonymous := certificates.ClientConfig()
	anonymous.Certificates = nil
	for name, config := range map[string]*tls.Config{
		"shows no certificate":     anonymous,
		"trusts another authority": testenv.NewCertificates(t).ClientConfig(),
	} {
		_, err := connect(t, &kafka.Dialer{TLS: config, SASLMechanism: mechanisms("secret")["PLAIN"]}, broker.SecureAddress)
		if err == nil || errors.Is(err, kafka.SASLAuthenticationFailed) {
			t.Errorf("a client that %s: %v", name, err)
		}
	}
}
