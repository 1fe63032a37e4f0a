package main

import "syscall"

// dieWithParent keeps a Ctrl-C on the terminal from the process (whoever started it stops it), and lets the kernel end it
// when the thread that started it is gone (prctl(2), PR_SET_PDEATHSIG).
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
