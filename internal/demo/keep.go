package demo

import (
	"context"
	"fmt"
	"strings"

	"meridian/internal/servers"
)

// keep says how to reach what is running and waits until it is told to end, or something ends.
func (d *demo) keep(ctx context.Context) error {
	var out strings.Builder
	out.WriteString("\nAll of it runs on until Ctrl-C. Write in any region and look in the others:\n\n")
	width := widestName(d.regions)
	for _, r := range d.regions {
		host, port, _ := strings.Cut(r.database.Address(), ":")
		fmt.Fprintf(&out, "  %-*s  mysql --host=%s --port=%s --user=%s --password=%s %s\n", width, r.name, host, port, servers.User, servers.Password, schema)
	}
	out.WriteString("\nWhat the syncers say (also /readyz, /metrics):\n\n")
	for _, r := range d.regions {
		fmt.Fprintf(&out, "  %-*s  http://%s/v1/status\n", width, r.name, r.admin.Address())
	}
	fmt.Fprintf(&out, "\n  %s status --config %s --watch\n  %s compare --config %s\n\nTheir logs:\n\n",
		d.options.Syncer, d.regions[0].config, d.options.Verifier, d.regions[0].config)
	for _, r := range d.regions {
		fmt.Fprintf(&out, "  %s\n", r.logPath())
	}
	if _, err := fmt.Fprint(d.options.Stdout, out.String()); err != nil {
		return fmt.Errorf("write how to connect: %w", err)
	}
	d.story.enter("running, until Ctrl-C")
	<-ctx.Done()
	return nil
}
