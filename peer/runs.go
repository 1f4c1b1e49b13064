package peer

import (
	"context"
	"errors"
	"io"
	"net"

	"lt/peer/wire"
)

// Rendezvous is where the processes of runs on this machine are found again after their session broke.
type Rendezvous interface {
	// Listen makes the calling process findable under its incarnation, and known to others as one of a run, until the listener is
	// closed.
	Listen(incarnation, run string) (net.Listener, error)
	// Find connects to the process that listened under incarnation and had the number pid. The error is ErrNoRun if that process
	// surely is no more, and may be a *NoRunError; any other error says nothing about it.
	Find(ctx context.Context, incarnation string, pid int) (io.ReadWriteCloser, error)
	// Others are the processes that listen here and belong to other runs than that one, at most as many as anybody wants to know
	// of. Of two that look after they have begun to listen, at least one finds the other.
	Others(run string) []wire.OtherRun
	// Idle says that the process makes no load any more: others need not mind it.
	Idle(incarnation string)
	// Touch says that the process is there, every few seconds.
	Touch(incarnation string)
}

// ErrNoRun proves that a process is no more: the machine on which it was answers and does not know it.
var ErrNoRun = errors.New("no such run on this machine")

// NoRunError is ErrNoRun with what is known besides.
type NoRunError struct {
	Starved int // processes that the kernel ended there for want of memory since that one was last touched; below 0: not known
}

func (e *NoRunError) Error() string { return ErrNoRun.Error() }
func (e *NoRunError) Unwrap() error { return ErrNoRun }

// starvedThere is what an ErrNoRun knows of processes that were ended for want of memory; below 0: nothing.
func starvedThere(err error) int {
	var e *NoRunError
	if errors.As(err, &e) {
		return e.Starved
	}
	return -1
}

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
