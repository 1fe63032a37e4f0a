// Package console is what our commands have in common towards the people who run them: loggers on standard error, tables
// on standard output, colours where there is a terminal.
//
// In the flow it stands at the very edge: only cmd and what `syncer demo` shows import it, and nothing
// of it decides anything.
package console

import (
	"fmt"
	"io"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

// Format is how log lines look.
type Format string

// The formats. An empty one is Lines on a terminal and JSON elsewhere.
const (
	JSON  Format = "json"
	Lines Format = "console"
)

// NewLogger makes a logger that writes every line to w: nothing is sampled, for a line that is missing when a conflict is
// looked into is worse than a long log. Level is zap's name of one: debug, info, warn, error.
func NewLogger(w io.Writer, format Format, level string) (*zap.Logger, error) {
	threshold, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("log level %q: %w", level, err)
	}
	if format == "" {
		format = JSON
		if IsTerminal(w) {
			format = Lines
		}
	}
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	config.EncodeDuration = zapcore.SecondsDurationEncoder
	config.TimeKey = "time"
	encoder := zapcore.NewJSONEncoder(config)
	if format == Lines {
		config.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		config.EncodeDuration = zapcore.StringDurationEncoder
		config.EncodeLevel = zapcore.CapitalLevelEncoder
		if Colors(w) {
			config.EncodeLevel = zapcore.CapitalColorLevelEncoder
		}
		encoder = zapcore.NewConsoleEncoder(config)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), threshold)), nil
}

// IsTerminal tells whether a person reads what is written to w.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Colors tells whether colours may be written to w: a terminal, unless NO_COLOR (https://no-color.org) forbids them.
func Colors(w io.Writer) bool { return IsTerminal(w) && os.Getenv("NO_COLOR") == "" }

// Width gives the terminal's columns, 0 if w is no terminal.
func Width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}
