// Command verifier stands outside of the regions: it compares what they hold, proves what differs, and keeps a record of it.
package main

import (
	"context"
	"os"

	"meridian/internal/command"
)

func main() {
	err := run(command.UntilSignal(context.Background()), os.Args[1:], os.Stdout, os.Stderr)
	os.Exit(command.ExitCode("verifier", err, os.Stderr))
}
