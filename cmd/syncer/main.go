// Command syncer is one region's process: it captures the region's writes, publishes them, applies those of the other
// regions and keeps the region's cache. Its other commands check, show and demonstrate that.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"meridian/internal/config"
)

func main() {
	os.Exit(exitCode(run(untilSignal(context.Background()), os.Args[1:], os.Stdout, os.Stderr), os.Stderr))
}

// untilSignal gives a context that the first SIGINT or SIGTERM ends: it asks for an orderly end. By the time the context has
// ended signals have their usual effect again, so that a second one ends the process at once.
func untilSignal(ctx context.Context) context.Context {
	ctx, end := context.WithCancel(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Reset(os.Interrupt, syscall.SIGTERM)
		end()
	}()
	return ctx
}

// The exit codes, the same for all of Meridian's commands.
const (
	exitOK     = 0 // done, and all is well
	exitFailed = 1 // it failed
	exitUsage  = 2 // wrong usage or configuration
	exitFound  = 3 // done, and what was looked for was found
)

// usageError is returned for a command line that makes no sense.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// errFound is returned by a command that has found, and reported, what it was looking for.
var errFound = errors.New("found")

// errReported is returned by a command that failed and has already told so in its report.
var errReported = errors.New("failed, as reported")

// exitCode tells people why a command failed, and the shell that it did.
func exitCode(err error, stderr io.Writer) int {
	var usage *usageError
	var faults *config.Error
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errFound):
		return exitFound
	case errors.Is(err, errReported):
		return exitFailed
	case errors.As(err, &faults):
		_, _ = fmt.Fprintln(stderr, faults) // nobody is left to tell that stderr is gone
		return exitUsage
	case errors.As(err, &usage):
		_, _ = fmt.Fprintln(stderr, "syncer:", usage)
		return exitUsage
	default:
		_, _ = fmt.Fprintln(stderr, "syncer:", err)
		return exitFailed
	}
}
