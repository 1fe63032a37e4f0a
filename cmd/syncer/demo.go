package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"meridian/internal/command"
	"meridian/internal/demo"
)

// runDemo shows Meridian at work on this machine, with this very program.
func runDemo(ctx context.Context, p *command.Process, o demoOptions) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find out where this program is, to run it once for each region: %w", err)
	}
	err = demo.Run(ctx, demo.Options{
		Syncer: self, Verifier: filepath.Join(filepath.Dir(self), "verifier"), Regions: o.Regions, Duration: o.Duration, Mysqld: o.Mysqld, Keep: o.Keep, Stdout: p.Stdout, Stderr: p.Stderr,
	})
	if errors.Is(err, demo.ErrNotEqual) {
		return fmt.Errorf("%w: the report above says which", err)
	}
	return err
}
