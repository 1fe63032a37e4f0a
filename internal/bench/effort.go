package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// effort is what a load costs: the processor time of each process that has a part in it, and B's apply transactions. On a
// machine with few cores it is what the latencies are made of, and it hardly depends on what else the machine does.
type effort struct {
	names   []string // of the processes, in the order of the flow
	spent   []time.Duration
	machine time.Duration // all processors, whoever used them; 0 if it is not known
	applied int           // transactions that B has committed
}

// effort looks at what has been spent so far.
func (b *bench) effort(ctx context.Context) (e effort, err error) {
	for _, p := range []struct {
		name string
		pid  int
	}{
		{"database a", b.a.server.PID()}, {"syncer a", b.sa.pid()}, {"kafka", b.kafka.PID()}, {"syncer b", b.sb.pid()},
		{"database b", b.b.server.PID()}, {"database c", b.c.server.PID()}, {"the measurement", os.Getpid()},
	} {
		e.names = append(e.names, p.name)
		e.spent = append(e.spent, processorTime(p.pid))
	}
	e.machine = busyTime()
	e.applied, err = b.b.status(ctx, "Com_commit")
	return e, err
}

// since is what has been spent from an earlier look on.
func (e effort) since(before effort) effort {
	d := effort{names: e.names, machine: e.machine - before.machine, applied: e.applied - before.applied}
	for i := range e.spent {
		d.spent = append(d.spent, e.spent[i]-before.spent[i])
	}
	return d
}

// text tells it, for n transactions in so long a time.
func (e effort) text(n int, took time.Duration) string {
	var list []string
	sum := time.Duration(0)
	for i, name := range e.names {
		sum += e.spent[i]
		list = append(list, fmt.Sprintf("%s %.2f", name, perTransaction(e.spent[i], n)))
	}
	cores := took.Seconds() * float64(runtime.NumCPU())
	return fmt.Sprintf("%.2f ms of processor time a transaction (%s), %.0f %% of the machine; others took %.0f %%; %d apply transactions, %.1f rows each",
		perTransaction(sum, n), strings.Join(list, ", "), 100*sum.Seconds()/cores, 100*max(e.machine-sum, 0).Seconds()/cores,
		e.applied, float64(n)/float64(max(e.applied, 1)))
}

func perTransaction(d time.Duration, n int) float64 { return d.Seconds() * 1000 / float64(max(n, 1)) }

// tick is the unit in which the kernel tells processor times (proc(5): USER_HZ is 100 wherever Linux runs).
const tick = 10 * time.Millisecond

// processorTime is what a process has spent so far (proc(5), stat: utime and stime); 0 if it cannot be had.
func processorTime(pid int) time.Duration {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	const user, system = 11, 12 // after the name, which is in parentheses
	return ticks(strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])), user, system)
}

// busyTime is what all processors have been busy so far (proc(5), stat: all but idle, iowait, steal and the guests').
func busyTime() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	const user, nice, system, irq, softirq = 1, 2, 3, 6, 7
	return ticks(strings.Fields(line), user, nice, system, irq, softirq)
}

func ticks(fields []string, at ...int) time.Duration {
	sum := 0
	for _, i := range at {
		if i >= len(fields) {
			return 0
		}
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			return 0
		}
		sum += n
	}
	return time.Duration(sum) * tick
}

// status is one of the server's counters.
func (d *database) status(ctx context.Context, name string) (n int, err error) {
	if err = d.db.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE '"+name+"'").Scan(&name, &n); err != nil {
		err = fmt.Errorf("database %s: its status %s: %w", d.name, name, err)
	}
	return n, err
}
