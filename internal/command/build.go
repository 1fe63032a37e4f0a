package command

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// version and commit are set by `make build`: -ldflags "-X meridian/internal/command.version=v1.2.3 -X …commit=0be03df".
var version, commit string

// Build is what this binary was made from.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"` // "unknown" where the build had no repository, with "-dirty" if it had uncommitted changes
	Go      string `json:"go"`
}

// ThisBuild tells what the running binary was made from.
func ThisBuild() Build {
	b := Build{Version: version, Commit: "unknown", Go: runtime.Version()}
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

// PrintVersion is what a program's `version` does.
func (p *Process) PrintVersion(asJSON bool) error {
	b := ThisBuild()
	if asJSON {
		return p.PrintJSON(b)
	}
	return p.Print(fmt.Sprintf("%s %s, commit %s, %s\n", p.Program, b.Version, b.Commit, b.Go))
}

// NewRegistry makes a process's metrics, with those of the build, of Go and of the operating system in it.
func NewRegistry() *prometheus.Registry {
	registry, b := prometheus.NewRegistry(), ThisBuild()
	info := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "meridian", Name: "build_info", Help: "What is running; always 1.",
		ConstLabels: prometheus.Labels{"version": b.Version, "commit": b.Commit, "goversion": b.Go}})
	info.Set(1)
	registry.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}
