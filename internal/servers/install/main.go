// Command install gets the servers that Meridian is tried and tested on into the cache: all of them,
// and a C compiler for the race detector, or the servers that are named (`go run ./internal/servers/install mysql kafka`). What is there already
// stays as it is. `make servers` calls it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"meridian/internal/servers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1) //nolint:gocritic // exitAfterDefer: stop was called just above
	}
}

// run installs each kind, whether or not another could be had, and reports all that failed.
func run(ctx context.Context, names []string, out io.Writer) error {
	kinds, all := servers.Kinds(), len(names) == 0
	if !all {
		kinds = kinds[:0]
		for _, name := range names {
			kind, err := servers.ParseKind(name)
			if err != nil {
				return err
			}
			kinds = append(kinds, kind)
		}
	}
	cache, err := servers.CacheDirectory()
	if err != nil {
		return err
	}
	installer := &servers.Installer{Cache: cache, Log: out}
	var failed error
	if all {
		failed = installer.Compiler(ctx)
	}
	for _, kind := range kinds {
		program, err := installer.Install(ctx, kind)
		if err == nil {
			_, err = fmt.Fprintf(out, "%-14s %-9s %s\n", kind, program.Version, program.Path)
		}
		failed = errors.Join(failed, err)
	}
	return failed
}
