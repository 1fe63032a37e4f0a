package main

import (
	"context"
	"errors"
)

// runDemo shows Meridian at work on this machine.
func runDemo(context.Context, *process, demoOptions) error {
	return errors.New("demo is not built into this binary yet")
}
