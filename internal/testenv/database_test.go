package testenv_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"meridian/internal/testenv"
)

func databaseKinds() []testenv.Kind {
	return []testenv.Kind{testenv.KindMySQL, testenv.KindMySQL80, testenv.KindMariaDB, testenv.KindMariaDB1011}
}

func variable(t *testing.T, db *sql.DB, name string) string {
	t.Helper()
	var value string
	if err := db.QueryRowContext(t.Context(), "SELECT @@GLOBAL."+name).Scan(&value); err != nil {
		t.Fatalf("reading %s: %v", name, err)
	}
	return value
}

func TestDatabase_IsReadyToBeReplicatedFrom(t *testing.T) {
	versions := map[testenv.Kind]string{testenv.KindMySQL: "9.", testenv.KindMySQL80: "8.0.",
		testenv.KindMariaDB: "11.", testenv.KindMariaDB1011: "10.11."}
	for _, kind := range databaseKinds() {
		t.Run(string(kind), func(t *testing.T) {
			db := testenv.Shared(t, kind, "")
			if got := variable(t, db.DB, "version"); !strings.HasPrefix(got, versions[kind]) {
				t.Errorf("the server is %s, want %s…", got, versions[kind])
			}
			want := map[string]string{"log_bin": "1", "binlog_format": "ROW", "binlog_row_image": "FULL", "binlog_row_metadata": "FULL",
				"sync_binlog": "1", "innodb_flush_log_at_trx_commit": "1", "log_slave_updates": "1"}
			switch db.Flavor {
			case "mariadb":
				want["gtid_strict_mode"] = "1"
			default:
				want["gtid_mode"], want["enforce_gtid_consistency"] = "ON", "ON"
				if executed := variable(t, db.DB, "gtid_executed"); executed != "" {
					t.Errorf("a new server has executed %q, want nothing", executed)
				}
			}
			if db.Version.AtLeast(8, 4, 0) && db.Flavor == "mysql" {
				delete(want, "log_slave_updates") // renamed
				want["log_replica_updates"] = "1"
			}
			for name, value := range want {
				if got := variable(t, db.DB, name); got != value {
					t.Errorf("%s = %s, want %s", name, got, value)
				}
			}
		})
	}
}

func TestDatabase_KeepsWhatWasCommittedThroughACrash(t *testing.T) {
	for _, kind := range databaseKinds() {
		t.Run(string(kind), func(t *testing.T) {
			db := testenv.Shared(t, kind, "")
			schema := db.FreshSchema(t)
			address := db.Address
			db.Exec("CREATE TABLE " + schema + ".kept (id INT PRIMARY KEY); INSERT INTO " + schema + ".kept VALUES (1), (2)")
			db.Kill()
			if err := db.DB.PingContext(t.Context()); err == nil {
				t.Error("a killed server still answers")
			}
			db.Start()
			var rows int
			if err := db.DB.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+schema+".kept").Scan(&rows); err != nil || rows != 2 {
				t.Errorf("after the crash there are %d rows (%v), want 2", rows, err)
			}
			if db.Address != address {
				t.Errorf("the server moved from %s to %s", address, db.Address)
			}
		})
	}
}

func TestDatabase_TakesOptionsThatMeridianRefuses(t *testing.T) {
	db := testenv.MariaDB1011(t, testenv.Args("--binlog-row-image=MINIMAL", "--sync-binlog=0"), testenv.ServerID(77),
		testenv.AutoIncrement(3, 2))
	for name, want := range map[string]string{"binlog_row_image": "MINIMAL", "sync_binlog": "0", "server_id": "77",
		"auto_increment_increment": "3", "auto_increment_offset": "2"} {
		if got := variable(t, db.DB, name); got != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
	}
	db.RestartWith(testenv.Args("--skip-log-bin"))
	if got := variable(t, db.DB, "log_bin"); got != "0" {
		t.Errorf("restarted with --skip-log-bin, log_bin = %s", got)
	}
}

func TestDatabase_PausedHangsAndContinues(t *testing.T) {
	db := testenv.SharedMariaDB1011(t)
	if err := db.DB.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	db.Pause()
	hung, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var one int
	if err := db.DB.QueryRowContext(hung, "SELECT 1").Scan(&one); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a paused server answered: %v", err)
	}
	db.Continue()
	if err := db.DB.QueryRowContext(t.Context(), "SELECT 1").Scan(&one); err != nil {
		t.Errorf("a continued server does not answer: %v", err)
	}
}

func TestDatabase_SchemasAreFreshAndServersShared(t *testing.T) {
	first, second := testenv.SharedMariaDB1011(t), testenv.SharedMariaDB1011(t)
	if first.Address != second.Address {
		t.Errorf("the shared server is at %s and at %s", first.Address, second.Address)
	}
	if a, b := first.FreshSchema(t), second.FreshSchema(t); a == b {
		t.Errorf("two fresh schemas are both %s", a)
	}
	other := testenv.Shared(t, testenv.KindMariaDB1011, "eu", testenv.AutoIncrement(2, 2))
	if other.Address == first.Address || other.ServerID == first.ServerID {
		t.Errorf("servers of different names share address or id: %s/%d, %s/%d", first.Address, first.ServerID, other.Address, other.ServerID)
	}
	pool := other.Open(other.FreshSchema(t))
	if _, err := pool.ExecContext(t.Context(), "CREATE TABLE here (id INT PRIMARY KEY)"); err != nil {
		t.Errorf("the pool has no default schema: %v", err)
	}
}

func TestDatabase_SpeaksTLS(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB1011} {
		t.Run(string(kind), func(t *testing.T) {
			certificates := testenv.NewCertificates(t)
			db := testenv.Own(t, kind, testenv.ServerTLS(certificates))
			var mine, stranger *mysql.Config
			for _, config := range []**mysql.Config{&mine, &stranger} {
				parsed, err := mysql.ParseDSN(db.DSN(""))
				if err != nil {
					t.Fatal(err)
				}
				*config = parsed
			}
			mine.TLS = certificates.ClientConfig()
			stranger.TLS = testenv.NewCertificates(t).ClientConfig()
			var name, cipher string
			if err := open(t, mine).QueryRowContext(t.Context(), "SHOW STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher); err != nil || cipher == "" {
				t.Errorf("the connection's cipher is %q (%v)", cipher, err)
			}
			if err := open(t, stranger).PingContext(t.Context()); err == nil {
				t.Error("a client that trusts another authority connected")
			}
		})
	}
}

func open(t *testing.T, config *mysql.Config) *sql.DB {
	t.Helper()
	connector, err := mysql.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestRedis_ServesAndRestarts(t *testing.T) {
	redis := testenv.Redis(t)
	ping(t, redis.Address)
	redis.Kill()
	redis.Start()
	ping(t, redis.Address)
}

func ping(t *testing.T, address string) {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, len("+PONG\r\n"))
	if _, err = conn.Write([]byte("PING\r\n")); err == nil {
		_, err = io.ReadFull(conn, answer)
	}
	if err = errors.Join(err, conn.Close()); err != nil || string(answer) != "+PONG\r\n" {
		t.Errorf("Redis answered %q (%v)", answer, err)
	}
}

func TestPort_IsFreeForTheTestToListenOn(t *testing.T) {
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", testenv.Port(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
}
