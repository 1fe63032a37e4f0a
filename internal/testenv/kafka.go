package testenv

import (
	"context"
	"testing"

	"meridian/internal/servers"
)

// KafkaServer is a running Apache Kafka of one node. Topics are not created by being used.
type KafkaServer struct {
	Server
	// SecureAddress is where clients come in by TLS or SASL; "" without KafkaTLS and KafkaUser.
	SecureAddress string
}

// Kafka starts an Apache Kafka of the test's own; it ends with the test. Args are lines of its
// server.properties: Args("message.max.bytes=1000").
func Kafka(t testing.TB, options ...Option) *KafkaServer {
	t.Helper()
	server, r, err := startKafka(t.Context(), apply(options))
	if err != nil {
		t.Fatal(err)
	}
	r.endWith(t)
	return kafkaHandle(t, server)
}

// SharedKafka returns the package's Kafka, started by the first test that asks for it.
func SharedKafka(t testing.TB) *KafkaServer {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	needsMain(t)
	if shared.kafka == nil {
		server, r, err := startKafka(t.Context(), settings{})
		if err != nil {
			t.Fatal(err)
		}
		shared.kafka, shared.kafkaRunning = server, r
		shared.closers = append(shared.closers, r.close)
	}
	shared.kafkaRunning.reportWith(t)
	return kafkaHandle(t, shared.kafka)
}

func startKafka(ctx context.Context, s settings) (*servers.KafkaServer, *running, error) {
	server, r, err := launch(ctx, servers.Kafka,
		func(ctx context.Context, _ string, program *servers.Program, folder string) (*servers.KafkaServer, error) {
			return servers.StartKafka(ctx, servers.KafkaConfig{
				Program: program, Directory: folder, Properties: s.args, Security: s.security,
				// Quick to start rather than quick for long: no optimising compiler, no collector's threads.
				Java: []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"}})
		})
	if err == nil {
		r.logPath = server.LogPath
	}
	return server, r, err
}

func kafkaHandle(t testing.TB, k *servers.KafkaServer) *KafkaServer {
	return &KafkaServer{
		Server: Server{Kind: servers.Kafka, Version: k.Program.Version, Address: k.Address(), LogPath: k.LogPath,
			t: t, control: k},
		SecureAddress: k.SecureAddress(),
	}
}

// KafkaTLS gives Kafka a second listener that speaks TLS, at SecureAddress.
func KafkaTLS(certificates *Certificates) Option {
	return func(s *settings) {
		security := s.secured()
		security.CertFile, security.KeyFile, security.CAFile = certificates.CertFile, certificates.KeyFile, certificates.CAFile
	}
}

// KafkaClientCertificates makes Kafka's second listener refuse clients without a certificate; it
// goes with KafkaTLS.
func KafkaClientCertificates() Option {
	return func(s *settings) { s.secured().RequireClientCert = true }
}

// KafkaUser gives Kafka a second listener, at SecureAddress, with a user who logs in by PLAIN,
// SCRAM-SHA-256 or SCRAM-SHA-512; with KafkaTLS it is the same listener.
func KafkaUser(name, password string) Option {
	return func(s *settings) {
		security := s.secured()
		if security.Users == nil {
			security.Users = map[string]string{}
		}
		security.Users[name] = password
	}
}

func (s *settings) secured() *servers.KafkaSecurity {
	if s.security == nil {
		s.security = &servers.KafkaSecurity{}
	}
	return s.security
}
