package bus

import (
	"crypto/tls"
	"errors"
	"sync/atomic"
	"testing"

	"meridian/internal/testenv"
)

func password(p string) func() (string, error) { return func() (string, error) { return p, nil } }

var mechanisms = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}

// checkSASL lets a user in by a mechanism, and nobody with another password.
func checkSASL(t *testing.T, cfg Config, mechanism string) {
	t.Helper()
	cfg.SASL = &SASL{Mechanism: mechanism, User: "meridian", Password: password("secret")}
	c := dial(t, cfg)
	topic := "sasl-" + mechanism
	ensure(t, c, Topic{Name: topic})
	write(t, c, topic, 0, "x")
	read(t, c, topic, 0, 0, 1)

	cfg.SASL = &SASL{Mechanism: mechanism, User: "meridian", Password: password("wrong")}
	_, err := dial(t, cfg).Ping(testContext(t))
	var denied *DeniedError
	if !errors.As(err, &denied) {
		t.Errorf("%s with a wrong password: %v, want a DeniedError", mechanism, err)
	}
}

func TestClient_LogsInToTheEmbeddedBroker(t *testing.T) {
	for _, mechanism := range mechanisms {
		e := startEmbedded(t, EmbeddedConfig{NoSync: true, SASL: &SASL{Mechanism: mechanism, User: "meridian", Password: password("secret")}})
		checkSASL(t, e.ClientConfig(), mechanism)
	}
}

func TestClient_LogsInToKafka(t *testing.T) {
	k := testenv.Kafka(t, testenv.KafkaUser("meridian", "secret"))
	for _, mechanism := range mechanisms {
		checkSASL(t, Config{Brokers: []string{k.SecureAddress}}, mechanism)
	}
	cfg := Config{Brokers: []string{k.Address}, SASL: &SASL{Mechanism: "PLAIN", User: "meridian", Password: password("secret")}}
	var denied *DeniedError
	if _, err := dial(t, cfg).Ping(testContext(t)); !errors.As(err, &denied) {
		t.Errorf("SASL on a port without it: %v, want a DeniedError", err)
	}
	checkTLSMismatch(t, k.SecureAddress)
}

// checkTLSMismatch speaks TLS to a port without it.
func checkTLSMismatch(t *testing.T, address string) {
	t.Helper()
	_, err := dial(t, Config{Brokers: []string{address}, TLS: &tls.Config{MinVersion: tls.VersionTLS12}}).Ping(testContext(t))
	var transient *TransientError
	if !errors.As(err, &transient) || transient.Reason != "tls_or_plain" {
		t.Errorf("TLS to a plain port: %v", err)
	}
}

func TestClient_SpeaksTLSToKafka(t *testing.T) {
	certificates := testenv.NewCertificates(t)
	k := testenv.Kafka(t, testenv.KafkaTLS(certificates), testenv.KafkaClientCertificates())
	checkTLS(t, k.SecureAddress, certificates)
	strangers := certificates.ClientConfig()
	strangers.Certificates = nil
	var denied *DeniedError
	if _, err := dial(t, Config{Brokers: []string{k.SecureAddress}, TLS: strangers}).Ping(testContext(t)); !errors.As(err, &denied) {
		t.Errorf("without a client certificate: %v, want a DeniedError", err)
	}
}

func TestClient_SpeaksTLSToTheEmbeddedBroker(t *testing.T) {
	certificates := testenv.NewCertificates(t)
	pair, err := tls.LoadX509KeyPair(certificates.CertFile, certificates.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	e := startEmbedded(t, EmbeddedConfig{NoSync: true, TLS: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}})
	checkTLS(t, e.Addr(), certificates)
	c := dial(t, e.ClientConfig())
	write(t, c, "tls", 0, "from within")
}

func checkTLS(t *testing.T, address string, certificates *testenv.Certificates) {
	t.Helper()
	cfg := Config{Brokers: []string{address}, TLS: certificates.ClientConfig()}
	c := dial(t, cfg)
	ensure(t, c, Topic{Name: "tls"})
	write(t, c, "tls", 0, "x")
	read(t, c, "tls", 0, 0, 1)

	cfg.TLS = testenv.NewCertificates(t).ClientConfig() // trusts another authority
	var denied *DeniedError
	if _, err := dial(t, cfg).Ping(testContext(t)); !errors.As(err, &denied) {
		t.Errorf("a broker that we do not trust: %v, want a DeniedError", err)
	}
	_, err := dial(t, Config{Brokers: []string{address}}).Ping(testContext(t))
	var transient *TransientError
	if !errors.As(err, &transient) || transient.Reason != "tls_or_plain" {
		t.Errorf("without TLS: %v", err)
	}
}

// A rotated secret must be taken up without a restart: the password is read for each connection.
func TestClient_ReadsThePasswordForEachConnection(t *testing.T) {
	dir := t.TempDir()
	start := func(listen, secret string) *Embedded {
		return startEmbedded(t, EmbeddedConfig{Dir: dir, Listen: listen, NoSync: true,
			SASL: &SASL{Mechanism: "SCRAM-SHA-512", User: "meridian", Password: password(secret)}})
	}
	e := start("", "old")
	var secret atomic.Value
	secret.Store("old")
	cfg := e.ClientConfig()
	cfg.SASL = &SASL{Mechanism: "SCRAM-SHA-512", User: "meridian", Password: func() (string, error) { return secret.Load().(string), nil }}
	c := dial(t, cfg)
	ensure(t, c, Topic{Name: "t"})
	write(t, c, "t", 0, "x")
	listen := e.Addr()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	start(listen, "new")
	var denied *DeniedError
	if _, err := c.Ping(testContext(t)); !errors.As(err, &denied) {
		t.Fatalf("with the old password: %v, want a DeniedError", err)
	}
	secret.Store("new")
	write(t, c, "t", 0, "y")
	read(t, c, "t", 0, 0, 2)
}

func TestClient_SaysThatASecretCannotBeRead(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{NoSync: true, SASL: &SASL{Mechanism: "PLAIN", User: "meridian", Password: password("secret")}})
	gone := errors.New("no such file")
	cfg := e.ClientConfig()
	cfg.SASL = &SASL{Mechanism: "PLAIN", User: "meridian", Password: func() (string, error) { return "", gone }}
	if _, err := dial(t, cfg).Ping(testContext(t)); !errors.Is(err, gone) {
		t.Errorf("error %v, want %v", err, gone)
	}
}
