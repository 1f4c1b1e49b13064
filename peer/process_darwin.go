package peer

import (
	"net"

	"golang.org/x/sys/unix"
)

// machine tells this machine, and namespace whose process numbers are meant, from others. Empty: unknown.
func machine() (machine, namespace string) {
	session, _ := unix.Sysctl("kern.bootsessionuuid")
	return session, session
}

// peerUser is the user at the other end of a socket.
func peerUser(c *net.UnixConn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Xucred
	var failed error
	if err := raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED) }); err != nil {
		return 0, err
	}
	if failed != nil {
		return 0, failed
	}
	return int(cred.Uid), nil
}

func zombie(int) bool { return false }

func expendable() {}
