package demo

import "syscall"

// ownGroup keeps a Ctrl-C on the terminal from the process (whoever started it stops it, in order), and lets the kernel end
// it when the thread that started it is gone (prctl(2), PR_SET_PDEATHSIG).
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
