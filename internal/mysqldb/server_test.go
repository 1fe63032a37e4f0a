package mysqldb_test

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"meridian/internal/mysqldb"
	"meridian/internal/testenv"
)

func TestOpen_FixesTheSession(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		s := b.open(mysqldb.Config{LockTimeout: 1500 * time.Millisecond, AbandonAfter: 6500 * time.Millisecond, NoForeignKeyChecks: true})
		isolation := "@@transaction_isolation"
		if b.maria() {
			isolation = "@@tx_isolation"
		}
		for variable, want := range map[string]string{
			"@@time_zone": "+00:00", "@@character_set_client": "utf8mb4", "@@character_set_connection": "utf8mb4", "@@character_set_results": "",
			"@@autocommit+0": "1", "@@foreign_key_checks+0": "0", "@@innodb_lock_wait_timeout": "2", "@@lock_wait_timeout": "2", "@@wait_timeout": "7",
			"@@collation_connection": "utf8mb4_general_ci", isolation: "READ-COMMITTED",
			"@@sql_mode": "NO_AUTO_VALUE_ON_ZERO,STRICT_ALL_TABLES,ALLOW_INVALID_DATES", "@@sql_safe_updates+0": "0",
		} {
			if err := s.DB.QueryRowContext(t.Context(), "SELECT COALESCE("+variable+", '')").Scan(&variable); err != nil {
				t.Error(err)
			} else if variable != want {
				t.Errorf("%q is not %q", variable, want)
			}
		}
		if other := b.open(mysqldb.Config{}); other.ID != s.ID || s.ID == "" {
			t.Errorf("the server is %q, and %q", s.ID, other.ID)
		}
		if s.ServerID != b.db.ServerID || s.MaxPacket() < 1<<20 || (s.Flavor == mysqldb.MariaDB) != (b.db.Flavor == "mariadb") {
			t.Errorf("the server says of itself %+v", s)
		}
		if !s.AtLeast(8, 0, 0) || s.AtLeast(99, 0, 0) || (b.kind == testenv.KindMySQL80 && s.AtLeast(8, 0, 16)) {
			t.Errorf("version %s is compared wrongly", s.Version)
		}
	})
}

func TestOpen_ReadsThePasswordAgainForEachConnection(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		user := "rotating_" + b.schema[len(b.schema)-4:]
		b.exec("CREATE USER " + user + " IDENTIFIED BY 'old'")
		password := "old"
		s := b.open(mysqldb.Config{User: user, Password: func() (string, error) {
			if password == "" {
				return "", errors.New("the file is not there")
			}
			return password, nil
		}})
		first, err := s.DB.Conn(t.Context()) // keeps the first connection busy
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = first.Close() }()
		b.exec("ALTER USER " + user + " IDENTIFIED BY 'new'")
		if _, err = s.DB.Conn(t.Context()); mysqldb.Classify(err) != mysqldb.Denied {
			t.Errorf("with the old password: %v", err)
		}
		password = ""
		_, err = s.DB.Conn(t.Context())
		if _, ok := errors.AsType[*mysqldb.PasswordError](err); !ok {
			t.Errorf("without a password: %v", err)
		}
		password = "new"
		second, err := s.DB.Conn(t.Context())
		if err != nil {
			t.Fatalf("with the new password: %v", err)
		}
		_ = second.Close()
	})
}

func TestServer_RefusesConnectionsThatReachAnotherServer(t *testing.T) {
	b, other := newBench(t, testenv.KindMySQL), newBench(t, testenv.KindMariaDB)
	for _, c := range []struct{ from, to *bench }{{b, other}, {other, b}} {
		address := c.from.db.Address
		s := c.from.open(mysqldb.Config{Address: "region.example:3306", User: b.db.User, Dial: dialTo(&address),
			Password: func() (string, error) { return b.db.Password, nil }})
		first, err := s.DB.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		address = c.to.db.Address
		_, err = s.DB.Conn(t.Context())
		if e, ok := errors.AsType[*mysqldb.AnotherServerError](err); !ok || e.Was != c.from.server.ID || e.Is != c.to.server.ID {
			t.Errorf("a connection that reached another server gave: %v", err)
		}
		_ = first.Close()
	}
}

func TestOpen_SpeaksTLS(t *testing.T) {
	certificates := testenv.NewCertificates(t)
	db := testenv.MySQL(t, testenv.ServerTLS(certificates))
	s, err := mysqldb.Open(t.Context(), mysqldb.Config{Address: db.Address, User: db.User, TLS: certificates.ClientConfig(),
		Password: func() (string, error) { return db.Password, nil }})
	if err != nil {
		t.Fatal(err)
	}
	var name, cipher string
	if err = s.DB.QueryRowContext(t.Context(), "SHOW STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher); err != nil || cipher == "" {
		t.Errorf("the connection is not encrypted (%v)", err)
	}
	if err = s.Close(); err != nil {
		t.Error(err)
	}
	strangers := testenv.NewCertificates(t)
	_, err = mysqldb.Open(t.Context(), mysqldb.Config{Address: db.Address, User: db.User, TLS: strangers.ClientConfig(),
		Password: func() (string, error) { return db.Password, nil }})
	if mysqldb.Classify(err) != mysqldb.Denied {
		t.Errorf("a certificate of another authority gave: %v", err)
	}
}

func TestOpen_TakesAConnectionThatBreaksInTheHandshakeAsTransient(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var gone sync.WaitGroup
	gone.Go(func() {
		for {
			conn, failed := listener.Accept()
			if failed != nil {
				return
			}
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // a reset, not an end
			}
			_ = conn.Close()
		}
	})
	_, err = mysqldb.Open(t.Context(), mysqldb.Config{Address: listener.Addr().String()})
	checkVerdict(t, "reset in the handshake", err, mysqldb.Transient, "connection")
	if err = listener.Close(); err != nil {
		t.Error(err)
	}
	gone.Wait()
}

func TestServer_MeasuresTheServersClock(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		s := b.open(mysqldb.Config{Now: func() time.Time { return time.Now().Add(time.Hour) }})
		ahead, roundTrip, err := s.Clock(t.Context())
		if off := ahead + time.Hour; err != nil || off.Abs() > roundTrip/2+10*time.Millisecond {
			t.Errorf("a server on this machine is %v ahead of a clock that is an hour ahead, round trip %v (%v)", ahead, roundTrip, err)
		}
	})
}

func TestServer_CoordinatesMoveWithEveryCommit(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		b.exec("CREATE TABLE " + b.schema + ".t (id INT PRIMARY KEY)")
		before, err := b.server.Coordinates(t.Context(), b.server.DB)
		if err != nil {
			t.Fatal(err)
		}
		gtids, err := b.server.ExecutedGTIDs(t.Context())
		if err != nil || gtids == "" {
			t.Fatalf("executed GTIDs %q (%v)", gtids, err)
		}
		tx, err := b.server.DB.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = b.try(tx, "INSERT INTO "+b.schema+".t VALUES (1)"); err != nil {
			t.Fatal(err)
		}
		if during, err2 := b.server.Coordinates(t.Context(), tx); err2 != nil || during != before {
			t.Errorf("inside of a transaction: %v, want %v (%v)", during, before, err2)
		}
		if err = tx.Commit(); err != nil {
			t.Fatal(err)
		}
		after, err := b.server.Coordinates(t.Context(), b.server.DB)
		if err != nil || after.Compare(before) <= 0 || after.Server != b.server.ID {
			t.Errorf("after a commit: %v, before it %v (%v)", after, before, err)
		}
		if later, err2 := b.server.ExecutedGTIDs(t.Context()); err2 != nil || later == gtids {
			t.Errorf("executed GTIDs are %q before and after a commit (%v)", gtids, err2)
		}
		b.exec("FLUSH BINARY LOGS")
		next, err := b.server.Coordinates(t.Context(), b.server.DB)
		if err != nil || next.Compare(after) <= 0 || next.File == after.File {
			t.Errorf("after a new file was begun: %v (%v)", next, err)
		}
		if purged, err := b.server.PurgedGTIDs(t.Context()); err != nil || purged != "" {
			t.Errorf("purged GTIDs are %q (%v)", purged, err)
		}
		// MariaDB keeps a file until its engine has said, some time later, that it needs it no more.
		for first := ""; first != next.File; first = b.value("SHOW BINARY LOGS") {
			b.exec("PURGE BINARY LOGS TO '" + next.File + "'")
		}
		if purged, err := b.server.PurgedGTIDs(t.Context()); err != nil || purged == "" {
			t.Errorf("after the first files were purged, purged GTIDs are %q (%v)", purged, err)
		}
	})
}

func TestServer_SaysWhenThereIsNoBinlog(t *testing.T) {
	db := testenv.MySQL(t, testenv.Args("--skip-log-bin", "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"))
	s, err := mysqldb.Open(t.Context(), mysqldb.Config{Address: db.Address, User: db.User, Password: func() (string, error) { return db.Password, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Coordinates(t.Context(), s.DB); !errors.Is(err, mysqldb.ErrNoBinlog) {
		t.Errorf("got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestCoordinates_AreOrderedByFileNumberThenPosition(t *testing.T) {
	ordered := []mysqldb.Coordinates{{File: "", Position: 9}, {File: "bin.000001", Position: 4}, {File: "bin.000001", Position: 5},
		{File: "bin.000010", Position: 4}, {File: "bin.999999", Position: 400}, {File: "bin.1000000", Position: 4}}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := a.Compare(b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%v against %v gives %d", a, b, got)
			}
		}
	}
}
