package testenv_test

import (
	"testing"

	"meridian/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestMySQL_IsReadyToBeReplicatedFrom(t *testing.T) {
	db := testenv.MySQL(t)
	var v string
	if err := db.DB.QueryRowContext(t.Context(), "SELECT CONCAT(@@version, @@gtid_mode, @@global.gtid_executed)").Scan(&v); err != nil {
		t.Fatal(err)
	}
	t.Log(v)
	db.Kill()
	db.Start()
	db.Exec("CREATE DATABASE x; CREATE TABLE x.x (a int)")
	db.Stop()
	db.Start()
	db.Exec("INSERT INTO x.x VALUES (1)")
}
