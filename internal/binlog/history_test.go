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
