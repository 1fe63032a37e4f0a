package testenv_test

import (
	"testing"
	"time"

	"meridian/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestX(t *testing.T) {
	for _, k := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB, testenv.KindMariaDB1011, testenv.KindMySQL80} {
		t.Run(string(k), func(t *testing.T) {
			b := time.Now()
			db := testenv.Own(t, k)
			t.Log("start", time.Since(b))
			var v string
			if err := db.DB.QueryRowContext(t.Context(), "SELECT CONCAT(@@version, ' ', @@server_id, ' ', @@binlog_row_metadata, ' ', @@binlog_format, @@sync_binlog, @@innodb_flush_log_at_trx_commit, @@performance_schema, @@log_slave_updates)").Scan(&v); err != nil {
				t.Error(err)
			}
			t.Log(v)
			b = time.Now()
			db.Kill()
			t.Log("kill", time.Since(b))
			b = time.Now()
			db.Start()
			t.Log("start", time.Since(b))
			db.Exec("CREATE DATABASE x; CREATE TABLE x.x (a int)")
			b = time.Now()
			db.Stop()
			t.Log("stop", time.Since(b))
			b = time.Now()
			db.Start()
			t.Log("start", time.Since(b))
			db.Exec("INSERT INTO x.x VALUES (1)")
		})
	}
}
