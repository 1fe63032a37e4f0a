// Command syncer is one region's process: it captures the region's writes, publishes them, applies those of the other
// regions and keeps the region's cache. Its other commands check, show and demonstrate that.
package main

import (
	"context"
	"os"

	"meridian/internal/command"
)

func main() {
	err := run(command.UntilSignal(context.Background()), os.Args[1:], os.Stdout, os.Stderr)
	os.Exit(command.ExitCode("syncer", err, os.Stderr))
}
