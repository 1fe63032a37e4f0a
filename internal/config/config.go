// Package config reads the one YAML file that describes all regions, and is strict about it: whatever is unknown,
// missing or makes no sense is reported, all of it at once and with its line.
//
// In the flow it stands at the very beginning: only cmd imports it, and hands its parts to the packages that do the work.
package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is a whole configuration, valid and with its defaults filled in. It is read only after Load.
type Config struct {
	Path     string  // the file it came from
	Warnings []Fault // what is legal and still looks wrong

	Regions        []*Region `yaml:"regions"` // in the order of the file
	Bus            Bus       `yaml:"bus"`
	Tables         Tables    `yaml:"tables"`
	Apply          Apply     `yaml:"apply"`
	Retry          Retry     `yaml:"retry"`
	Verify         Verify    `yaml:"verify"`
	Clock          Clock     `yaml:"clock"`
	Limits         Limits    `yaml:"limits"`
	Admin          Admin     `yaml:"admin"`
	StateDirectory string    `yaml:"state_directory,path"`
	Verifier       Verifier  `yaml:"verifier"`
}

// Region is one writable database, its cache and the syncer beside it.
type Region struct {
	Name  string      // the key in the file
	MySQL MySQL       `yaml:"mysql"`
	Bus   *RegionBus  `yaml:"bus"`   // nil: the common bus
	Redis *Redis      `yaml:"redis"` // nil: no cache here
	Admin RegionAdmin `yaml:"admin"`
}

// MySQL says how to reach a MySQL or MariaDB server.
type MySQL struct {
	Address  string `yaml:"address"` // host:port
	User     string `yaml:"user"`
	Password Secret `yaml:"password,secret"`
	TLS      *TLS   `yaml:"tls"` // nil: no TLS
}

// RegionBus is a region's own Kafka. What it leaves out of TLS and SASL is taken from the common bus.
type RegionBus struct {
	Brokers []string `yaml:"brokers"` // host:port
	TLS     *TLS     `yaml:"tls"`
	SASL    *SASL    `yaml:"sasl"`
}

// Bus is the common Kafka, and what is true of the topics on every Kafka.
type Bus struct {
	Brokers           []string      `yaml:"brokers"` // host:port
	Embedded          *Embedded     `yaml:"embedded"`
	TLS               *TLS          `yaml:"tls"`
	SASL              *SASL         `yaml:"sasl"`
	TopicPrefix       string        `yaml:"topic_prefix"`
	Partitions        int           `yaml:"partitions"` // the number of shards
	ReplicationFactor int           `yaml:"replication_factor"`
	Retention         time.Duration `yaml:"retention"`
	Compression       string        `yaml:"compression"` // none, gzip, snappy, lz4, zstd
	MaxRecordBytes    Size          `yaml:"max_record_bytes"`
}

// Embedded is a broker inside the process of one region's syncer.
type Embedded struct {
	Listen string `yaml:"listen"` // host:port, the address that all syncers dial
	Region string `yaml:"region"` // whose syncer serves it
}

// SASL is how to authenticate to Kafka.
type SASL struct {
	Mechanism string `yaml:"mechanism"` // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512; none in a region's own bus
	User      string `yaml:"user"`
	Password  Secret `yaml:"password,secret"`
}

// Redis is one region's cache: one server, a Sentinel group or a Cluster.
type Redis struct {
	Addresses      []string `yaml:"addresses"`       // host:port; of the sentinels with SentinelMaster
	SentinelMaster string   `yaml:"sentinel_master"` // "": no Sentinel
	Cluster        bool     `yaml:"cluster"`
	User           string   `yaml:"user"`
	Password       Secret   `yaml:"password,secret"`
	DB             int      `yaml:"db"`
	TLS            *TLS     `yaml:"tls"`
}

// RegionAdmin is where a region's syncers serve HTTP and where others reach them.
type RegionAdmin struct {
	Listen string `yaml:"listen"`
	URL    string `yaml:"url"` // may hold {replica}; see Config.AdminURL
}

// Apply bounds one apply transaction.
type Apply struct {
	BatchRows        int           `yaml:"batch_rows"`
	BatchBytes       Size          `yaml:"batch_bytes"`
	FenceTimeout     time.Duration `yaml:"fence_timeout"`
	StatementTimeout time.Duration `yaml:"statement_timeout"`
}

// Retry is for changes that a database refused.
type Retry struct {
	MaxAttempts int           `yaml:"max_attempts"`
	Delay       time.Duration `yaml:"delay"`
}

// Verify is for comparing, scrubbing and repairing.
type Verify struct {
	Interval           time.Duration `yaml:"interval"`
	ConsistencyWindow  time.Duration `yaml:"consistency_window"`
	Repair             string        `yaml:"repair"` // auto, report
	ScrubRowsPerSecond int           `yaml:"scrub_rows_per_second"`
	MaxRepairRows      int           `yaml:"max_repair_rows"`
	ConflictHistory    time.Duration `yaml:"conflict_history"`
}

// Clock bounds how far regions' clocks may be apart.
type Clock struct {
	MaxSkew time.Duration `yaml:"max_skew"`
}

// Limits bounds what a process uses and when it calls itself ready.
type Limits struct {
	Memory            Size          `yaml:"memory"`
	TransactionMemory Size          `yaml:"transaction_memory"`
	ReadyMaxLag       time.Duration `yaml:"ready_max_lag"`
}

// Admin guards the HTTP of all processes.
type Admin struct {
	Token Secret    `yaml:"token,secret"` // unset: no token is asked for, and nothing that changes state is served
	TLS   *AdminTLS `yaml:"tls"`
}

// AdminTLS is the certificate that HTTP is served with. CAFile is what clients (status, verifier) trust; "": the system's.
type AdminTLS struct {
	CertFile string `yaml:"cert_file,path"`
	KeyFile  string `yaml:"key_file,path"`
	CAFile   string `yaml:"ca_file,path"`
}

// Verifier is the verifier's own HTTP.
type Verifier struct {
	Listen string `yaml:"listen"`
}

// defaults gives what holds where the file is silent.
func defaults() *Config {
	return &Config{
		Bus: Bus{TopicPrefix: "meridian", Partitions: 16, ReplicationFactor: 3, Retention: 168 * time.Hour,
			Compression: "lz4", MaxRecordBytes: 32 << 20},
		Apply: Apply{BatchRows: 1000, BatchBytes: 8 << 20, FenceTimeout: 2 * time.Second, StatementTimeout: 30 * time.Second},
		Retry: Retry{MaxAttempts: 3, Delay: 60 * time.Second},
		Verify: Verify{Interval: 5 * time.Second, ConsistencyWindow: 60 * time.Second, Repair: "auto",
			ScrubRowsPerSecond: 5000, MaxRepairRows: 10000, ConflictHistory: 24 * time.Hour},
		Clock:          Clock{MaxSkew: 500 * time.Millisecond},
		Limits:         Limits{Memory: 512 << 20, TransactionMemory: 64 << 20, ReadyMaxLag: 30 * time.Second},
		StateDirectory: "/var/lib/meridian",
		Verifier:       Verifier{Listen: "127.0.0.1:8090"},
	}
}

// defaultAdminListen is where a region's syncer serves HTTP if the file does not say.
const defaultAdminListen = ":8080"

// Load reads and checks a file. A configuration that is wrong gives an *Error with every fault in it.
// Relative paths in the file (certificates, secrets, the state directory) are relative to the file's folder.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &Error{Path: path, Faults: []Fault{{Text: "there is no such file: " +
			"name the configuration with --config FILE or MERIDIAN_CONFIG (meridian.example.yml is one to start from)"}}}
	}
	if err != nil {
		return nil, &Error{Path: path, Faults: []Fault{{Text: "cannot be read: " + err.Error()}}}
	}
	return Parse(path, data)
}

// Parse is Load for a file's content; path is used in messages and for what relative paths are relative to.
func Parse(path string, data []byte) (*Config, error) {
	c := defaults()
	c.Path = path
	d := decoder{folder: filepath.Dir(path), lines: map[string]int{}, refused: map[string]bool{}}
	d.document(data, c)
	if !d.broken {
		c.complete()
		v := validator{config: c, lines: d.lines, refused: d.refused}
		v.all()
		d.faults = append(d.faults, v.faults...)
		c.Warnings = v.warnings
	}
	if len(d.faults) > 0 {
		sortFaults(d.faults)
		return nil, &Error{Path: path, Faults: d.faults}
	}
	sortFaults(c.Warnings)
	return c, nil
}

// complete fills in the defaults that depend on something else.
func (c *Config) complete() {
	if c.Bus.Embedded != nil {
		c.Bus.ReplicationFactor = 1 // it is one broker
	}
	for _, r := range c.Regions {
		if r.Admin.Listen == "" {
			r.Admin.Listen = defaultAdminListen
		}
	}
	for i := range c.Tables.Rules {
		c.Tables.Rules[i].complete()
	}
}

// Region gives the named region, or an error that lists those that there are.
func (c *Config) Region(name string) (*Region, error) {
	for _, r := range c.Regions {
		if r.Name == name {
			return r, nil
		}
	}
	if name == "" {
		return nil, fmt.Errorf("which region? Name one with --region or MERIDIAN_REGION: %s", strings.Join(c.RegionNames(), ", "))
	}
	return nil, fmt.Errorf("%s has no region %q; it has %s", c.Path, name, strings.Join(c.RegionNames(), ", "))
}

// RegionNames gives the regions' names in the order of the file.
func (c *Config) RegionNames() []string {
	names := make([]string, len(c.Regions))
	for i, r := range c.Regions {
		names[i] = r.Name
	}
	return names
}

// Others gives all regions but the named one, in the order of the file.
func (c *Config) Others(name string) []*Region {
	return slices.DeleteFunc(slices.Clone(c.Regions), func(r *Region) bool { return r.Name == name })
}

// BusOf tells which Kafka has a region's topics, and how to reach it: the region's own, or the common one.
func (c *Config) BusOf(r *Region) RegionBus {
	common := RegionBus{Brokers: c.Bus.Brokers, TLS: c.Bus.TLS.on(), SASL: c.Bus.SASL}
	if c.Bus.Embedded != nil {
		common = RegionBus{Brokers: []string{c.Bus.Embedded.Listen}}
	}
	if r.Bus == nil {
		return common
	}
	own := *r.Bus
	if own.TLS == nil {
		own.TLS = c.Bus.TLS
	}
	own.TLS = own.TLS.on()
	if own.SASL == nil {
		own.SASL = c.Bus.SASL
	}
	if own.SASL != nil && own.SASL.Mechanism == saslNone {
		own.SASL = nil
	}
	return own
}

// ChangeTopic is the topic that a region publishes its changes to.
func (c *Config) ChangeTopic(region string) string {
	return c.Bus.TopicPrefix + "." + region + ".changes"
}

// DeadTopic is the topic of a region's dead changes.
func (c *Config) DeadTopic(region string) string { return c.Bus.TopicPrefix + "." + region + ".dead" }

// HeartbeatTopic is the topic of all regions' heartbeats.
func (c *Config) HeartbeatTopic() string { return c.Bus.TopicPrefix + ".heartbeats" }

// ReplicaDirectory is the folder that one replica of a region's syncer keeps its ledger in.
func (c *Config) ReplicaDirectory(region string, replica int) string {
	return filepath.Join(c.StateDirectory, region+"-"+strconv.Itoa(replica))
}

// BusDirectory is the folder of the embedded bus.
func (c *Config) BusDirectory() string { return filepath.Join(c.StateDirectory, "bus") }

// VerifierDirectory is the folder of the verifier.
func (c *Config) VerifierDirectory() string { return filepath.Join(c.StateDirectory, "verifier") }

// AdminURL tells where others reach the HTTP of one replica of a region, without a slash at its end. Where the file names
// no url it is the listen address, on this host if that names none.
func (c *Config) AdminURL(r *Region, replica int) string {
	if r.Admin.URL != "" {
		return strings.TrimRight(strings.ReplaceAll(r.Admin.URL, "{replica}", strconv.Itoa(replica)), "/")
	}
	scheme := "http"
	if c.Admin.TLS != nil {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(r.Admin.Listen)
	if err != nil {
		return scheme + "://" + r.Admin.Listen
	}
	if wildcard(host) {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}
