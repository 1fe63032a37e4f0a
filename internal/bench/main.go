// Command bench measures Meridian on real servers beside MySQL's own replica, both in one run, and prints a table: what was
// aimed at, what was measured, and what was missed.
//
// In the flow it stands outside: it starts three MySQL servers (regions A and B, and C, a replica of A), a Kafka, and the
// syncers of A and B as processes of their own, and looks at them from outside: by SELECT, over HTTP, in /proc (Linux).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	names := flags.String("phases", strings.Join(phaseNames(), ","), "what to measure")
	o := options{stdout: os.Stdout, stderr: os.Stderr}
	flags.Float64Var(&o.scale, "scale", 1, "how much of each load: 0.1 is a tenth of the rows and of the time")
	flags.DurationVar(&o.poll, "poll", time.Millisecond, "how often B and C are asked for new rows")
	flags.DurationVar(&o.deadline, "deadline", 6*time.Minute, "how long each phase may take")
	flags.IntVar(&o.partitions, "partitions", 4, "the configuration's bus.partitions")
	flags.StringVar(&o.syncer, "syncer", "", "the syncer program (none: it is built)")
	flags.StringVar(&o.profiles, "profiles", "", "a folder that gets CPU profiles of the syncers")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if o.scale <= 0 || o.scale > 100 {
		return fmt.Errorf("-scale %v: more than 0 and at most 100", o.scale)
	}
	if o.poll <= 0 || o.deadline <= 0 {
		return errors.New("-poll and -deadline: more than 0")
	}
	for name := range strings.SplitSeq(*names, ",") {
		if !slices.Contains(phaseNames(), name) {
			return fmt.Errorf("-phases %q: there are %s", name, strings.Join(phaseNames(), ", "))
		}
		o.phases = append(o.phases, name)
	}
	return run(ctx, o)
}
