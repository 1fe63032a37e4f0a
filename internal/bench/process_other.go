//go:build !linux

package main

import "syscall"

// dieWithParent keeps a Ctrl-C on the terminal from the process: whoever started it stops it.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
