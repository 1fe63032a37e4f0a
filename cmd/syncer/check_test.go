package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"meridian/internal/command"
	"meridian/internal/preflight"
	"meridian/internal/testenv"
)

// regions are a MySQL and a MariaDB whose tables shop.* can be replicated, configured for a user who is not there yet.
type regions struct {
	mysql, maria *testenv.Database
	schema       string
	config       string // path
}

func twoServers(t *testing.T) *regions {
	t.Helper()
	r := &regions{mysql: testenv.Shared(t, testenv.KindMySQL, "a", testenv.AutoIncrement(10, 1), testenv.Args("--max-allowed-packet=64M")),
		maria: testenv.Shared(t, testenv.KindMariaDB, "b", testenv.AutoIncrement(10, 2), testenv.Args("--max-allowed-packet=64M"))}
	r.schema = r.mysql.FreshSchema(t)
	r.maria.Exec("CREATE DATABASE " + r.schema)
	for _, db := range r.all() {
		db.Exec("CREATE TABLE " + r.schema + ".orders (id INT AUTO_INCREMENT PRIMARY KEY, note TEXT)")
		db.Exec("DROP USER IF EXISTS meridian")
	}
	r.config = configure(t, fmt.Sprintf(`
regions:
  a: {mysql: {address: "%s", user: meridian, password_env: MERIDIAN_TEST_PASSWORD}, admin: {listen: ":8081"}}
  b: {mysql: {address: "%s", user: meridian, password_env: MERIDIAN_TEST_PASSWORD}, admin: {listen: ":8082"}}
bus: {embedded: {listen: "127.0.0.1:1", region: a}}
tables: {include: ["%s.*"]}
state_directory: state
`, r.mysql.Address, r.maria.Address, r.schema))
	t.Setenv("MERIDIAN_TEST_PASSWORD", "Secret-1")
	return r
}

func (r *regions) all() map[string]*testenv.Database {
	return map[string]*testenv.Database{"a": r.mysql, "b": r.maria}
}

func (r *regions) createUser() {
	for _, db := range r.all() {
		db.Exec("CREATE USER meridian IDENTIFIED BY 'Secret-1'")
	}
}

func (r *regions) invoke(t *testing.T, name, region string, args ...string) result {
	t.Helper()
	return invoke(t, append([]string{name, "--config", r.config, "--region", region}, args...)...)
}

func TestSchema_WhatItPrintsIsWhatCheckAsksFor(t *testing.T) {
	r := twoServers(t)
	r.createUser()
	for _, region := range slices.Sorted(maps.Keys(r.all())) {
		db := r.all()[region]
		db.Exec("DROP DATABASE IF EXISTS meridian")
		printed := r.invoke(t, "schema", region)
		printed.want(t, command.ExitOK, "GRANT ALL PRIVILEGES ON `meridian`.* TO 'meridian'@'%';", "")
		db.Exec(printed.stdout) // by an administrator, as it is
		db.Exec(printed.stdout) // any number of times
		if again := r.invoke(t, "schema", region); again.stdout != printed.stdout {
			t.Error("it prints something else the second time")
		}
		r.invoke(t, "schema", region, "--apply").want(t, command.ExitOK, "schema meridian is as it should be at "+db.Address, "")
	}
	checked := r.invoke(t, "check", "a", "--json")
	checked.want(t, command.ExitOK, "", "")
	var document map[string]json.RawMessage
	var report preflight.Report
	if err := json.Unmarshal([]byte(checked.stdout), &document); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(checked.stdout), &report); err != nil {
		t.Fatal(err)
	}
	if keys := slices.Sorted(maps.Keys(document)); !slices.Equal(keys, []string{"checks", "ok", "region"}) {
		t.Errorf("%v", keys)
	}
	if !report.OK || report.Region != "a" || len(report.Checks) < 30 {
		t.Errorf("%s", checked.stdout)
	}
	for _, c := range report.Checks {
		if c.Result != preflight.OK {
			t.Errorf("%+v", c)
		}
	}
	var checks []map[string]string
	if err := json.Unmarshal(document["checks"], &checks); err != nil {
		t.Fatal(err)
	}
	if keys := slices.Sorted(maps.Keys(checks[0])); !slices.Equal(keys, []string{"detail", "fix", "name", "result"}) {
		t.Errorf("%v", keys)
	}

	text := r.invoke(t, "check", "a")
	text.want(t, command.ExitOK, "ok    binlog_format", "")
	if last := lastLine(text.stdout); last != fmt.Sprintf("a: 0 fail, 0 warn, %d ok. Ready. Next: syncer run --region a", len(report.Checks)) {
		t.Error(last)
	}
	// The other one needs a's bus, which nobody serves.
	r.invoke(t, "check", "b").want(t, command.ExitFailed, "start the syncer of region a first", "")
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	return lines[len(lines)-1]
}

func TestCheck_AFailExitsWith3AndComesFirst(t *testing.T) {
	r := twoServers(t)
	r.createUser()
	for _, db := range r.all() {
		db.Exec("GRANT ALL ON *.* TO meridian")
	}
	r.mysql.Exec("CREATE TABLE " + r.schema + ".keyless (a INT)")
	r.mysql.Exec("SET GLOBAL sync_binlog = 0")
	defer r.mysql.Exec("SET GLOBAL sync_binlog = 1")
	got := r.invoke(t, "check", "a")
	got.want(t, command.ExitFound, "fail  sync_binlog\n      sync_binlog is 0: a crash takes back transactions that the other regions already have\n      to mend it:\n        SET PERSIST sync_binlog = 1;\n", "")
	got.want(t, command.ExitFound, "keyless has no primary key", "")
	if !strings.HasPrefix(got.stdout, "fail  ") || !strings.Contains(lastLine(got.stdout), "a: 2 fail, 1 warn,") {
		t.Errorf("%s", got.stdout)
	}
	// `run` refuses with the same words, and starts nothing.
	r.invoke(t, "run", "a", "--log-format", "json").want(t, command.ExitFailed, "", "region a is not fit to be replicated, 2 checks fail")
}

func TestCheck_AServerThatCannotBeReachedExitsWith1(t *testing.T) {
	got := invoke(t, "check", "--config", configure(t, twoRegions), "--region", "a")
	got.want(t, command.ExitFailed, "fail  database", "")
	got.want(t, command.ExitFailed, "When the servers answer: syncer check --region a", "")
	got = invoke(t, "check", "--config", configure(t, twoRegions), "--region", "a", "--json")
	got.want(t, command.ExitFailed, `"ok": false`, "")
}

func TestCheck_RefusedCredentials(t *testing.T) {
	r := twoServers(t)
	r.invoke(t, "check", "a").want(t, command.ExitFailed, "correct user and password of region a", "")
	t.Setenv("MERIDIAN_TEST_PASSWORD", "wrong")
	got := r.invoke(t, "check", "a")
	got.want(t, command.ExitFailed, "fail  database", "")
	if strings.Contains(got.stdout+got.stderr, "wrong") {
		t.Error("the password is shown")
	}
	r.invoke(t, "schema", "a", "--apply").want(t, command.ExitFailed, "", "region a")
}

func TestCheck_TLSThatCannotBeSetUp(t *testing.T) {
	path := configure(t, strings.Replace(twoRegions, `password: ""}`, `password: "", tls: {ca_file: gone.pem}}`, 1))
	invoke(t, "check", "--config", path, "--region", "a").want(t, command.ExitFailed, "", "gone.pem")
}

func TestSchema_WithoutTheServer(t *testing.T) {
	path := configure(t, twoRegions)
	got := invoke(t, "schema", "--config", path, "--region", "a")
	got.want(t, command.ExitOK, "REPLICATION CLIENT ON *.* TO 'meridian'@'%'", "this is for MySQL")
	golden(t, "schema.golden", got.stdout)
	invoke(t, "schema", "--config", path, "--region", "a", "--mariadb", "--account", "m@10.%").want(t, command.ExitOK, "BINLOG MONITOR ON *.* TO 'm'@'10.%'", "")
	invoke(t, "schema", "--config", path, "--region", "a", "--apply").want(t, command.ExitFailed, "", "127.0.0.1:1")
}

func TestSchema_ApplyWithoutTheRights(t *testing.T) {
	r := twoServers(t)
	r.createUser()
	r.mysql.Exec("DROP DATABASE IF EXISTS meridian")
	r.invoke(t, "schema", "a", "--apply").want(t, command.ExitFailed, "", "an administrator can do it with what `syncer schema` prints")
}
