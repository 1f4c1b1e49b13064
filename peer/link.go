package peer

import (
	"context"
	"io"
	"time"

	"lt/engine/load"
	"lt/engine/metrics"
	"lt/peer/wire"
)

// Grace is how long a peer may go on beginning arrivals after the newest heartbeat of its that was answered, unless a run says
// otherwise: long enough for a network to heal, short enough for a share to be moved within half a minute.
const Grace = 15 * time.Second

// Dialer starts the process of a peer, or finds its host again after a break, and returns the process's stream right behind its
// introduction. It is called from one goroutine at a time.
type Dialer func(ctx context.Context, on Dialing) (io.ReadWriteCloser, wire.Hello, error)

// Dialing is whom a Dialer tells how it gets on. Step is called until the Dialer returns, Log as long as the stream lives.
type Dialing struct {
	Step func(step string, progress float64) // dial, probe, upload; progress 0..1, 0: unknown
	Log  func(line string)                   // neutralised
	// Ask puts a question to the user; false if nobody answers.
	Ask func(ctx context.Context, p metrics.Prompt) (answer string, ok bool)
}

// LinkConfig is what a link needs to know. N, Name, Dial, Job, Run and Observer are required.
type LinkConfig struct {
	N        int    // the peer's number in the share tables
	Name     string // as the user knows it
	Address  string // as it is dialled, for sentences
	Dial     Dialer
	Job      *Job
	Steps    int    // of the compiled job; a peer that counts others is refused
	Run      string // id of the run
	Version  string
	Grace    time.Duration // zero: Grace
	Paced    bool          // a run goes on: the upload leaves half of the way to others
	Observer observer
	Recover  func() // deferred in every goroutine; nil: none
}

// Link is one peer, from dialling to bye.
type Link struct {
	cfg LinkConfig
}

// NewLink makes a link; Dial begins.
func NewLink(c LinkConfig) *Link { return &Link{cfg: c} }

func (l *Link) Dial(ctx context.Context)                 {}
func (l *Link) Arm(a wire.Arm)                           {}
func (l *Link) Commit()                                  {}
func (l *Link) Abort()                                   {}
func (l *Link) Changes(from int, entries []load.Change)  {}
func (l *Link) Stop(now bool)                            {}
func (l *Link) Granting(bool)                            {}
func (l *Link) Over() time.Time                          { return time.Time{} }
func (l *Link) Applied() (t wire.Totals, lastSeq uint64) { return }
func (l *Link) Close()                                   {}
func (l *Link) Wait()                                    {}

var _ remote = (*Link)(nil)
