//go:build unix && !linux

package servers

import "syscall"

// dieWithParent keeps a Ctrl-C on the terminal from the server. Only Linux can tie its life to ours;
// elsewhere a killed test can leave a server behind.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
