package console

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Color is how a word stands out on a terminal; the zero Color is plain.
type Color string

// The colours, as SGR codes.
const (
	Plain  Color = ""
	Red    Color = "31"
	Green  Color = "32"
	Yellow Color = "33"
	Bold   Color = "1"
	Dim    Color = "2"
)

// Paint gives text in a colour if colors is true.
func Paint(text string, c Color, colors bool) string {
	if !colors || c == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// Cell is one field of a table.
type Cell struct {
	Text  string
	Color Color
	Right bool // numbers
}

// Text makes a plain cell.
func Text(s string) Cell { return Cell{Text: s} }

// Number makes a cell that is aligned to the right.
func Number(v any) Cell { return Cell{Text: fmt.Sprint(v), Right: true} }

// Table is rows under a header, written with each column as wide as its widest cell.
type Table struct {
	Header []string
	Rows   [][]Cell
}

// Add appends a row.
func (t *Table) Add(cells ...Cell) { t.Rows = append(t.Rows, cells) }

// Write writes the table to w, two blanks between columns and none at the ends of lines.
func (t *Table) Write(w io.Writer, colors bool) error {
	header := make([]Cell, len(t.Header))
	for i, h := range t.Header {
		header[i] = Cell{Text: h, Color: Bold}
		if len(t.Rows) > 0 && i < len(t.Rows[0]) {
			header[i].Right = t.Rows[0][i].Right
		}
	}
	lines := append([][]Cell{header}, t.Rows...)
	widths := make([]int, len(t.Header))
	for _, line := range lines {
		for i, c := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.Text))
		}
	}
	var out strings.Builder
	for _, line := range lines {
		writeLine(&out, line, widths, colors)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func writeLine(out *strings.Builder, line []Cell, widths []int, colors bool) {
	gap := ""
	for i, c := range line {
		padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.Text))
		text := Paint(c.Text, c.Color, colors)
		if c.Right {
			text, padding = padding+text, ""
		}
		if text != "" {
			out.WriteString(gap + text)
			gap = ""
		}
		gap += padding + "  "
	}
	out.WriteByte('\n')
}

// Wrap breaks text into lines of at most width runes at blanks; a longer word stays whole. Width 0 breaks nothing.
func Wrap(text string, width int) []string {
	if width <= 0 {
		return []string{text}
	}
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}
