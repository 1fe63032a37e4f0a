package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version and commit are set by `make build`: -ldflags "-X main.version=v1.2.3 -X main.commit=0be03df".
var version, commit string

// build is what this binary was made from.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"` // "unknown" where the build had no repository, with "-dirty" if it had uncommitted changes
	Go      string `json:"go"`
}

func thisBuild() build {
	b := build{Version: version, Commit: "unknown", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	dirty := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			dirty = s.Value == "true"
		}
	}
	if dirty {
		b.Commit += "-dirty"
	}
	if commit != "" {
		b.Commit = commit
	}
	return b
}

type versionCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Help adds the example.
func (versionCommand) Help() string { return "Example:\n\n  syncer version --json" }

// Run implements the command.
func (v *versionCommand) Run(p *process) error {
	b := thisBuild()
	if v.JSON {
		return p.printJSON(b)
	}
	return p.print(fmt.Sprintf("syncer %s, commit %s, %s\n", b.Version, b.Commit, b.Go))
}
