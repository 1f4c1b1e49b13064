package peer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"lt/engine"
	"lt/engine/authz"
	"lt/engine/journey"
	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/redact"
	"lt/engine/scenario"
	"lt/peer/boot"
)

// OnLoss says what becomes of the load of a peer that is lost for good.
type OnLoss string

// What may become of it.
const (
	Redistribute OnLoss = "redistribute" // the others take it, as far as they can: the default
	Continue     OnLoss = "continue"     // it is missing from then on, and that is said
	StopRun      OnLoss = "stop"         // the run is drained
)

// Config says what a fleet runs. Its peers are those of File.
type Config struct {
	File     *scenario.File
	Program  *journey.Program
	Redact   *redact.Redactor
	Shards   int  // of the local member; 0: as many as the load needs
	Portable bool // the portable poller even where there is a better one
	// Recover is deferred in every goroutine, so that a panic finds the terminal whole; nil: none.
	Recover func()

	NoLocal     bool              // this machine makes no load itself
	SSH         string            // the command in place of ssh; empty: ssh
	Programs    map[string]string // lt for other systems, by OS/ARCH
	Ask         bool              // ssh's questions are asked through Prompts; else it is told to ask none
	MinPeers    int               // so many peers have to be ready for the run to begin; 0: all
	OnLoss      OnLoss            // empty: Redistribute
	KeepShares  bool              // a peer that cannot keep up keeps its share
	NoPreflight bool              // peers do not connect to the targets before the start
	Run         string            // names the run on the peers; empty: one is made
	Version     string
	Agent       string // User-Agent unless the scenario says otherwise

	link func(f *Fleet, s *source) (remote, error) // in place of newLink
	self string                                    // digest of this machine, as Hello.Machine; empty: worked out
}

// Fleet is several sources of load as one. Make it with New, ask the targets through Local, then Start it once.
// All other methods may be called from any goroutine.
//
// Whatever happens to a fleet happens in one goroutine, drive, one thing at a time: links and callers leave what they have to
// say in a list of calls, and turn carries them out and then looks at what is due by the clock.
type Fleet struct {
	cfg     Config
	log     *load.Log
	lease   load.Lease
	local   *engine.Engine
	reports chan metrics.Report
	wake    chan struct{} // calls has grown

	asking sync.Mutex
	calls  []func(now time.Time)

	telling sync.Mutex
	backlog []metrics.Report
	told    chan struct{} // backlog has grown, or closed was set
	closed  bool

	prompts prompts
	dialing sync.Once // makes dialer
	dialer  *boot.Dialer
	noDial  error

	mu     sync.Mutex // held by drive throughout a turn, and by whoever looks at what follows
	ctx    context.Context
	claim  authz.Claim
	stage  stage
	epoch  time.Time
	level  float64 // factor of the load
	err    error
	all    []*source // by number in the share tables; the first is this process, nil if it makes no load
	rows   []*source // as they are shown; one that took part anew stands in the place of its former self
	shares shares
	due    time.Time // when something is due by the clock; zero: nothing
	zero   time.Time // while arming: run time zero
	tries  int       // to arm
	asked  []*source // at the last try
	cutAt  time.Time // zero: not cut
	begun  bool
	said   map[string]bool // sentences that are said once
	loss   lossState
	strain strainState
	gap    gapState
	ended  time.Time // when this process's own part was over; zero: not yet
}

// stage is how far a fleet has got.
type stage int

const (
	fresh     stage = iota
	gathering       // peers start
	arming          // they get run time zero
	underway
	over
)

// New prepares the fleet of the local engine and the peers of the file.
func New(c Config) (*Fleet, error) {
	if c.Recover == nil {
		c.Recover = func() {}
	}
	if c.OnLoss == "" {
		c.OnLoss = Redistribute
	}
	if c.Run == "" {
		c.Run = randomHex()
	}
	addresses, err := Addresses(c.File.Peers)
	if err != nil {
		return nil, err
	}
	if c.self == "" {
		where, _ := machine()
		c.self = digest(where)
	}
	if c.NoLocal && len(addresses) == 0 {
		return nil, errors.New("with --no-local and without peers nobody makes the load: name peers, or leave it out")
	}
	sources := len(addresses)
	if !c.NoLocal {
		sources++
	}
	if err := enoughSlots(&c.File.Load, sources); err != nil {
		return nil, err
	}
	f := &Fleet{
		cfg: c, log: load.NewLog(&c.File.Load), reports: make(chan metrics.Report), wake: make(chan struct{}, 1), told: make(chan struct{}, 1),
		said: make(map[string]bool), level: 1, claim: NewClaim(c.File, len(addresses)),
	}
	f.lease.Forever()
	f.local, err = engine.New(engine.Config{
		File: c.File, Program: c.Program, Log: f.log, Lease: &f.lease, Name: localName,
		Shards: c.Shards, Portable: c.Portable, Redact: c.Redact, Recover: c.Recover,
		OnInterval: func(iv *metrics.Interval) { f.tell(func(time.Time) { f.interval(f.all[0], iv) }) },
		OnGuard:    func(text string, drain bool) { f.put(metrics.Report{Text: text, Guard: true, Drain: drain}) },
	})
	if err != nil {
		return nil, err
	}
	f.all = []*source{nil}
	if !c.NoLocal {
		f.all[0] = &source{
			name: localName, cores: runtime.GOMAXPROCS(0), tilt: 1,
			m: metrics.Member{Name: localName, Kind: localName, State: "starting"},
		}
		f.rows = append(f.rows, f.all[0])
	}
	for _, a := range addresses {
		f.rows = append(f.rows, f.enlist(a))
	}
	f.weigh(f.rows)
	if len(addresses) == 0 {
		f.rows[0].m.Share = 1
		f.rows[0].part = 1
	}
	return f, nil
}

// enoughSlots says whether each of so many sources can have a slot.
func enoughSlots(spec *load.Spec, sources int) error {
	if spec.Model == load.Open && spec.MaxInFlight > 0 && spec.MaxInFlight < sources {
		return fmt.Errorf("max_in_flight is %d, and there are %d sources: one without a slot could begin nothing; raise it, or name fewer peers", spec.MaxInFlight, sources)
	}
	return nil
}

// localName is the name of the source in this process.
const localName = "local"

// Local is the engine of this process, for what has to be asked before the start; it stands ready even if it is to make no load.
func (f *Fleet) Local() *engine.Engine { return f.local }

// Permit says on what ground the targets may be loaded, for the peers to decide by. It is called before Start.
func (f *Fleet) Permit(c authz.Claim) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.claim = c
}

// Start lets the load begin: at once if this process is alone, else when the peers are ready. Reports is closed when every
// member has ended; Err then tells how.
func (f *Fleet) Start(ctx context.Context) {
	go f.pump()
	f.mu.Lock()
	f.ctx = ctx
	now := time.Now()
	if f.alone() {
		if err := f.firstEpoch(f.rows); err != nil {
			f.fail(err)
		} else {
			f.begin(now, now)
		}
	} else {
		f.stage = gathering
		for _, s := range f.rows {
			if s.n != 0 {
				f.dial(s)
			}
		}
	}
	f.mu.Unlock()
	go f.drive(ctx)
}

func (f *Fleet) alone() bool { return len(f.all) == 1 }

// drive is the fleet's life.
func (f *Fleet) drive(ctx context.Context) {
	defer f.cfg.Recover()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	done := ctx.Done()
	for {
		due, ended := f.turn()
		if ended {
			break
		}
		if due.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(max(0, time.Until(due)))
		}
		select {
		case <-f.wake:
		case <-timer.C:
		case <-done:
			done = nil
			f.tell(f.cut)
		}
	}
	f.mu.Lock()
	links := slices.Clone(f.all)
	f.mu.Unlock()
	for _, s := range links {
		if s != nil && s.link != nil {
			s.link.Close()
		}
	}
	for _, s := range links {
		if s != nil && s.link != nil {
			s.link.Wait()
		}
	}
	f.telling.Lock()
	f.closed = true
	f.telling.Unlock()
	nudge(f.told)
}

// turn does what is to be done now, and says when the next thing is due.
func (f *Fleet) turn() (due time.Time, ended bool) {
	f.asking.Lock()
	calls := f.calls
	f.calls = nil
	f.asking.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	f.due = time.Time{}
	for _, call := range calls {
		call(now)
	}
	switch f.stage {
	case gathering:
		f.gather(now)
	case arming:
		f.muster(now)
	}
	if f.stage == underway {
		f.watch(now)
		f.receive(now)
		f.balance(now)
		f.deal(now)
		f.release(now)
		f.count(now)
		f.finish(now)
	}
	return f.due, f.stage == over
}

// at asks for a turn at t.
func (f *Fleet) at(t time.Time) {
	if f.due.IsZero() || t.Before(f.due) {
		f.due = t
	}
}

// tell leaves something to be done in the next turn. It never waits, so a link may call it whatever locks it holds.
func (f *Fleet) tell(call func(now time.Time)) {
	f.asking.Lock()
	f.calls = append(f.calls, call)
	f.asking.Unlock()
	nudge(f.wake)
}

// nudge wakes whoever waits on a channel of one slot.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// begin fixes run time zero and lets this process's own part start.
func (f *Fleet) begin(now, zero time.Time) {
	f.stage, f.begun, f.epoch = underway, true, zero
	f.strain.last = zero
	f.gap.next = zero.Add(time.Second)
	for _, s := range f.rows {
		if s.m.State == "starting" && !s.joins {
			s.begun, s.m.Step, s.m.State = true, "", "running"
		}
	}
	f.put(metrics.Report{Begun: true})
	if f.all[0] == nil {
		return
	}
	ctx := f.ctx
	go func() {
		defer f.cfg.Recover()
		err := f.local.Run(ctx, zero)
		f.tell(func(now time.Time) { f.localEnded(now, err) })
	}()
}

// localEnded takes the end of this process's own part.
func (f *Fleet) localEnded(now time.Time, err error) {
	s := f.all[0]
	s.finished = true
	f.ended = now
	s.m.State = "done"
	if s.draining {
		s.m.State = "left"
	}
	f.show(s, "")
	if err != nil {
		// Whatever ended it, a panic or what it was told, this process is not fit to conduct others.
		f.err = errors.Join(f.err, err)
		f.cut(now)
	}
}

// run is the run time at a moment.
func (f *Fleet) run(t time.Time) time.Duration { return t.Sub(f.epoch) }

// fail ends a start that cannot come to anything.
func (f *Fleet) fail(err error) {
	f.err = errors.Join(f.err, err)
	f.stage = over
}

// cut ends everything at once.
func (f *Fleet) cut(now time.Time) {
	switch {
	case !f.cutAt.IsZero() || f.stage == over:
		return
	case !f.begun:
		for _, s := range f.all {
			if s != nil && s.link != nil && s.armed {
				s.link.Abort()
			}
		}
		f.fail(fmt.Errorf("the start was called off: %w", context.Canceled))
		return
	}
	f.cutAt = now
	for _, s := range f.all {
		switch {
		case s == nil:
		case s.link == nil:
			f.local.Cut()
		case s.begun:
			s.link.Stop(true)
		default:
			s.link.Close()
		}
	}
}

// Cut ends everything at once; before the run has begun it calls the start off.
func (f *Fleet) Cut() { f.tell(f.cut) }

// Err is how the run of the members ended; it is meant to be read after Reports was closed.
func (f *Fleet) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Epoch is run time zero. Before the report that says Begun it means nothing.
func (f *Fleet) Epoch() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.epoch
}

// Timeline is the profile under the changes so far.
func (f *Fleet) Timeline() *load.Timeline { return f.log.Timeline() }

// Members lists the sources, in the order in which they were named.
func (f *Fleet) Members() []metrics.Member {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]metrics.Member, len(f.rows))
	for i, s := range f.rows {
		out[i] = f.member(s)
	}
	return out
}

// member is a source as others see it.
func (f *Fleet) member(s *source) metrics.Member {
	m := s.m
	m.Log = slices.Clone(m.Log)
	return m
}

// Release gives an interval's pages back once everybody has read it. Those of peers were made for them alone.
func (f *Fleet) Release(iv *metrics.Interval) {
	if iv.Source == localName || iv.Source == "" {
		iv.Release(f.local.Pages())
	}
}
