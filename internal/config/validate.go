package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// saslNone switches off in one region what it would inherit from the common bus.
const saslNone = "none"

// validator checks what the decoder cannot know: whether values make sense, alone and together.
type validator struct {
	config   *Config
	lines    map[string]int
	refused  map[string]bool // see decoder
	faults   []Fault
	warnings []Fault
}

func (v *validator) fault(key, format string, args ...any) {
	for around := key; around != ""; around = parent(around) {
		if v.refused[around] {
			return
		}
	}
	v.faults = append(v.faults, Fault{Line: v.line(key), Key: key, Text: fmt.Sprintf(format, args...)})
}

// parent gives the path of what a setting stands in, "" for the file.
func parent(key string) string { return key[:max(strings.LastIndexAny(key, ".["), 0)] }

func (v *validator) warn(key, format string, args ...any) {
	v.warnings = append(v.warnings, Fault{Line: v.line(key), Key: key, Text: fmt.Sprintf(format, args...)})
}

// line finds where a setting stands, or the nearest thing around it that the file has.
func (v *validator) line(key string) int {
	for ; key != ""; key = parent(key) {
		if line, ok := v.lines[key]; ok {
			return line
		}
	}
	return 0
}

func (v *validator) all() {
	c := v.config
	if len(c.Regions) == 0 {
		v.fault("regions", "names no region; two or more make sense")
	}
	for _, r := range c.Regions {
		v.region(r)
	}
	v.sameServer()
	v.bus()
	v.tables()
	v.numbers()
	v.admin()
	v.listeners()
	if c.StateDirectory == "" {
		v.fault("state_directory", "is empty")
	}
}

var regionName = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$`)

func (v *validator) region(r *Region) {
	at := "regions." + r.Name
	if !regionName.MatchString(r.Name) {
		v.fault(at, "a region's name is 1 to 63 lower-case letters, digits, - and _, like us-east-1: it becomes part of topics and folders")
	}
	v.address(at+".mysql.address", r.MySQL.Address, "10.1.0.5:3306")
	if r.MySQL.User == "" {
		v.fault(at+".mysql.user", "is missing: the database user that Meridian logs in as")
	}
	if !r.MySQL.Password.IsSet() {
		v.fault(at+".mysql.password", `is missing: exactly one of password, password_env, password_file (password: "" if the user has none)`)
	}
	v.tls(at+".mysql.tls", r.MySQL.TLS)
	for i, address := range r.MySQL.ReadReplicas {
		v.address(fmt.Sprintf("%s.mysql.read_replicas[%d]", at, i), address, "10.1.0.6:3306")
	}
	if r.Bus != nil {
		v.brokers(at+".bus.brokers", r.Bus.Brokers)
		v.tls(at+".bus.tls", r.Bus.TLS)
		v.sasl(at+".bus.sasl", r.Bus.SASL, true)
	}
	if r.Redis != nil {
		v.redis(at+".redis", r.Redis)
	}
	v.between(at+".replicas", int64(r.Replicas), 1, int64(max(v.config.Bus.Partitions, 1)))
	if r.Replicas > 1 && !strings.Contains(r.Admin.URL, "{replica}") {
		v.fault(at+".admin.url", "must have {replica} in it, which stands for 0 to %d: all %d replicas are asked, each at its own address", r.Replicas-1, r.Replicas)
	}
	v.listen(at+".admin.listen", r.Admin.Listen)
	if r.Admin.URL != "" {
		v.url(at+".admin.url", strings.ReplaceAll(r.Admin.URL, "{replica}", "0"))
	}
}

func (v *validator) redis(at string, r *Redis) {
	if len(r.Addresses) == 0 {
		v.fault(at+".addresses", `is missing: ["10.1.0.9:6379"]`)
	}
	for i, a := range r.Addresses {
		v.address(fmt.Sprintf("%s.addresses[%d]", at, i), a, "10.1.0.9:6379")
	}
	switch {
	case r.Cluster && r.SentinelMaster != "":
		v.fault(at+".cluster", "a Redis is a cluster or behind sentinels, not both")
	case r.Cluster && r.DB != 0:
		v.fault(at+".db", "a Redis Cluster has only database 0")
	case !r.Cluster && r.SentinelMaster == "" && len(r.Addresses) > 1:
		v.fault(at+".addresses", "several addresses need cluster: true or sentinel_master: NAME")
	}
	if r.DB < 0 {
		v.fault(at+".db", "must be 0 or more, not %d", r.DB)
	}
	v.tls(at+".tls", r.TLS)
}

// sameServer refuses two regions on one database: each would take the other's writes for its own.
func (v *validator) sameServer() {
	first := map[string]string{}
	for _, r := range v.config.Regions {
		address := r.MySQL.Address
		if address == "" {
			continue
		}
		if other, ok := first[address]; ok {
			v.fault("regions."+r.Name+".mysql.address", "%s is the database of region %s already: each region has its own", address, other)
			continue
		}
		first[address] = r.Name
	}
}

func (v *validator) bus() {
	b := &v.config.Bus
	needed := slices.ContainsFunc(v.config.Regions, func(r *Region) bool { return r.Bus == nil })
	switch {
	case b.Embedded != nil && len(b.Brokers) > 0:
		v.fault("bus.embedded", "the bus is brokers or embedded, not both")
		v.brokers("bus.brokers", b.Brokers)
		v.embedded(b.Embedded)
	case b.Embedded != nil:
		v.embedded(b.Embedded)
		v.onlyEmbedded(b)
	case len(b.Brokers) > 0:
		v.brokers("bus.brokers", b.Brokers)
	case needed && len(v.config.Regions) > 0:
		v.fault("bus.brokers", `is missing, and not every region has a bus of its own: brokers: ["kafka:9092"], or embedded: {listen: "127.0.0.1:9092", region: NAME} for a trial on one machine`)
	}
	v.tls("bus.tls", b.TLS)
	v.sasl("bus.sasl", b.SASL, false)
	v.oneOf("bus.compression", b.Compression, "none", "gzip", "snappy", "lz4", "zstd")
	if !topicName.MatchString(b.TopicPrefix) {
		v.fault("bus.topic_prefix", "%q: a topic's name is made of letters, digits, . _ and -, and the prefix has at most 100", b.TopicPrefix)
	}
	v.between("bus.partitions", int64(b.Partitions), 1, 4096)
	v.between("bus.replication_factor", int64(b.ReplicationFactor), 1, 32)
	v.atLeast("bus.retention", b.Retention, time.Minute)
	v.sizeBetween("bus.max_record_bytes", b.MaxRecordBytes, 64*KiB, largestRecord)
}

// largestRecord is what fits into one request of Kafka (socket.request.max.bytes is 100 MiB) with what stands around it.
const largestRecord = 96 * MiB

var topicName = regexp.MustCompile(`^[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,99}$`)

func (v *validator) embedded(e *Embedded) {
	v.address("bus.embedded.listen", e.Listen, "127.0.0.1:9092")
	if host, _, err := net.SplitHostPort(e.Listen); err == nil && wildcard(host) {
		v.fault("bus.embedded.listen", "%q: name the host that all syncers reach it by; it is dialled as it stands here", e.Listen)
	}
	v.knownRegion("bus.embedded.region", e.Region)
}

// onlyEmbedded looks at what goes with brokers and not with the embedded bus.
func (v *validator) onlyEmbedded(b *Bus) {
	if b.TLS != nil || b.SASL != nil {
		v.fault("bus.embedded", "the embedded bus, which is for trials on one machine, has no tls and no sasl: remove them, or use brokers")
	}
	if v.lines["bus.replication_factor"] > 0 {
		v.warn("bus.replication_factor", "has no effect: the embedded bus is one broker")
	}
}

func (v *validator) knownRegion(key, name string) {
	names := v.config.RegionNames()
	switch {
	case name == "":
		v.fault(key, "is missing: one of %s", strings.Join(names, ", "))
	case !slices.Contains(names, name):
		v.fault(key, "there is no region %q; there are %s", name, strings.Join(names, ", "))
	}
}

func (v *validator) brokers(key string, brokers []string) {
	if len(brokers) == 0 {
		v.fault(key, `is missing: ["kafka:9092"]`)
	}
	for i, b := range brokers {
		v.address(fmt.Sprintf("%s[%d]", key, i), b, "kafka:9092")
	}
}

func (v *validator) sasl(key string, s *SASL, inRegion bool) {
	if s == nil {
		return
	}
	if inRegion && s.Mechanism == saslNone {
		return
	}
	v.oneOf(key+".mechanism", s.Mechanism, "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
	if s.User == "" {
		v.fault(key+".user", "is missing")
	}
	if !s.Password.IsSet() {
		v.fault(key+".password", "is missing: exactly one of %s", secretKeys("password"))
	}
}

func (v *validator) tls(key string, t *TLS) {
	if t != nil {
		v.certificate(key, t.CertFile, t.KeyFile)
	}
}

func (v *validator) certificate(key, certFile, keyFile string) {
	switch {
	case certFile != "" && keyFile == "":
		v.fault(key+".key_file", "is missing: cert_file needs it")
	case keyFile != "" && certFile == "":
		v.fault(key+".cert_file", "is missing: key_file needs it")
	}
}

func (v *validator) admin() {
	a := v.config.Admin
	if a.TLS == nil {
		return
	}
	if a.TLS.CertFile == "" && a.TLS.KeyFile == "" {
		v.fault("admin.tls", "needs cert_file and key_file")
	}
	v.certificate("admin.tls", a.TLS.CertFile, a.TLS.KeyFile)
}

// listeners looks for two servers at one address. Regions usually live on hosts of their own and listen on the same port
// there, so only what must be one host is reported.
func (v *validator) listeners() {
	c := v.config
	owner := map[string]string{}
	claim := func(key, address, who string) {
		host, _, err := net.SplitHostPort(address)
		if err != nil || wildcard(host) {
			return
		}
		if other, ok := owner[address]; ok {
			v.warn(key, "%s is also where %s listens: only one of them can", address, other)
			return
		}
		owner[address] = who
	}
	urls := map[string]string{}
	for _, r := range c.Regions {
		key := "regions." + r.Name + ".admin.listen"
		claim(key, r.Admin.Listen, "the syncer of region "+r.Name)
		u := c.AdminURL(r, 0)
		if other, ok := urls[u]; ok {
			v.warn(key, "the syncers of %s and %s are both looked for at %s: give each an admin.url, or a listen address of its own if they share a host", other, r.Name, u)
			continue
		}
		urls[u] = r.Name
	}
	claim("verifier.listen", c.Verifier.Listen, "the verifier")
	if c.Bus.Embedded != nil {
		claim("bus.embedded.listen", c.Bus.Embedded.Listen, "the embedded bus")
	}
	v.listen("verifier.listen", c.Verifier.Listen)
}

func (v *validator) address(key, address, example string) {
	if address == "" {
		v.fault(key, "is missing: HOST:PORT, like %s", example)
		return
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || !isPort(port) {
		v.fault(key, "%q is no HOST:PORT, like %s", address, example)
	}
}

func (v *validator) listen(key, address string) {
	_, port, err := net.SplitHostPort(address)
	if err != nil || !isPort(port) && port != "0" {
		v.fault(key, "%q is no [HOST]:PORT, like :8080", address)
	}
}

func (v *validator) url(key, text string) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		v.fault(key, "%q is no URL of a syncer, like http://syncer-{replica}.syncer.us-east-1:8080", text)
	}
}

func isPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port > 0
}

func wildcard(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

func (v *validator) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		v.fault(key, "must be one of %s, not %q", strings.Join(allowed, ", "), value)
	}
}

func (v *validator) between(key string, value, low, high int64) {
	if value < low || value > high {
		v.fault(key, "must be %d to %d, not %d", low, high, value)
	}
}

func (v *validator) sizeBetween(key string, value, low, high Size) {
	if value < low || value > high {
		v.fault(key, "must be %v to %v, not %v", low, high, value)
	}
}

func (v *validator) atLeast(key string, value, low time.Duration) {
	if value < low {
		v.fault(key, "must be %v or more, not %v", low, value)
	}
}
