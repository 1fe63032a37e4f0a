package syncer_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"meridian/internal/testenv"
	"meridian/internal/verify"
)

const namesDDL = "CREATE TABLE names (name VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY, n INT)"

// What was changed past the binlog is found by reading the rows again, and told as drift by comparing.
func TestScrub_FindsWhatNeverPassedTheBinlog(t *testing.T) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB} {
		t.Run(string(kind), func(t *testing.T) {
			r := newRegions(t, 2, kind, kind)
			r.exec(ordersDDL)
			r.exec(namesDDL)
			for _, g := range r.list {
				g.cfg.ScrubRows = 100_000
				g.insertMany(0, 700)
				g.exec("INSERT INTO names VALUES ('before', 1)")
			}
			r.start()
			a, b := r.list[0], r.list[1]
			a.exec("INSERT INTO names VALUES ('Zoë', 1), ('anna', 2)")
			a.exec("UPDATE orders SET n = 8 WHERE id = 300")
			a.exec("DELETE FROM orders WHERE id = 301")
			r.waitSettled()
			for _, g := range r.list {
				g.waitScanned("orders", "names")
			}
			v := r.verifier()
			if result := r.compare(v); result.Equal == nil || !*result.Equal {
				t.Fatalf("before anything was done: %+v", result)
			}
			for _, query := range []string{
				"UPDATE orders SET item = 'bit rot' WHERE id = 0", "UPDATE orders SET item = NULL WHERE id = 300", "DELETE FROM orders WHERE id = 699",
				"INSERT INTO orders VALUES (-5, 'never', 1)", "INSERT INTO orders VALUES (301, 'back', 1)", "DELETE FROM names WHERE name = 'zoe'",
				"INSERT INTO names VALUES ('ANNA B', 1)", "UPDATE names SET name = 'BEFORE' WHERE name = 'before'",
			} {
				b.execOutOfBand(query)
			}
			want := map[string]string{
				"orders [0]": verify.Different, "orders [300]": verify.Different, "orders [699]": verify.Missing, "orders [-5]": verify.Extra, "orders [301]": verify.Extra,
				"names [Zoë]": verify.Missing, "names [ANNA B]": verify.Extra, "names [before]": verify.Different,
			}
			eventually(t, "all is found", func() error {
				result := r.compare(v)
				got := map[string]string{}
				for _, f := range result.Drift {
					got[fmt.Sprint(f.Table[len(r.schema)+1:], " ", f.Key)] = f.Kind
					if f.Winner != "a" || !slices.Equal(f.Wrong, []string{"b"}) {
						t.Errorf("%v: %s wins, %v are wrong", f.Key, f.Winner, f.Wrong)
					}
				}
				if len(got) < len(want) {
					return fmt.Errorf("%d of %d found: %v", len(got), len(want), got)
				}
				for at, kind := range want {
					if got[at] != kind {
						t.Errorf("%s is %q, want %q", at, got[at], kind)
					}
				}
				if len(got) > len(want) {
					t.Errorf("too much: %v", got)
				}
				return nil
			})
		})
	}
}

// While rows are being written nothing is ever taken for a change past the binlog.
func TestScrub_RaisesNoFalseAlarm(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(ordersDDL)
	for _, g := range r.list {
		g.cfg.ScrubRows = 1_000_000
		g.insertMany(0, 100)
	}
	r.start()
	for _, g := range r.list {
		g.waitScanned("orders")
	}
	stop := r.writeOn()
	covered := map[string]int{}
	last := map[string]string{}
	eventually(t, "each region has been read again several times", func() error {
		for _, g := range r.list {
			for _, p := range g.syncer.Status().Scrub {
				if p.Covered != nil && last[g.name] != p.Covered.String() {
					last[g.name] = p.Covered.String()
					covered[g.name]++
				}
			}
		}
		if covered["a"] < 3 || covered["b"] < 3 {
			return errors.New(fmt.Sprint(covered))
		}
		return nil
	})
	stop()
	for _, g := range r.list {
		if n := value(t, g, "altered_past_binlog_rows_total", nil); n > 0 {
			t.Errorf("%s: %v rows were taken for changed past the binlog", g.name, n)
		}
	}
	r.waitSettled()
	r.waitEqual(all)
}
