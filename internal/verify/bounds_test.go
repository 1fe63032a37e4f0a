package verify_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meridian/internal/checksum"
	"meridian/internal/inspect"
	"meridian/internal/retry"
	"meridian/internal/row"
	"meridian/internal/syncer"
	"meridian/internal/verify"
)

const shards = 4

// still is regions whose ledgers are made directly, asked over HTTP.
type still struct {
	*verify.Verifier
	ledgers  map[string]*checksum.Ledger
	answered atomic.Int64 // bytes
	most     atomic.Int64 // of one answer
	read     sync.Map     // the keys of rows that were asked for
}

func newStill(t *testing.T, names ...string) *still {
	t.Helper()
	s := &still{ledgers: map[string]*checksum.Ledger{}, Verifier: &verify.Verifier{Cluster: verify.Cluster{}, Window: time.Second, Pause: time.Millisecond, Clock: retry.System{}}}
	for _, name := range names {
		ledger, err := checksum.Open(checksum.Options{Path: filepath.Join(t.TempDir(), "ledger.db"), Region: name, Shards: shards})
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		inspect.Mount(mux.Handle, noting{&syncer.StillRegion{Name: name, Regions: names, Shards: shards, Ledger: ledger}, &s.read}, true)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			counted := &counting{ResponseWriter: w}
			mux.ServeHTTP(counted, r)
			s.answered.Add(counted.n)
			s.most.Store(max(s.most.Load(), counted.n))
		}))
		t.Cleanup(func() {
			server.Close()
			if err := ledger.Close(); err != nil {
				t.Error(err)
			}
		})
		s.ledgers[name] = ledger
		s.Cluster[name] = []inspect.Region{inspect.NewClient(server.URL, server.Client(), nil)}
	}
	return s
}

// noting remembers which rows were read.
type noting struct {
	*syncer.StillRegion
	read *sync.Map
}

func (n noting) Rows(ctx context.Context, table string, keys []inspect.KeyRef) (*inspect.Rows, error) {
	for _, k := range keys {
		n.read.Store(string(k.Key), true)
	}
	return n.StillRegion.Rows(ctx, table, keys)
}

type counting struct {
	http.ResponseWriter
	n int64
}

func (c *counting) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return c.ResponseWriter.Write(b)
}

// fill enters rows from one number up to another.
func (s *still) fill(t *testing.T, region, table string, from, to int, columns uint64) {
	t.Helper()
	s.fillSome(t, region, table, from, to, columns, func(int) bool { return true })
}

// fillSome enters those of them that are wanted; their columns have a part in their digests.
func (s *still) fillSome(t *testing.T, region, table string, from, to int, columns uint64, wanted func(n int) bool) {
	t.Helper()
	l := s.ledgers[region]
	rows := make([]checksum.Base, 0, to-from)
	for n := from; n < to; n++ {
		if !wanted(n) {
			continue
		}
		key := row.Key(binary.BigEndian.AppendUint64([]byte(strings.Repeat("k", 40)), uint64(n)))
		rows = append(rows, checksum.Base{Place: checksum.Place{Table: table, Key: key}, Digest: uint64(n)*7919 + columns, Columns: columns})
	}
	if _, err := l.Baseline(rows, l.Collected(), l.Generation(table)); err != nil {
		t.Fatal(err)
	}
	l.Freeze(checksum.Cut{Checkpoint: []byte("here"), Own: make([]uint64, shards)})
	if _, err := l.Flush(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func (s *still) result(t *testing.T) *verify.Result {
	t.Helper()
	r, err := s.Compare(t.Context(), func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A table that is empty in one region yields a result of bounded size, and says honestly how much more there is.
func TestCompare_OfATableThatDiffersEverywhereIsBounded(t *testing.T) {
	s := newStill(t, "a", "b", "c")
	const rows, most = 60_000, 500
	s.MaxDifferences = most
	for _, region := range []string{"a", "b", "c"} {
		s.fill(t, region, "shop.small", 0, 10, 1)
	}
	s.fill(t, "a", "shop.orders", 0, rows, 1)
	s.fill(t, "b", "shop.orders", 0, rows, 1)
	s.fill(t, "c", "shop.orders", 0, 1, 1)
	r := s.result(t)
	orders, small := r.Tables[0], r.Tables[1]
	if r.Equal == nil || *r.Equal || small.Equal == nil || !*small.Equal {
		t.Errorf("%+v", r.Tables)
	}
	if len(r.Drift) != most || orders.Drift != most || uint64(orders.Drift)+orders.Beyond != rows-1 || r.Drift[0].Kind != verify.Missing {
		t.Errorf("%d listed, %d drifted, at least %d more", len(r.Drift), orders.Drift, orders.Beyond)
	}
	if s.most.Load() > 2*inspect.MaxEntries {
		t.Errorf("an answer of %d bytes", s.most.Load())
	}
}

// Pages change nothing: each row that differs is found, and no other.
func TestCompare_FindsEveryRowPageByPage(t *testing.T) {
	s := newStill(t, "a", "b")
	const rows, gap = 120_000, 20
	s.fill(t, "a", "shop.orders", 0, rows, 1)
	s.fillSome(t, "b", "shop.orders", 0, rows, 1, func(n int) bool { return n%gap > 0 })
	r := s.result(t)
	if len(r.Drift) != rows/gap || r.Tables[0].Beyond != 0 || len(r.Tables[0].Reasons) != 0 {
		t.Errorf("%d rows, %+v", len(r.Drift), r.Tables)
	}
	seen := map[string]bool{}
	for _, f := range r.Drift {
		seen[fmt.Sprint(f.Key)] = true
	}
	if len(seen) != rows/gap {
		t.Errorf("%d different rows", len(seen))
	}
}

// Digests of other columns say nothing: the rows are read, so many in a comparison, and the next one goes on behind them.
func TestCompare_ReadsRowsWhoseColumnsDifferStepByStep(t *testing.T) {
	s := newStill(t, "a", "b")
	const rows, comparisons = 6_000, 14
	s.fill(t, "a", "shop.orders", 0, rows, 1)
	s.fill(t, "b", "shop.orders", 0, rows, 2)
	before := 0
	for n := range comparisons {
		r := s.result(t)
		if len(r.Drift) != 0 {
			t.Fatalf("%+v", r.Drift)
		}
		if n == 0 && (r.Equal != nil || len(r.Tables[0].Reasons) != 1) {
			t.Errorf("it is not all read, and yet %+v", r)
		}
		now := 0
		s.read.Range(func(any, any) bool { now++; return true })
		if now-before > 1000 {
			t.Errorf("%d rows in one comparison", now-before)
		}
		before = now
	}
	if before != rows {
		t.Errorf("%d of %d rows were read", before, rows)
	}
}

func TestCompare_OfEqualLedgersExchangesOnlyTotals(t *testing.T) {
	s := newStill(t, "a", "b")
	for _, region := range []string{"a", "b"} {
		s.fill(t, region, "shop.orders", 0, 20_000, 1)
	}
	if r := s.result(t); r.Equal == nil || !*r.Equal {
		t.Errorf("%+v", r)
	}
	if n := s.answered.Load(); n > 4096 {
		t.Errorf("%d bytes", n)
	}
}
