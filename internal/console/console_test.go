package console

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

func TestTable_AlignsColumnsAndLeavesNoTrailingBlanks(t *testing.T) {
	table := Table{Header: []string{"region", "lag", "note"}}
	table.Add(Text("us-east-1"), Number(7), Text(""))
	table.Add(Text("zürich"), Number(1234), Cell{Text: "slow", Color: Red})
	var out bytes.Buffer
	if err := table.Write(&out, false); err != nil {
		t.Fatal(err)
	}
	want := "region      lag  note\nus-east-1     7\nzürich     1234  slow\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	out.Reset()
	if err := table.Write(&out, true); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "\x1b[31mslow\x1b[0m\n") {
		t.Errorf("no red in %q", out.String())
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{
		{"one two three", 7, "one two|three"},
		{"one two three", 0, "one two three"},
		{"incomprehensibilities are", 5, "incomprehensibilities|are"},
		{"", 5, ""},
		{"äöü äöü", 7, "äöü äöü"},
	} {
		if got := strings.Join(Wrap(c.text, c.width), "|"); got != c.want {
			t.Errorf("Wrap(%q, %d) = %q, want %q", c.text, c.width, got, c.want)
		}
	}
}

func TestNewLogger_WritesEveryLineInTheFormat(t *testing.T) {
	var out bytes.Buffer
	logger, err := NewLogger(&out, "", "warn")
	if err != nil {
		t.Fatal(err)
	}
	for range 500 { // production sampling would drop most of them
		logger.Warn("conflict", zap.Duration("lag", 1500*time.Millisecond))
	}
	logger.Info("unheard")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 500 {
		t.Fatalf("%d lines of 500", len(lines))
	}
	var line struct {
		Level, Msg, Time string
		Lag              float64
	}
	if err = json.Unmarshal([]byte(lines[0]), &line); err != nil || line.Level != "warn" || line.Msg != "conflict" || line.Lag != 1.5 {
		t.Errorf("%v in %s", err, lines[0])
	}
	if _, err = time.Parse(time.RFC3339Nano, line.Time); err != nil {
		t.Error(err)
	}
	out.Reset()
	if logger, err = NewLogger(&out, Lines, "debug"); err != nil {
		t.Fatal(err)
	}
	logger.Debug("begun", zap.Duration("in", 1500*time.Millisecond))
	if got := out.String(); !strings.Contains(got, "DEBUG\tbegun\t{\"in\": \"1.5s\"}") || strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
	if _, err = NewLogger(&out, JSON, "loud"); err == nil {
		t.Error("an unknown level was accepted")
	}
}
