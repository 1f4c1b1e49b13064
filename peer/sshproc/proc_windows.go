package sshproc

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// apart keeps Ctrl-C of our console from the process.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}

func (p *Proc) signal(syscall.Signal) { _ = p.cmd.Process.Kill() }
