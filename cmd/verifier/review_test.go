package main

import (
	"strings"
	"testing"

	"meridian/internal/command"
	"meridian/internal/verify"
)

// What a person sees who has to decide: each row as the regions have it, side by side. Where the values come from is tested in
// internal/syncer.
func TestReview_ShowsTheRowsSideBySide(t *testing.T) {
	id, paid, cancelled := "42", "paid", "cancelled\x1b[31m"
	list := &verify.ReviewList{
		Rows: []verify.ReviewRow{
			{Table: "shop.orders", Key: []string{"42"}, Why: verify.ByConflict, Columns: []string{"id", "status", "note"},
				Regions: map[string]verify.ReviewSide{
					"eu-west-1": {Exists: true, Row: map[string]*string{"id": &id, "status": &paid, "note": nil}, Version: "1764324000123456@eu-west-1"},
					"us-east-1": {Exists: true, Row: map[string]*string{"id": &id, "status": &cancelled, "note": nil}, Version: "1764324000123455@us-east-1"},
				},
				Pending: []verify.PendingReview{{Region: "us-east-1", Since: "2025-11-28T10:00:03.000001Z"}, {Region: "eu-west-1", Since: "2025-11-28T10:00:02.999999Z"}}},
			{Table: "shop.users", Key: []string{"7"}, Why: verify.ByBaseline, Columns: []string{"id"},
				Regions: map[string]verify.ReviewSide{"eu-west-1": {Exists: true, Row: map[string]*string{"id": &id}}, "us-east-1": {}}},
		},
		Unreachable: []verify.Unreachable{{Region: "ap-south-1", Reason: "asking http://127.0.0.1:1: connection refused"}},
	}
	report := &reviewReport{Take: "eu-west-1", Rows: list.Rows[:1]}
	done := &reviewReport{Take: "eu-west-1", Done: []verify.RepairedRow{
		{Outcome: verify.Mended, PlannedRow: verify.PlannedRow{Source: "eu-west-1", Finding: verify.Finding{Table: "shop.orders", Key: []string{"42"}, Kind: verify.Different, Wrong: []string{"eu-west-1", "us-east-1"}}}},
		{Outcome: verify.Newer, Detail: "it was written again meanwhile", PlannedRow: verify.PlannedRow{Source: "eu-west-1", Finding: verify.Finding{Table: "shop.orders", Key: []string{"43"}, Kind: verify.Different}}},
	}}
	golden(t, "review.golden", reviewText(list, false)+"\n---\n\n"+resolveText(report, false, false)+"\n---\n\n"+resolveText(done, true, false))
	if err := done.verdict(); err != command.ErrFound { //nolint:errorlint // it is that very one
		t.Errorf("the verdict is %v", err)
	}
	done.Done[0].Outcome = verify.Refused
	if err := done.verdict(); err != command.ErrReported { //nolint:errorlint // as above
		t.Errorf("the verdict on a refused one is %v", err)
	}
}

func TestReview_SaysWhatIsWrong(t *testing.T) {
	path := configure(t, twoRegions)
	for args, says := range map[string]string{
		"review resolve --take a":                                          "name a row (SCHEMA.TABLE KEY), or --table SCHEMA.TABLE --all",
		"review resolve --take a shop.orders":                              "name a row (SCHEMA.TABLE KEY), or --table SCHEMA.TABLE --all",
		"review resolve --take a --all":                                    "--all goes with --table SCHEMA.TABLE",
		"review resolve --take a --all --table shop.orders shop.orders 42": "--all goes with --table SCHEMA.TABLE",
		"review resolve --take mars shop.orders 42":                        "--take: ",
		"review resolve --take a mars.orders 42":                           "mars.orders is not replicated",
		"review list --table mars.orders":                                  "mars.orders is not replicated",
		"review resolve shop.orders 42":                                    "--take",
	} {
		invoke(t, append(strings.Fields(args), "--config", path)...).want(t, command.ExitUsage, "", says)
	}
	invoke(t, "review", "list", "--config", path).want(t, command.ExitFailed, "a could not be asked: asking http://127.0.0.1:1", "")
	invoke(t, "review", "list", "--config", path).want(t, command.ExitFailed, "Nobody can tell whether anything is in review.", "")
	invoke(t, "review", "list", "--json", "--config", path).want(t, command.ExitFailed, `"rows": []`, "")
	for _, yes := range [][]string{nil, {"--yes"}} {
		args := append([]string{"review", "resolve", "--take", "a", "shop.orders", "42", "--config", path}, yes...)
		invoke(t, args...).want(t, command.ExitFailed, "", "nothing was changed: all regions must say what they have")
	}
}
