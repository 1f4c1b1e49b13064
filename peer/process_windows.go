package peer

import (
	"context"
	"errors"
	"io"
	"net"

	"lt/peer/wire"
)

// errNoAgent is why Windows is no peer: the session needs a standard input whose reading can be ended, and the process must
// outlive the connection that started it.
var errNoAgent = errors.New("a peer cannot run Windows: use WSL there, or a peer with Linux or macOS")

func machine() (machine, namespace string) { return "", "" }

func expendable() {}

// Runs is the Rendezvous of real processes; on Windows there is none.
type Runs struct{}

// NewRuns is the Rendezvous of this system.
func NewRuns(executable string, getenv func(string) string) *Runs { return &Runs{} }

// Sweep does nothing here.
func (r *Runs) Sweep() {}

// Touch does nothing here.
func (r *Runs) Touch(incarnation string) {}

// Idle does nothing here.
func (r *Runs) Idle(incarnation string) {}

// Others implements Rendezvous.
func (r *Runs) Others(run string) []wire.OtherRun { return nil }

// Listen implements Rendezvous.
func (r *Runs) Listen(incarnation, run string) (net.Listener, error) { return nil, errNoAgent }

// Find implements Rendezvous.
func (r *Runs) Find(ctx context.Context, incarnation string, pid int) (io.ReadWriteCloser, error) {
	return nil, errNoAgent
}
