package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"lt/engine/load"
	"lt/engine/redact"
	"lt/peer/boot"
	"lt/peer/wire"
)

// Grace is how long a peer may go on beginning arrivals after it sent the newest heartbeat that was answered, unless a run says
// otherwise: long enough for a network to heal, short enough for a share to be moved within half a minute.
const Grace = 15 * time.Second

const (
	// hearing is how often a link looks at how long its peer has been silent.
	hearing = 100 * time.Millisecond
	// suspectAfter is the silence of five heartbeats, lostAfter that of twelve: with a look every hearing, a loss is known within
	// 6.1 s, and a link that only lost packets comes back before.
	suspectAfter = 2500 * time.Millisecond
	lostAfter    = 6 * time.Second
	// mostSlack bounds by how much our own slowness moves these times.
	mostSlack = 2500 * time.Millisecond
	// leaseMargin lies between the end of a lease on the peer's clock and the time at which its share may be others'.
	leaseMargin = time.Second
	// latestSpare is by how much a peer may be ahead of us: the clocks are known to within half a round trip.
	latestSpare = time.Minute
	// staleAfter is how long batches may not come before it is said.
	staleAfter = 5 * time.Second
	// redialMost bounds the back-off of redialling.
	redialMost = 8 * time.Second
	// nonsense is how often a peer may break the protocol before it is not dialled any more.
	nonsense = 3
)

// Dialer starts the process of a peer, or finds its host again after a break, and returns the process's stream right behind its
// introduction. It is called from one goroutine at a time.
type Dialer func(ctx context.Context, on Dialing) (io.ReadWriteCloser, wire.Hello, error)

// Dialing is whom a Dialer tells how it gets on. Step is called until the Dialer returns, Log as long as the stream lives.
type Dialing struct {
	Step func(step string, progress float64) // dial, probe, upload; progress 0..1, 0: unknown
	Log  func(line string)
}

// LinkConfig is what a link needs to know. Name, Dial, Job, Run and Observer are required.
type LinkConfig struct {
	N        int    // the peer's number in the share tables
	Name     string // as the user knows it
	Address  string // as it is dialled, for sentences
	Target   string // of its own; empty: the job's
	Dial     Dialer
	Job      *Job
	Stages   int    // of the profile, and
	Steps    int    // of the compiled job, which bound what intervals may be about
	Run      string // id of the run
	Version  string
	Grace    time.Duration // zero: Grace
	Paced    bool          // a run goes on: the upload leaves half of the way to others
	Observer observer
	Recover  func() // deferred in every goroutine; nil: none

	mostJob int // bytes of the encoded job; zero: wire.MaxJob
}

// Link is one peer, from dialling to bye. It implements remote.
type Link struct {
	cfg    LinkConfig
	token  string
	ctx    context.Context // done after Close
	cancel context.CancelFunc
	all    sync.WaitGroup

	taking sync.Mutex // a batch is being applied
	inbox  *wire.Inbox

	mu       sync.Mutex
	orders   orders
	wake     chan struct{} // closed and renewed when orders change
	call     *call         // the newest session; nil: none yet
	hello    wire.Hello    // of the process that has the job
	welcome  wire.Welcome
	granting bool
	over     time.Time // see Over
	fin      *wire.Fin
	finTold  bool
	batchAt  time.Time // when the last batch came; before the first one, the start
	broken   int       // protocol errors
	closing  bool
	byeBy    time.Time // while closing: when the peer must have been told
	bid      bool      // it was
}

// NewLink makes a link; Dial begins.
func NewLink(c LinkConfig) *Link {
	if c.Grace == 0 {
		c.Grace = Grace
	}
	if c.Recover == nil {
		c.Recover = func() {}
	}
	if c.mostJob == 0 {
		c.mostJob = wire.MaxJob
	}
	l := &Link{cfg: c, token: randomHex(), wake: make(chan struct{}), granting: true}
	l.inbox = wire.NewInbox(wire.InboxConfig{Source: c.Name, Steps: c.Steps, Stages: c.Stages, Latest: l.latest})
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// order changes what is wanted.
func (l *Link) order(change func(o *orders)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.orders)
	close(l.wake)
	l.wake = make(chan struct{})
}

// Arm implements remote.
func (l *Link) Arm(a wire.Arm) {
	l.order(func(o *orders) {
		o.arm, o.armed, o.abort, o.log, o.entered = &a, false, false, a.Changes, len(a.Changes)
	})
}

// Commit implements remote.
func (l *Link) Commit() { l.order(func(o *orders) { o.commit = true }) }

// Abort implements remote.
func (l *Link) Abort() { l.order(func(o *orders) { o.abort = true }) }

// Changes implements remote.
func (l *Link) Changes(from int, entries []load.Change) {
	l.order(func(o *orders) {
		if from <= len(o.log) {
			o.log = append(o.log[:from:from], entries...)
		}
	})
}

// Stop implements remote.
func (l *Link) Stop(now bool) {
	l.order(func(o *orders) {
		if o.stop == nil || now && !o.stop.Now {
			o.stop, o.stopped = &wire.Stop{Now: now}, false
		}
	})
}

// Granting implements remote. When it returns after false, no answer extends the lease any more.
func (l *Link) Granting(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.granting = on
}

// Over implements remote.
func (l *Link) Over() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// latest is the run time at which what the peer measured may end at most.
func (l *Link) latest() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.orders.arm == nil {
		return 0
	}
	return clockNow() - l.orders.arm.Zero + latestSpare
}

// grant decides whether a heartbeat that came just now is answered with a lease, and notes what that means before the answer
// leaves. See agent.grant for why the load is never doubled: it rests on three things here. The time is taken after the heartbeat
// was received and before it is answered. Whoever asked for Over after it had passed may have given the share to others, so
// a lease that was over once is never granted again. And both are one step under the lock.
func (l *Link) grant() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if !l.granting || !l.over.IsZero() && now.After(l.over) {
		return 0
	}
	l.over = now.Add(l.cfg.Grace + leaseMargin)
	return l.cfg.Grace
}

// expired says whether there was a lease and it is surely over.
func (l *Link) expired() bool {
	over := l.Over()
	return !over.IsZero() && time.Now().After(over)
}

// Applied implements remote.
func (l *Link) Applied() (wire.Totals, uint64) {
	l.taking.Lock()
	defer l.taking.Unlock()
	return l.inbox.Account()
}

// Close implements remote.
func (l *Link) Close() {
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		return
	}
	l.closing, l.byeBy = true, time.Now().Add(byeTime)
	c := l.call
	l.mu.Unlock()
	l.spawn(func() {
		if c != nil {
			l.bye(c)
		}
		l.cancel() // where it was not told, supervise tries once more
	})
}

// bye ends the peer in good order, if it can be reached over a session.
func (l *Link) bye(c *call) {
	l.mu.Lock()
	by := l.byeBy
	l.mu.Unlock()
	ctx, cancel := context.WithDeadline(context.Background(), by)
	defer cancel()
	if c.do(ctx, wire.KindBye, nil, nil) != nil {
		return // whom it does not reach, the end of its lease does
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bid = true
}

func (l *Link) toldBye() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bid
}

// Wait implements remote.
func (l *Link) Wait() { l.all.Wait() }

// spawn runs what the link owns.
func (l *Link) spawn(f func()) {
	l.all.Go(func() {
		defer l.cfg.Recover()
		f()
	})
}

// say puts a line of our own into the peer's log.
func (l *Link) say(format string, args ...any) {
	l.cfg.Observer.Log(l.cfg.N, fmt.Sprintf(format, args...))
}

// StartError is why a peer could not be made ready, as a sentence: what was tried, what the other side said, what to do.
type StartError struct {
	Peer  string // name and address
	Phase string // of Step, or arm
	Said  string // what was said about it, neutralised
	Do    string // what to do; may be empty
	Err   error  // the cause; may be nil
}

func (e *StartError) Unwrap() error { return e.Err }

func (e *StartError) Error() string {
	s := fmt.Sprintf("peer %s: %s: %s", e.Peer, e.Phase, e.Said)
	if e.Do != "" {
		s += "; " + e.Do
	}
	return s
}

// failed makes a StartError.
func (l *Link) failed(phase string, err error, do string) *StartError {
	var whole *StartError
	if errors.As(err, &whole) {
		return whole
	}
	var booting *boot.Error
	if errors.As(err, &booting) { // the start itself knows best how far it came
		return &StartError{Peer: booting.Peer, Phase: string(booting.Phase), Said: booting.What(), Do: booting.Do, Err: err}
	}
	peer := l.cfg.Name
	if l.cfg.Address != "" && l.cfg.Address != peer {
		peer += " (" + l.cfg.Address + ")"
	}
	return &StartError{Peer: peer, Phase: phase, Said: redact.Neutralise(err.Error()), Do: do, Err: err}
}
