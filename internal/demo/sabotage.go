package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// What never passes the binlog is seen by nobody who reads it: the demo changes rows like that, and shows how Meridian finds them,
// proves them, explains one, and repairs them. It runs the verifier's commands as a person would.

// sabotage is what is done behind Meridian's back, in one region: a row is changed, one deleted, one added.
const sabotage = `SET sql_log_bin=0;
UPDATE shop.orders SET total = total + 1000, note = 'by nobody' ORDER BY id LIMIT 1;
DELETE FROM shop.order_items ORDER BY order_id, line LIMIT 1;
INSERT INTO shop.prices VALUES ('SKU-99', 0.01, 'nowhere', '2000-01-01');
SET sql_log_bin=1`

// sabotaged is how many rows that is.
const sabotaged = 3

const (
	exitFound = 3 // what the verifier's commands exit with when they have found something
	mendTime  = 90 * time.Second
)

// mend shows what was done behind Meridian's back being found and repaired.
func (d *demo) mend(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, mendTime, errors.New("finding and repairing took too long")) //nolint:err113 // it is only told
	defer cancel()
	victim := d.regions[1]
	d.story.enter("sabotage")
	d.screen.say("changing a row, deleting one and adding one in %s alone, behind Meridian's back (sql_log_bin=0)", victim.name)
	var changed uint64
	err := victim.db.QueryRowContext(ctx, "SELECT MIN(id) FROM shop.orders").Scan(&changed)
	if err == nil {
		_, err = victim.db.ExecContext(ctx, sabotage)
	}
	if err != nil {
		return fmt.Errorf("changing rows behind Meridian's back in %s: %w", victim.name, err)
	}
	fmt.Fprintf(&d.mended, "\nBehind Meridian's back (sql_log_bin=0) a row was changed, one deleted and one added in %s.\n", victim.name)
	for _, step := range []struct {
		stage string
		want  int // the exit code
		args  []string
	}{
		{"reading the rows again", exitFound, []string{"scrub"}},
		{"comparing", exitFound, []string{"compare", "--rows"}},
		{"explaining", exitFound, []string{"explain", "shop.orders", fmt.Sprint(changed)}},
		{"repairing", 0, []string{"repair"}},
		{"comparing again", 0, []string{"compare"}},
	} {
		d.story.enter(step.stage)
		if err := d.verify(ctx, step.want, step.args); err != nil {
			return err
		}
	}
	d.screen.say("found, proven, explained and repaired: %d rows that no binlog knows of", sabotaged)
	return nil
}

// verify runs a command of the verifier, and keeps what it prints for the report.
func (d *demo) verify(ctx context.Context, want int, args []string) error {
	fmt.Fprintf(&d.mended, "\n$ verifier %s\n\n", strings.Join(args, " "))
	argv := append(append([]string{}, args...), "--config", d.regions[0].config, "--log-level", "error")
	command := exec.CommandContext(ctx, d.options.Verifier, argv...) //nolint:gosec // our own program, with our own arguments
	command.Env = environment()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("verifier %s: %w%s", strings.Join(args, " "), context.Cause(ctx), d.said(&stdout, &stderr))
	}
	code := 0
	var failed *exec.ExitError
	switch {
	case errors.As(err, &failed):
		code = failed.ExitCode()
	case err != nil:
		return fmt.Errorf("verifier %s: %w (it is built beside syncer by `make build`)", strings.Join(args, " "), err)
	}
	d.mended.Write(stdout.Bytes())
	if code != want {
		return fmt.Errorf("verifier %s: exit status %d, not %d%s", strings.Join(args, " "), code, want, d.said(&stdout, &stderr)) //nolint:err113 // it is only told
	}
	return nil
}

func (d *demo) said(out ...*bytes.Buffer) string {
	text := ""
	for _, o := range out {
		if s := strings.TrimSpace(o.String()); s != "" {
			text += "\n" + s
		}
	}
	return text
}
