package peer

import (
	"context"
	"time"

	"lt/engine/load"
	"lt/engine/metrics"
	"lt/peer/wire"
)

// remote is one peer as the fleet sees it: a Link, whose session may break and be taken up again without the fleet noticing
// more than Suspect, Lost and Back. Its methods never wait; what comes of them is told to the observer.
type remote interface {
	// Dial starts the peer: dial, probe, upload, hello, clock, plan, preflight. The observer is told of each step, and in the end
	// of Ready or Failed.
	Dial(ctx context.Context)
	// Arm, then Commit or Abort, are the start barrier. Armed answers Arm.
	Arm(a wire.Arm)
	Commit()
	Abort()
	// Changes sends the entries of the log from number from on; Applied answers. After a reattachment the link sends what is missing.
	Changes(from int, entries []load.Change)
	// Stop drains the peer or, with now, cuts it. Fin answers in the end.
	Stop(now bool)
	// Granting says whether heartbeats are answered with a lease: true from the start; false lets the lease run out.
	Granting(bool)
	// Over is when the lease that was last granted surely ends on the coordinator's clock: the time at which the newest
	// heartbeat was answered + G + 1 s. After that nothing begins on this peer any more, whatever became of it. After
	// Granting(false), and once it has passed, it does not change any more. Zero: there never was a lease.
	Over() time.Time
	// Applied is what the applied batches come to and the number of the last one: the coordinator's entry of the double entry.
	Applied() (t wire.Totals, lastSeq uint64)
	// Close says bye, ends the session and the process that carries it, by the ladder of sshproc, and redials no more.
	Close()
	// Wait returns when everything that the link started has ended.
	Wait()
}

// observer is told what becomes of a peer. Its methods are called from the link's goroutines, must not block, and may not call
// the link back from within. n is the peer's number in the share tables; each life of a
// peer has a link and a number of its own.
type observer interface {
	Step(n int, step string, progress float64) // progress 0..1, 0: unknown
	Log(n int, line string)                    // what the peer or ssh said, neutralised
	Ready(n int, h wire.Hello, p wire.Preflight)
	Failed(n int, err error) // before the start, for good: a *StartError
	Armed(n int)
	Applied(n int, a wire.Applied)
	Beat(n int, b wire.Beat) // newest heartbeat: clock, bound, rtt, begun
	Suspect(n int, silent time.Duration)
	Back(n int)                           // heard again, over the old session or a new one, within its lease: nothing was lost
	Lost(n int, c Cause)                  // silent for 6 s or the session broke; the link goes on redialling until Close
	Gone(n int, c Cause)                  // proven dead: the host answers and knows no such run, or it said so itself
	Rejoin(n int, h wire.Hello)           // the host is there again, but its lease lapsed or its process is new: it may take part anew
	Interval(n int, iv *metrics.Interval) // applied once, in order of its batches
	Warn(n int, w wire.Warn)
	Fin(n int, f wire.Fin)
}

// Cause is what is known of why a peer cannot be reached, or is no more.
type Cause struct {
	Text string // how it was noticed, as a sentence goes on
	// Signal ended its process, as far as what carried the connection tells, as boot.Conn.Signal says it; 0: it tells nothing.
	Signal int
	// Starved is how many processes the kernel of its machine ended for want of memory about when it was last there; below 0:
	// nobody knows.
	Starved int
}
