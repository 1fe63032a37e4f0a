package storm_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"meridian/internal/mysqldb"
	"meridian/internal/servers"
	"meridian/internal/testenv"
)

// region is one region of the storm: its database, its syncer's process, and the lines that this process has.
type region struct {
	name   string
	db     *testenv.Database
	sql    *sql.DB // straight to the database
	syncer *process
	toDB   *line
	home   *line
	abroad map[string]*line
}

// world is all of it.
type world struct {
	t       *testing.T
	schema  string
	tables  []*table
	folder  string // artefacts: logs, state directories
	shards  int
	bus     *process
	regions []*region
	history *history
	repairs bool // rows are repaired in this one
	busPort *servers.Port
}

// setting says what a world is made of.
type setting struct {
	kinds     []testenv.Kind
	shards    int
	batchRows int
	collation string        // of the case-insensitive key
	collide   bool          // values of the secondary unique key collide between regions
	flush     int           // so many entries of the ledger are written at the latest, even amid a transaction
	jitter    time.Duration // with which binlogs arrive
}

// newWorld makes a world on shared servers and starts its processes. What it leaves is kept when the test fails.
func newWorld(t *testing.T, s setting) *world {
	t.Helper()
	w := &world{t: t, tables: storms(s.collation, s.collide), shards: s.shards, history: &history{}}
	w.makeFolder()
	var err error
	if w.busPort, err = servers.ReservePort(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.busPort.Release() })
	w.bus = newProcess("bus", role{Listen: w.busPort.Address(), Directory: filepath.Join(w.folder, "bus")}, w.folder)
	for i, kind := range s.kinds {
		w.addRegion(i, kind)
	}
	for _, g := range w.regions {
		w.connect(g, s)
	}
	w.atEnd(w.killAll)
	w.must("starting the bus", w.bus.start())
	for _, g := range w.regions {
		w.must("starting "+g.name, g.syncer.start())
	}
	w.waitReady()
	return w
}

// atEnd runs f when the test ends.
func (w *world) atEnd(f func()) { w.t.Cleanup(f) }

func (w *world) must(doing string, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%s: %v", doing, err)
	}
}

func (w *world) makeFolder() {
	base := os.Getenv("MERIDIAN_ARTEFACTS")
	if base == "" {
		base = os.TempDir()
	}
	w.must("making the folder for artefacts", os.MkdirAll(base, 0o750))
	folder, err := os.MkdirTemp(base, "meridian-"+strings.ToLower(strings.ReplaceAll(w.t.Name(), "/", "-"))+"-")
	w.must("making the folder for artefacts", err)
	w.folder = folder
	w.atEnd(func() {
		if w.t.Failed() {
			w.t.Logf("what this test leaves is in %s", folder)
			return
		}
		if err := os.RemoveAll(folder); err != nil {
			w.t.Error(err)
		}
	})
}

func (w *world) addRegion(i int, kind testenv.Kind) {
	g := &region{name: string(rune('a' + i)), abroad: map[string]*line{}}
	// What a commit has written survives the death of the server, which is all that happens here; without an fsync there
	// are more commits to fight over.
	g.db = testenv.Shared(w.t, kind, g.name, testenv.Args("--sync-binlog=0", "--innodb-flush-log-at-trx-commit=2"))
	g.db.Exec("DROP DATABASE IF EXISTS meridian")
	g.db.Exec("DROP DATABASE IF EXISTS storm_journal")
	g.db.Exec("CREATE DATABASE storm_journal")
	g.db.Exec("CREATE TABLE storm_journal.journal (token VARCHAR(64) PRIMARY KEY)")
	if i == 0 {
		w.schema = g.db.FreshSchema(w.t)
	} else {
		g.db.Exec("CREATE DATABASE " + w.schema)
	}
	g.sql = w.open(g, 4)
	for _, t := range w.tables {
		_, err := g.sql.ExecContext(w.t.Context(), t.create())
		w.must("creating "+t.name, err)
	}
	w.regions = append(w.regions, g)
}

// open opens a pool straight to the region's database.
func (w *world) open(g *region, connections int) *sql.DB {
	cfg, err := mysql.ParseDSN(g.db.DSN(w.schema))
	w.must("opening", err)
	cfg.Params = map[string]string{"time_zone": "'+00:00'", "innodb_lock_wait_timeout": "2"}
	cfg.Logger = &mysql.NopLogger{}
	cfg.MultiStatements = false
	connector, err := mysql.NewConnector(cfg)
	w.must("opening", err)
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(connections)
	w.atEnd(func() { _ = db.Close() })
	return db
}

// connect gives the region its lines and its process.
func (w *world) connect(g *region, s setting) {
	lay := func(name, upstream string, jitter time.Duration) *line {
		l, err := newLine(w.t.Context(), name, upstream, jitter)
		w.must("laying a line", err)
		w.atEnd(l.close)
		return l
	}
	g.toDB = lay(g.name+"-database", g.db.Address, s.jitter)
	g.home = lay(g.name+"-home", w.busPort.Address(), 0)
	r := role{
		Region: g.name, Index: int(g.name[0] - 'a'), Shards: s.shards, Directory: filepath.Join(w.folder, g.name), MySQL: g.toDB.address,
		User: g.db.User, Password: g.db.Password, Schema: w.schema, Home: g.home.address, Abroad: map[string]string{}, BatchRows: s.batchRows, FlushEntries: s.flush,
	}
	for _, other := range w.regions {
		if other != g {
			g.abroad[other.name] = lay(g.name+"-from-"+other.name, w.busPort.Address(), 0)
			r.Abroad[other.name] = g.abroad[other.name].address
		}
	}
	g.syncer = newProcess(g.name, r, w.folder)
}

func (w *world) processes() []*process {
	list := []*process{w.bus}
	for _, g := range w.regions {
		list = append(list, g.syncer)
	}
	return list
}

func (w *world) lines() []*line {
	var list []*line
	for _, g := range w.regions {
		list = append(list, g.toDB, g.home)
		for _, other := range w.regions {
			if l := g.abroad[other.name]; l != nil {
				list = append(list, l)
			}
		}
	}
	return list
}

func (w *world) killAll() {
	for _, p := range w.processes() {
		p.mu.Lock()
		p.kill()
		p.mu.Unlock()
	}
}

// server opens a region's database as the product reads it.
func (w *world) server(ctx context.Context, g *region) *mysqldb.Server {
	r := g.syncer.role
	r.MySQL = g.db.Address
	s, err := mysqldb.Open(ctx, r.mysql())
	w.must("opening "+g.name, err)
	w.atEnd(func() { _ = s.Close() })
	return s
}

// until waits for a condition. It fails the test when that takes too long, and lets the processes write their stacks.
func (w *world) until(what string, most time.Duration, check func() error) {
	w.t.Helper()
	deadline := time.NewTimer(most)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		if failed := w.failed(); failed != "" {
			w.t.Fatalf("while waiting until %s: %s", what, failed)
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			w.t.Errorf("waiting %v until %s: %v", most, what, err)
			for _, p := range w.processes() {
				if e := p.end(time.Millisecond); e != nil {
					w.t.Log(e)
				}
			}
			w.t.FailNow()
		}
	}
}

// failed tells of processes that ended by themselves.
func (w *world) failed() string {
	var list []string
	for _, p := range w.processes() {
		list = append(list, p.failed()...)
	}
	return strings.Join(list, "; ")
}

// patience is how long anything may take when nothing goes wrong any more, on a machine that has other things to do.
const patience = 2 * time.Minute

func (w *world) waitReady() {
	w.t.Helper()
	for _, g := range w.regions {
		w.until(g.name+" is ready", patience, func() error {
			a, err := g.syncer.status()
			if err != nil {
				return err
			}
			if !a.Status.Ready {
				return fmt.Errorf("%s", strings.Join(a.Status.Reasons, "; "))
			}
			return nil
		})
	}
}

// settle waits until everything that is committed by now has been captured, published, applied and entered everywhere.
func (w *world) settle(parkedAllowed bool) {
	w.t.Helper()
	w.waitReady()
	from := time.Now()
	for _, g := range w.regions {
		w.until(g.name+" has settled", patience, func() error { return g.settled(from, parkedAllowed) })
	}
}

// settled tells whether the region has everything that was committed anywhere before the time.
func (g *region) settled(from time.Time, parkedAllowed bool) error {
	a, err := g.syncer.status()
	if err != nil {
		return err
	}
	for _, s := range a.Status.Sources {
		if heard := a.Now.Add(-time.Duration(s.LagSeconds * float64(time.Second))); s.LagSeconds < 0 || !heard.After(from) {
			return fmt.Errorf("%s has heard from %s %v s ago: %+v", g.name, s.Source, s.LagSeconds, a.Status)
		}
	}
	if !parkedAllowed && a.Status.Parked+a.Status.Dead > 0 {
		return fmt.Errorf("%s has parked %d changes, %d are dead", g.name, a.Status.Parked, a.Status.Dead)
	}
	return nil
}

// endSyncers asks the syncers to end.
func (w *world) endSyncers() {
	w.t.Helper()
	for _, g := range w.regions {
		if err := g.syncer.end(20 * time.Second); err != nil {
			w.t.Error(err)
		}
	}
}
