package syncer_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"meridian/internal/syncer"
	"meridian/internal/testenv"
)

// purge removes the binlogs up to now. MariaDB does so only when it has noted that it does not need them itself.
func (g *region) purge() {
	g.t.Helper()
	g.exec("FLUSH BINARY LOGS")
	files := strings.Fields(g.rows("SHOW BINARY LOGS"))
	last := ""
	for _, f := range files {
		if f = strings.Trim(f, "\""); strings.Contains(f, ".") {
			last = f
		}
	}
	eventually(g.t, "the binlogs before "+last+" are gone", func() error {
		g.exec("PURGE BINARY LOGS TO '" + last + "'")
		if left := g.rows("SHOW BINARY LOGS"); strings.Count(left, "\n") != 1 {
			return errors.New(left)
		}
		return nil
	})
}

// Local changes that were purged before they were read never leave the region. That is shown until somebody has dealt with
// it: over restarts, and over another loss of the ledger.
func TestWarnings_APurgedBinlogIsShownUntilItIsAcknowledged(t *testing.T) {
	for kind, c := range map[testenv.Kind]struct {
		lost   *regexp.Regexp
		forget string
	}{
		testenv.KindMySQL:       {regexp.MustCompile(`the transactions [0-9a-f-]{36}:\d+-\d+ is`), "RESET BINARY LOGS AND GTIDS"},
		testenv.KindMariaDB1011: {regexp.MustCompile(`the transactions after 0-\d+-\d+ up to 0-\d+-\d+ is`), "RESET MASTER"},
	} {
		t.Run(string(kind), func(t *testing.T) {
			r := newRegions(t, 2, testenv.KindMySQL, kind)
			r.exec(ordersDDL)
			r.start()
			b := r.list[1]
			b.exec("INSERT INTO orders VALUES (1, 'published', 1)")
			r.waitSettled()
			b.waitFlushes(2)
			if got := b.syncer.Status().Warnings; got == nil || len(got) != 0 {
				t.Errorf("with nothing lost the warnings are %q", got)
			}
			if err := b.end(); err != nil {
				t.Fatal(err)
			}
			b.exec("INSERT INTO orders VALUES (2, 'lost', 1)")
			b.purge()
			b.exec("INSERT INTO orders VALUES (3, 'behind the hole', 1)")
			shown := func(what string) {
				t.Helper()
				b.waitReady()
				got := b.syncer.Status().Warnings
				if len(got) != 1 || !strings.Contains(got[0], "--acknowledge-warnings") || !c.lost.MatchString(got[0]) {
					t.Errorf("%s the warnings are %q, want one that names %s", what, got, c.lost)
				}
				b.waitCount("warnings", nil, 1)
			}
			again := func(change func(c *syncer.Config)) {
				t.Helper()
				if err := b.end(); err != nil {
					t.Fatal(err)
				}
				change(&b.cfg)
				b.start()
			}
			b.start()
			shown("after the hole was found")
			r.waitRows("SELECT item FROM orders WHERE id = 3", "\"behind the hole\" \n")
			again(func(*syncer.Config) {})
			shown("after a restart")
			again(func(*syncer.Config) { b.exec(c.forget) })
			shown("after the database lost its history, and the ledger was made anew")
			again(func(cfg *syncer.Config) { cfg.Replicas = 2 })
			shown("after the region's shards were shared, and the ledger was made anew")
		})
	}
}

func TestWarnings_AreForgottenOnceTheyAreAcknowledged(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL)
	r.exec(ordersDDL)
	r.start()
	a := r.list[0]
	hole := func() {
		t.Helper()
		a.exec("INSERT INTO orders VALUES (DEFAULT(id) + (SELECT COUNT(*) FROM (SELECT * FROM orders) o), 'x', 1)")
		a.purge()
		a.start()
		a.waitReady()
	}
	end := func() {
		t.Helper()
		if err := a.end(); err != nil {
			t.Fatal(err)
		}
	}
	end()
	a.exec("ALTER TABLE orders MODIFY id BIGINT NOT NULL DEFAULT 0")
	hole()
	if n := len(a.syncer.Status().Warnings); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}
	end()
	a.cfg.AcknowledgeWarnings = true
	hole() // what is found by the same start was not there to be acknowledged
	if got := a.syncer.Status().Warnings; len(got) != 1 {
		t.Errorf("of one acknowledged and one new warning %q are left", got)
	}
	end()
	a.start()
	a.waitReady()
	if got := a.syncer.Status().Warnings; len(got) != 0 {
		t.Errorf("%q is left", got)
	}
	eventually(t, "the metric is 0", func() error {
		if n := value(t, a, "warnings", nil); n != 0 {
			return fmt.Errorf("it is %v", n)
		}
		return nil
	})
}
