package main

import (
	"os"
	"os/exec"
	"syscall"
)

// hangup is the signal of a terminal that is gone; Windows says so with a close event, which Go gives as SIGTERM.
var hangup os.Signal = syscall.SIGHUP

// detach keeps the terminal's signals from a process that we end ourselves.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
