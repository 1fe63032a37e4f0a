package binlog_test

import (
	"testing"

	"meridian/internal/binlog"
)

func TestHistory_ContainsAndCommon(t *testing.T) {
	const a, b = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
	for _, tc := range []struct {
		name        string
		maria       bool
		one, other  string
		common      string
		in, missing string
	}{
		{"MySQL", false, a + ":1-10," + b + ":5", a + ":1-7", a + ":1-7", a + ":7", a + ":8"},
		{"MySQL with a tag", false, a + ":x:1-3", a + ":x:2-9", a + ":x:2-3", a + ":x:2", a + ":2"},
		{"MariaDB", true, "0-1-100,1-2-5", "0-3-90", "0-3-90", "0-1-90", "0-1-91"},
		{"nothing in common", true, "0-1-100", "1-1-100", "", "", "0-1-1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			one, err := binlog.ParseHistory(tc.one, tc.maria)
			if err != nil {
				t.Fatal(err)
			}
			other, err := binlog.ParseHistory(tc.other, tc.maria)
			if err != nil {
				t.Fatal(err)
			}
			c := one.Common(other)
			if c.String() != tc.common {
				t.Errorf("common is %q, want %q", c, tc.common)
			}
			if tc.in != "" && !c.Contains(tc.in) || c.Contains(tc.missing) || c.Contains("garbage") {
				t.Errorf("%q: contains %q: %v, %q: %v", c, tc.in, c.Contains(tc.in), tc.missing, c.Contains(tc.missing))
			}
		})
	}
}

func TestHistory_SinceNamesWhatLiesBetween(t *testing.T) {
	const a, b = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"
	for _, c := range []struct {
		now, then string
		isMaria   bool
		want      string
	}{
		{a + ":1-9," + b + ":1-3", a + ":1-5:7", false, a + ":6:8-9," + b + ":1-3"},
		{a + ":1-9", a + ":1-9", false, ""},
		{"0-1-100,1-2-5,2-2-7", "0-3-90,2-2-7", true, "after 0-3-90 up to 0-1-100, up to 1-2-5"},
	} {
		now, err := binlog.ParseHistory(c.now, c.isMaria)
		if err != nil {
			t.Fatal(err)
		}
		then, err := binlog.ParseHistory(c.then, c.isMaria)
		if err != nil {
			t.Fatal(err)
		}
		if got := now.Since(then); got != c.want {
			t.Errorf("%s since %s is %q, want %q", c.now, c.then, got, c.want)
		}
	}
}

func TestHistory_PlusIsWhatIsInEither(t *testing.T) {
	const a, b = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"
	for _, c := range []struct {
		one, other string
		isMaria    bool
		want       string
	}{
		{a + ":1-5:9", a + ":4-7," + b + ":1", false, a + ":1-7:9," + b + ":1"},
		{"", a + ":1-3", false, a + ":1-3"},
		{"0-1-100,1-2-5", "0-3-90,2-2-7", true, "0-1-100,1-2-5,2-2-7"},
		{"0-3-90", "0-1-100", true, "0-1-100"},
	} {
		one, err := binlog.ParseHistory(c.one, c.isMaria)
		if err != nil {
			t.Fatal(err)
		}
		other, err := binlog.ParseHistory(c.other, c.isMaria)
		if err != nil {
			t.Fatal(err)
		}
		if got := one.Plus(other).String(); got != c.want {
			t.Errorf("%s plus %s is %s, want %s", c.one, c.other, got, c.want)
		}
	}
}
