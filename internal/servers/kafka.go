package servers

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// KafkaConfig says how to start a Kafka of one node, which is its own controller.
type KafkaConfig struct {
	Program   *Program
	Directory string // gets its data and log; must exist
	// Properties are lines of server.properties that are added to this package's own; the last one
	// of a name counts.
	Properties []string
	Java       []string       // options of the Java machine, after -Xmx512m
	Security   *KafkaSecurity // nil: no second listener
}

// KafkaSecurity describes a second listener, beside the plain one.
type KafkaSecurity struct {
	// CertFile, KeyFile (PKCS #8) and CAFile are PEM; all empty: no TLS.
	CertFile, KeyFile, CAFile string
	RequireClientCert         bool
	// Users that may log in by SASL, with PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512; none: no SASL.
	Users map[string]string
}

// KafkaServer is a running Apache Kafka. Topics are not created by being used.
type KafkaServer struct {
	Server
	config KafkaConfig
}

// kafkaCluster is the id that the nodes of a cluster share: 16 bytes in base64.
const kafkaCluster = "bWVyaWRpYW4tdGVzdHMtMQ"

// The ports of a KafkaServer.
const (
	kafkaClients = iota
	kafkaController
	kafkaSecure
	kafkaPorts
)

// StartKafka formats the folder if it has no data yet, starts Kafka and returns when it serves.
func StartKafka(ctx context.Context, config KafkaConfig) (*KafkaServer, error) {
	k := &KafkaServer{config: config}
	k.Program, k.LogPath = config.Program, filepath.Join(config.Directory, "server.log")
	k.prepare = k.prepareData
	if err := k.startOnFreePorts(ctx, kafkaPorts); err != nil {
		return nil, err
	}
	return k, nil
}

// SecureAddress is where the listener with TLS or SASL is, as host:port.
func (k *KafkaServer) SecureAddress() string { return k.ports[kafkaSecure].Address() }

func (k *KafkaServer) path(name string) string { return filepath.Join(k.config.Directory, name) }

// java is the command that runs one of Kafka's programs.
func (k *KafkaServer) java(argv ...string) []string {
	command := append([]string{"java", "-Xmx512m"}, k.config.Java...)
	command = append(command, "-Djava.awt.headless=true", "-Dlog4j2.configurationFile="+k.path("log4j2.properties"),
		"-cp", filepath.Join(k.Program.Path, "*"))
	return append(command, argv...)
}

// kafkaLogging sends what Kafka says to standard output: this package writes it into the log.
const kafkaLogging = `status=warn
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %m (%c{1})%n
rootLogger.level=info
rootLogger.appenderRef.console.ref=console
`

func (k *KafkaServer) prepareData(ctx context.Context) (command, error) {
	properties, err := k.properties()
	if err != nil {
		return command{}, err
	}
	for name, text := range map[string]string{
		"log4j2.properties": kafkaLogging,
		"server.properties": strings.Join(properties, "\n") + "\n",
	} {
		if err := os.WriteFile(k.path(name), []byte(text), 0o600); err != nil {
			return command{}, err
		}
	}
	if _, err := os.Stat(k.path("data/meta.properties")); err != nil {
		if err := k.format(ctx); err != nil {
			return command{}, err
		}
	}
	return command{argv: k.java("kafka.Kafka", k.path("server.properties")), dir: k.config.Directory, isReady: servesKafka}, nil
}

// format makes the data folder, and the SCRAM credentials in it.
func (k *KafkaServer) format(ctx context.Context) error {
	argv := k.java("kafka.tools.StorageTool", "format", "-t", kafkaCluster, "-c", k.path("server.properties"))
	if k.config.Security != nil {
		for _, user := range slices.Sorted(maps.Keys(k.config.Security.Users)) {
			for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
				argv = append(argv, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, user, k.config.Security.Users[user]))
			}
		}
	}
	return run(ctx, command{name: "kafka format", argv: argv, dir: k.config.Directory,
		logPath: k.path("format.log"), deadline: startDeadline})
}

// properties are the lines of server.properties.
func (k *KafkaServer) properties() ([]string, error) {
	plain, controller := k.ports[kafkaClients].Address(), k.ports[kafkaController].Address()
	listeners, protocols := "PLAINTEXT://"+plain, "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
	var secure []string
	if k.config.Security != nil {
		var protocol string
		var err error
		if protocol, secure, err = k.secureProperties(); err != nil {
			return nil, err
		}
		listeners += ",SECURE://" + k.SecureAddress()
		protocols += ",SECURE:" + protocol
	}
	lines := append([]string{
		"process.roles=broker,controller",
		"node.id=1",
		"controller.quorum.voters=1@" + controller,
		"controller.listener.names=CONTROLLER",
		"inter.broker.listener.name=PLAINTEXT",
		"listeners=" + listeners + ",CONTROLLER://" + controller,
		"advertised.listeners=" + listeners,
		"listener.security.protocol.map=" + protocols,
		"log.dirs=" + k.path("data"),
		"auto.create.topics.enable=false",
		// A killed broker may come back when its session has timed out; the default is 9 seconds.
		"broker.session.timeout.ms=3000",
		"broker.heartbeat.interval.ms=300",
		"offsets.topic.replication.factor=1",
		"offsets.topic.num.partitions=1",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"transaction.state.log.num.partitions=1",
		"share.coordinator.state.topic.replication.factor=1",
		"share.coordinator.state.topic.min.isr=1",
		"group.initial.rebalance.delay.ms=0",
	}, secure...)
	return append(lines, k.config.Properties...), nil
}

// secureProperties are the lines about the second listener, and the protocol that it speaks.
func (k *KafkaServer) secureProperties() (protocol string, lines []string, err error) {
	s := k.config.Security
	if s.CertFile != "" {
		// Kafka reads the key and its certificates from one PEM file.
		var store []byte
		for _, path := range []string{s.KeyFile, s.CertFile} {
			text, err := os.ReadFile(path)
			if err != nil {
				return "", nil, fmt.Errorf("reading Kafka's certificate: %w", err)
			}
			store = append(append(store, text...), '\n')
		}
		if err := os.WriteFile(k.path("keystore.pem"), store, 0o600); err != nil {
			return "", nil, err
		}
		lines = append(lines, "ssl.keystore.type=PEM", "ssl.keystore.location="+k.path("keystore.pem"),
			"ssl.truststore.type=PEM", "ssl.truststore.location="+s.CAFile)
		if s.RequireClientCert { // by the listener's name: without it, a listener with SASL ignores it (KIP-684)
			lines = append(lines, "listener.name.secure.ssl.client.auth=required")
		}
	}
	if len(s.Users) == 0 {
		return "SSL", lines, nil
	}
	logins := make([]string, 0, len(s.Users))
	for _, user := range slices.Sorted(maps.Keys(s.Users)) {
		logins = append(logins, fmt.Sprintf("user_%s=%q", user, s.Users[user]))
	}
	const modules = "org.apache.kafka.common.security."
	lines = append(lines, "listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
		"listener.name.secure.plain.sasl.jaas.config="+modules+"plain.PlainLoginModule required "+strings.Join(logins, " ")+";",
		"listener.name.secure.scram-sha-256.sasl.jaas.config="+modules+"scram.ScramLoginModule required;",
		"listener.name.secure.scram-sha-512.sasl.jaas.config="+modules+"scram.ScramLoginModule required;")
	if s.CertFile == "" {
		return "SASL_PLAINTEXT", lines, nil
	}
	return "SASL_SSL", lines, nil
}

// servesKafka recognises the line that Kafka logs when it serves.
func servesKafka(line string) bool { return strings.Contains(line, "Kafka Server started") }
