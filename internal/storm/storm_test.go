package storm_test

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"meridian/internal/testenv"
)

// seed gives the seed of a test's choices, and prints it.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if text := os.Getenv("MERIDIAN_SEED"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("MERIDIAN_SEED: %v", err)
		}
	}
	t.Logf("the seed is MERIDIAN_SEED=%d", n)
	return n
}

// duration gives how long a storm blows.
func duration(t *testing.T, short time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv("MERIDIAN_SOAK")
	if text == "" {
		return short
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("MERIDIAN_SOAK: %v", err)
	}
	return d
}

// storm is how one blows.
type storm struct {
	duration time.Duration
	writers  int           // in each region
	pace     time.Duration // of a writer's transactions
	calm     bool          // nothing is killed or cut
	round    time.Duration // a long storm is checked once in so long; 0: once
}

// blow lets the writers and the chaos run, and settles.
func (w *world) blow(s storm, n uint64) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), s.duration)
	defer cancel()
	var all sync.WaitGroup
	var writers []*writer
	for i, g := range w.regions {
		for k := range s.writers {
			wr := &writer{
				region: g.name, number: k, db: w.open(g, 1), tables: w.tables, pace: s.pace,
				rand: rand.New(rand.NewPCG(n, uint64(1000*i+k))),
			}
			writers = append(writers, wr)
			all.Go(func() { wr.run(ctx) })
		}
	}
	var agents []*chaos
	if !s.calm {
		for k := range 2 {
			c := &chaos{w: w, number: k, rand: rand.New(rand.NewPCG(n, uint64(100_000+k))), most: 1200 * time.Millisecond, did: map[string]int{}}
			agents = append(agents, c)
			all.Go(func() { c.run(ctx) })
		}
	}
	all.Wait()
	for _, wr := range writers {
		for _, t := range wr.late {
			t.After = time.Now()
		}
		w.history.transactions = append(w.history.transactions, wr.done...)
	}
	slices.SortStableFunc(w.history.transactions, func(a, b *transaction) int { return a.After.Compare(b.After) })
	for _, c := range agents {
		w.t.Logf("faults: %v", c.did)
	}
}

func TestStorm_ThreeMySQL(t *testing.T) {
	n := seed(t)
	w := newWorld(t, setting{
		kinds:  []testenv.Kind{testenv.KindMySQL, testenv.KindMySQL, testenv.KindMySQL},
		shards: []int{1, 4}[n%2], batchRows: 200, collation: "utf8mb4_0900_ai_ci",
	})
	w.blow(storm{duration: duration(t, 12*time.Second), writers: 4, pace: 30 * time.Millisecond}, n)
	w.settle(false)
	w.check(strict)
}

// Two flavors: collations that both know. MariaDB's binlog has whole seconds only, and its stamps are not given twice.
func TestStorm_TwoMySQLAndAMariaDB(t *testing.T) {
	n := seed(t)
	maria := []testenv.Kind{testenv.KindMariaDB, testenv.KindMariaDB1011}[n/2%2]
	w := newWorld(t, setting{
		kinds:  []testenv.Kind{testenv.KindMySQL, maria, testenv.KindMySQL},
		shards: []int{1, 4}[n%2], batchRows: 200, collation: "utf8mb4_general_ci",
	})
	w.blow(storm{duration: duration(t, 12*time.Second), writers: 4, pace: 30 * time.Millisecond}, n)
	w.settle(false)
	w.check(strict)
}

// Values of a secondary unique key collide between regions: changes may be set aside and databases may differ, but
// nothing is lost from the books, made up or published again.
func TestStorm_CollidingUniqueKeys(t *testing.T) {
	n := seed(t)
	w := newWorld(t, setting{
		kinds:  []testenv.Kind{testenv.KindMySQL, testenv.KindMySQL},
		shards: 2, batchRows: 50, collation: "utf8mb4_0900_ai_ci", collide: true,
	})
	w.blow(storm{duration: duration(t, 6*time.Second), writers: 4, pace: 30 * time.Millisecond}, n)
	w.settle(true)
	w.check(lenient)
}
