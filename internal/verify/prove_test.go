package verify

import (
	"fmt"
	"slices"
	"testing"

	"meridian/internal/inspect"
	"meridian/internal/row"
)

const key = row.Key("k")

// answersOf makes what regions say of one row; all stand at the same place, with everything applied everywhere.
func answersOf(entries map[string]*inspect.Entry) answers {
	all := answers{}
	for region, e := range entries {
		at := inspect.At{Includes: map[string]uint64{}, Within: map[string]uint64{}}
		for source := range entries {
			at.Includes[source], at.Within[source] = 10, 10
		}
		all[region] = &answered{at: at, entries: map[row.Key]*inspect.Entry{}}
		if e != nil {
			all[region].entries[key] = e
		}
	}
	return all
}

func entry(version string, digest uint64) *inspect.Entry {
	return &inspect.Entry{Version: version, Digest: digest, Columns: 1}
}

func tombstone(version string) *inspect.Entry {
	return &inspect.Entry{Version: version, Deleted: true}
}

func suspected(e *inspect.Entry) *inspect.Entry {
	e.Suspect = true
	return e
}

func judged(all answers, wanted string) (verdictOf, string) {
	c := &comparison{view: &view{regions: slices.Sorted(func(yield func(string) bool) {
		for r := range all {
			if !yield(r) {
				return
			}
		}
	}), owner: map[string]map[int]inspect.Region{}}}
	for r := range all {
		c.view.owner[r] = map[int]inspect.Region{0: inspect.Region((*inspect.Client)(nil))}
	}
	v, _ := row.ParseVersion(wanted)
	d := &difference{place: place{key: key}, wanted: v}
	verdict := c.judge(d, all)
	return verdict, d.reason
}

func TestJudge_ProvesOnlyWhatHasPassedEverywhere(t *testing.T) {
	for name, c := range map[string]struct {
		entries map[string]*inspect.Entry
		wanted  string
		change  func(all answers)
		want    verdictOf
	}{
		"a version that the other includes everything of, and lacks": {map[string]*inspect.Entry{"a": entry("5@a", 1), "b": nil}, "5@a", nil, proved},
		"a version that is on its way": {map[string]*inspect.Entry{"a": entry("5@a", 1), "b": nil}, "5@a",
			func(all answers) { all["b"].at.Includes["a"] = 9 }, open},
		"a version that came through a third region, which is behind": {map[string]*inspect.Entry{"a": entry("5@c", 1), "b": nil, "c": entry("5@c", 1)}, "5@c",
			func(all answers) { all["b"].at.Includes["c"] = 9 }, open},
		"a version that the lacking region wrote itself, and has not read again yet": {map[string]*inspect.Entry{"a": entry("5@b", 1), "b": nil}, "5@b",
			func(all answers) { all["b"].at.Includes["b"] = 9 }, open},
		"a version that the bus has not acknowledged": {map[string]*inspect.Entry{"a": entry("5@a", 1), "b": nil}, "5@a",
			func(all answers) { delete(all["a"].at.Within, "a") }, open},
		"a tombstone that the other has forgotten": {map[string]*inspect.Entry{"a": tombstone("5@a"), "b": nil}, "5@a", nil, gone},
		"two tombstones":                                        {map[string]*inspect.Entry{"a": tombstone("5@a"), "b": tombstone("4@a")}, "5@a", nil, gone},
		"a tombstone over a row":                                {map[string]*inspect.Entry{"a": tombstone("5@a"), "b": entry("4@a", 1)}, "5@a", nil, proved},
		"equal versions with other rows":                        {map[string]*inspect.Entry{"a": entry("5@a", 1), "b": entry("5@a", 2)}, "5@a", nil, proved},
		"the same write, from other columns: the rows can tell": {map[string]*inspect.Entry{"a": entry("5@a", 1), "b": {Version: "5@a", Digest: 2, Columns: 7}}, "5@a", nil, proved},
		"the same digest, from other columns":                   {map[string]*inspect.Entry{"a": entry("5@a", 1), "b": {Version: "5@a", Digest: 1, Columns: 7}}, "5@a", nil, gone},
		"a row that is in doubt":                                {map[string]*inspect.Entry{"a": entry("5@a", 1), "b": suspected(entry("5@a", 1))}, "5@a", nil, proved},
		"another write, after all have the one in doubt":        {map[string]*inspect.Entry{"a": entry("9@a", 1), "b": entry("6@b", 2)}, "5@a", nil, gone},
	} {
		t.Run(name, func(t *testing.T) {
			all := answersOf(c.entries)
			if c.change != nil {
				c.change(all)
			}
			if got, why := judged(all, c.wanted); got != c.want {
				t.Errorf("%v (%s), want %v", got, why, c.want)
			}
		})
	}
}

func readAs(e *inspect.Entry) *inspect.Row {
	r := &inspect.Row{Columns: 1, Entry: e}
	if live(e) {
		r.Exists, r.Digest = true, e.Digest
	}
	return r
}

func TestDecide_SaysWhoIsRight(t *testing.T) {
	for name, c := range map[string]struct {
		entries      map[string]*inspect.Entry
		kind, winner string
		wrong        []string
	}{
		"the newest":                      {map[string]*inspect.Entry{"a": entry("5@a", 1), "b": entry("4@b", 2), "c": entry("5@a", 1)}, Different, "a", []string{"b"}},
		"a row that one lacks":            {map[string]*inspect.Entry{"a": entry("5@a", 1), "b": nil, "c": entry("5@a", 1)}, Missing, "a", []string{"b"}},
		"a deleted row that one has":      {map[string]*inspect.Entry{"a": tombstone("5@a"), "b": entry("4@b", 2), "c": tombstone("5@a")}, Extra, "a", []string{"b"}},
		"the same wrong row in two":       {map[string]*inspect.Entry{"a": suspected(entry("5@a", 9)), "b": suspected(entry("5@a", 9)), "c": entry("5@a", 1)}, Different, "c", []string{"a", "b"}},
		"a row that nobody else knows":    {map[string]*inspect.Entry{"a": suspected(entry("baseline", 9)), "b": nil, "c": nil}, Extra, "b", []string{"a"}},
		"two rows that were there":        {map[string]*inspect.Entry{"a": entry("baseline", 1), "b": entry("baseline", 2)}, Different, "", []string{"a", "b"}},
		"a row that is in doubt all over": {map[string]*inspect.Entry{"a": suspected(entry("5@a", 8)), "b": suspected(entry("5@a", 9))}, Different, "", []string{"a", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &Finding{}
			read := map[string]*inspect.Row{}
			for region, e := range c.entries {
				read[region] = readAs(e)
			}
			f.decide(c.entries, read)
			if f.Kind != c.kind || f.Winner != c.winner || fmt.Sprint(f.Wrong) != fmt.Sprint(c.wrong) {
				t.Errorf("%s, %q wins, %v are wrong; want %s, %q, %v", f.Kind, f.Winner, f.Wrong, c.kind, c.winner, c.wrong)
			}
		})
	}
}
