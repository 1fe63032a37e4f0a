package storm_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"meridian/internal/testenv"
)

// rounds runs a test once, or, where MERIDIAN_SOAK says how long all of them are to take, again and again for its share
// of that, each round with servers as the last one left them, a world of its own, and another seed. A seed that is given
// is the first round's.
func rounds(t *testing.T, share float64, short time.Duration, round func(t *testing.T, n uint64, length time.Duration)) {
	t.Helper()
	n := firstSeed(t)
	whole := soak(t)
	if whole == 0 {
		t.Logf("the seed is MERIDIAN_SEED=%d", n)
		round(t, n, short)
		return
	}
	until := time.Now().Add(time.Duration(share * float64(whole)))
	for k := 0; time.Now().Before(until) && !t.Failed(); k++ {
		t.Run(fmt.Sprintf("round %d", k), func(t *testing.T) {
			t.Logf("the seed is MERIDIAN_SEED=%d", n)
			round(t, n, min(time.Until(until), roundLength))
		})
		n++
	}
}

// roundLength is how long a round of a long storm blows: long enough for everything to go wrong, short enough that what
// it leaves can be read.
const roundLength = 90 * time.Second

func firstSeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("MERIDIAN_SEED")
	if text == "" {
		return uint64(time.Now().UnixNano())
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("MERIDIAN_SEED: %v", err)
	}
	return n
}

// soak gives how long all storms together are to take; 0: as short as possible.
func soak(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("MERIDIAN_SOAK")
	if text == "" {
		return 0
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
	writers  int                       // in each region
	pace     time.Duration             // of a writer's transactions
	beside   func(ctx context.Context) // runs all the while; nil: compareThrough
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
	if s.beside == nil {
		s.beside = w.compareThrough
	}
	all.Go(func() { s.beside(ctx) })
	for k := range 2 {
		c := &chaos{w: w, number: k, rand: rand.New(rand.NewPCG(n, uint64(100_000+k))), most: 1200 * time.Millisecond, did: map[string]int{}}
		agents = append(agents, c)
		all.Go(func() { c.run(ctx) })
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
	rounds(t, 0.35, 8*time.Second, func(t *testing.T, n uint64, length time.Duration) {
		w := newWorld(t, setting{
			kinds:  []testenv.Kind{testenv.KindMySQL, testenv.KindMySQL, testenv.KindMySQL},
			shards: []int{1, 4}[n%2], batchRows: 200, flush: []int{25, 10_000}[n/4%2], collation: "utf8mb4_0900_ai_ci", jitter: 20 * time.Millisecond,
		})
		w.blow(storm{duration: length, writers: 4, pace: 30 * time.Millisecond}, n)
		w.settle(false)
		w.compareAtRest()
		w.check(strict)
	})
}

// Two flavors: collations that both know. MariaDB's binlog has whole seconds only, and its stamps are not given twice.
func TestStorm_TwoMySQLAndAMariaDB(t *testing.T) {
	rounds(t, 0.35, 8*time.Second, func(t *testing.T, n uint64, length time.Duration) {
		maria := []testenv.Kind{testenv.KindMariaDB, testenv.KindMariaDB1011}[n/2%2]
		w := newWorld(t, setting{
			kinds:  []testenv.Kind{testenv.KindMySQL, maria, testenv.KindMySQL},
			shards: []int{1, 4}[n%2], batchRows: 200, flush: []int{25, 10_000}[n/4%2], collation: "utf8mb4_general_ci", jitter: 20 * time.Millisecond,
		})
		w.blow(storm{duration: length, writers: 4, pace: 30 * time.Millisecond}, n)
		w.settle(false)
		w.compareAtRest()
		w.check(strict)
	})
}

// Values of a secondary unique key collide between regions: changes may be set aside and databases may differ, but
// nothing is lost from the books, made up or published again.
func TestStorm_CollidingUniqueKeys(t *testing.T) {
	rounds(t, 0.1, 5*time.Second, func(t *testing.T, n uint64, length time.Duration) {
		w := newWorld(t, setting{
			kinds:  []testenv.Kind{testenv.KindMySQL, testenv.KindMySQL},
			shards: 2, batchRows: 50, flush: 10_000, collation: "utf8mb4_0900_ai_ci", collide: true,
		})
		w.blow(storm{duration: length, writers: 4, pace: 30 * time.Millisecond}, n)
		w.settle(true)
		w.check(lenient)
	})
}
