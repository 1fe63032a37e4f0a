package demo

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"meridian/internal/console"
)

func TestStatus_IncludesWhatWasCommittedBefore(t *testing.T) {
	moment := time.Now()
	// status of a region asked 2 s after the moment.
	of := func(change func(*status)) *status {
		s := &status{Ready: true, asked: moment.Add(2 * time.Second)}
		s.Capture.LagSeconds = 0.5
		s.Sources = append(s.Sources, struct {
			Source     string  `json:"source"`
			LagSeconds float64 `json:"lag_seconds"`
			Applied    uint64  `json:"applied"`
			Lost       uint64  `json:"lost"`
			Error      string  `json:"error"`
		}{Source: "eu-west-1", LagSeconds: 1})
		change(s)
		return s
	}
	for name, c := range map[string]struct {
		change func(*status)
		want   bool
	}{
		"all is here":                    {func(*status) {}, true},
		"not ready":                      {func(s *status) { s.Ready = false }, false},
		"no answer":                      {func(s *status) { s.err = errors.New("refused") }, false},
		"a source is behind":             {func(s *status) { s.Sources[0].LagSeconds = 2.5 }, false},
		"a source was not heard":         {func(s *status) { s.Sources[0].LagSeconds = -1 }, false},
		"capture is behind":              {func(s *status) { s.Capture.LagSeconds = 2.5 }, false},
		"some waits to be published":     {func(s *status) { s.Capture.PendingBytes = 1 }, false},
		"asked before it could be known": {func(s *status) { s.asked = moment.Add(-time.Second) }, false},
	} {
		if got := of(c.change).includes(moment); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestAddRow_TellsDifferentRowsApart(t *testing.T) {
	columns := []string{"a", "b"}
	seen := map[string]string{}
	for name, row := range map[string][]sql.RawBytes{
		"ab, c":          {[]byte("ab"), []byte("c")},
		"a, bc":          {[]byte("a"), []byte("bc")},
		"NULL, empty":    {nil, {}},
		"empty, NULL":    {{}, nil},
		"both NULL":      {nil, nil},
		"the word NULL":  {[]byte("NULL"), nil},
		"text of a NULL": {[]byte(" NULL;"), nil},
	} {
		sum := sha256.New()
		addRow(sum, columns, row)
		if other, twice := seen[string(sum.Sum(nil))]; twice {
			t.Errorf("%q and %q have the same checksum", name, other)
		}
		seen[string(sum.Sum(nil))] = name
	}
}

func TestDelays_Quantile(t *testing.T) {
	inf := func() float64 { var zero float64; return 1 / zero }()
	for name, c := range map[string]struct {
		d     delays
		share float64
		want  time.Duration
		ok    bool
	}{
		"nothing":             {delays{}, 0.5, 0, false},
		"none yet":            {delays{0.1: 0, inf: 0}, 0.5, 0, false},
		"spread in a bucket":  {delays{0.1: 0, 0.2: 10, inf: 10}, 0.5, 150 * time.Millisecond, true},
		"in the first bucket": {delays{0.1: 100, 0.2: 100, inf: 100}, 0.99, 99 * time.Millisecond, true},
		"beyond the bounds":   {delays{0.1: 1, inf: 100}, 0.5, 0, false},
	} {
		got, ok := c.d.quantile(c.share)
		if ok != c.ok || (got-c.want).Abs() > time.Microsecond {
			t.Errorf("%s: %v %v, want %v %v", name, got, ok, c.want, c.ok)
		}
	}
}

func TestScreen_WritesLinesWhereThereIsNoTerminal(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out)
	table := func() *console.Table {
		table := &console.Table{Header: []string{"REGION", "ROWS", "LAG", "STATE"}}
		table.Add(console.Text("us-east-1"), console.Number(7), console.Text("-"), console.Text("ready"))
		return table
	}
	s.draw("writing", table())
	s.draw("writing", table()) // too soon after the other
	s.say("the line is %s", "cut")
	s.due()
	s.draw("cut", table())
	s.clear()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || !strings.HasSuffix(lines[0], "writing  us-east-1 rows=7 ready") || !strings.HasSuffix(lines[1], "the line is cut") ||
		!strings.HasSuffix(lines[2], "cut  us-east-1 rows=7 ready") {
		t.Errorf("%q", lines)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("there is no terminal to control: %q", out.String())
	}
}

func TestScreen_DrawsOverItsTableOnATerminal(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out)
	s.live = true
	table := &console.Table{Header: []string{"REGION", "STATE"}}
	table.Add(console.Text("us-east-1"), console.Text("ready"))
	s.draw("writing", table)
	s.say("cut")
	if want := "\x1b[4F\x1b[J"; strings.Count(out.String(), want) != 1 || strings.Index(out.String(), want) > strings.Index(out.String(), "cut") {
		t.Errorf("four lines are to be taken back before something is said: %q", out.String())
	}
	s.clear()
	if strings.Count(out.String(), "\x1b[J") != 1 {
		t.Errorf("there was nothing more to take back: %q", out.String())
	}
}

func TestFit_ShortensTheLastColumnToTheTerminal(t *testing.T) {
	table := &console.Table{Header: []string{"REGION", "STATE"}}
	table.Add(console.Text("us-east-1"), console.Text("source eu-west-1: connection refused"))
	fit(table, 20)
	var out strings.Builder
	if err := table.Write(&out, false); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if len(strings.TrimSuffix(line, "\n")) > 20 {
			t.Errorf("%q is wider than the terminal", line)
		}
	}
}
