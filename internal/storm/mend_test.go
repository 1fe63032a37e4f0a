package storm_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"meridian/internal/inspect"
	"meridian/internal/testenv"
	"meridian/internal/verify"
)

// asked is a Mender as well.

func (a asked) mender() (inspect.Mender, error) {
	r, err := a.now()
	if err != nil {
		return nil, err
	}
	return r.(inspect.Mender), nil
}

func (a asked) Republish(ctx context.Context, o inspect.Order) (*inspect.Mended, error) {
	m, err := a.mender()
	if err != nil {
		return nil, err
	}
	return m.Republish(ctx, o)
}

func (a asked) Adopt(ctx context.Context, o inspect.Order) (*inspect.Mended, error) {
	m, err := a.mender()
	if err != nil {
		return nil, err
	}
	return m.Adopt(ctx, o)
}

func (a asked) Writable(ctx context.Context) (*inspect.Writable, error) {
	m, err := a.mender()
	if err != nil {
		return nil, err
	}
	return m.Writable(ctx)
}

// vanishing has rows of one region vanish past the binlog, and the verifier bring them back, all the while.
type vanishing struct {
	w      *world
	from   int // the region
	rand   *rand.Rand
	gone   int64
	mended map[string]int
}

func (v *vanishing) run(ctx context.Context) {
	const window = 2 * time.Second
	verifier := v.w.verifier(window)
	db := v.w.open(v.w.regions[v.from], 1)
	for ctx.Err() == nil {
		v.vanish(ctx, db)
		result, err := verifier.Compare(ctx, v.w.mine)
		if err != nil {
			return // the context's
		}
		v.mend(ctx, verifier, result)
	}
}

// vanish deletes a row past the binlog. It may fail: the database is being seen to, the row is locked.
func (v *vanishing) vanish(ctx context.Context, db *sql.DB) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return
	}
	defer conn.Close()
	t := v.w.tables[v.rand.IntN(len(v.w.tables))]
	if _, err = conn.ExecContext(ctx, "SET sql_log_bin = 0"); err != nil {
		return
	}
	if r, err := conn.ExecContext(ctx, fmt.Sprintf("DELETE FROM %s.%s ORDER BY RAND() LIMIT 1", v.w.schema, t.name)); err == nil {
		n, _ := r.RowsAffected() // MySQL always knows
		v.gone += n
	}
	_, _ = conn.ExecContext(context.WithoutCancel(ctx), "SET sql_log_bin = 1") // else the connection is lost, and the setting with it
}

// mend repairs what is proven. Only the one region is ever wrong in what it lacks: anything else is a false alarm.
func (v *vanishing) mend(ctx context.Context, verifier *verify.Verifier, result *verify.Result) {
	name := v.w.regions[v.from].name
	for i := range result.Drift {
		if f := &result.Drift[i]; !slices.Equal(f.Wrong, []string{name}) || f.Kind != verify.Missing {
			v.w.t.Errorf("a false alarm: %s %v is %s in %v: %+v", f.Table, f.Key, f.Kind, f.Wrong, f)
		}
	}
	plan := verify.MakePlan(result, verify.PlanOptions{MaxRows: 1000, Confirmed: true})
	done, err := verifier.Repair(ctx, plan)
	if err != nil {
		return // the context's, or a region that is being seen to
	}
	for _, r := range done.Rows {
		v.mended[r.Outcome]++
	}
}

// mendAtRest goes on until all is equal.
func (w *world) mendAtRest(v *vanishing) {
	w.t.Helper()
	verifier := w.verifier(20 * time.Second)
	w.until("all that vanished is there again", patience, func() error {
		result, err := verifier.Compare(w.t.Context(), w.mine)
		if err != nil {
			return err
		}
		if result.Equal != nil && *result.Equal && w.rowsAgree() {
			return nil
		}
		v.mend(w.t.Context(), verifier, result)
		return fmt.Errorf("%+v", result)
	})
	w.t.Logf("%d rows vanished; repairs: %v", v.gone, v.mended)
}

// rowsAgree tells whether all regions have as many rows in each table: what scrub has not found yet is in no ledger.
func (w *world) rowsAgree() bool {
	for _, t := range w.tables {
		counts := map[int]bool{}
		for _, g := range w.regions {
			var n int
			if err := g.sql.QueryRowContext(w.t.Context(), fmt.Sprintf("SELECT COUNT(*) FROM %s.%s", w.schema, t.name)).Scan(&n); err != nil {
				w.t.Fatal(err)
			}
			counts[n] = true
		}
		if len(counts) > 1 {
			return false
		}
	}
	return true
}

// Rows vanish past the binlog in one region while all write, processes die and lines are cut; the verifier finds and repairs them all
// the while. No repair ever beats a newer write, nothing that was deleted comes back, and in the end all is as the writers left it.
func TestStorm_IsMendedWhileRowsVanish(t *testing.T) {
	rounds(t, 0.2, 8*time.Second, func(t *testing.T, n uint64, length time.Duration) {
		second := []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB}[n/2%2]
		w := newWorld(t, setting{
			kinds:  []testenv.Kind{testenv.KindMySQL, second, testenv.KindMySQL},
			shards: []int{1, 4}[n%2], batchRows: 200, flush: []int{25, 10_000}[n/4%2], collation: "utf8mb4_general_ci", jitter: 20 * time.Millisecond,
		})
		w.repairs = true
		v := &vanishing{w: w, from: int(n / 8 % 3), rand: rand.New(rand.NewPCG(n, 1)), mended: map[string]int{}}
		w.blow(storm{duration: length, writers: 3, pace: 40 * time.Millisecond, beside: v.run}, n)
		w.settle(false)
		w.mendAtRest(v)
		w.check(strict)
	})
}
