//go:build !linux

package gitcli

import (
	"os/exec"
	"syscall"
)

// setGroup puts a child into a process group of its own.
func setGroup(p *exec.Cmd) {
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
