package peer

import (
	"context"
	"errors"
	"io"
	"net"
)

// Rendezvous is where the processes of runs on this machine are found again after their session broke.
type Rendezvous interface {
	// Listen makes the calling process findable under its incarnation until the listener is closed.
	Listen(incarnation string) (net.Listener, error)
	// Find connects to the process that listened under incarnation and had the number pid. The error is ErrNoRun if that process
	// surely is no more; any other error says nothing about it.
	Find(ctx context.Context, incarnation string, pid int) (io.ReadWriteCloser, error)
	// Touch says that the process is there, now and then.
	Touch(incarnation string)
}

// ErrNoRun proves that a process is no more: the machine on which it was answers and does not know it.
var ErrNoRun = errors.New("no such run on this machine")

// isIncarnation says whether s is a name that we gave: it comes over the wire and becomes part of a path.
func isIncarnation(s string) bool { return isHex(s, 32) }

func isHex(s string, n int) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == n
}
