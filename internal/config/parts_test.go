package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/quick"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"go.yaml.in/yaml/v4"
)

func TestSecret_IsReadAgainAtEachUse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pw")
	s := Secret{file: file}
	if _, err := s.Read(); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("%v", err)
	}
	for content, want := range map[string]string{"one\n": "one", "two": "two", "three\r\n": "three", "four \n\n": "four \n"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Read(); got != want || err != nil {
			t.Errorf("%q: %q %v", content, got, err)
		}
	}
	s = Secret{env: "MERIDIAN_TEST_SECRET"}
	if _, err := s.Read(); err == nil || !strings.Contains(err.Error(), "MERIDIAN_TEST_SECRET") {
		t.Errorf("%v", err)
	}
	t.Setenv("MERIDIAN_TEST_SECRET", "from env")
	if got, err := s.Read(); got != "from env" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if got, err := LiteralSecret("x").Read(); got != "x" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if got, err := (Secret{}).Read(); got != "" || err != nil || (Secret{}).IsSet() {
		t.Errorf("%q %v", got, err)
	}
}

func TestSecret_NeverPrintsItself(t *testing.T) {
	const password = "correct horse"
	c := struct {
		M MySQL
		P *Secret
	}{M: MySQL{User: "m", Password: LiteralSecret(password)}}
	c.P = &c.M.Password
	core, log := observer.New(zap.DebugLevel)
	zap.New(core).Info("x", zap.Any("config", c), zap.Stringer("secret", c.M.Password), zap.Reflect("r", c.M.Password))
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := json.Marshal(log.All()[0].ContextMap())
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{fmt.Sprint(c), fmt.Sprintf("%v %+v %#v", c, c, c), string(asJSON), string(asYAML), string(fields)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, c.M.Password), fmt.Sprintf(verb, []Secret{c.M.Password}))
	}
	for n, text := range texts {
		if strings.Contains(text, "horse") || strings.Contains(text, fmt.Sprintf("%x", "horse")) {
			t.Errorf("%d shows the secret: %s", n, text)
		}
	}
	if !strings.Contains(string(asJSON), "[secret]") {
		t.Errorf("%s", asJSON)
	}
}

func TestTables_Match(t *testing.T) {
	parse := func(texts ...string) (list []Pattern) {
		for _, text := range texts {
			p, err := ParsePattern(text)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, p)
		}
		return list
	}
	for _, c := range []struct {
		include, exclude []Pattern
		table            string
		want             bool
	}{
		{parse("shop.*"), nil, "shop.orders", true},
		{parse("shop.*"), nil, "Shop.orders", false},
		{parse("shop.*"), nil, "shop2.orders", false},
		{parse("shop*.*"), nil, "shop2.orders", true},
		{parse("shop.*"), parse("shop.tmp_*"), "shop.tmp_1", false},
		{parse("shop.*"), parse("shop.tmp_*"), "shop.tmp", true},
		{parse("shop.tmp_1"), parse("shop.tmp_*"), "shop.tmp_1", false}, // exclude wins over what is named
		{parse("shop.*_old"), nil, "shop.a_old", true},
		{parse("shop.*_old"), nil, "shop.a_older", false},
		{parse("shop.a*b*c"), nil, "shop.axbxbc", true},
		{parse("shop.a*b*c"), nil, "shop.acb", false},
		{parse("shop.a*a"), nil, "shop.a", false},
		{parse("shop.or.ders"), nil, "shop.or.ders", true},
		{parse("shop.o_ders"), nil, "shop.orders", false}, // _ is a letter like any other
		{parse("*.*"), nil, "anything.at_all", true},
		{parse("*.*"), nil, "mysql.user", false},
		{parse("*.*"), nil, "meridian.parked", false},
		{parse("*.*"), nil, "INFORMATION_SCHEMA.TABLES", false},
		{nil, nil, "shop.orders", false},
	} {
		tables := Tables{Include: c.include, Exclude: c.exclude}
		schema, table, _ := strings.Cut(c.table, ".")
		if got := tables.Match(schema, table); got != c.want {
			t.Errorf("include %v exclude %v: %s is %v", c.include, c.exclude, c.table, got)
		}
	}
}

func TestTables_TheFirstRuleThatMatchesDecides(t *testing.T) {
	tables := Tables{Rules: []Rule{
		{Patterns: []Pattern{{"shop", "orders"}}, Conflict: ConflictReview, UniqueConflicts: UniquePark},
		{Patterns: []Pattern{{"crm", "*"}, {"shop", "*"}}, VersionColumn: "t", Conflict: ConflictLastWriterWins, UniqueConflicts: UniqueNewestWins},
	}}
	c := Config{Tables: tables}
	if r := c.Rule("shop", "orders"); r.Conflict != ConflictReview || r.VersionColumn != "" {
		t.Errorf("%+v", r)
	}
	if r := c.Rule("shop", "users"); r.VersionColumn != "t" {
		t.Errorf("%+v", r)
	}
	if r := c.Rule("other", "users"); r.Conflict != ConflictLastWriterWins || r.UniqueConflicts != UniquePark || r.Cache != nil {
		t.Errorf("%+v", r)
	}
}

func TestGlob_WithoutStarsIsEquality(t *testing.T) {
	if err := quick.Check(func(a, b string) bool {
		a, b = strings.ReplaceAll(a, "*", ""), strings.ReplaceAll(b, "*", "")
		return glob(a, b) == (a == b) && glob("*", a) && glob(a+"*", a+b) && glob("*"+b, a+b) && glob(a+"*"+b, a+"x"+b)
	}, nil); err != nil {
		t.Error(err)
	}
}

func TestKeyTemplate_Expands(t *testing.T) {
	k, err := ParseKeyTemplate("{{o:{tenant}}}:{id}/{name}/{id}")
	if err != nil {
		t.Fatal(err)
	}
	if got := k.Expand(func(name string) string { return "<" + name + ">" }); got != "{o:<tenant>}:<id>/<name>/<id>" {
		t.Error(got)
	}
	if got := strings.Join(k.Columns(), " "); got != "tenant id name id" {
		t.Error(got)
	}
}

func TestSize_SurvivesItsText(t *testing.T) {
	if err := quick.Check(func(n uint32, unit uint8) bool {
		s := Size(n) << (10 * (unit % 3))
		back, err := parseSize(s.String())
		return err == nil && back == s
	}, nil); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "MiB", "9999999999TiB", "-1MiB", "1 MiB", "1mib", "1MiBs", "0x10B"} {
		if s, err := parseSize(bad); err == nil {
			t.Errorf("%q is %v", bad, s)
		}
	}
}

func TestConfig_BusOf(t *testing.T) {
	c, err := Load("testdata/everything.yml")
	if err != nil {
		t.Fatal(err)
	}
	us, eu, ap := c.BusOf(c.Regions[0]), c.BusOf(c.Regions[1]), c.BusOf(c.Regions[2])
	if us.TLS != nil || us.SASL != nil || us.Brokers[0] != "k1:9092" {
		t.Errorf("what was switched off is on: %+v", us)
	}
	if eu.TLS != c.Bus.TLS || eu.SASL.User != "other" {
		t.Errorf("tls is not inherited, or sasl not replaced: %+v", eu)
	}
	if ap.TLS != c.Bus.TLS || ap.SASL != c.Bus.SASL || ap.Brokers[0] != "kafka:9092" {
		t.Errorf("%+v", ap)
	}
	if least, err := Load("testdata/least.yml"); err != nil || least.BusOf(least.Regions[1]).Brokers[0] != "127.0.0.1:9092" {
		t.Errorf("%v", err)
	}
}

func TestConfig_AdminURL(t *testing.T) {
	c := &Config{}
	for _, test := range []struct {
		admin RegionAdmin
		tls   *AdminTLS
		want  string
	}{
		{RegionAdmin{URL: "http://syncer-{replica}.x:8080/"}, nil, "http://syncer-2.x:8080"},
		{RegionAdmin{Listen: ":8080"}, nil, "http://127.0.0.1:8080"},
		{RegionAdmin{Listen: "0.0.0.0:8080"}, nil, "http://127.0.0.1:8080"},
		{RegionAdmin{Listen: "[::1]:8080"}, &AdminTLS{}, "https://[::1]:8080"},
		{RegionAdmin{Listen: "db.example:80"}, nil, "http://db.example:80"},
	} {
		c.Admin.TLS = test.tls
		if got := c.AdminURL(&Region{Admin: test.admin}, 2); got != test.want {
			t.Errorf("%+v: %s", test.admin, got)
		}
	}
}

func TestConfig_Region(t *testing.T) {
	c, err := Load("testdata/everything.yml")
	if err != nil {
		t.Fatal(err)
	}
	if r, err := c.Region("eu-west-1"); err != nil || r.Name != "eu-west-1" {
		t.Errorf("%v", err)
	}
	for name, says := range map[string]string{"": "--region", "mars": `no region "mars"`} {
		if _, err := c.Region(name); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "us-east-1, eu-west-1, ap-south-1") {
			t.Errorf("%q: %v", name, err)
		}
	}
	if o := c.Others("eu-west-1"); len(o) != 2 || o[0].Name != "us-east-1" || o[1].Name != "ap-south-1" || len(c.Regions) != 3 {
		t.Errorf("%v", o)
	}
	if c.ChangeTopic("a") != "mrd.a.changes" || c.DeadTopic("a") != "mrd.a.dead" || c.HeartbeatTopic() != "mrd.heartbeats" ||
		c.ReplicaDirectory("a", 3) != "testdata/state/a-3" || c.BusDirectory() != "testdata/state/bus" || c.VerifierDirectory() != "testdata/state/verifier" {
		t.Error("a name has changed")
	}
}
