package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "write down the faults that the files in testdata give now")

// Every testdata/*.bad.yml ends with the faults that it must give, all of them and in this order, a line "#! FAULT" each.
func TestLoad_ReportsEveryFaultWithItsLine(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yml")
	if err != nil || len(files) == 0 {
		t.Fatal("no bad files", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			body, wanted, _ := strings.Cut(string(data), "#! ")
			_, err = Parse(file, []byte(body))
			var faults *Error
			if !errors.As(err, &faults) {
				t.Fatalf("no *Error: %v", err)
			}
			var got []string
			for _, f := range faults.Faults {
				got = append(got, f.String())
			}
			if *update {
				if err := os.WriteFile(file, []byte(body+"#! "+strings.Join(got, "\n#! ")+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			want := strings.Split(strings.TrimSuffix(wanted, "\n"), "\n#! ")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLoad_ReadsEverySetting(t *testing.T) {
	c, err := Load("testdata/everything.yml")
	if err != nil {
		t.Fatal(err)
	}
	off := false
	literal := LiteralSecret("p:w")
	us := &Region{Name: "us-east-1", Replicas: 2,
		MySQL: MySQL{Address: "10.1.0.5:3307", User: "m", Password: literal, ReadReplicas: []string{"10.1.0.6:3306"},
			TLS: &TLS{CAFile: "testdata/ca.pem", CertFile: "/c.pem", KeyFile: "testdata/k.pem", ServerName: "db"}},
		Bus: &RegionBus{Brokers: []string{"k1:9092", "k2:9092"}, TLS: &TLS{Enabled: &off}, SASL: &SASL{Mechanism: "none"}},
		Redis: &Redis{Addresses: []string{"10.1.0.9:6379", "10.1.0.10:6379"}, SentinelMaster: "mymaster", User: "r",
			Password: Secret{env: "RP"}, DB: 3, TLS: &TLS{}},
		Admin: RegionAdmin{Listen: "127.0.0.1:8081", URL: "https://syncer-{replica}.us/"}}
	eu := &Region{Name: "eu-west-1", Replicas: 1, MySQL: MySQL{Address: "10.2.0.5:3306", User: "m", Password: Secret{env: "PW"}},
		Bus:   &RegionBus{Brokers: []string{"k3:9092"}, SASL: &SASL{Mechanism: "PLAIN", User: "other", Password: Secret{file: "/run/kafka"}}},
		Redis: &Redis{Addresses: []string{"10.2.0.9:6379", "10.2.0.10:6379"}, Cluster: true},
		Admin: RegionAdmin{Listen: ":8080", URL: "http://eu:8080"}}
	ap := &Region{Name: "ap-south-1", Replicas: 1, MySQL: MySQL{Address: "[::1]:3306", User: "m", Password: Secret{file: "testdata/secrets/mysql"}},
		Admin: RegionAdmin{Listen: ":8080"}}
	template := func(text string) KeyTemplate {
		k, err := ParseKeyTemplate(text)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	want := &Config{Path: "testdata/everything.yml", Regions: []*Region{us, eu, ap},
		Bus: Bus{Brokers: []string{"kafka:9092"}, TLS: &TLS{CAFile: "/etc/kafka-ca.pem"},
			SASL:        &SASL{Mechanism: "SCRAM-SHA-512", User: "meridian", Password: Secret{env: "KAFKA_PASSWORD"}},
			TopicPrefix: "mrd", Partitions: 8, ReplicationFactor: 2, Retention: 24 * time.Hour, Compression: "zstd", MaxRecordBytes: MiB},
		Tables: Tables{Include: []Pattern{{"shop", "*"}, {"crm", "customers"}}, Exclude: []Pattern{{"shop", "tmp_*"}}, Rules: []Rule{
			{Patterns: []Pattern{{"shop", "orders"}}, Conflict: ConflictReview, VersionColumn: "updated_at", UniqueConflicts: UniqueNewestWins,
				Cache: &Cache{Key: template("o:{tenant}:{id}"), Mode: CacheRefresh}},
			{Patterns: []Pattern{{"shop", "*"}}, Conflict: ConflictLastWriterWins, UniqueConflicts: UniquePark,
				Cache: &Cache{Key: template("x:{id}"), Mode: CacheInvalidate}},
		}},
		Apply: Apply{BatchRows: 10, BatchBytes: MiB, FenceTimeout: time.Second, StatementTimeout: 5 * time.Second},
		Retry: Retry{MaxAttempts: 5, Delay: 90 * time.Second},
		Verify: Verify{Interval: time.Second, ConsistencyWindow: 30 * time.Second, Repair: "report", ScrubRowsPerSecond: 1, BaselineRowsPerSecond: 3, BusyThreads: 4,
			BusyReplicaDelay: 5 * time.Second, MaxRepairRows: 2, RepairRowsPerMinute: 7, ConflictHistory: time.Hour},
		Clock:  Clock{MaxSkew: 50 * time.Millisecond},
		Limits: Limits{Memory: GiB, TransactionMemory: 32 * MiB, ReadyMaxLag: 10 * time.Second},
		Admin: Admin{Token: Secret{file: "testdata/token"},
			TLS: &AdminTLS{CertFile: "testdata/a.pem", KeyFile: "testdata/b.pem", CAFile: "testdata/c.pem"}},
		StateDirectory: "testdata/state", Verifier: Verifier{Listen: ":9090"}}
	if diff := cmp.Diff(want, c, cmp.AllowUnexported(Secret{}, KeyTemplate{}, templatePart{}), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestLoad_DefaultsAreThoseOfTheDocument(t *testing.T) {
	c, err := Load("testdata/least.yml")
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Path, want.Regions, want.Tables = c.Path, c.Regions, c.Tables
	want.Bus.Embedded = &Embedded{Listen: "127.0.0.1:9092", Region: "a"}
	want.Bus.ReplicationFactor = 1
	if diff := cmp.Diff(want, c, cmp.AllowUnexported(Secret{}, KeyTemplate{}), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("%v", c.Warnings)
	}
	// In words, as the product's document has them.
	d := defaults()
	if d.Bus.Partitions != 16 || d.Bus.ReplicationFactor != 3 || d.Bus.Retention.Hours() != 168 || d.Bus.Compression != "lz4" ||
		d.Bus.MaxRecordBytes.String() != "32MiB" || d.Bus.TopicPrefix != "meridian" || d.Apply.BatchRows != 1000 || d.Apply.BatchBytes.String() != "8MiB" ||
		d.Apply.FenceTimeout.String() != "2s" || d.Apply.StatementTimeout.String() != "30s" || d.Retry.MaxAttempts != 3 || d.Retry.Delay.String() != "1m0s" ||
		d.Verify.Interval.String() != "5s" || d.Verify.ConsistencyWindow.String() != "1m0s" || d.Verify.Repair != "auto" || d.Verify.ScrubRowsPerSecond != 5000 ||
		d.Verify.MaxRepairRows != 10000 || d.Verify.RepairRowsPerMinute != 10000 || d.Verify.ConflictHistory.Hours() != 24 || d.Clock.MaxSkew.String() != "500ms" || d.Limits.Memory.String() != "512MiB" ||
		d.Limits.TransactionMemory.String() != "64MiB" || d.Limits.ReadyMaxLag.String() != "30s" || d.StateDirectory != "/var/lib/meridian" ||
		d.Verifier.Listen != "127.0.0.1:8090" {
		t.Errorf("%+v", d)
	}
}

func TestLoad_ExampleIsValidAndSaysTheDefaults(t *testing.T) {
	c, err := Load("../../meridian.example.yml")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("%v", c.Warnings)
	}
	d := defaults()
	d.Path, d.Regions, d.Tables, d.Admin = c.Path, c.Regions, c.Tables, c.Admin
	d.Bus.Brokers, d.Bus.TLS, d.Bus.SASL = c.Bus.Brokers, c.Bus.TLS, c.Bus.SASL
	if diff := cmp.Diff(d, c, cmp.AllowUnexported(Secret{}, KeyTemplate{}, templatePart{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("what the example calls a default is none: %s", diff)
	}
}

func TestLoad_FileThatIsNotThere(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "meridian.yml"))
	var faults *Error
	if !errors.As(err, &faults) || !strings.Contains(err.Error(), "MERIDIAN_CONFIG") {
		t.Errorf("%v", err)
	}
	if _, err = Load(t.TempDir()); !errors.As(err, &faults) {
		t.Errorf("%v", err)
	}
}

func TestParse_WarnsOfWhatIsLegalAndOdd(t *testing.T) {
	c, err := Parse("m.yml", []byte(`regions:
  a: {mysql: {address: "d1:3306", user: m, password: ""}, admin: {listen: "10.0.0.1:8080"}}
  b: {mysql: {address: "d2:3306", user: m, password: ""}, admin: {listen: "10.0.0.1:8080", url: "http://b:8080"}}
  c: {mysql: {address: "d3:3306", user: m, password: ""}}
  d: {mysql: {address: "d4:3306", user: m, password: ""}}
bus: {embedded: {listen: "127.0.0.1:8090", region: a}, replication_factor: 3}
tables:
  include: ["shop.*"]
  rules:
    - match: ["shop.a"]
    - match: ["shop.b", "shop.a"]
      cache: {key: "{id}"}
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range c.Warnings {
		got = append(got, w.String())
	}
	want := []string{
		"line 3: regions.b.admin.listen: 10.0.0.1:8080 is also where the syncer of region a listens: only one of them can",
		"line 5: regions.d.admin.listen: the syncers of c and d are both looked for at http://127.0.0.1:8080: give each an admin.url, or a listen address of its own if they share a host",
		"line 6: bus.replication_factor: has no effect: the embedded bus is one broker",
		"line 6: bus.embedded.listen: 127.0.0.1:8090 is also where the verifier listens: only one of them can",
		`line 11: tables.rules[1].match[1]: "shop.a" has no effect: an earlier rule has the same pattern, and the first that matches decides`,
		"line 12: tables.rules[1].cache: has no effect: no region has a redis",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"testdata/everything.yml", "testdata/kinds.bad.yml", "testdata/values.bad.yml", "../../meridian.example.yml"} {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := Parse("m.yml", data)
		var faults *Error
		if err != nil && (!errors.As(err, &faults) || len(faults.Faults) == 0) {
			t.Errorf("%T %v", err, err)
		}
	})
}
