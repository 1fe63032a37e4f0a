//go:build unix && !linux

package servers

import "syscall"

// dieWithParent keeps a Ctrl-C on the terminal from the server. Only Linux can tie its life to ours;
// elsewhere a killed test can leave a server behind.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitStopped does not wait: only Linux can do so without taking the child's end from who waits for
// it. A server answers for some microseconds yet.
func awaitStopped(int) error { return nil }
