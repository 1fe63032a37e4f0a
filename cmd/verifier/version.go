package main

import "meridian/internal/command"

type versionCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Help adds the example.
func (versionCommand) Help() string { return "Example:\n\n  verifier version --json" }

// Run implements the command.
func (v *versionCommand) Run(p *command.Process) error { return p.PrintVersion(v.JSON) }
