package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"meridian/internal/console"
)

// screen shows how things go: on a terminal a table that is drawn again in its place, with what is said above it; elsewhere
// a line for each thing said, and now and then one for each of the table's rows.
type screen struct {
	out    io.Writer
	began  time.Time
	live   bool // a terminal
	colors bool

	mu    sync.Mutex
	drawn int       // lines of the table that stands at the bottom
	lined time.Time // when the table was last written as lines
}

func newScreen(out io.Writer) *screen {
	return &screen{out: out, began: time.Now(), live: console.IsTerminal(out), colors: console.Colors(out)}
}

// say writes a line. What becomes of it is nobody's concern: the report goes elsewhere.
func (s *screen) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	_, _ = fmt.Fprintf(s.out, "%5.1fs  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// Write implements io.Writer for those who report in lines of their own.
func (s *screen) Write(text []byte) (int, error) {
	for line := range strings.Lines(string(text)) {
		s.say("%s", strings.TrimRight(line, "\n"))
	}
	return len(text), nil
}

// erase removes the table; the next one is drawn below what is written then. mu is held.
func (s *screen) erase() {
	if s.drawn > 0 {
		_, _ = fmt.Fprintf(s.out, "\x1b[%dF\x1b[J", s.drawn)
		s.drawn = 0
	}
}

// clear takes the table away.
func (s *screen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
}

// due lets the next table be written where there is no terminal, however short ago the last one was.
func (s *screen) due() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lined = time.Time{}
}

// lineEvery is how often a table becomes a line where there is no terminal.
const lineEvery = 3 * time.Second

// draw shows the table under a title.
func (s *screen) draw(title string, t *console.Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.live {
		if now := time.Now(); now.Sub(s.lined) >= lineEvery {
			s.lined = now
			for _, cells := range t.Rows {
				_, _ = fmt.Fprintf(s.out, "%5.1fs  %s  %s\n", now.Sub(s.began).Seconds(), title, asLine(t.Header, cells))
			}
		}
		return
	}
	var text strings.Builder
	fmt.Fprintf(&text, "\n%s\n", console.Paint(title, console.Bold, s.colors))
	fit(t, console.Width(s.out))
	_ = t.Write(&text, s.colors) // a Builder takes everything
	s.erase()
	_, _ = io.WriteString(s.out, text.String())
	s.drawn = strings.Count(text.String(), "\n")
}

// asLine is a row of the table in a line of its own.
func asLine(header []string, cells []console.Cell) string {
	var words []string
	for i, c := range cells {
		switch {
		case c.Text == "" || c.Text == "-":
		case i == 0 || i == len(cells)-1:
			words = append(words, c.Text)
		default:
			words = append(words, strings.ToLower(header[i])+"="+c.Text)
		}
	}
	return strings.Join(words, " ")
}

// fit shortens the last column so that no line of the table is wider than the terminal: a line that is broken in two could
// not be drawn over.
func fit(t *console.Table, width int) {
	if width <= 0 {
		return
	}
	last := len(t.Header) - 1
	for i := range last {
		widest := utf8.RuneCountInString(t.Header[i])
		for _, cells := range t.Rows {
			widest = max(widest, utf8.RuneCountInString(cells[i].Text))
		}
		width -= widest + 2
	}
	width = max(width-1, 0)
	for _, cells := range t.Rows {
		cells[last].Text = cut(cells[last].Text, width)
	}
}

// cut is the text, or as much of it as fits.
func cut(text string, width int) string {
	if letters := []rune(text); len(letters) > width {
		return string(letters[:width])
	}
	return text
}
