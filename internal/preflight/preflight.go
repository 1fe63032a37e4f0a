// Package preflight looks at a region's database, its neighbours, the bus and the disk before Meridian depends on them, and
// says of each requirement whether it is met, what is wrong if not, and what mends it. It changes nothing anywhere.
//
// In the flow it comes before everything else: `syncer check` prints its report, `syncer run` refuses to start on a fail.
// What it asks the servers is in gather*.go and becomes facts; the check*.go files judge facts and do no I/O.
package preflight

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"meridian/internal/bus"
	"meridian/internal/mysqldb"
)

// Result is how a requirement is met.
type Result string

// The results, and what `run` does about them.
const (
	OK   Result = "ok"
	Warn Result = "warn" // works, but somebody should know; run starts
	Fail Result = "fail" // data would be lost or regions would differ; run refuses
)

// Check is one requirement and how it is met. Name never changes from version to version.
type Check struct {
	Name   string `json:"name"`
	Result Result `json:"result"`
	Detail string `json:"detail"` // what is there, and what it leads to
	Fix    string `json:"fix"`    // SQL or a setting; "" where nothing is to be mended
}

// Report is all checks of one region, the worst first.
type Report struct {
	Region string  `json:"region"`
	OK     bool    `json:"ok"` // no fail
	Checks []Check `json:"checks"`

	// Unreachable is set when a server that the region cannot do without did not answer, so that not everything was checked.
	Unreachable bool `json:"-"`
}

// Count tells how many checks have the result.
func (r *Report) Count(result Result) int {
	n := 0
	for i := range r.Checks {
		if r.Checks[i].Result == result {
			n++
		}
	}
	return n
}

// Config is what is to be checked.
type Config struct {
	Region    Region   // the one that the report is about
	Others    []Region // compared with it where they can be reached
	User      string   // the database user of the configuration, for GRANTs
	Tables    Tables
	Include   []Pattern // all patterns that name tables to be replicated
	Rules     []Pattern // and those of rules
	Buses     []Bus
	Directory string // of the ledger, and what else this process keeps
	MaxSkew   time.Duration

	// StateSchema are the statements that make Meridian's own tables, as propagate.StateSchema gives them.
	StateSchema []string

	BatchBytes     int64 // of one apply transaction
	MaxRecordBytes int64
	Timeout        time.Duration // for each server; 0: 15 s
}

// Region is one database.
type Region struct {
	Name    string
	Address string
	Open    func(ctx context.Context) (*mysqldb.Server, error)
}

// Tables says what is replicated and how.
type Tables interface {
	Match(schema, table string) bool
	Rule(schema, table string) Rule
}

// Rule is what the configuration says about a table.
type Rule struct {
	VersionColumn string   // "": none
	ParkUnique    bool     // what a duplicate secondary unique key does: park, or else the newest wins
	CacheColumns  []string // that the cache's key is made of; nil: no cache
}

// Pattern is one pattern of the configuration.
type Pattern struct {
	Text          string // "shop.*"
	Schema, Table string // its halves
	Match         func(schema, table string) bool
}

// Bus is one Kafka and the topics on it that a region needs.
type Bus struct {
	Client   BusClient
	Brokers  []string
	Topics   []bus.Topic
	Own      bool   // the region's own: it cannot do without
	Embedded string // the region whose syncer serves it; "" for a real Kafka
	Of       string // the region whose topics these are
}

// BusClient is what is asked of a Kafka; *bus.Client is one.
type BusClient interface {
	Ping(ctx context.Context) ([]string, error)
	Describe(ctx context.Context, name string) (*bus.Description, error)
}

const defaultTimeout = 15 * time.Second

// inspection is everything that was found out, for the checks to judge.
type inspection struct {
	config Config
	here   *facts
	others []*facts // in the order of Config.Others
	buses  []busFacts
	disk   diskFacts
}

// Run checks a region. What cannot be asked is in the report, too: Run itself fails only when ctx ends.
func Run(ctx context.Context, c Config) (*Report, error) {
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	i := &inspection{config: c, others: make([]*facts, len(c.Others)), buses: make([]busFacts, len(c.Buses))}
	var asking sync.WaitGroup
	limited := func(ask func(ctx context.Context)) {
		asking.Go(func() {
			limit, cancel := context.WithTimeout(ctx, c.Timeout)
			defer cancel()
			ask(limit)
		})
	}
	limited(func(ctx context.Context) { i.here = gather(ctx, c.Region, c.Tables, true) })
	for n := range c.Others {
		limited(func(ctx context.Context) { i.others[n] = gather(ctx, c.Others[n], c.Tables, false) })
	}
	for n := range c.Buses {
		limited(func(ctx context.Context) { i.buses[n] = askBus(ctx, &c.Buses[n], c.Region.Name) })
	}
	i.disk = lookAtDisk(c.Directory)
	asking.Wait()
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	return i.report(), nil
}

// catalogue is every check, in the order in which equally bad results are shown.
var catalogue = []func(*inspection) []Check{
	checkDatabase, checkBinlog, checkRetention, checkDurability, checkIdentity, checkReadOnly, checkReplication,
	checkPacket, checkNames, checkClock, checkOthers, checkPrivileges, checkState,
	checkPatterns, checkPrimaryKeys, checkColumns, checkEngines, checkKeysAlike,
	checkCascades, checkTriggers, checkEvents, checkAutoIncrement, checkUniqueKeys, checkVersionColumns, checkCacheKeys,
	checkBuses, checkDisk,
}

func (i *inspection) report() *Report {
	r := &Report{Region: i.config.Region.Name, OK: true, Checks: []Check{}}
	for _, check := range catalogue {
		r.Checks = append(r.Checks, check(i)...)
	}
	slices.SortStableFunc(r.Checks, func(a, b Check) int { return cmp.Compare(badness(a.Result), badness(b.Result)) })
	r.OK = r.Count(Fail) == 0
	r.Unreachable = i.here.err != nil && !errors.Is(i.here.err, errTooOld)
	for n := range i.buses {
		if i.config.Buses[n].Own && i.buses[n].err != nil {
			r.Unreachable = true
		}
	}
	return r
}

func badness(r Result) int { return slices.Index([]Result{Fail, Warn, OK}, r) }

func pass(name, detail string) Check { return Check{Name: name, Result: OK, Detail: detail} }

func warn(name, detail, fix string) Check {
	return Check{Name: name, Result: Warn, Detail: detail, Fix: fix}
}

func fail(name, detail, fix string) Check {
	return Check{Name: name, Result: Fail, Detail: detail, Fix: fix}
}

// verdict is one check about many things: it fails if there are complaints, and the good news otherwise.
func verdict(name string, complaints, fixes []string, good string) []Check {
	if len(complaints) == 0 {
		return []Check{pass(name, good)}
	}
	return []Check{fail(name, list(complaints), statements(fixes))}
}
