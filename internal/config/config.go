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

	Regions        []*Region `config:"regions"` // in the order of the file
	Bus            Bus       `config:"bus"`
	Tables         Tables    `config:"tables"`
	Apply          Apply     `config:"apply"`
	Retry          Retry     `config:"retry"`
	Verify         Verify    `config:"verify"`
	Clock          Clock     `config:"clock"`
	Limits         Limits    `config:"limits"`
	Admin          Admin     `config:"admin"`
	StateDirectory string    `config:"state_directory,path"`
	Verifier       Verifier  `config:"verifier"`
}

// Region is one writable database, its cache and the syncer beside it.
type Region struct {
	Name     string      // the key in the file
	Replicas int         `config:"replicas"` // how many processes share its shards
	MySQL    MySQL       `config:"mysql"`
	Bus      *RegionBus  `config:"bus"`   // nil: the common bus
	Redis    *Redis      `config:"redis"` // nil: no cache here
	Admin    RegionAdmin `config:"admin"`
}

// MySQL says how to reach a MySQL or MariaDB server.
type MySQL struct {
	Address  string `config:"address"` // host:port
	User     string `config:"user"`
	Password Secret `config:"password,secret"`
	TLS      *TLS   `config:"tls"` // nil: no TLS
	// ReadReplicas are this database's own read replicas, host:port, that what can wait (scrub) is not to hold up. They are asked how far
	// they are behind, as the same user.
	ReadReplicas []string `config:"read_replicas"`
}

// RegionBus is a region's own Kafka. What it leaves out of TLS and SASL is taken from the common bus.
type RegionBus struct {
	Brokers []string `config:"brokers"` // host:port
	TLS     *TLS     `config:"tls"`
	SASL    *SASL    `config:"sasl"`
}

// Bus is the common Kafka, and what is true of the topics on every Kafka.
type Bus struct {
	Brokers           []string      `config:"brokers"` // host:port
	Embedded          *Embedded     `config:"embedded"`
	TLS               *TLS          `config:"tls"`
	SASL              *SASL         `config:"sasl"`
	TopicPrefix       string        `config:"topic_prefix"`
	Partitions        int           `config:"partitions"` // the number of shards
	ReplicationFactor int           `config:"replication_factor"`
	Retention         time.Duration `config:"retention"`
	Compression       string        `config:"compression"` // none, gzip, snappy, lz4, zstd
	MaxRecordBytes    Size          `config:"max_record_bytes"`
}

// Embedded is a broker inside the process of one region's syncer.
type Embedded struct {
	Listen string `config:"listen"` // host:port, the address that all syncers dial
	Region string `config:"region"` // whose syncer serves it
}

// SASL is how to authenticate to Kafka.
type SASL struct {
	Mechanism string `config:"mechanism"` // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512; none in a region's own bus
	User      string `config:"user"`
	Password  Secret `config:"password,secret"`
}

// Redis is one region's cache: one server, a Sentinel group or a Cluster.
type Redis struct {
	Addresses      []string `config:"addresses"`       // host:port; of the sentinels with SentinelMaster
	SentinelMaster string   `config:"sentinel_master"` // "": no Sentinel
	Cluster        bool     `config:"cluster"`
	User           string   `config:"user"`
	Password       Secret   `config:"password,secret"`
	DB             int      `config:"db"`
	TLS            *TLS     `config:"tls"`
}

// RegionAdmin is where a region's syncers serve HTTP and where others reach them.
type RegionAdmin struct {
	Listen string `config:"listen"`
	URL    string `config:"url"` // may hold {replica}; see Config.AdminURL
}

// Apply bounds one apply transaction.
type Apply struct {
	BatchRows        int           `config:"batch_rows"`
	BatchBytes       Size          `config:"batch_bytes"`
	FenceTimeout     time.Duration `config:"fence_timeout"`
	StatementTimeout time.Duration `config:"statement_timeout"`
}

// Retry is for changes that a database refused.
type Retry struct {
	MaxAttempts int           `config:"max_attempts"`
	Delay       time.Duration `config:"delay"`
}

// What Verify.Repair says.
const (
	RepairAuto   = "auto"
	RepairReport = "report"
)

// Verify is for comparing, scrubbing and repairing.
type Verify struct {
	Interval           time.Duration `config:"interval"`
	ConsistencyWindow  time.Duration `config:"consistency_window"`
	Repair             string        `config:"repair"`                // RepairAuto, RepairReport
	ScrubRowsPerSecond int           `config:"scrub_rows_per_second"` // of a region's processes together; 0: none
	// BaselineRowsPerSecond is for the first reading of the tables; 0: half of the time is left to others.
	BaselineRowsPerSecond int           `config:"baseline_rows_per_second"`
	BusyThreads           int           `config:"busy_threads"`       // running threads in the database beyond which reading waits; 0: it never does
	BusyReplicaDelay      time.Duration `config:"busy_replica_delay"` // of mysql.read_replicas, beyond which reading waits
	MaxRepairRows         int           `config:"max_repair_rows"`    // of a table at once without a person's word
	RepairRowsPerMinute   int           `config:"repair_rows_per_minute"`
	ConflictHistory       time.Duration `config:"conflict_history"`
}

// Clock bounds how far regions' clocks may be apart.
type Clock struct {
	MaxSkew time.Duration `config:"max_skew"`
}

// Limits bounds what a process uses and when it calls itself ready.
type Limits struct {
	Memory            Size          `config:"memory"`
	TransactionMemory Size          `config:"transaction_memory"`
	ReadyMaxLag       time.Duration `config:"ready_max_lag"`
}

// Admin guards the HTTP of all processes.
type Admin struct {
	Token Secret    `config:"token,secret"` // unset: no token is asked for, and nothing that changes state is served
	TLS   *AdminTLS `config:"tls"`
}

// AdminTLS is the certificate that HTTP is served with. CAFile is what clients (status, verifier) trust; "": the system's.
type AdminTLS struct {
	CertFile string `config:"cert_file,path"`
	KeyFile  string `config:"key_file,path"`
	CAFile   string `config:"ca_file,path"`
}

// Verifier is the verifier's own HTTP.
type Verifier struct {
	Listen string `config:"listen"`
}

// defaults gives what holds where the file is silent.
func defaults() *Config {
	return &Config{
		Bus: Bus{TopicPrefix: "meridian", Partitions: 16, ReplicationFactor: 3, Retention: 168 * time.Hour,
			Compression: "lz4", MaxRecordBytes: 32 << 20},
		Apply: Apply{BatchRows: 1000, BatchBytes: 8 << 20, FenceTimeout: 2 * time.Second, StatementTimeout: 30 * time.Second},
		Retry: Retry{MaxAttempts: 3, Delay: 60 * time.Second},
		Verify: Verify{Interval: 5 * time.Second, ConsistencyWindow: 60 * time.Second, Repair: RepairAuto,
			ScrubRowsPerSecond: 5000, BusyThreads: 32, BusyReplicaDelay: 10 * time.Second, MaxRepairRows: 10000, RepairRowsPerMinute: 10000, ConflictHistory: 24 * time.Hour},
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

// Process is one replica of a region's syncer, and where it is reached.
type Process struct {
	Region  *Region
	Replica int
	URL     string
}

// Processes gives all syncers that there should be, in the order of the file. replicas, if it is not 0, is how many each region
// has instead of what the file says.
func (c *Config) Processes(replicas int) []Process {
	var all []Process
	for _, r := range c.Regions {
		n := replicas
		if n == 0 {
			n = r.Replicas
		}
		for k := range n {
			all = append(all, Process{Region: r, Replica: k, URL: c.AdminURL(r, k)})
		}
	}
	return all
}

// VerifierURL tells where others reach the verifier's HTTP, without a slash at its end: its listen address, on this host if that
// names none.
func (c *Config) VerifierURL() string { return c.listenURL(c.Verifier.Listen) }

// AdminURL tells where others reach the HTTP of one replica of a region, without a slash at its end. Where the file names
// no url it is the listen address, on this host if that names none.
func (c *Config) AdminURL(r *Region, replica int) string {
	if r.Admin.URL != "" {
		return strings.TrimRight(strings.ReplaceAll(r.Admin.URL, "{replica}", strconv.Itoa(replica)), "/")
	}
	return c.listenURL(r.Admin.Listen)
}

func (c *Config) listenURL(listen string) string {
	scheme := "http"
	if c.Admin.TLS != nil {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return scheme + "://" + listen
	}
	if wildcard(host) {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}
