package preflight

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/internal/bus"
)

func TestGrants_AllowWhatTheirLinesSay(t *testing.T) {
	for _, c := range []struct {
		name   string
		lines  []string
		ask    string // privilege schema table
		answer bool
	}{
		{"global", []string{"GRANT SELECT, REPLICATION SLAVE ON *.* TO `m`@`%`"}, "SELECT shop orders", true},
		{"not the privilege", []string{"GRANT SELECT ON *.* TO `m`@`%`"}, "INSERT shop orders", false},
		{"all", []string{"GRANT ALL PRIVILEGES ON *.* TO 'm'@'%' IDENTIFIED BY PASSWORD '*0, ON *.* TO' WITH GRANT OPTION"}, "DELETE shop orders", true},
		{"schema", []string{"GRANT SELECT ON `shop`.* TO `m`@`%`"}, "SELECT shop orders", true},
		{"another schema", []string{"GRANT SELECT ON `shop`.* TO `m`@`%`"}, "SELECT store orders", false},
		{"case counts", []string{"GRANT SELECT ON `shop`.* TO `m`@`%`"}, "SELECT Shop orders", false},
		{"wildcard", []string{"GRANT SELECT ON `sh%`.* TO `m`@`%`"}, "SELECT shop orders", true},
		{"one letter", []string{"GRANT SELECT ON `sho_`.* TO `m`@`%`"}, "SELECT shop orders", true},
		{"escaped", []string{"GRANT SELECT ON `my\\_shop`.* TO `m`@`%`"}, "SELECT my_shop orders", true},
		{"escaped is literal", []string{"GRANT SELECT ON `my\\_shop`.* TO `m`@`%`"}, "SELECT myxshop orders", false},
		{"table", []string{"GRANT SELECT ON `shop`.`orders` TO `m`@`%`"}, "SELECT shop orders", true},
		{"another table", []string{"GRANT SELECT ON `shop`.`orders` TO `m`@`%`"}, "SELECT shop users", false},
		{"one table is not all", []string{"GRANT SELECT ON `shop`.`orders` TO `m`@`%`"}, "SELECT shop *", false},
		{"some columns only", []string{"GRANT SELECT (`a`, `b`), INSERT ON `shop`.`orders` TO `m`@`%`"}, "SELECT shop orders", false},
		{"beside columns", []string{"GRANT SELECT (`a`, `b`), INSERT ON `shop`.`orders` TO `m`@`%`"}, "INSERT shop orders", true},
		{"odd names", []string{"GRANT SELECT ON `sh``op.x`.`or ON ders` TO `m`@`%`"}, "SELECT sh`op.x or ON ders", true},
		{"revoked", []string{"GRANT SELECT ON *.* TO `m`@`%`", "REVOKE SELECT ON `shop`.* FROM `m`@`%`"}, "SELECT shop orders", false},
		{"revoked elsewhere", []string{"GRANT SELECT ON *.* TO `m`@`%`", "REVOKE SELECT ON `mysql`.* FROM `m`@`%`"}, "SELECT shop orders", true},
		{"routines are no tables", []string{"GRANT EXECUTE, ALTER ROUTINE ON PROCEDURE `shop`.`orders` TO `m`@`%`"}, "EXECUTE shop orders", false},
		{"proxies are nothing", []string{"GRANT PROXY ON ''@'' TO 'root'@'localhost' WITH GRANT OPTION"}, "SELECT shop orders", false},
		{"roles are names", []string{"GRANT `r`@`%`,`s`@`%` TO `m`@`%`", "SET DEFAULT ROLE `r` FOR `m`@`%`"}, "SELECT shop orders", false},
	} {
		var g grants
		for _, line := range c.lines {
			g.add(line)
		}
		privilege, rest, _ := strings.Cut(c.ask, " ")
		schema, table, _ := strings.Cut(rest, " ")
		if got := g.allows(privilege, schema, table); got != c.answer {
			t.Errorf("%s: allows(%s) = %v", c.name, c.ask, got)
		}
	}
	folded := grants{foldCase: true}
	folded.add("GRANT SELECT ON `Shop`.* TO `m`@`%`")
	literal := grants{literal: true}
	literal.add("GRANT SELECT ON `my_shop`.* TO `m`@`%`")
	if !folded.allows("SELECT", "shop", "x") || literal.allows("SELECT", "myxshop", "x") || !literal.allows("SELECT", "my_shop", "x") {
		t.Error("lower_case_table_names or partial_revokes is not minded")
	}
}

func FuzzGrants(f *testing.F) {
	f.Add("GRANT SELECT (`a`, `b`), INSERT ON `shop`.`orders` TO `m`@`%`")
	f.Add("REVOKE SELECT ON `mysql`.* FROM `m`@`%`")
	f.Add("GRANT `r`@`%` TO `m`@`%`")
	f.Fuzz(func(t *testing.T, line string) {
		var g grants
		g.add(line)
		if g.allows("SELECT", "shop", "orders") && !strings.Contains(strings.ToUpper(line), "SELECT") && !strings.Contains(strings.ToUpper(line), "ALL") {
			t.Errorf("%q allows SELECT", line)
		}
	})
}

func TestLeastGrants_AreNarrowAndQuoted(t *testing.T) {
	got := strings.Join(LeastGrants(true, "'m'@'%'", []Pattern{
		{Schema: "my_shop", Table: "*"}, {Schema: "a", Table: "t1"}, {Schema: "tenant_*", Table: "*"}, {Schema: "*", Table: "x"},
	}), "\n")
	for _, want := range []string{
		"GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO 'm'@'%';",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON `my\\_shop`.* TO 'm'@'%';",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON `a`.`t1` TO 'm'@'%';",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON `tenant\\_%`.* TO 'm'@'%';",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON *.* TO 'm'@'%';",
		"GRANT ALL PRIVILEGES ON `meridian`.* TO 'm'@'%';",
		"GRANT TRIGGER, EVENT ON `a`.* TO 'm'@'%';",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if got := QuoteAccount("o'neil@10.%"); got != "'o''neil'@'10.%'" {
		t.Error(got)
	}
}

func TestSequence_Meets(t *testing.T) {
	for _, c := range []struct {
		a, b  [2]int64 // increment, offset
		meets bool
	}{
		{[2]int64{1, 1}, [2]int64{1, 1}, true},
		{[2]int64{2, 1}, [2]int64{2, 2}, false},
		{[2]int64{2, 1}, [2]int64{1, 1}, true},
		{[2]int64{3, 1}, [2]int64{2, 2}, true}, // 1 4 …, 2 4 …
		{[2]int64{4, 1}, [2]int64{6, 2}, false},
		{[2]int64{4, 1}, [2]int64{6, 3}, true}, // 9
		{[2]int64{10, 1}, [2]int64{10, 2}, false},
	} {
		a, b := sequence{increment: c.a[0], offset: c.a[1]}, sequence{increment: c.b[0], offset: c.b[1]}
		if a.meets(b) != c.meets || b.meets(a) != c.meets {
			t.Errorf("%v and %v: want %v", a, b, c.meets)
		}
		found := false
		for x := range int64(200) {
			for y := range int64(200) {
				found = found || a.offset+x*a.increment == b.offset+y*b.increment
			}
		}
		if found != c.meets {
			t.Errorf("the test is wrong about %v and %v", a, b)
		}
	}
}

func server(variables map[string]string) *facts {
	return &facts{region: "here", variables: variables}
}

func TestCheckAutoIncrement_SaysWhatToSetWhere(t *testing.T) {
	here, there := server(map[string]string{"auto_increment_increment": "2", "auto_increment_offset": "3"}), server(nil)
	there.region, there.mariadb = "b", true
	here.tables = []*table{{tableName: tableName{"s", "t"}, primary: []keyPart{{column: "id"}}, columns: []column{{}}}}
	here.tables[0].columns[0].Name, here.tables[0].columns[0].Extra = "id", "auto_increment"
	i := &inspection{config: Config{Region: Region{Name: "a"}}, here: here, others: []*facts{there}}
	c := checkAutoIncrement(i)[0]
	for _, want := range []string{"offset 3 is larger", "s.t", "-- in region a:\nSET PERSIST auto_increment_increment = 10;\nSET PERSIST auto_increment_offset = 1;",
		"-- in region b:\nSET GLOBAL auto_increment_increment = 10;", "SET GLOBAL auto_increment_offset = 2;"} {
		if !strings.Contains(c.Detail+c.Fix, want) {
			t.Errorf("no %q in %s\n%s", want, c.Detail, c.Fix)
		}
	}
	here.tables[0].columns[0].Extra = ""
	if c := checkAutoIncrement(i)[0]; c.Result != OK {
		t.Errorf("a key that nobody hands out: %+v", c)
	}
}

func TestRetention(t *testing.T) {
	for _, c := range []struct {
		variables map[string]string
		result    Result
		says      string
	}{
		{map[string]string{"binlog_expire_logs_seconds": "2592000"}, OK, "720h"},
		{map[string]string{"binlog_expire_logs_seconds": "7200"}, Warn, "2h0m0s"},
		{map[string]string{"binlog_expire_logs_seconds": "60"}, Fail, "SET PERSIST binlog_expire_logs_seconds"},
		{map[string]string{"binlog_expire_logs_seconds": "0", "expire_logs_days": "0"}, OK, "never"},
		{map[string]string{"expire_logs_days": "0.020833"}, Fail, "expire_logs_days"},
		{map[string]string{"binlog_expire_logs_seconds": "60", "binlog_expire_logs_auto_purge": "OFF"}, OK, "never"},
		{map[string]string{"binlog_expire_logs_seconds": "0", "max_binlog_total_size": "1073741824"}, Warn, "1 GiB"},
		{map[string]string{"binlog_expire_logs_seconds": "60", "basedir": "/rdsdbbin/mysql/"}, Fail, "rds_set_configuration"},
	} {
		c.variables["log_bin"] = "ON"
		got := checkRetention(&inspection{here: server(c.variables)})[0]
		if got.Result != c.result || !strings.Contains(got.Detail+got.Fix, c.says) {
			t.Errorf("%v: %+v", c.variables, got)
		}
	}
}

func TestGTIDMode_IsMendedStepByStep(t *testing.T) {
	f := server(map[string]string{"gtid_mode": "OFF_PERMISSIVE", "enforce_gtid_consistency": "ON"})
	if got := f.gtidMode()[0].Fix; got != "SET PERSIST enforce_gtid_consistency = ON;\nSET PERSIST gtid_mode = ON_PERMISSIVE;\nSET PERSIST gtid_mode = ON;" {
		t.Error(got)
	}
}

func TestCheckClock(t *testing.T) {
	for _, c := range []struct {
		here, there, roundTrip time.Duration
		mariadb                bool
		result                 Result
		says                   string
	}{
		{0, 10 * time.Millisecond, time.Millisecond, false, OK, "10.0 ms behind region b"},
		{0, -300 * time.Millisecond, time.Millisecond, false, Warn, "300.0 ms ahead of region b"},
		{0, 700 * time.Millisecond, time.Millisecond, false, Fail, "one wrong clock"},
		{0, 700 * time.Millisecond, 300 * time.Millisecond, false, Warn, "± 300.0 ms"}, // it may well be 400 ms
		{700 * time.Millisecond, 700 * time.Millisecond, 0, false, OK, "0.0 ms"},       // our own clock is nobody's business
		{700 * time.Millisecond, 700 * time.Millisecond, 0, true, Fail, "this host"},   // but on MariaDB it is
	} {
		here, there := server(nil), server(nil)
		there.region, here.mariadb = "b", c.mariadb
		here.ahead, there.ahead, here.roundTrip, there.roundTrip = c.here, c.there, c.roundTrip, c.roundTrip
		got := checkClock(&inspection{config: Config{MaxSkew: 500 * time.Millisecond}, here: here, others: []*facts{there}})[0]
		if got.Result != c.result || !strings.Contains(got.Detail, c.says) {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

func TestCheckNames_MustBeSpeltAlike(t *testing.T) {
	here, there := server(map[string]string{"lower_case_table_names": "0"}), server(map[string]string{"lower_case_table_names": "1"})
	there.region = "b"
	if got := checkNames(&inspection{here: here, others: []*facts{there}})[0]; got.Result != Fail || !strings.Contains(got.Detail, "1 in region b") {
		t.Errorf("%+v", got)
	}
}

func TestCheckPacket_RowsFromARegionThatTakesLargerOnes(t *testing.T) {
	for have, want := range map[string]struct {
		result Result
		words  string
	}{
		"67108864": {OK, "64 MiB"},
		"50331648": {Warn, "48 MiB, but another region takes statements of 64 MiB"},
		"33554432": {Warn, "32 MiB, less than the largest change that the bus carries (bus.max_record_bytes is 32 MiB)"},
		"16777216": {Warn, "16 MiB, less than the largest change that the bus carries (bus.max_record_bytes is 32 MiB)"},
		"4194304":  {Fail, "4 MiB, less than a batch"},
	} {
		here, there := server(map[string]string{"max_allowed_packet": have}), server(map[string]string{"max_allowed_packet": "67108864"})
		i := &inspection{config: Config{BatchBytes: 8 << 20, MaxRecordBytes: 32 << 20}, here: here, others: []*facts{there}}
		if got := checkPacket(i)[0]; got.Result != want.result || !strings.Contains(got.Detail, want.words) || want.result != OK && got.Fix == "" {
			t.Errorf("%s: %+v", have, got)
		}
	}
}

func TestCheckCluster_WarnsOfSeveralWriters(t *testing.T) {
	for _, variables := range []map[string]string{
		{"wsrep_on": "ON"}, {"group_replication_single_primary_mode": "OFF", "group_replication_group_name": "x"},
	} {
		if got := (&inspection{here: server(variables)}).checkCluster(); len(got) != 1 || got[0].Result != Warn {
			t.Errorf("%v: %+v", variables, got)
		}
	}
}

// fakeKafka answers from a map.
type fakeKafka struct {
	down   error
	topics map[string]*bus.Description
}

func (k fakeKafka) Ping(context.Context) ([]string, error) { return nil, k.down }
func (k fakeKafka) Describe(_ context.Context, name string) (*bus.Description, error) {
	return k.topics[name], nil
}

func TestCheckBuses(t *testing.T) {
	compact := "compact"
	topic := bus.Topic{Name: "m.here.changes", Partitions: 16, ReplicationFactor: 3}
	right := &bus.Description{Name: topic.Name, Partitions: 16, ReplicationFactor: 3}
	down := &bus.TransientError{Op: "connect", Err: io.ErrUnexpectedEOF}
	for _, c := range []struct {
		name    string
		bus     Bus
		results map[string]Result
		says    string
	}{
		{"right", Bus{Own: true, Client: fakeKafka{topics: map[string]*bus.Description{topic.Name: right}}}, map[string]Result{"kafka": OK, "topics": OK}, "as they should be"},
		{"not yet", Bus{Own: true, Client: fakeKafka{}}, map[string]Result{"kafka": OK, "topics": OK}, "created when a region starts"},
		{"partitions", Bus{Own: true, Client: fakeKafka{topics: map[string]*bus.Description{topic.Name: {Name: topic.Name, Partitions: 8, ReplicationFactor: 3}}}},
			map[string]Result{"kafka": OK, "topics": Fail}, "8 partitions"},
		{"compacted", Bus{Own: true, Client: fakeKafka{topics: map[string]*bus.Description{topic.Name: {Name: topic.Name, Partitions: 16, ReplicationFactor: 3, CleanupPolicy: &compact}}}},
			map[string]Result{"kafka": OK, "topics": Fail}, "cleanup.policy=delete"},
		{"replicas", Bus{Own: true, Client: fakeKafka{topics: map[string]*bus.Description{topic.Name: {Name: topic.Name, Partitions: 16, ReplicationFactor: 1}}}},
			map[string]Result{"kafka": OK, "topics": Warn}, "1 replicas"},
		{"down", Bus{Own: true, Client: fakeKafka{down: down}}, map[string]Result{"kafka": Fail}, "brokers run"},
		{"denied", Bus{Own: true, Client: fakeKafka{down: &bus.DeniedError{Op: "connect", Err: errors.New("SASL")}}}, map[string]Result{"kafka": Fail}, "sasl of the bus"},
		{"embedded elsewhere", Bus{Own: true, Embedded: "there", Client: fakeKafka{down: down}}, map[string]Result{"kafka": Fail}, "start the syncer of region there"},
		{"embedded here", Bus{Own: true, Embedded: "here", Client: fakeKafka{down: down}}, map[string]Result{"kafka": OK}, "serves it at"},
		{"embedded here, and running", Bus{Own: true, Embedded: "here", Client: fakeKafka{topics: map[string]*bus.Description{topic.Name: {Name: topic.Name, Partitions: 4}}}},
			map[string]Result{"kafka": OK, "topics": Fail}, "4 partitions"},
		{"abroad on our own embedded bus", Bus{Of: "there", Embedded: "here", Client: fakeKafka{down: down}}, map[string]Result{}, ""},
		{"abroad", Bus{Of: "there", Client: fakeKafka{down: down}}, map[string]Result{"kafka_abroad": Warn}, "there:"},
	} {
		c.bus.Topics, c.bus.Brokers = []bus.Topic{topic}, []string{"kafka:9092"}
		if c.bus.Of == "" {
			c.bus.Of = "here"
		}
		i := &inspection{config: Config{Region: Region{Name: "here"}, Buses: []Bus{c.bus}}, buses: []busFacts{askBus(t.Context(), &c.bus, "here")}}
		checks := checkBuses(i)
		text := ""
		for _, got := range checks {
			text += got.Detail + got.Fix
			if c.results[got.Name] != got.Result {
				t.Errorf("%s: %+v", c.name, got)
			}
		}
		if len(checks) != len(c.results) || !strings.Contains(text, c.says) {
			t.Errorf("%s: %+v", c.name, checks)
		}
	}
}

// systemFolder holds no files, whoever asks.
const systemFolder = "/proc"

func TestCheckDisk(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	judge := func(path string, change func(*diskFacts)) Check {
		d := lookAtDisk(path)
		d.free = 10 << 30
		if change != nil {
			change(&d)
		}
		return checkDisk(&inspection{config: Config{Directory: path}, disk: d})[0]
	}
	for _, c := range []struct {
		path   string
		change func(*diskFacts)
		result Result
		says   string
	}{
		{folder, nil, OK, "can be written to, 10 GiB free"},
		{filepath.Join(folder, "a", "b"), nil, OK, "will be created"},
		{filepath.Join(file, "b"), nil, Fail, "not a directory"},
		{file, nil, Fail, "is no folder"},
		{filepath.Join(systemFolder, "meridian"), nil, Fail, "cannot be put on"},
		{folder, func(d *diskFacts) { d.free = 500 << 20 }, Warn, "only 500 MiB"},
		{folder, func(d *diskFacts) { d.free = 1 << 20 }, Fail, "does not fit"},
	} {
		if got := judge(c.path, c.change); got.Result != c.result || !strings.Contains(got.Detail, c.says) {
			t.Errorf("%s: %+v", c.path, got)
		}
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
		t.Errorf("looking has left something: %v %v", entries, err)
	}
	if d := lookAtDisk(folder); d.free <= 0 {
		t.Errorf("%+v", d)
	}
}

func TestList_NamesTheFirstOfMany(t *testing.T) {
	many := make([]string, 120)
	for n := range many {
		many[n] = "t"
	}
	if got := list(many); !strings.HasSuffix(got, "; and 70 more") {
		t.Error(got)
	}
	if got := statements([]string{"a", "b", "a", ""}); got != "a\nb" {
		t.Error(got)
	}
}
