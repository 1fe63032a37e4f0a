package servers

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// dieWithParent makes the kernel end the server when the process that started it dies, however it
// dies (prctl(2), PR_SET_PDEATHSIG). A group of its own keeps a Ctrl-C on the terminal from it: the
// one who started it stops it, in order.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// awaitStopped returns when every thread of the child has stopped after a SIGSTOP, or it has ended:
// the signal takes effect some time after it was sent. The child stays to be waited for.
func awaitStopped(pid int) error {
	err := ignoringEINTR(func() error {
		return unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
	})
	if err != nil {
		return fmt.Errorf("waiting for process %d to stop: %w", pid, err)
	}
	return nil
}
