package peer

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"lt/engine"
	"lt/engine/journey"
	"lt/engine/load"
	"lt/engine/redact"
	"lt/peer/wire"
)

// phase is how far a peer's process has come.
type phase uint8

const (
	idle      phase = iota // it waits for a job
	loaded                 // it has one
	permitted              // and may load its targets
	armed                  // and has a time to start, unless that is called off
	running                // it was committed to: the load begins, or has begun, by itself
	finished               // the load is over
)

const (
	// lapsedGrace is how long iterations in hand may go on after the lease.
	lapsedGrace = 5 * time.Second
	// keptFor is how long what was measured waits for somebody to fetch it.
	keptFor = 60 * time.Second
	// keptAfterCut is the same where it was told to end at once: whoever said so waits no longer for what it measured.
	keptAfterCut = cutWords + byeTime
	// farStart bounds how far in the future a start may lie.
	farStart = time.Minute
	// sleepAfter is how long a machine must have slept for its peer to end.
	sleepAfter = time.Second
	// overtime is how long after its planned end and its grace a load is cut, whatever it is doing.
	overtime = Grace
	// maxGrant bounds what a peer believes: whoever could say more could have it run for ever.
	maxGrant = 2 * time.Minute
	// maxSource is the highest number that a source can have in tables.
	maxSource = nobody - 1
	// touchTicks is how often, in ticks of watch, a process says that it is there: what befell its machine since then is told to
	// whoever asks why it is no more.
	touchTicks = 200
	// minProbes are the stamps without which the clocks are not known.
	minProbes = 3
)

// agent is what the process of a peer is: one job, done once, under one lease, whoever is attached meanwhile. Its methods may be
// called from any goroutine.
type agent struct {
	c           ServeConfig
	run         string // id of the run, as the coordinator calls it
	incarnation string
	outbox      *wire.Outbox
	lease       load.Lease
	voice       voice
	changed     chan struct{} // something happened that the life of the process depends on; one slot
	life        context.Context
	die         context.CancelFunc
	works       sync.WaitGroup
	hard        *time.Timer // ends the process if nothing else did

	clocks sync.Mutex
	clock  wire.Clock

	mu       sync.Mutex
	phase    phase
	job      *Job
	program  *journey.Program
	redact   *redact.Redactor
	permit   Permission
	order    wire.Arm
	replica  *replica
	engine   *engine.Engine
	epoch    time.Time     // run time zero, once committed
	granted  bool          // there was a lease
	leaseEnd time.Duration // on our clock
	cut      bool          // it was told to end at once
	stopped  string        // what of ours ended the load before its time
	lapsed   bool
	done     time.Time // when the load was over
}

func newAgent(c ServeConfig, run string) *agent {
	a := &agent{c: c, run: run, incarnation: randomHex(), outbox: wire.NewOutbox(), changed: make(chan struct{}, 1)}
	a.life, a.die = context.WithCancel(context.Background())
	a.hard = time.AfterFunc(farStart, func() {})
	a.hard.Stop()
	return a
}

// randomHex is 128 random bits.
func randomHex() string {
	b := make([]byte, 16)
	// crypto/rand never fails: it ends the program where the system has no randomness.
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// refusal is why a request is not carried out, as it goes over the wire.
type refusal struct{ code, text string }

func (r *refusal) Error() string { return r.text }

func refuse(code, format string, args ...any) error {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

func (a *agent) nudge() {
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// tell puts a line into the log that the coordinator sees.
func (a *agent) tell(text string) { a.voice.tell(wire.Line{At: a.runTime(), Text: text}) }

// runTime is the present run time; below zero before the start is known.
func (a *agent) runTime() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase < running {
		return -1
	}
	return time.Since(a.epoch)
}

// compared enters the stamps of a heartbeat and its answer.
func (a *agent) compared(s wire.Stamps) {
	a.clocks.Lock()
	defer a.clocks.Unlock()
	a.clock.Add(s)
}

// estimate is what is known of the coordinator's clock.
func (a *agent) estimate() wire.Estimate {
	a.clocks.Lock()
	defer a.clocks.Unlock()
	return a.clock.At(a.c.Clock())
}

// grant takes the answer to a heartbeat that was sent at the time sent on our clock: arrivals may begin for so long after it.
//
// Why the load is never doubled. Let a be the time on our clock at which we sent the newest heartbeat whose answer came back, c the
// time on the coordinator's clock at which it answered the newest heartbeat that it answered, and G the grant. We begin nothing
// after a + G. The coordinator hands our share on at c + G + 1 s at the earliest. It can only answer what was sent: the newest
// heartbeat that it answered is ours or a later one, and it was answered after it was sent, so in real time c is not before a.
// No clock is held against another one; only lengths are: if the rates differ by 500 ppm, 20 s differ by 10 ms, and we stopped at
// least 0.99 s before anybody else begins.
//
// What is left is a clock that stops. Ours goes on while the machine sleeps, and a machine that slept ends its part (watch). A
// virtual machine that its host stops may send, when it goes on, for what was left of its lease. And a process that is stopped
// between looking at its lease and sending sends one request a virtual user; even then no index comes twice, since the next epoch
// begins with the first index that is due after it.
//
// The end is kept on our clock and carried over to the engine's run time anew each time, the engine's clock read first: whatever
// comes between the two readings makes the lease shorter, never longer.
func (a *agent) grant(sent, grant time.Duration) {
	if grant <= 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if end := sent + min(grant, maxGrant); !a.granted || end > a.leaseEnd {
		a.granted, a.leaseEnd = true, end
		a.extend()
	}
}

// extend carries the lease over to the engine, and puts off the last backstop. The lock is held.
func (a *agent) extend() {
	if a.phase < running || !a.granted {
		return
	}
	now := time.Since(a.epoch)
	left := a.leaseEnd - a.c.Clock()
	a.lease.Extend(now + left)
	a.hard.Stop()
	a.hard = time.AfterFunc(max(left, 0)+lapsedGrace+keptFor+overtime, func() { a.c.Exit(ExitLapsed) })
}

// leaseLeft is what is left of the lease; below 0 it was over so long ago. Without one it is 0.
func (a *agent) leaseLeft() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.granted {
		return 0
	}
	return a.leaseEnd - a.c.Clock()
}

// changes enters those of the entries that the log lacks; there are from before them.
func (a *agent) changes(from int, entries []load.Change) (wire.Applied, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase < armed {
		return wire.Applied{}, refuse("busy", "there is no load to change")
	}
	have := a.replica.count()
	if from < 0 || from > have {
		return wire.Applied{}, refuse("limit", "these are the changes from the %dth on, and there are %d", from+1, have)
	}
	now := inTime
	if a.phase >= running {
		now = time.Since(a.epoch)
	}
	if n := have - from; n < len(entries) {
		if late := now - entries[n].At; late > load.Hearing && entries[n].Kind != load.Stop {
			a.voice.tell(wire.Line{At: now, Text: fmt.Sprintf("it was told of a change of the load %s late, and does not make up for what was due meanwhile", short(late))})
		}
		if err := a.replica.learn(entries[n:], now); err != nil {
			return wire.Applied{}, refuse("limit", "%s", err)
		}
	}
	a.engine.Refresh()
	if err := a.allowed(a.replica); err != nil {
		a.halt("its owner's policy does not allow the load that it was given")
		return wire.Applied{}, err
	}
	return wire.Applied{Count: a.replica.count(), At: max(0, now), Late: a.replica.late}, nil
}

// stop ends the load, if there is one: it drains, or with now is cut.
func (a *agent) stop(now bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.phase < running:
		return refuse("busy", "the load has not begun")
	case now:
		a.cut = true
		a.engine.Cut()
	default:
		a.engine.Drain()
	}
	return nil
}

// grace is how long what is in hand may take when the load ends.
func (a *agent) grace() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.job == nil {
		return 0
	}
	return a.job.File.Load.Graceful
}

// halt cuts the load for a reason of our own. The lock is held.
func (a *agent) halt(why string) {
	if a.phase == running && a.stopped == "" {
		a.stopped = why
		a.engine.Cut()
	}
}

// begun is how many arrivals were begun so far.
func (a *agent) begun() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase < running {
		return 0
	}
	return a.engine.Begun()
}
