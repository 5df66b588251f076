package gitcli

import (
	"os/exec"
	"syscall"
)

// setGroup puts a child into a process group of its own, and has the kernel end
// it should the operator be killed.
func setGroup(p *exec.Cmd) {
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
