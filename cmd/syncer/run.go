package main

import (
	"context"
	"errors"
)

// runSyncer runs one region's process until the context ends.
func runSyncer(context.Context, *process, runOptions) error {
	return errors.New("run is not built into this binary yet")
}
