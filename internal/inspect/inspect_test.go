package inspect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// region answers with what it was asked.
type region struct {
	table string
	shard int
	asked EntriesQuestion
	keys  []KeyRef
	err   error

	came, leave chan struct{} // if not nil, an overview says that it has come, and waits until it may go
}

func (r *region) Overview(context.Context) (*Overview, error) {
	if r.came != nil {
		r.came <- struct{}{}
		<-r.leave
	}
	return &Overview{Region: "a"}, r.err
}

func (r *region) Buckets(_ context.Context, table string, shard int) (*Buckets, error) {
	r.table, r.shard = table, shard
	return &Buckets{Rows: []uint64{1 << 63}}, r.err
}

func (r *region) Entries(_ context.Context, q EntriesQuestion) (*Entries, error) {
	r.asked = q
	return &Entries{Next: q.From}, r.err
}

func (r *region) Rows(_ context.Context, table string, keys []KeyRef) (*Rows, error) {
	r.table, r.keys = table, keys
	text := "secret"
	return &Rows{Rows: []Row{{Values: []Value{{Column: "c", Text: &text, Digest: 1<<64 - 1}}}}}, r.err
}

func serve(t *testing.T, r Region, showValues bool) *Client {
	t.Helper()
	mux := http.NewServeMux()
	Mount(mux.Handle, r, showValues)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return NewClient(server.URL+"/", server.Client(), func() (string, error) { return "token", nil })
}

// What is asked comes through as it was asked, and the answer as it was given.
func TestClient_AsksWhatTheRegionHears(t *testing.T) {
	r := &region{}
	c := serve(t, r, true)
	rapid.Check(t, func(t *rapid.T) {
		table := rapid.String().Draw(t, "table")
		shard := rapid.IntRange(0, 9999).Draw(t, "shard")
		q := EntriesQuestion{Table: table, Shard: shard}
		if rapid.Bool().Draw(t, "by buckets") {
			q.Buckets = rapid.SliceOfNDistinct(rapid.IntRange(0, MaxBuckets-1), 1, 40, rapid.ID[int]).Draw(t, "buckets")
			q.From = rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, "from")
		} else {
			q.Keys = rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, 9), 1, 20).Draw(t, "looked up")
		}
		var keys []KeyRef
		for range rapid.IntRange(1, MaxKeys).Draw(t, "keys") {
			keys = append(keys, KeyRef{Key: rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, "key"), Label: rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "label")})
		}
		if b, err := c.Buckets(context.Background(), table, shard); err != nil || b.Rows[0] != 1<<63 || r.table != table || r.shard != shard {
			t.Fatalf("%+v, %v; heard %q, %d", b, err, r.table, r.shard)
		}
		if e, err := c.Entries(context.Background(), q); err != nil || !reflect.DeepEqual(r.asked, q) || string(e.Next) != string(q.From) {
			t.Fatalf("%v; heard %+v, not %+v; answered %+v", err, r.asked, q, e)
		}
		if _, err := c.Rows(context.Background(), table, keys); err != nil || len(r.keys) != len(keys) {
			t.Fatalf("%v; heard %v, not %v", err, r.keys, keys)
		}
		for i := range keys {
			if string(r.keys[i].Key) != string(keys[i].Key) || string(r.keys[i].Label) != string(keys[i].Label) {
				t.Fatalf("heard %v, not %v", r.keys[i], keys[i])
			}
		}
	})
}

func TestMount_HidesValuesWhereAnybodyCanAsk(t *testing.T) {
	for _, show := range []bool{true, false} {
		rows, err := serve(t, &region{}, show).Rows(t.Context(), "t", []KeyRef{{Key: []byte("k")}})
		if err != nil {
			t.Fatal(err)
		}
		v := rows.Rows[0].Values[0]
		if v.Digest != 1<<64-1 || rows.Hidden == show || (v.Text != nil) != show {
			t.Errorf("show %v: %+v, hidden %v", show, v, rows.Hidden)
		}
	}
}

func TestMount_SaysWhatIsWrong(t *testing.T) {
	r := &region{}
	c := serve(t, r, true)
	var refused *RefusedError
	if _, err := c.Entries(t.Context(), EntriesQuestion{Table: "t", Shard: -1}); !errors.As(err, &refused) || refused.Status != http.StatusBadRequest || !strings.Contains(err.Error(), "shard") {
		t.Errorf("a question that makes no sense: %v", err)
	}
	r.err = ErrNotReady
	if _, err := c.Overview(t.Context()); !errors.Is(err, ErrNotReady) {
		t.Errorf("a region that is not ready: %v", err)
	}
	r.err = errors.New("the database is away")
	if _, err := c.Overview(t.Context()); err == nil || errors.Is(err, ErrNotReady) || !strings.Contains(err.Error(), "away") {
		t.Errorf("a region that cannot answer: %v", err)
	}
}

// A hundred keys as long as keys can be, which no header would hold.
func TestClient_AsksAboutLongKeys(t *testing.T) {
	r := &region{}
	c := serve(t, r, true)
	long := make([]byte, 12<<10)
	keys := make([]KeyRef, MaxKeys)
	looked := make([][]byte, MaxLookups)
	for i := range keys {
		keys[i] = KeyRef{Key: long, Label: long}
	}
	for i := range looked {
		looked[i] = long[:8<<10]
	}
	if _, err := c.Rows(t.Context(), "t", keys); err != nil || len(r.keys) != MaxKeys || len(r.keys[0].Label) != len(long) {
		t.Errorf("rows: %v, %d keys", err, len(r.keys))
	}
	if _, err := c.Entries(t.Context(), EntriesQuestion{Table: "t", Keys: looked}); err != nil || len(r.asked.Keys) != MaxLookups {
		t.Errorf("entries: %v, %d keys", err, len(r.asked.Keys))
	}
	var refused *RefusedError
	if _, err := c.Rows(t.Context(), "t", slices.Concat(keys, keys[:1])); !errors.As(err, &refused) || refused.Status != http.StatusBadRequest || !strings.Contains(err.Error(), "at most 100 keys") {
		t.Errorf("too many: %v", err)
	}
}

// Whoever speaks another version is told so, at both ends.
func TestProtocol_OtherVersionsAreToldSo(t *testing.T) {
	mux := http.NewServeMux()
	Mount(mux.Handle, &region{}, true)
	recorder := httptest.NewRecorder()
	mux.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/ledger", nil))
	if recorder.Code != http.StatusBadRequest || !strings.Contains(recorder.Body.String(), "speaks version 2 of the ledger protocol, who asks speaks an older one") {
		t.Errorf("%d %s", recorder.Code, recorder.Body)
	}
	for theirs, says := range map[string]string{"": "speaks an older one of the ledger protocol", "3": `speaks version \"3\" of the ledger protocol`} {
		old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if theirs != "" {
				w.Header().Set(protocolHeader, theirs)
			}
			fmt.Fprint(w, `{"region": "a"}`)
		}))
		t.Cleanup(old.Close)
		_, err := NewClient(old.URL, old.Client(), nil).Overview(t.Context())
		var version *VersionError
		if !errors.As(err, &version) || !strings.Contains(err.Error(), strings.ReplaceAll(says, `\`, "")) {
			t.Errorf("version %q: %v", theirs, err)
		}
	}
}

func TestClient_SaysWhatToDoAboutARefusal(t *testing.T) {
	for status, says := range map[int]string{http.StatusUnauthorized: "admin.token must be the same", http.StatusNotFound: "does not show its ledger"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(server.Close)
		if _, err := NewClient(server.URL, server.Client(), nil).Overview(t.Context()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// No more questions are answered at once than a process can bear: whoever has no turn in time is told to come again.
func TestMount_AnswersOnlySoManyAtOnce(t *testing.T) {
	full := make(chan struct{}, 1)
	full <- struct{}{}
	h := answer(full, func(*http.Request, *struct{}) (any, error) {
		t.Error("it is let in")
		return nil, nil
	})
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	said := httptest.NewRecorder()
	h.ServeHTTP(said, httptest.NewRequestWithContext(impatient, http.MethodGet, "/v1/ledger", nil))
	if said.Code != http.StatusServiceUnavailable || said.Header().Get("Retry-After") == "" || !strings.Contains(said.Body.String(), "ask again") {
		t.Errorf("%d %v %s", said.Code, said.Header(), said.Body)
	}
	<-full
	r := &region{came: make(chan struct{}), leave: make(chan struct{})}
	c := serve(t, r, true)
	done := make(chan error, concurrent)
	for range concurrent {
		go func() {
			_, err := c.Overview(context.WithoutCancel(t.Context()))
			done <- err
		}()
	}
	for range concurrent { // so many are answered side by side
		<-r.came
	}
	for range concurrent {
		r.leave <- struct{}{}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// explainer answers with what it was asked.
type explainer struct {
	table, key string
	err        error
}

func (e *explainer) Explain(_ context.Context, table, key string) (*Explained, error) {
	e.table, e.key = table, key
	return &Explained{Conflicts: []Conflict{{ID: ConflictID{"us-east-1", 17}}}}, e.err
}

// Whatever a person types for a key comes through as it was typed.
func TestClient_AsksForTheRowThatWasTyped(t *testing.T) {
	e := &explainer{}
	mux := http.NewServeMux()
	MountRows(mux.Handle, e, true)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	c := NewClient(server.URL, server.Client(), nil)
	check := func(t rapid.TB, table, key string) {
		x, err := c.Explain(context.Background(), table, key)
		if err != nil || e.table != table || e.key != key || x.Conflicts[0].ID.String() != "us-east-1:17" {
			t.Fatalf("%v; heard %q, %q, not %q, %q", err, e.table, e.key, table, key)
		}
	}
	for _, key := range []string{"42", "42,7", `["a//b", {"base64": "AA=="}]`, "..", ".", "a//b", "/", "", "a/../b", "%2F", "a b+c?d#e", `"x,""y"`} {
		check(t, "shop.orders", key)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.StringMatching(`[a-z]+\.[ -~]+`).Draw(t, "table"), rapid.String().Draw(t, "key"))
	})
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/rows/shop.orders/a%2Fb,%220x%22", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := server.Client().Do(q)
	if err != nil || answer.StatusCode != http.StatusOK || e.key != `a/b,"0x"` {
		t.Errorf("by its path: %v, heard %q", err, e.key)
	}
	_ = answer.Body.Close()
	e.err = &QuestionError{Detail: "no such table"}
	var question *QuestionError
	if _, err := c.Explain(t.Context(), "t", "k"); !errors.As(err, &question) || err.Error() != "no such table" {
		t.Errorf("a question that makes no sense: %v", err)
	}
	e.err = ErrNotOwned
	if _, err := c.Explain(t.Context(), "t", "k"); !errors.Is(err, ErrNotOwned) {
		t.Errorf("a process that does not own the row: %v", err)
	}
}
