package servers

import "syscall"

// dieWithParent makes the kernel end the server when the process that started it dies, however it
// dies (prctl(2), PR_SET_PDEATHSIG). A group of its own keeps a Ctrl-C on the terminal from it: the
// one who started it stops it, in order.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
