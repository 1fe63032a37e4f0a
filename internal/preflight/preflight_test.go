package preflight

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"meridian/internal/bus"
	"meridian/internal/mysqldb"
	"meridian/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestRun_RightServersWithTheLeastGrantsAreAllOK(t *testing.T) {
	for _, kind := range kinds {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			here, there := regionOf(t, kind), otherRegion(t)
			schema := shop(t, here, there)
			grants := slices.DeleteFunc(LeastGrants(here.Flavor == "mariadb", "%s", []Pattern{pattern(schema)}),
				func(g string) bool { return strings.HasPrefix(g, "--") })
			user := newUser(t, here, "least_"+here.Flavor, grants...)
			c := configFor(t, user, schema, root(there))
			c.Buses = []Bus{{Client: embeddedBus(t), Brokers: []string{"kafka:9092"}, Own: true, Of: "here",
				Topics: []bus.Topic{{Name: "meridian.here.changes", Partitions: 16}}}}
			r := check(t, c)
			want(t, r, nil)
			if !r.OK || r.Unreachable || r.Region != "here" {
				t.Errorf("%+v", r)
			}
			says(t, r, "topics", "created when a region starts: meridian.here.changes")
		})
	}
}

// wrongSettings are checked by name on a server that was started with them.
var wrongSettings = map[string]struct {
	args     []string
	expected map[string]Result
}{
	"mysql": {
		args: []string{"--binlog-format=MIXED", "--binlog-row-image=MINIMAL", "--binlog-row-metadata=MINIMAL", "--gtid-mode=OFF",
			"--enforce-gtid-consistency=WARN", "--binlog-row-value-options=PARTIAL_JSON", "--sync-binlog=0",
			"--innodb-flush-log-at-trx-commit=2", "--binlog-order-commits=OFF", "--binlog-expire-logs-seconds=600",
			"--skip-log-slave-updates", "--binlog-do-db=elsewhere", "--max-allowed-packet=1M", "--read-only",
			"--init-connect=SET sql_log_bin=1", "--binlog-transaction-compression=ON", "--lower-case-table-names=0"},
		expected: map[string]Result{"binlog_format": Fail, "binlog_row_image": Fail, "binlog_row_metadata": Fail, "gtid_mode": Fail,
			"enforce_gtid_consistency": Fail, "binlog_row_value_options": Fail, "sync_binlog": Fail, "innodb_flush_log_at_trx_commit": Fail,
			"binlog_order_commits": Fail, "binlog_retention": Fail, "log_replica_updates": Warn, "binlog_filters": Fail,
			"max_allowed_packet": Fail, "read_only": Fail, "sql_log_bin": Warn, "auto_increment": Fail, "server_id": Fail},
	},
	"mariadb": {
		args: []string{"--binlog-format=MIXED", "--binlog-row-image=MINIMAL", "--binlog-row-metadata=NO_LOG", "--gtid-strict-mode=OFF",
			"--sync-binlog=0", "--innodb-flush-log-at-trx-commit=2", "--expire-logs-days=0.5", "--skip-log-slave-updates",
			"--binlog-ignore-db=meridian", "--max-allowed-packet=1M", "--read-only", "--log-bin-compress=ON", "--replicate-ignore-db=meridian"},
		expected: map[string]Result{"binlog_format": Fail, "binlog_row_image": Fail, "binlog_row_metadata": Fail, "gtid_strict_mode": Fail,
			"sync_binlog": Fail, "innodb_flush_log_at_trx_commit": Fail, "binlog_retention": Warn, "log_replica_updates": Warn,
			"binlog_filters": Fail, "max_allowed_packet": Fail, "read_only": Fail, "replica": Fail, "auto_increment": Fail, "server_id": Fail},
	},
}

// restartNeeded are the checks whose mends are in the server's configuration.
var restartNeeded = []string{"log_replica_updates", "binlog_filters", "replica", "sql_log_bin", "server_id", "read_only", "auto_increment"}

func TestRun_WrongSettingsAreNamedAndTheirFixesMendThem(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			other := otherRegion(t)
			flavor := "mysql"
			if kind.IsMariaDB() {
				flavor = "mariadb"
			}
			wrong := wrongSettings[flavor]
			here := testenv.Own(t, kind, testenv.Args(wrong.args...), testenv.ServerID(other.ServerID))
			schema := shop(t, here, other)
			r := check(t, configFor(t, root(here), schema, root(other)))
			want(t, r, wrong.expected)
			if r.OK || r.Unreachable {
				t.Errorf("%+v", r)
			}
			says(t, r, "server_id", "other1")
			says(t, r, "auto_increment", schema+".orders", "auto_increment_offset")
			says(t, r, "binlog_filters", "meridian")

			mended := maps.Clone(wrong.expected)
			for _, c := range r.Checks {
				if c.Result == OK || slices.Contains(restartNeeded, c.Name) {
					continue
				}
				delete(mended, c.Name)
				apply(t, here, c.Fix)
			}
			want(t, check(t, configFor(t, root(here), schema, root(other))), mended)
		})
	}
}

// apply runs a fix as a person would: the SQL, without what goes into the server's configuration as well.
func apply(t *testing.T, db *testenv.Database, fix string) {
	t.Helper()
	ran := false
	for line := range strings.Lines(fix) {
		statement, _, _ := strings.Cut(line, ";")
		if statement = strings.TrimSpace(statement); strings.HasPrefix(statement, "SET ") {
			db.Exec(statement)
			ran = true
		}
	}
	if !ran {
		t.Errorf("no SQL in the fix %q", fix)
	}
}

func TestRun_ServerWithoutBinlogFails(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB1011} {
		args := []string{"--skip-log-bin"}
		if !kind.IsMariaDB() {
			args = append(args, "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF", "--skip-log-replica-updates")
		}
		db := testenv.Own(t, kind, testenv.Args(args...))
		r := check(t, configFor(t, root(db), shop(t, db)))
		if c := find(t, r, "log_bin"); c.Result != Fail || !strings.Contains(c.Fix, "log_bin = binlog, then restart") {
			t.Errorf("%+v", c)
		}
	}
}

func nowhere(name string) Region {
	return Region{Name: name, Address: "127.0.0.1:1", Open: func(ctx context.Context) (*mysqldb.Server, error) {
		return mysqldb.Open(ctx, mysqldb.Config{Address: "127.0.0.1:1", User: "meridian"})
	}}
}

func TestRun_ServerThatIsNotThere(t *testing.T) {
	c := Config{Region: nowhere("here"), Tables: include{}, Directory: t.TempDir(), Others: []Region{nowhere("there")},
		Buses: []Bus{{Own: true, Of: "here", Embedded: "here", Brokers: []string{"127.0.0.1:9092"}, Client: fakeKafka{down: io.ErrUnexpectedEOF}}}}
	r := check(t, c)
	want(t, r, map[string]Result{"database": Fail, "other_regions": Warn})
	if !r.Unreachable {
		t.Error("not unreachable")
	}
	says(t, r, "database", "127.0.0.1:1", "region here")
	says(t, r, "kafka", "embedded")
}

func TestRun_WrongPasswordIsNamedAsSuch(t *testing.T) {
	db := otherRegion(t)
	wrong := login{db, db.User, "wrong" + db.Password}
	r := check(t, configFor(t, wrong, "shop"))
	want(t, r, map[string]Result{"database": Fail, "other_regions": Warn})
	says(t, r, "database", "denied", "password")
}

func TestRun_EndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, configFor(t, root(otherRegion(t)), "shop")); err == nil {
		t.Error("no error")
	}
}

func TestRun_NamesMissingPrivilegesWithTheGrantThatMendsThem(t *testing.T) {
	for _, kind := range kinds {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			db := regionOf(t, kind)
			schema := shop(t, db)
			user := newUser(t, db, "poor_"+db.Flavor, "GRANT SELECT, UPDATE (note) ON "+schema+".orders TO %s")
			c := configFor(t, user, schema, root(otherRegion(t)))
			r := check(t, c)
			says(t, r, "privileges", "REPLICATION SLAVE", "INSERT, UPDATE, DELETE on "+schema+".orders", "schema meridian")
			if find(t, r, "privileges").Result != Fail {
				t.Error("no fail")
			}
			for line := range strings.Lines(find(t, r, "privileges").Fix) {
				db.Exec(line)
			}
			r = check(t, c)
			want(t, r, map[string]Result{"triggers": Warn, "events": find(t, r, "events").Result, "keys_alike": Warn})
			for line := range strings.Lines(find(t, r, "triggers").Fix) {
				db.Exec(line)
			}
			if got := find(t, check(t, c), "triggers"); got.Result != OK {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestRun_CountsActiveRolesAndNoOthers(t *testing.T) {
	for _, kind := range kinds {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			db := regionOf(t, kind)
			schema := shop(t, db)
			role := "applier_" + db.Flavor
			db.Exec("CREATE ROLE " + role)
			for _, g := range LeastGrants(db.Flavor == "mariadb", role, []Pattern{pattern(schema)}) {
				if !strings.HasPrefix(g, "--") {
					db.Exec(g)
				}
			}
			user := newUser(t, db, "actor_"+db.Flavor, "GRANT "+role+" TO %s")
			c := configFor(t, user, schema)
			says(t, check(t, c), "privileges", role, "SET DEFAULT ROLE")
			statement := "SET DEFAULT ROLE %r TO %u"
			if db.Flavor == "mariadb" {
				statement = "SET DEFAULT ROLE %r FOR %u"
			}
			db.Exec(strings.NewReplacer("%r", role, "%u", QuoteAccount(user.user+"@%")).Replace(statement))
			want(t, check(t, c), map[string]Result{"other_regions": Warn})
		})
	}
}

func TestRun_ATableThatTheUserMayNotSeeIsFoundMissing(t *testing.T) {
	db := regionOf(t, testenv.KindMySQL)
	schema := shop(t, db)
	user := newUser(t, db, "blind", "GRANT ALL ON meridian.* TO %s", "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO %s")
	r := check(t, configFor(t, user, schema))
	want(t, r, map[string]Result{"privileges": Fail, "tables": Warn, "other_regions": Warn})
	says(t, r, "privileges", schema+".*", "GRANT SELECT, INSERT, UPDATE, DELETE ON `")
}

func count(t *testing.T, db *sql.DB, query string) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRun_ChangesNothing(t *testing.T) {
	db := regionOf(t, testenv.KindMySQL)
	schema := shop(t, db)
	state := func() string {
		var file, gtids string
		var position int
		var skip sql.RawBytes
		rows, err := db.DB.QueryContext(t.Context(), "SHOW BINARY LOG STATUS")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			if err := rows.Scan(&file, &position, &skip, &skip, &gtids); err != nil {
				t.Fatal(err)
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(file, position, gtids)
	}
	before := state()
	check(t, configFor(t, root(db), schema, root(otherRegion(t))))
	if after := state(); after != before {
		t.Errorf("the binlog went from %s to %s", before, after)
	}
	if n := count(t, db.DB, "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'meridian'"); n != 0 {
		t.Error("it made the schema meridian")
	}
}
