package peer

import (
	"context"
	"io"
	"net"
	"net/netip"
	"time"

	"lt/peer/wire"
)

// ServeConfig is what surrounds the remote side. The zero value serves one session, which cannot be taken up again.
type ServeConfig struct {
	Version string
	Policy  *wire.Policy // what the owner of this machine allows; nil: everything
	// Runs is where a process of a run is found again after its session broke; nil: nowhere.
	Runs Rendezvous

	// What a test replaces. Clock is monotonic and goes on while the machine sleeps; Dial and Lookup are the engine's sockets
	// and resolver. Nil is the system's.
	Clock    func() time.Duration
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Lookup   func(ctx context.Context, host string) ([]netip.Addr, error)
	Portable bool
	Shards   int
}

// Rendezvous is where the processes of runs on this machine are found again.
type Rendezvous interface {
	// Listen makes the calling process findable under run until the listener is closed.
	Listen(run string) (net.Listener, error)
	// Find connects to the process of run. The error is ErrNoRun if there surely is none any more.
	Find(ctx context.Context, run string, pid int) (io.ReadWriteCloser, error)
}

// Serve is the remote side of a peer: it introduces itself on rw, does what the coordinator on the other end asks, and returns
// when it has said bye or its lease was over. It is the whole life of the process `lt agent`.
func Serve(ctx context.Context, rw io.ReadWriteCloser, c ServeConfig) error { return nil }
