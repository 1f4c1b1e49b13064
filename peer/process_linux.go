package peer

import (
	"bytes"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// machine tells this machine, and namespace whose process numbers are meant, from others. Empty: unknown.
func machine() (machine, namespace string) {
	var facts []byte
	for _, name := range []string{"/etc/machine-id", "/proc/sys/kernel/random/boot_id"} {
		text, _ := os.ReadFile(name)
		facts = append(append(facts, bytes.TrimSpace(text)...), ' ')
	}
	net, _ := os.Readlink("/proc/self/ns/net")
	pid, _ := os.Readlink("/proc/self/ns/pid")
	return string(facts) + net, string(facts) + pid
}

// peerUser is the user at the other end of a socket.
func peerUser(c *net.UnixConn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, err
	}
	if failed != nil {
		return 0, failed
	}
	return int(cred.Uid), nil
}

// zombie says whether a process has ended and was not waited for.
func zombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	i := bytes.LastIndexByte(text, ')') // the name before it may hold anything
	return i >= 0 && len(text) > i+2 && (text[i+2] == 'Z' || text[i+2] == 'X')
}

// expendable has the kernel prefer this process when memory runs out: the machine's own work goes before a test.
func expendable() { _ = os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0) }
