//go:build !linux

package gitea

import "syscall"

func endWithParent() *syscall.SysProcAttr { return nil }
