package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"meridian/internal/command"
	"meridian/internal/inspect"
)

// told is a region that answers what it was told to; how real ones answer is tested in internal/syncer.
type told struct {
	row     *inspect.Explained
	restore *inspect.Restore
	err     error
	done    bool
}

func (r *told) Explain(context.Context, string, string) (*inspect.Explained, error) {
	return r.row, r.err
}

func (r *told) RestorePlan(context.Context, uint64) (*inspect.Restore, error) {
	return r.restore, r.err
}

func (r *told) Restore(_ context.Context, _ uint64, over string) (*inspect.Restore, error) {
	r.done = over == r.restore.Over
	answer := *r.restore
	answer.Done = true
	return &answer, r.err
}

// configured serves the regions, of which a nil one is down, and writes a configuration for them.
func configured(t *testing.T, regions map[string]*told) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("regions:\n")
	for i, name := range []string{"ap-south-1", "eu-west-1", "us-east-1"} {
		address := "http://127.0.0.1:1"
		if r := regions[name]; r != nil {
			mux := http.NewServeMux()
			inspect.MountRows(mux.Handle, r, true)
			inspect.MountRestorer(mux.Handle, r)
			server := httptest.NewServer(mux)
			t.Cleanup(server.Close)
			address = server.URL
		}
		fmt.Fprintf(&b, "  %s: {mysql: {address: \"127.0.0.1:%d\", user: m, password: \"\"}, admin: {listen: \"127.0.0.1:1%d\", url: %q}}\n", name, i+1, i, address)
	}
	b.WriteString("bus: {embedded: {listen: \"127.0.0.1:3\", region: us-east-1}}\ntables: {include: [\"shop.*\"]}\n")
	return configure(t, b.String())
}

func values(status string, digest uint64, note *string) []inspect.Value {
	id := "42"
	return []inspect.Value{{Column: "id", Text: &id, Digest: 1}, {Column: "status", Text: &status, Digest: digest}, {Column: "note", Text: note, Digest: 9}}
}

func known(region, status string, digest uint64) *inspect.Explained {
	const at, origin = "1764324000123456", "us-east-1"
	entry := &inspect.Entry{Version: at + "@" + origin, Digest: digest}
	return &inspect.Explained{
		Region: region, Table: "shop.orders", Key: []string{"42"}, Columns: []string{"id"}, Exists: true, Values: values(status, digest, nil), Digest: digest,
		Entry: entry, Agrees: true, Version: entry.Version, Origin: origin, WrittenAt: "2025-11-28T10:00:00.123456Z",
	}
}

// What a person sees at three in the morning: the row side by side, what differs, what waits, what was lost and how it comes back.
func TestExplain_ShowsThePersonWhatDiffersAndWhatWasLost(t *testing.T) {
	us, eu := known("us-east-1", "paid", 7), known("eu-west-1", "shipped", 8)
	hostile := "a\x1b[31m\nb" + strings.Repeat("x", 100)
	lost := &inspect.Image{Values: values("cancelled", 5, &hostile)}
	us.Conflicts = []inspect.Conflict{{ID: inspect.ConflictID{Region: "us-east-1", Number: 17}, At: "2025-11-28T10:00:01Z", Winner: us.Version, Loser: "1764323999000000@eu-west-1", Lost: lost}}
	eu.Conflicts = []inspect.Conflict{{ID: inspect.ConflictID{Region: "eu-west-1", Number: 3}, At: "2025-11-28T10:00:02Z", Winner: us.Version, Loser: "1764323999000000@eu-west-1", Lost: lost},
		{ID: inspect.ConflictID{Region: "eu-west-1", Number: 2}, At: "2025-11-28T09:00:02Z", Winner: us.Version, Loser: "1764323900000000@eu-west-1", Omitted: "too_large"}}
	eu.Agrees, eu.Entry.Suspect = false, true
	eu.Parked = []inspect.Waiting{{ID: 5, State: "dead", Reason: "duplicate_key", Detail: "Duplicate entry", Source: "us-east-1", Version: us.Version, Attempts: 3, Since: "2025-11-28T10:00:03Z", Change: lost}}
	path := configured(t, map[string]*told{"us-east-1": {row: us}, "eu-west-1": {row: eu}})
	r := invoke(t, "explain", "shop.orders", "42", "--config", path)
	r.want(t, command.ExitFound, "verifier repair --restore eu-west-1:3", "")
	golden(t, "explain.golden", r.stdout)
	invoke(t, "explain", "shop.orders", "42", "--json", "--config", path).want(t, command.ExitFound, `"id": "eu-west-1:3"`, "")
}

func TestExplain_ExitsAsTheRegionsAnswer(t *testing.T) {
	alike := func() map[string]*told {
		return map[string]*told{"us-east-1": {row: known("us-east-1", "paid", 7)}, "eu-west-1": {row: known("eu-west-1", "paid", 7)}, "ap-south-1": {row: known("ap-south-1", "paid", 7)}}
	}
	invoke(t, "explain", "shop.orders", "42", "--config", configured(t, alike())).want(t, command.ExitOK, "The row is the same in all regions.", "")
	down := alike()
	down["ap-south-1"] = nil
	invoke(t, "explain", "shop.orders", "42", "--config", configured(t, down)).want(t, command.ExitFailed, "ap-south-1 did not answer: asking http://127.0.0.1:1", "")
	invoke(t, "explain", "shop.orders", "42", "--config", configured(t, down)).want(t, command.ExitFailed, "did not answer. Those that did agree.\n", "")
	nobody := map[string]*told{"us-east-1": nil, "eu-west-1": nil, "ap-south-1": nil}
	invoke(t, "explain", "shop.orders", "42", "--config", configured(t, nobody)).want(t, command.ExitFailed, "us-east-1 did not answer.\n", "")
	wrong := alike()
	for _, r := range wrong {
		r.err = &inspect.QuestionError{Detail: "there is no table shop.nowhere"}
	}
	invoke(t, "explain", "shop.nowhere", "42", "--config", configured(t, wrong)).want(t, command.ExitUsage, "", "verifier: there is no table shop.nowhere")
	nowhere := alike()
	for _, r := range nowhere {
		r.row = &inspect.Explained{Region: r.row.Region, Table: "shop.orders", Key: []string{"404"}, Columns: []string{"id"}, Agrees: true}
	}
	invoke(t, "explain", "shop.orders", "404", "--config", configured(t, nowhere)).want(t, command.ExitOK, "No region knows of a row with this key", "")
	impostor := alike()
	impostor["us-east-1"].row.Region = "eu-west-1"
	invoke(t, "explain", "shop.orders", "42", "--config", configured(t, impostor)).want(t, command.ExitFailed, "look at admin.url", "")
}

// Without --yes the plan is shown, and nothing is done.
func TestRestore_ShowsThePlanAndDoesItOnlyWithYes(t *testing.T) {
	was, is := "was", "is"
	plan := &inspect.Restore{
		ID: inspect.ConflictID{Region: "us-east-1", Number: 17}, Table: "shop.orders", Key: []string{"42"}, Over: "x",
		Conflict:  inspect.Conflict{ID: inspect.ConflictID{Region: "us-east-1", Number: 17}, Winner: "1764324000123456@us-east-1", Loser: "1764323999000000@eu-west-1"},
		Now:       inspect.Image{Values: append(values("paid", 7, &is), inspect.Value{Column: "later", Text: &is})},
		Then:      inspect.Image{Values: values("cancelled", 5, &was)},
		Different: []string{"status", "note"}, Kept: []string{"later"},
	}
	region := &told{restore: plan}
	path := configured(t, map[string]*told{"us-east-1": region})
	r := invoke(t, "repair", "--restore", "us-east-1:17", "--config", path)
	r.want(t, command.ExitOK, "Nothing has been changed. To do it: verifier repair --restore us-east-1:17 --yes", "")
	golden(t, "restore.golden", r.stdout)
	if region.done {
		t.Error("it was done without --yes")
	}
	invoke(t, "repair", "--restore", "us-east-1:17", "--dry-run", "--yes", "--config", path).want(t, command.ExitOK, "Nothing has been changed", "")
	if region.done {
		t.Error("it was done with --dry-run")
	}
	invoke(t, "repair", "--restore", "us-east-1:17", "--yes", "--config", path).want(t, command.ExitOK, "Done.", "")
	if !region.done {
		t.Error("it was not done, or over another row than the plan's")
	}
	for _, c := range []struct {
		args string
		err  error
		code int
		says string
	}{
		{"us-east-1:17 --yes", inspect.ErrRowChanged, command.ExitFailed, "not as the plan found it any more"},
		{"us-east-1:17 --yes", &inspect.UnrestorableError{Why: "the database is read-only"}, command.ExitFailed, "the database is read-only"},
		{"us-east-1:17", &inspect.QuestionError{Detail: "us-east-1 keeps no conflict 17"}, command.ExitUsage, "keeps no conflict 17"},
		{"mars:17", nil, command.ExitUsage, `no region "mars" in the configuration, only ap-south-1, eu-west-1, us-east-1`},
		{"seventeen", nil, command.ExitUsage, "write REGION:NUMBER"},
		{"us-east-1:17 --from eu-west-1", nil, command.ExitUsage, "neither --table nor --from"},
		{"eu-west-1:17", nil, command.ExitFailed, "eu-west-1 could not be asked for conflict 17"},
	} {
		region.err = c.err
		invoke(t, append([]string{"repair", "--config", path, "--restore"}, strings.Fields(c.args)...)...).want(t, c.code, "", c.says)
	}
}
