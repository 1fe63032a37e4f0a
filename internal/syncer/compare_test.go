package syncer_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"meridian/internal/inspect"
	"meridian/internal/retry"
	"meridian/internal/testenv"
	"meridian/internal/verify"
)

// verifier asks the regions over HTTP, as the product does.
func (r *regions) verifier() *verify.Verifier {
	r.t.Helper()
	cluster := verify.Cluster{}
	for _, g := range r.list {
		mux := http.NewServeMux()
		inspect.Mount(mux.Handle, g.syncer.Inspector(), true)
		inspect.MountMender(mux.Handle, g.syncer.Mender())
		server := httptest.NewServer(mux)
		r.t.Cleanup(server.Close)
		cluster[g.name] = []inspect.Region{inspect.NewClient(server.URL, server.Client(), nil)}
	}
	return &verify.Verifier{Cluster: cluster, Window: 30 * time.Second, Pause: 20 * time.Millisecond, Clock: retry.System{}}
}

func (r *regions) compare(v *verify.Verifier) *verify.Result {
	r.t.Helper()
	result, err := v.Compare(r.t.Context(), func(table string) bool { return strings.HasPrefix(table, r.schema+".") })
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}

// What differs for a reason outside of the binlog is found and told, once the ledger knows of it; what only lags is not drift.
func TestCompare_TellsDriftFromLag(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(ordersDDL)
	for _, g := range r.list {
		g.insertMany(0, 200)
	}
	// One row that was there before differs in one region: nobody can say who is right.
	r.list[1].exec("UPDATE orders SET item = 'other' WHERE id = 7")
	r.list[2].exec("DELETE FROM orders WHERE id = 9")
	r.start()
	for _, g := range r.list {
		g.waitScanned("orders")
	}
	r.list[0].exec("UPDATE orders SET n = 77 WHERE id < 5")
	v := r.verifier()
	result := r.compare(v)
	if result.Equal == nil || *result.Equal || len(result.Drift) != 2 || len(result.Unproven) != 0 || len(result.Unreachable) != 0 {
		t.Fatalf("%+v", result)
	}
	different, missing := result.Drift[0], result.Drift[1]
	if different.Key[0] != "7" || different.Winner != "" || different.Kind != verify.Different || len(different.Wrong) != 3 {
		t.Errorf("two baseline rows: %+v", different)
	}
	if missing.Key[0] != "9" || missing.Winner != "a" || missing.Kind != verify.Missing || len(missing.Wrong) != 1 || missing.Wrong[0] != "c" {
		t.Errorf("a baseline row that one region lacks: %+v", missing)
	}
	r.list[0].exec("UPDATE orders SET item = 'agreed' WHERE id IN (7, 9)")
	r.waitRows("SELECT COUNT(*) FROM orders WHERE item = 'agreed'", "\"2\" \n")
	if result = r.compare(v); result.Equal == nil || !*result.Equal {
		t.Errorf("after a write to both rows: %+v", result)
	}
}

// While writes go on in every region there is never any drift: a false alarm would be one.
func TestCompare_RaisesNoFalseAlarm(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(ordersDDL)
	r.start()
	for _, g := range r.list {
		g.waitScanned("orders")
	}
	stop := r.writeOn()
	v := r.verifier()
	for range 15 {
		if result := r.compare(v); len(result.Drift) > 0 {
			t.Fatalf("a false alarm: %+v", result.Drift)
		}
	}
	stop()
	r.waitSettled()
	if result := r.compare(v); result.Equal == nil || !*result.Equal {
		t.Errorf("at rest: %+v", result)
	}
}

// writeOn writes in all regions until the returned function is called.
func (r *regions) writeOn() func() {
	r.t.Helper()
	stop, done := make(chan struct{}), make(chan struct{}, len(r.list))
	for i, g := range r.list {
		db := g.open()
		go func() {
			defer func() { done <- struct{}{} }()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				// Rows that all write, and rows that are written once: these nobody touches any more while they are on their way.
				id := any(n % 17)
				if n%3 > 0 {
					id = 1000 + 2*n + i
				}
				query := "INSERT INTO orders VALUES (?, ?, 1) ON DUPLICATE KEY UPDATE item = VALUES(item), n = n + 1"
				if n%15 == 0 {
					query = "DELETE FROM orders WHERE id = ? AND item <> ?"
				}
				_, _ = db.ExecContext(r.t.Context(), query, id, g.name) // a deadlock, and the like, are none of this test's business
			}
		}()
	}
	return func() {
		close(stop)
		for range r.list {
			<-done
		}
	}
}

// lockTable keeps others from a table until the test ends.
func (g *region) lockTable(table string) {
	g.t.Helper()
	conn, err := g.open().Conn(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		_, unlocked := conn.ExecContext(context.WithoutCancel(g.t.Context()), "UNLOCK TABLES")
		if unlocked = errors.Join(unlocked, conn.Close()); unlocked != nil {
			g.t.Error(unlocked)
		}
	})
	if _, err = conn.ExecContext(g.t.Context(), "LOCK TABLES "+table+" WRITE"); err != nil {
		g.t.Fatal(err)
	}
}

// A table whose rows from before have not been read, since another one's turn is first, is not left out of what is compared: the
// regions would pass for equal.
func TestCompare_KnowsOfTablesWhoseTurnHasNotCome(t *testing.T) {
	r := newRegions(t, 1, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(namesDDL)
	r.exec(ordersDDL)
	r.list[0].exec("INSERT INTO orders VALUES (1, 'x', 1)")
	for _, g := range r.list {
		g.lockTable("orders")
	}
	r.start()
	for _, g := range r.list {
		g.waitScanned("names")
	}
	if result := r.compare(r.verifier()); result.Equal != nil {
		t.Errorf("%+v", result)
	}
}
