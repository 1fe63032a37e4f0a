package testenv

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"meridian/internal/servers"
)

// shared are the servers that the package's tests have in common.
var shared struct {
	sync.Mutex
	underMain    bool // Main runs, and will end them
	databases    map[sharedKey]*runningDatabase
	kafka        *servers.KafkaServer
	kafkaRunning *running
	closers      []func() error
}

type sharedKey struct {
	kind Kind
	name string
}

// Main runs the package's tests, then ends the servers that they shared, and fails the package if
// goroutines are left over when all is done:
//
//	func TestMain(m *testing.M) { testenv.Main(m) }
func Main(m *testing.M, options ...goleak.Option) { os.Exit(runMain(m, options)) }

func runMain(m *testing.M, options []goleak.Option) int {
	shared.Lock()
	shared.underMain = true
	shared.Unlock()
	code := m.Run()
	if err := closeShared(); err != nil {
		fmt.Fprintf(os.Stderr, "testenv: ending the shared servers: %v\n", err)
		code = max(code, 1)
	}
	if code == 0 {
		if err := goleak.Find(options...); err != nil {
			fmt.Fprintf(os.Stderr, "testenv: goroutines are left over: %v\n", err)
			code = 1
		}
	}
	return code
}

func closeShared() error {
	shared.Lock()
	defer shared.Unlock()
	var err error
	for _, closer := range shared.closers {
		err = errors.Join(err, closer())
	}
	shared.closers, shared.databases, shared.kafka, shared.kafkaRunning = nil, nil, nil, nil
	return err
}

// SharedMySQL returns the package's MySQL 9.7, started by the first test that asks for it.
func SharedMySQL(t testing.TB) *Database {
	t.Helper()
	return Shared(t, KindMySQL, "")
}

// SharedMySQL80 returns the package's MySQL 8.0.
func SharedMySQL80(t testing.TB) *Database {
	t.Helper()
	return Shared(t, KindMySQL80, "")
}

// SharedMariaDB returns the package's MariaDB 11.8.
func SharedMariaDB(t testing.TB) *Database {
	t.Helper()
	return Shared(t, KindMariaDB, "")
}

// SharedMariaDB1011 returns the package's MariaDB 10.11.
func SharedMariaDB1011(t testing.TB) *Database {
	t.Helper()
	return Shared(t, KindMariaDB1011, "")
}

// Shared returns the package's server of that kind and name, started with the options by the first
// test that asks for it. Names tell several of a kind apart: the regions of a test. A test that
// kills or pauses a shared server brings it back before it ends.
func Shared(t testing.TB, kind Kind, name string, options ...Option) *Database {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	needsMain(t)
	key := sharedKey{kind, name}
	d := shared.databases[key]
	if d == nil {
		var err error
		if d, err = startDatabase(t.Context(), kind, apply(options)); err != nil {
			t.Fatal(err)
		}
		if shared.databases == nil {
			shared.databases = map[sharedKey]*runningDatabase{}
		}
		shared.databases[key] = d
		shared.closers = append(shared.closers, d.close)
	}
	d.reportWith(t)
	return d.handle(t)
}

func needsMain(t testing.TB) {
	t.Helper()
	if !shared.underMain {
		t.Fatal("a shared server needs somebody to end it: add to the package\n\tfunc TestMain(m *testing.M) { testenv.Main(m) }")
	}
}

// reportWith reports the shared server's log when the test fails.
func (r *running) reportWith(t testing.TB) {
	t.Cleanup(func() {
		shared.Lock()
		defer shared.Unlock()
		r.reportIfFailed(t)
	})
}
