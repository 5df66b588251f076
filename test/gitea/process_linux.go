package gitea

import "syscall"

// endWithParent makes the kernel end a child whose parent could not: a test
// binary that panics runs no clean-up.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
