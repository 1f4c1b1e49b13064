package sshproc

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// ours reports whether the other end of a local socket belongs to our user.
func ours(c net.Conn) bool {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return false
	}
	var cred *unix.Xucred
	if raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED) }) != nil || err != nil {
		return false
	}
	return int(cred.Uid) == os.Geteuid()
}
