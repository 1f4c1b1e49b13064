//go:build unix

package sshproc

import "syscall"

// apart gives the process a session of its own. Pdeathsig would be wrong here: it fires when the thread that started the
// process ends (golang/go#27505); when our process dies, the end of stdin ends ssh.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// signal sends to the process group, which is the session's.
func (p *Proc) signal(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }
