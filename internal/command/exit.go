package command

import (
	"errors"
	"fmt"
	"io"

	"meridian/internal/config"
)

// The exit codes, the same for all of Meridian's commands.
const (
	ExitOK     = 0 // done, and all is well
	ExitFailed = 1 // it failed
	ExitUsage  = 2 // wrong usage or configuration
	ExitFound  = 3 // done, and what was looked for was found
)

// UsageError is returned for a command line that makes no sense.
type UsageError struct{ Text string }

// Error implements error.
func (e *UsageError) Error() string { return e.Text }

// ErrFound is returned by a command that has found, and reported, what it was looking for.
var ErrFound = errors.New("found")

// ErrReported is returned by a command that failed and has already told so in its report.
var ErrReported = errors.New("failed, as reported")

// ExitCode tells people why a program's command failed, and the shell that it did.
func ExitCode(program string, err error, stderr io.Writer) int {
	var usage *UsageError
	var faults *config.Error
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, ErrFound):
		return ExitFound
	case errors.Is(err, ErrReported):
		return ExitFailed
	case errors.As(err, &faults):
		_, _ = fmt.Fprintln(stderr, faults) // nobody is left to tell that stderr is gone
		return ExitUsage
	case errors.As(err, &usage):
		_, _ = fmt.Fprintln(stderr, program+":", usage)
		return ExitUsage
	default:
		_, _ = fmt.Fprintln(stderr, program+":", err)
		return ExitFailed
	}
}
