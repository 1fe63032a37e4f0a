package syncer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"meridian/internal/inspect"
	"meridian/internal/testenv"
	"meridian/internal/verify"
)

// explainers asks the regions over HTTP, as the product does.
func (r *regions) explainers() verify.Explainers {
	r.t.Helper()
	list := verify.Explainers{}
	for _, g := range r.list {
		list[g.name] = []inspect.Explainer{g.client(true)}
	}
	return list
}

// client asks the region's process over HTTP.
func (g *region) client(showValues bool) *inspect.Client {
	g.t.Helper()
	mux := http.NewServeMux()
	inspect.MountRows(mux.Handle, g.syncer.Explainer(), showValues)
	server := httptest.NewServer(mux)
	g.t.Cleanup(server.Close)
	return inspect.NewClient(server.URL, server.Client(), nil)
}

func (r *regions) explain(table, key string) *verify.Explanation {
	r.t.Helper()
	x, err := verify.Explain(r.t.Context(), r.explainers(), r.schema+"."+table, key)
	if err != nil {
		r.t.Fatal(err)
	}
	return x
}

func textOf(row map[string]*string, column string) string {
	if v := row[column]; v != nil {
		return *v
	}
	return "NULL"
}

// What all regions know of a row is told at once: where it differs, what the ledger thinks of it, which conflict it was in and
// what was lost with it. A region that is down is told of as such.
func TestExplain_TellsAllThatIsKnownOfARow(t *testing.T) {
	a, b, g, r := two(t, ordersDDL)
	a.exec("INSERT INTO orders VALUES (1, 'first', NULL)")
	r.waitEqual(all)
	r.waitSettled()
	conflict(a, b, g, "UPDATE orders SET item = 'from a'", "UPDATE orders SET item = 'from b'")
	x := r.explain("orders", "1")
	if x.Equal == nil || !*x.Equal || len(x.Different) != 0 || x.Key[0] != "1" || !slices.Equal(x.KeyColumns, []string{"id"}) {
		t.Errorf("%+v", x)
	}
	for name, v := range x.Regions {
		if v.Error != "" || !v.Exists || !v.Agrees || v.Origin != "b" || v.Written == "" || textOf(v.Row, "item") != "from b" || v.Row["n"] != nil || v.Version != x.Regions["a"].Version {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if len(x.History) != 1 || len(x.History[0].Others) != 1 || textOf(x.History[0].Lost.Row, "item") != "from a" || x.History[0].Winner != x.Regions["a"].Version {
		t.Errorf("the history: %+v", x.History)
	}
	b.execOutOfBand("UPDATE orders SET n = 7")
	x = r.explain("orders", "1")
	if x.Equal == nil || *x.Equal || !slices.Equal(x.Different, []string{"n"}) || x.Regions["b"].Agrees || !x.Regions["a"].Agrees || !slices.Equal(x.Newest(), []string{"a"}) {
		t.Errorf("after a change past the binlog: %+v", x)
	}
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	x = r.explain("orders", "1")
	if x.Equal != nil || x.Regions["a"].Error == "" || textOf(x.Regions["b"].Row, "n") != "7" || len(x.History) != 1 {
		t.Errorf("with a region that is down: %+v", x)
	}
}

// The document is that of PRODUCT.
func TestExplain_PrintsTheDocumentThatProgramsRead(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL)
	r.exec("CREATE TABLE o (a INT, b VARCHAR(9), v JSON, PRIMARY KEY (a, b))")
	r.exec(`INSERT INTO o VALUES (42, 'x,"y', '{"k":1}')`)
	r.start()
	r.list[0].waitScanned("o")
	text, err := json.Marshal(r.explain("o", `42,"x,""y"`))
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Table   string
		Key     []string
		Regions map[string]map[string]any
		History []any
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	row, _ := document.Regions["a"]["row"].(map[string]any)
	if document.Table != r.schema+".o" || !slices.Equal(document.Key, []string{"42", `x,"y`}) || document.History == nil || row["b"] != `x,"y` || row["v"] != `{"k": 1}` {
		t.Errorf("%s", text)
	}
	for _, name := range []string{"version", "origin", "digest", "ledger_agrees", "exists", "parked"} {
		if _, ok := document.Regions["a"][name]; !ok {
			t.Errorf("no %q in %s", name, text)
		}
	}
}

// A row can be absent in every way there is: never there, deleted, with a change that waits for it.
func TestExplain_TellsOfRowsThatAreNotThere(t *testing.T) {
	r := newRegions(t, 4, testenv.KindMySQL, testenv.KindMariaDB)
	a, b := r.list[0], r.list[1]
	r.exec("CREATE TABLE orders (id BIGINT PRIMARY KEY, item VARCHAR(50), n INT)")
	b.exec("ALTER TABLE orders ADD UNIQUE KEY (n)")
	r.start()
	if x := r.explain("orders", "404"); x.Known() || x.Equal == nil || !*x.Equal {
		t.Errorf("a row that never was: %+v", x)
	}
	a.exec("INSERT INTO orders VALUES (1, 'x', 1), (2, 'y', 2)")
	r.waitEqual(all)
	a.exec("DELETE FROM orders WHERE id = 2")
	r.waitEqual(all)
	r.waitSettled()
	if x := r.explain("orders", "2"); !*x.Equal || x.Regions["b"].Exists || x.Regions["b"].Row != nil || !x.Regions["b"].Agrees {
		t.Errorf("a row that is deleted: %+v", x)
	}
	a.exec("INSERT INTO orders VALUES (3, 'z', 1)")
	eventually(t, "the change is parked", func() error {
		if x := r.explain("orders", "3"); len(x.Regions["b"].Parked) != 1 {
			return fmt.Errorf("%+v", x)
		}
		return nil
	})
	x := r.explain("orders", "3")
	held := x.Regions["b"].Parked[0]
	if *x.Equal || held.Reason != "duplicate_key" || held.Source != "a" || textOf(held.Change.Row, "item") != "z" || held.Version != x.Regions["a"].Version {
		t.Errorf("a row whose change is parked: %+v, %+v", x, held)
	}
}

// A question that makes no sense is told to be one, with what the key is made of.
func TestExplain_SaysWhatIsWrongWithTheQuestion(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL)
	r.exec("CREATE TABLE lines_ (orderid INT, line INT, PRIMARY KEY (orderid, line))")
	r.exec("CREATE TABLE bare (n INT)")
	r.exec("CREATE TABLE bytes_ (k BINARY(2) PRIMARY KEY)")
	r.start()
	for _, tc := range []struct{ table, key, says string }{
		{"orders", "1", "is no SCHEMA.TABLE"},
		{"elsewhere.orders", "1", "table elsewhere.orders is not replicated in a"},
		{r.schema + ".nowhere", "1", "there is no table " + r.schema + ".nowhere in a"},
		{r.schema + ".bare", "1", "has no primary key"},
		{r.schema + ".lines_", "1", "has 1 values, the primary key of " + r.schema + ".lines_ has 2: orderid, line"},
		{r.schema + ".lines_", "1,x", `column line of ` + r.schema + `.lines_: "x": invalid syntax; the primary key of ` + r.schema + `.lines_ is (orderid, a whole number; line, a whole number)`},
		{r.schema + ".lines_", `[1`, "no JSON array"},
		{r.schema + ".bytes_", "0xabcdef", "3 bytes for BINARY(2)"},
		{r.schema + ".bytes_", "0xzz", "bytes as 0x…"},
	} {
		_, err := verify.Explain(t.Context(), r.explainers(), tc.table, tc.key)
		var question *inspect.QuestionError
		if !errors.As(err, &question) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s %s: %v, want %q", tc.table, tc.key, err, tc.says)
		}
	}
}

// Only the process that owns the row's shard answers, whichever that is, and it is found.
func TestExplain_FindsTheProcessThatOwnsTheRow(t *testing.T) {
	r := newRegions(t, 4, testenv.KindMySQL)
	r.exec(ordersDDL)
	first := r.list[0]
	second := *first
	first.cfg.Replicas, second.cfg.Replicas, second.cfg.Replica = 2, 2, 1
	second.cfg.TailerID++
	second.cfg.Directory += "-1"
	r.list = append(r.list, &second)
	r.start()
	first.exec("INSERT INTO orders VALUES (1,'x',1),(2,'x',1),(3,'x',1),(4,'x',1),(5,'x',1),(6,'x',1),(7,'x',1),(8,'x',1)")
	processes := verify.Explainers{"a": {first.client(true), second.client(true)}}
	answered := map[bool]int{}
	for id := range 8 {
		x, err := verify.Explain(t.Context(), processes, r.schema+".orders", fmt.Sprint(id+1))
		if err != nil || !x.Regions["a"].Exists {
			t.Fatalf("%+v, %v", x, err)
		}
		_, err = processes["a"][0].Explain(context.WithoutCancel(t.Context()), r.schema+".orders", fmt.Sprint(id+1))
		answered[err == nil]++
		if err != nil && !errors.Is(err, inspect.ErrNotOwned) {
			t.Errorf("row %d: %v", id+1, err)
		}
	}
	if answered[true] == 0 || answered[false] == 0 {
		t.Errorf("the first process answered for %d rows and not for %d", answered[true], answered[false])
	}
}

func TestExplain_HidesValuesWhereAnybodyCanAsk(t *testing.T) {
	a, b, g, r := two(t, ordersDDL)
	a.exec("INSERT INTO orders VALUES (1, 'secret', 1)")
	r.waitEqual(all)
	r.waitSettled()
	conflict(a, b, g, "UPDATE orders SET item = 'secret a'", "UPDATE orders SET item = 'secret b'")
	x, err := b.client(false).Explain(t.Context(), r.schema+".orders", "1")
	if err != nil || !x.Hidden || len(x.Conflicts) != 1 {
		t.Fatalf("%+v, %v", x, err)
	}
	if text, err := json.Marshal(x); err != nil || strings.Contains(string(text), "secret") {
		t.Errorf("%s, %v", text, err)
	}
}
