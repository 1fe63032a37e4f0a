//go:build !linux

package demo

import "syscall"

// ownGroup keeps a Ctrl-C on the terminal from the process: whoever started it stops it, in order.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
