package peer

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"time"

	"lt/engine"
	"lt/engine/journey"
	"lt/engine/limits"
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
	// farStart bounds how far in the future a start may lie.
	farStart = time.Minute
	// sleepAfter is how long a machine must have slept for its peer to end.
	sleepAfter = time.Second
	// overtime is how long after its planned end and its grace a load is cut, whatever it is doing.
	overtime = Grace
	// maxGrant bounds what a peer believes: whoever could say more could have it run for ever.
	maxGrant = 2 * time.Minute
	// maxSource is the highest number that tables can hold.
	maxSource = math.MaxUint16
	// minProbes are the stamps without which the clocks are not known.
	minProbes = 3
)

// agent is what the process of a peer is: one job, done once, under one lease, whoever is attached meanwhile. Its methods may be
// called from any goroutine.
type agent struct {
	c           ServeConfig
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
	late     int64 // see wire.Applied
	reached  int64 // see learn
	program  *journey.Program
	redact   *redact.Redactor
	permit   Permission
	order    wire.Arm
	log      *load.Log
	engine   *engine.Engine
	epoch    time.Time     // run time zero, once committed
	granted  bool          // there was a lease
	leaseEnd time.Duration // on our clock
	stopped  string        // what of ours ended the load before its time
	lapsed   bool
	done     time.Time // when the load was over
}

func newAgent(c ServeConfig) *agent {
	a := &agent{c: c, incarnation: randomHex(), outbox: wire.NewOutbox(), changed: make(chan struct{}, 1)}
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

// load takes the job, once.
func (a *agent) load(j *Job) (wire.Ready, error) {
	p, err := j.compile()
	if err != nil {
		return wire.Ready{}, refuse("scenario", "%s", err)
	}
	usable := bindable(j.File.HTTP.SourceIPs)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase != idle {
		return wire.Ready{}, refuse("busy", "this process has a job already: it does one")
	}
	if n := len(j.File.HTTP.SourceIPs); len(usable) < n {
		a.voice.tell(wire.Line{At: -1, Text: fmt.Sprintf("%d of the %d source addresses are this machine's", len(usable), n)})
		j.File.HTTP.SourceIPs = usable
	}
	a.job, a.program, a.phase = j, p, loaded
	a.redact = redact.New(j.File.Secrets)
	a.log = load.NewLog(&j.File.Load)
	return wire.Ready{Steps: len(p.Steps)}, nil
}

// bindable are those of the source addresses that this machine has: they are usually the coordinator's own.
func bindable(ips []string) []string {
	var out []string
	for _, ip := range ips {
		if l, err := net.Listen("tcp", net.JoinHostPort(ip, "0")); err == nil {
			l.Close()
			out = append(out, ip)
		}
	}
	return out
}

// newEngine makes an engine for the job. The lock is held.
func (a *agent) newEngine(o wire.Arm) (*engine.Engine, error) {
	e, err := engine.New(engine.Config{
		File: a.job.File, Program: a.program, Log: a.log, Lease: &a.lease, Source: o.Source, Name: o.Name, From: o.From,
		Shards: a.c.Shards, Portable: a.c.Portable, Dial: a.c.Dial, Lookup: a.c.Lookup, ReadFile: a.job.read, Redact: a.redact,
		OnInterval: a.outbox.Add,
		OnGuard:    func(text string, drain bool) { a.voice.warn(wire.Warn{Text: text, Drain: drain}) },
	})
	if err != nil {
		return nil, refuse("scenario", "%s", a.redact.Text(err.Error()))
	}
	return e, nil
}

// preflight decides anew whether the job's targets may be loaded from here, finds out whether they can be reached, and what the
// machine lacks.
func (a *agent) preflight(ctx context.Context) (wire.Preflight, error) {
	a.mu.Lock()
	if a.phase != loaded && a.phase != permitted {
		a.mu.Unlock()
		return wire.Preflight{}, refuse("busy", "there is no job to look at, or it has begun")
	}
	job, program, mask := a.job, a.program, a.redact
	e, err := a.newEngine(wire.Arm{})
	a.mu.Unlock()
	if err != nil {
		return wire.Preflight{}, err
	}
	ask := Permit{File: job.File, Program: program, Engine: e, Claim: job.Claim, Remote: true, Policy: a.c.Policy, Agent: job.Agent, Dial: a.c.Dial}
	permission, err := ask.Ask(ctx)
	if err != nil {
		code := "refused"
		if errors.As(err, new(*PolicyError)) {
			code = "policy"
		}
		return wire.Preflight{}, refuse(code, "%s", mask.Text(err.Error()))
	}
	e.Permit(permission.Allow)
	out := wire.Preflight{Basis: permission.Basis.Text}
	if !job.NoPreflight {
		for _, r := range e.Connect(ctx) {
			o := wire.Origin{Name: r.Origin.String(), TLS: r.TLS, Connect: r.Connect}
			if r.Err != nil {
				o.Err = mask.Text(r.Err.Error())
			}
			out.Origins = append(out.Origins, o)
		}
	}
	for _, f := range limits.Check(Need(job.File, permission.Loopback, 1)) {
		out.Findings = append(out.Findings, wire.Finding{Severity: uint8(f.Severity), Text: f.Text, Remedy: f.Remedy})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.permit = permission
	if a.phase == loaded {
		a.phase = permitted
	}
	return out, nil
}

// arm makes ready to start; nothing starts without commit.
func (a *agent) arm(o wire.Arm) error {
	e := a.estimate()
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.phase < permitted:
		return refuse("busy", "the targets were not looked at yet: ask for the preflight first")
	case a.phase > armed:
		return refuse("busy", "the load has begun")
	case e.Probes < minProbes:
		return refuse("busy", "the clocks were not compared yet")
	case o.Source < 0 || o.Source > maxSource || o.From < 0 || o.From > load.MaxDuration:
		return refuse("limit", "source %d from %s on is out of range", o.Source, o.From)
	}
	if wait := o.Zero - e.Offset - a.c.Clock(); wait > farStart {
		return refuse("limit", "the start is %s away, and %s is the most", wait, farStart)
	}
	if o.Name = redact.Neutralise(o.Name); o.Name == "" || len(o.Name) > 256 {
		return refuse("limit", "a source needs a name, of at most 256 bytes")
	}
	log := load.NewLog(&a.job.File.Load)
	for _, c := range o.Changes {
		if err := log.Append(c); err != nil {
			return refuse("limit", "%s", err)
		}
	}
	if err := a.allowed(log, o.Source); err != nil {
		return err
	}
	before := a.log
	a.log = log
	en, err := a.newEngine(o)
	if err != nil {
		a.log = before
		return err
	}
	en.Permit(a.permit.Allow)
	a.engine, a.order, a.phase = en, o, armed
	return nil
}

// allowed holds what the newest table gives to this source to what the owner of this machine allows. The coordinator plans
// within it; this is for the one that does not.
func (a *agent) allowed(log *load.Log, source int) error {
	if a.c.Policy == nil {
		return nil
	}
	share, factor := 1.0, 1.0
	for _, c := range log.Changes() {
		switch c.Kind {
		case load.Reshare:
			own := 0
			for _, s := range c.Epoch.Table {
				if int(s) == source {
					own++
				}
			}
			share = float64(own) / float64(len(c.Epoch.Table))
		case load.Factor:
			factor = c.Factor
		}
	}
	f := a.job.File
	level := f.Load.Profile.Peak() * share * factor
	w := Work{Rate: level}
	if f.Load.Model == load.Closed {
		w = Work{Users: int(math.Ceil(level))}
	}
	if err := CheckPolicy(a.c.Policy, w); err != nil {
		return refuse("policy", "%s", err)
	}
	return nil
}

// abort calls the start off.
func (a *agent) abort() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.phase == armed:
		a.engine, a.phase = nil, permitted
	case a.phase > armed:
		return refuse("busy", "the load has begun")
	}
	return nil
}

// commit lets the engine run: it waits for run time zero by itself.
func (a *agent) commit() error {
	e := a.estimate()
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.phase > armed:
		return nil // said again after a break
	case a.phase < armed:
		return refuse("busy", "nothing is armed")
	}
	a.epoch = time.Now().Add(a.order.Zero - e.Offset - a.c.Clock())
	a.phase = running
	a.extend()
	ended := make(chan struct{})
	a.works.Go(func() { a.work(ended) })
	a.works.Go(func() { a.watch(ended) })
	return nil
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
	have := len(a.log.Changes())
	if from < 0 || from > have {
		return wire.Applied{}, refuse("limit", "these are the changes from the %dth on, and there are %d", from+1, have)
	}
	now := -time.Hour // nothing is late before the start
	if a.phase >= running {
		now = time.Since(a.epoch)
	}
	if n := have - from; n < len(entries) {
		late, err := learn(a.log, &a.job.File.Load, entries[n:], now, &a.reached)
		a.late = max(a.late, late)
		if err != nil {
			return wire.Applied{}, refuse("limit", "%s", err)
		}
	}
	a.engine.Refresh()
	if err := a.allowed(a.log, a.order.Source); err != nil {
		a.halt("its owner's policy does not allow the load that it was given")
		return wire.Applied{}, err
	}
	return wire.Applied{Count: len(a.log.Changes()), At: max(0, now), Late: a.late}, nil
}

// stop ends the load, if there is one: it drains, or with now is cut.
func (a *agent) stop(now bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.phase < running:
		return refuse("busy", "the load has not begun")
	case now:
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

// work runs the engine, waits until all of its figures are known to the coordinator, and gives the account.
func (a *agent) work(ended chan<- struct{}) {
	err := a.engine.Run(context.Background(), a.epoch)
	close(ended)
	fin := &wire.Fin{}
	a.mu.Lock()
	a.phase, a.done = finished, time.Now()
	switch {
	case a.stopped != "":
		fin.Err = a.stopped
	case errors.Is(err, engine.ErrLapsed):
		fin.Lapsed, a.lapsed = true, true
	case err != nil:
		fin.Err = redact.Neutralise(a.redact.Text(err.Error()))
	}
	a.mu.Unlock()
	if fin.Lapsed {
		a.tell("the lease was over, and nothing begins any more: the coordinator was not heard for too long, or this machine slept")
	}
	a.outbox.Seal()
	a.nudge()
	if a.outbox.Wait(a.life) == nil {
		fin.Totals, fin.LastSeq = a.outbox.Account()
		a.voice.finish(*fin)
	}
}

// watch looks after what the engine does not look after, until it has ended.
func (a *agent) watch(ended <-chan struct{}) {
	a.mu.Lock()
	spec, log, source, epoch, e := &a.job.File.Load, a.log, a.order.Source, a.epoch, a.engine
	a.mu.Unlock()
	most := quota{spec: spec, log: log, source: source}
	// By how much our clock is ahead of run time. Our clock goes on while the machine sleeps, and run time does not.
	ahead := func() time.Duration {
		now := time.Since(epoch)
		return a.c.Clock() - now
	}
	first := ahead()
	t := time.NewTicker(50 * time.Millisecond) // for so long a machine may send that wakes up
	defer t.Stop()
	halt := func(why string) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.halt(why)
	}
	for n := 1; ; n++ {
		select {
		case <-t.C:
		case <-ended:
			return
		}
		if slept := ahead() - first; slept > sleepAfter {
			a.tell(fmt.Sprintf("this machine slept for %s, and its run time stood still: it takes no part any more", slept.Round(time.Millisecond)))
			a.lease.Revoke()
			first += slept
		}
		if n%20 > 0 {
			continue
		}
		now := time.Since(epoch)
		if n%1200 == 0 && a.c.Runs != nil {
			a.c.Runs.Touch(a.incarnation)
		}
		if begun := e.Begun(); spec.Model == load.Open && int64(begun) > most.at(now) {
			halt(fmt.Sprintf("it began %d arrivals, and %d were planned until then: this is an error of lt", begun, most.planned))
		}
		if end := log.Timeline().End(); end < load.Never-time.Hour && now > end+spec.Graceful+overtime {
			halt(fmt.Sprintf("it went on for %s after its planned end: this is an error of lt", (now - end).Round(time.Second)))
		}
	}
}

// needed says why the process is of no use any more; nil if it is. attached: there is a session; silent: for how long nothing was
// heard.
func (a *agent) needed(attached bool, silent time.Duration) error {
	left := a.leaseLeft()
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.phase == idle && !attached:
		return exit(ExitProtocol, "the coordinator was gone before there was a job")
	case a.phase < running && !attached && left <= 0, a.phase < running && silent > max(silentIdle, left):
		return exit(ExitLapsed, "nothing was heard of the coordinator for %s before the start", silent.Round(time.Second))
	case a.phase == finished && min(silent, time.Since(a.done)) > keptFor:
		return exit(ExitLapsed, "nobody came for what was measured in %s", keptFor)
	}
	return nil
}

// result is how the process ends after a bye.
func (a *agent) result() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.lapsed:
		return exit(ExitLapsed, "the lease was over")
	case a.stopped != "":
		return exit(ExitLapsed, "%s", a.stopped)
	}
	return nil
}

// end ends whatever goes on and waits for it.
func (a *agent) end() {
	a.mu.Lock()
	if a.phase == running {
		a.engine.Cut()
	}
	a.mu.Unlock()
	a.die()
	a.works.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hard.Stop()
}
