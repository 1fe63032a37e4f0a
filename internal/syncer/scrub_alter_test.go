package syncer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"meridian/internal/inspect"
	"meridian/internal/testenv"
	"meridian/internal/verify"
)

// Tables are altered and dropped while they are read again. That ends nobody, and the reading goes on with what they are then.
func TestScrub_OutlivesWhatIsDoneToTables(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL)
	r.exec(ordersDDL)
	r.exec("CREATE TABLE other (id INT PRIMARY KEY, x INT)")
	a := r.list[0]
	a.cfg.ScrubRows = 20_000
	a.insertMany(0, 3000)
	r.start()
	a.waitScanned("orders", "other")
	for i, ddl := range []string{
		"ALTER TABLE orders DROP COLUMN n", "ALTER TABLE orders ADD COLUMN n INT", "ALTER TABLE orders DROP PRIMARY KEY, ADD PRIMARY KEY (id, item)",
		"DROP TABLE other", "ALTER TABLE orders DROP PRIMARY KEY, ADD PRIMARY KEY (id)",
	} {
		a.exec(ddl)
		a.exec("INSERT INTO orders (id, item) VALUES (?, 'after it')", 10_000+i)
		if strings.Contains(ddl, "PRIMARY KEY") { // a key that is altered back before the first reading has noticed would pass for the old one
			a.waitCovered("orders")
		}
	}
	for range 3 {
		a.waitCovered("orders")
	}
	a.waitReady()
	if n := a.syncer.Status().LedgerRows; n != 3005 {
		t.Errorf("the ledger has %d live rows, of 3005", n)
	}
	if found := a.found(); len(found) > 0 {
		t.Errorf("rows were taken for changed past the binlog: %v", found)
	}
}

const wideDDL = "CREATE TABLE wide (id INT PRIMARY KEY, price DECIMAL(10,3), at DATETIME(6), name VARCHAR(40), kind ENUM('new','old','none'), n INT, " +
	"gone INT, code VARCHAR(40)) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"

// An ALTER TABLE that rewrites rows in place is not taken for a change past the binlog; while it rolls through the regions there
// is no drift, and when the last has it they are equal, down to the sums.
func TestScrub_TakesNoAlterTableForAChangePastTheBinlog(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB} {
		t.Run(string(kind), func(t *testing.T) {
			r := newRegions(t, 2, kind, kind)
			r.exec(wideDDL)
			for _, g := range r.list {
				g.cfg.ScrubRows = 100_000
				g.exec("INSERT INTO wide VALUES (1, 1.125, '2024-01-01 01:01:01.6', 'old Łódź', 'old', 1, 1, 'abcdef'), (2, NULL, NULL, '', 'new', NULL, NULL, '')")
			}
			r.start()
			for _, g := range r.list {
				g.waitScanned("wide")
			}
			a := r.list[0]
			a.exec("INSERT INTO wide VALUES (3, 3.999, '2024-03-03 03:03:03.999999', 'Łukasz', 'none', 3, 3, 'uvwxyz'), (4, 4.5, NOW(6), 'x', 'old', 4, 4, 'x')")
			r.waitSettled()
			v := r.verifier()
			for _, ddl := range []string{
				"ALTER TABLE wide ADD COLUMN more INT NOT NULL DEFAULT 7",
				"ALTER TABLE wide MODIFY price DECIMAL(10,1)",
				"ALTER TABLE wide MODIFY at DATETIME",
				"ALTER TABLE wide MODIFY kind ENUM('none','old','new','newest')",
				"ALTER TABLE wide MODIFY n VARCHAR(20)",
				"ALTER TABLE wide MODIFY price DOUBLE",
				"ALTER TABLE wide DROP COLUMN gone",
				"ALTER TABLE wide MODIFY name VARCHAR(40) CHARACTER SET latin1", // Ł becomes ?
				"ALTER TABLE wide CHANGE name title VARCHAR(60)",
				"ALTER TABLE wide CONVERT TO CHARACTER SET latin1",
			} {
				for _, g := range r.list {
					g.execLax(ddl)
					for range 2 {
						g.waitCovered("wide")
					}
					if result := r.compare(v); len(result.Drift) > 0 {
						t.Fatalf("%s in %s: %+v", ddl, g.name, result.Drift)
					}
				}
				r.waitSums("wide", ddl)
			}
			// A text that is cut off is told by nothing but the statement: its type is the same. Until all have it the regions differ.
			for _, g := range r.list {
				g.execLax("ALTER TABLE wide MODIFY code VARCHAR(3)")
			}
			r.waitSums("wide", "a shorter text")
			for _, g := range r.list {
				if found := g.found(); len(found) > 0 {
					t.Errorf("%s: rows were taken for changed past the binlog: %v", g.name, found)
				}
			}
			if result := r.compare(v); result.Equal == nil || !*result.Equal {
				t.Errorf("in the end: %+v", result)
			}
		})
	}
}

// A column that was added does not hide what was changed past the binlog in the others before.
func TestScrub_FindsWhatWasChangedBeforeAColumnWasAdded(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(ordersDDL)
	r.start()
	a, b := r.list[0], r.list[1]
	a.insertMany(0, 50)
	r.waitSettled()
	if err := b.end(); err != nil {
		t.Fatal(err)
	}
	b.execOutOfBand("UPDATE orders SET item = 'bit rot' WHERE id = 7")
	b.exec("ALTER TABLE orders ADD COLUMN more INT DEFAULT 1")
	b.cfg.ScrubRows = 100_000
	b.start()
	b.waitReady()
	b.waitScanned("orders")
	eventually(t, "it is found", func() error {
		if found := b.found(); found[verify.Different] != 1 || len(found) != 1 {
			return fmt.Errorf("found: %v", found)
		}
		return nil
	})
}

// What a DDL statement removed is told as that, in one line of the log for each pass, however many rows it was.
func TestScrub_TellsWhatADDLStatementRemoved(t *testing.T) {
	for _, c := range []struct{ name, ddl, kind string }{
		{"truncate", "TRUNCATE TABLE orders", "TRUNCATE"}, {"drop", "DROP TABLE orders", "DROP"}, {"rename", "RENAME TABLE orders TO elsewhere.orders", "RENAME"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRegions(t, 2, testenv.KindMySQL, testenv.KindMySQL)
			r.exec(ordersDDL)
			for _, g := range r.list {
				g.insertMany(0, 1200)
			}
			b := r.list[1]
			b.db.Exec("DROP DATABASE IF EXISTS elsewhere")
			b.db.Exec("CREATE DATABASE elsewhere")
			core, lines := observer.New(zap.WarnLevel)
			b.cfg.Log, b.cfg.ScrubRows = zap.New(core), 100_000
			r.start()
			for _, g := range r.list {
				g.waitScanned("orders")
			}
			b.exec(c.ddl)
			eventually(t, "it is found", func() error {
				if n := b.found()[verify.Missing]; n < 1200 {
					return fmt.Errorf("%d of 1200", n)
				}
				return nil
			})
			for range 2 {
				b.waitCovered("orders")
			}
			told, rows := lines.FilterMessageSnippet("rows are not what the ledger says").All(), uint64(0)
			for _, line := range told {
				n, _ := line.ContextMap()["rows"].(uint64)
				if rows += n; line.ContextMap()["ddl"] != c.kind {
					t.Errorf("a line of another kind: %+v", line)
				}
			}
			if len(told) == 0 || len(told) > 2 || rows != 1200 { // the pass that was under way may have found a part of them
				t.Errorf("%d lines tell of %d rows: %+v", len(told), rows, told)
			}
			if n := lines.FilterMessageSnippet("past the binlog").Len(); n > 0 {
				t.Errorf("%d lines say that rows were changed past the binlog", n)
			}
			o, err := b.syncer.Inspector().Overview(t.Context())
			if err != nil || len(o.Tables) != 1 || o.Tables[0].DDL == nil || o.Tables[0].DDL.Kind != c.kind {
				t.Errorf("the overview: %+v, %v", o, err)
			}
			e, err := b.syncer.Inspector().Entries(t.Context(), inspect.EntriesQuestion{Table: r.schema + ".orders", Shard: 0, Buckets: every})
			if err != nil || len(e.Entries) < 400 {
				t.Fatalf("%+v, %v", e, err)
			}
			for _, e := range e.Entries {
				if !e.Deleted || !e.Suspect || !e.ByDDL {
					t.Fatalf("an entry whose row is gone: %+v", e)
				}
			}
			result := r.compare(r.verifier())
			if result.Equal == nil || *result.Equal || len(result.Drift) != 1200 {
				t.Errorf("%d rows drift; unproven %d, unreachable %v", len(result.Drift), len(result.Unproven), result.Unreachable)
			}
		})
	}
}

// every is the number of every bucket.
var every = func() []int {
	list := make([]int, inspect.MaxBuckets)
	for i := range list {
		list[i] = i
	}
	return list
}()

// found gives the rows that scrub has found to be otherwise than the ledger says, by kind.
func (g *region) found() map[string]uint64 {
	found := map[string]uint64{}
	for _, p := range g.syncer.Status().Scrub {
		for kind, n := range p.Found {
			found[kind] += n
		}
	}
	return found
}

// waitCovered waits until tables have been read again as a whole from now on.
func (g *region) waitCovered(tables ...string) {
	g.t.Helper()
	now := time.Now()
	for _, table := range tables {
		eventually(g.t, table+" has been read again as a whole in "+g.name, func() error {
			for _, p := range g.syncer.Status().Scrub {
				if p.Table == g.all.schema+"."+table && p.CoveredFrom != nil && p.CoveredFrom.After(now) {
					return nil
				}
			}
			return fmt.Errorf("not yet: %+v", g.syncer.Status().Scrub)
		})
	}
}

// execLax runs a statement that may alter values which do not fit.
func (g *region) execLax(query string) {
	g.t.Helper()
	conn, err := g.open().Conn(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	for _, q := range []string{"SET sql_mode = ''", query, "SET sql_mode = DEFAULT"} {
		if _, err := conn.ExecContext(g.t.Context(), q); err != nil {
			g.t.Fatalf("%s: %s: %v", g.name, q, err)
		}
	}
}

// waitSums waits until all regions have the same checksums of a table.
func (r *regions) waitSums(table, when string) {
	r.t.Helper()
	eventually(r.t, "the sums are equal after "+when, func() error {
		var all []string
		for _, g := range r.list {
			o, err := g.syncer.Inspector().Overview(r.t.Context())
			if err != nil {
				return err
			}
			for _, t := range o.Tables {
				if t.Table == r.schema+"."+table {
					all = append(all, fmt.Sprint(t.Scanned, t.Sums))
				}
			}
		}
		for _, s := range all {
			if s != all[0] || len(all) != len(r.list) {
				return errors.New(fmt.Sprint(all))
			}
		}
		return nil
	})
}
