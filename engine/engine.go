package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"lt/engine/journey"
	"lt/engine/limits"
	"lt/engine/load"
	"lt/engine/loop"
	"lt/engine/metrics"
	"lt/engine/redact"
	"lt/engine/scenario"
)

// Config is what an engine needs to know. File, Program, Log, Lease and OnInterval are required.
type Config struct {
	File    *scenario.File
	Program *journey.Program
	Log     *load.Log   // changes of the load; shared, append-only
	Lease   *load.Lease // nothing begins once it is over; Run watches it
	Source  int         // this source's number in the share tables
	Name    string      // this source's name in intervals
	Shards  int         // zero: as many as the load needs, at most one a core

	// From is the run time from which a source takes part that joins a run under way; zero: from the start. The tables give
	// it nothing before. Its intervals are numbered from 0 and begin with the second that From lies in.
	From time.Duration

	Portable bool // the portable poller even where there is a better one
	// Dial replaces the sockets of the portable poller, Lookup the system's resolver.
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// ReadFile gives the certificates and keys that the file names; nil: os.ReadFile, below the file's folder.
	ReadFile func(name string) ([]byte, error)
	// Allow is asked about every address that the resolver gives and every address that stands in a URL, before it is dialled;
	// an error is the sentence that refuses it. It is called from several goroutines. Nil allows all.
	Allow  func(host string, addr netip.Addr) error
	Redact *redact.Redactor // nil: only what is masked by place
	// Reading takes the process's own measures, once an interval; nil: limits.Read.
	Reading func() limits.Reading
	// Pressure says what share of the nearest memory limit is used, ten times a second; nil: limits.Pressure.
	Pressure func() float64
	// Recover is deferred first in every goroutine that the engine starts, so that a panic finds the terminal whole. If it
	// ends a panic, the run is cut and Run returns an error. Nil: a panic ends the process.
	Recover func()

	// OnInterval gets every interval in order, from one goroutine; it owns what it gets. Pages may be given back by
	// Interval.Release(Engine.Pages()).
	OnInterval func(*metrics.Interval)
	// OnGuard is told what the engine did to protect the machine; drain asks for the run to be ended. It is called from the
	// goroutine that calls OnInterval.
	OnGuard func(text string, drain bool)
}

// ErrLapsed is why Run ended (by errors.Is) if the lease was over and nobody extended it: nothing began from that moment on,
// what was in hand had as long as its grace to finish, at most lapseGrace, and was then cut.
var ErrLapsed = errors.New("the lease is over: for too long nothing was heard from whoever runs the load")

// Engine is one source of load on this machine. Refresh, Drain, Cut and Begun may be called from any goroutine at any time.
type Engine struct {
	cfg     Config
	spec    *load.Spec
	pages   *metrics.Pages
	origins *origins
	guard   guard
	ran     atomic.Bool
	shards  atomic.Pointer[[]*shard] // nil before Run has made them

	handover sync.Mutex
	parts    [][]*metrics.Interval // by shard, in order, not yet collected
	wake     chan struct{}
	cut      atomic.Bool
	drained  atomic.Bool
	lapsed   atomic.Bool // the lease ended the run
	bound    bound
	still    still
	epoch    time.Time
	heard    atomic.Pointer[heard]
	extended atomic.Int64 // run time in nanoseconds at which the lease was last extended after it had been over
}

// heard is when this source heard of what made the log of changes as long as it is in a timeline.
type heard struct {
	line *load.Timeline
	at   time.Duration
}

// New checks the configuration and prepares everything that needs no network.
func New(c Config) (*Engine, error) {
	if c.File == nil || c.Program == nil || c.Log == nil || c.Lease == nil || c.OnInterval == nil {
		return nil, errors.New("engine: the configuration lacks a file, a program, a log, a lease or a place for intervals")
	}
	if c.Redact == nil {
		c.Redact = redact.New(nil)
	}
	if c.OnGuard == nil {
		c.OnGuard = func(string, bool) {}
	}
	if c.Reading == nil {
		c.Reading = limits.Read
	}
	if c.Recover == nil {
		c.Recover = func() {}
	}
	e := &Engine{cfg: c, spec: &c.File.Load, pages: &metrics.Pages{}, wake: make(chan struct{}, 1)}
	var err error
	if e.origins, err = newOrigins(&e.cfg); err != nil {
		return nil, err
	}
	return e, nil
}

// StepNames lists what the step numbers in records mean.
func StepNames(p *journey.Program) []metrics.StepName {
	names := make([]metrics.StepName, len(p.Steps))
	for i, st := range p.Steps {
		names[i] = metrics.StepName{Scenario: st.Scenario.Name, Step: st.Src.Name, Kind: metrics.StepKind(st.Kind)}
	}
	return names
}

// Pages is where the intervals' pages come from and may go back to.
func (e *Engine) Pages() *metrics.Pages { return e.pages }

// cores is how many shards can compute at once: a control group may have a small part of a large machine.
func cores() int { return max(1, int(math.Ceil(limits.Cores()))) }

// shardCount is how many shards the load needs: one carries tens of thousands of requests a second, and a shard that has
// little to do costs wake-ups on a machine that may carry the target too.
func (e *Engine) shardCount() int {
	n := e.cfg.Shards
	if n == 0 {
		peak := e.spec.Profile.Peak()
		if e.spec.Model == load.Open {
			steps := 1.0
			for _, sc := range e.cfg.Program.Scenarios {
				steps = math.Max(steps, float64(len(sc.Steps)))
			}
			n = int(math.Ceil(peak * steps / 20_000))
		} else {
			n = int(peak / 16)
		}
		n = min(n, cores())
	}
	if e.spec.Model == load.Open {
		// More shards than slots would have shards that stand by. Only the tables to come may change the number.
		slots, _ := e.cfg.Log.Timeline().Slots(e.cfg.From, e.cfg.Source, 0, 1)
		n = min(n, slots)
	}
	return max(n, 1)
}

// Run makes the load, with epoch as run time zero, until the profile, the iterations in hand and their grace are over, or
// ctx is done, which cuts what is in hand at once. It returns when all that it started has ended and the last interval
// was handed over. It may be called once. The epoch may lie in the future: until then nothing runs but the wait for it, which
// ctx, Cut and Drain end. It must carry a monotonic reading.
func (e *Engine) Run(ctx context.Context, epoch time.Time) error {
	if e.ran.Swap(true) {
		return errors.New("run engine: it has run before; make a new one")
	}
	e.epoch = epoch
	e.bound.init(e)
	defer e.origins.close()
	e.cfg.Lease.Watch(e.leaseMoved)
	defer e.cfg.Lease.Watch(nil)
	shards, err := e.makeShards()
	if err != nil {
		return err
	}
	if n := len(shards) + 1; runtime.GOMAXPROCS(0) < n {
		runtime.GOMAXPROCS(n) // a shard that polls keeps its core: the collector and the screen need one too
	}
	e.shards.Store(&shards)
	// These were perhaps called too early to reach anyone.
	if e.drained.Load() {
		e.Drain()
	}
	if e.cut.Load() {
		e.Cut()
	}
	stopCut := context.AfterFunc(ctx, e.Cut)
	defer stopCut()
	refreshing, stopRefresh := context.WithCancel(context.Background())
	var others, running sync.WaitGroup
	others.Go(func() {
		defer e.cfg.Recover()
		e.origins.refresh(refreshing)
	})
	whole := false
	others.Go(func() {
		defer e.cfg.Recover()
		defer func() {
			if !whole {
				e.Cut() // nobody takes the intervals any more
			}
		}()
		e.collect(shards)
		whole = true
	})
	errs := make([]error, len(shards))
	for i, s := range shards {
		running.Go(func() {
			defer e.cfg.Recover()
			defer s.lastPart()
			errs[i] = fmt.Errorf("shard %d of %d ended by a panic", i+1, len(shards))
			errs[i] = s.loop.Run(s)
		})
	}
	running.Wait()
	stopRefresh()
	others.Wait()
	if !whole {
		errs = append(errs, errors.New("the collector of intervals ended by a panic"))
	}
	if e.lapsed.Load() {
		errs = append(errs, ErrLapsed)
	}
	return errors.Join(errs...)
}

// makeShards makes an event loop for each shard.
func (e *Engine) makeShards() ([]*shard, error) {
	n := e.shardCount()
	spin := loop.DefaultSpin
	if n >= cores() {
		spin = 0
	}
	e.parts = make([][]*metrics.Interval, n)
	e.guard.init(e.cfg.Reading().FileLimit, n)
	shards := make([]*shard, 0, n)
	for i := range n {
		l, err := loop.New(loop.Options{Epoch: e.epoch, Spin: spin, Portable: e.cfg.Portable || e.cfg.Dial != nil, Dial: e.cfg.Dial, Recover: e.cfg.Recover})
		if err != nil {
			for _, s := range shards {
				s.loop.Stop()
				err = errors.Join(err, s.loop.Run(s)) // which gives its descriptors back
			}
			return nil, fmt.Errorf("start event loop %d of %d: %w", i+1, n, err)
		}
		shards = append(shards, newShard(e, l, i, n))
	}
	return shards, nil
}

// Refresh tells the shards that the log of changes has grown. It is to be called as soon as it has: that is when this source heard
// of the changes.
func (e *Engine) Refresh() {
	if e.shards.Load() == nil {
		return // they will read the log when they are made
	}
	if line, h := e.cfg.Log.Timeline(), e.heard.Load(); h == nil || h.line != line {
		e.heard.Store(&heard{line, time.Since(e.epoch)})
	}
	e.tell(func(s *shard) { s.refresh(s.loop.Now()) })
}

// heardAt is when this source heard of the newest change, for a shard that finds it in the log at now, which may be a moment before
// Refresh was called, or long after it if the shard was kept from running.
func (e *Engine) heardAt(now time.Duration) time.Duration {
	if h := e.heard.Load(); h != nil && h.line == e.cfg.Log.Timeline() {
		return min(h.at, now)
	}
	return now
}

// Drain ends the load of this source, whatever the profile says: nothing becomes due any more from now on, what is in hand
// has its grace to finish, and Run returns.
func (e *Engine) Drain() {
	e.drained.Store(true)
	e.tell((*shard).drain)
}

// Begun is how many arrivals have begun so far (in the closed model iterations). It lags behind by the turn of an event loop
// at most.
func (e *Engine) Begun() uint64 {
	n := uint64(0)
	if shards := e.shards.Load(); shards != nil {
		for _, s := range *shards {
			n += s.begun.Load()
		}
	}
	return n
}

// Cut ends everything at once: nothing new begins, what is in hand is counted as unfinished.
func (e *Engine) Cut() {
	e.cut.Store(true)
	e.tell((*shard).cutAll)
}

// tell has every shard do something on its own goroutine.
func (e *Engine) tell(do func(*shard)) {
	if shards := e.shards.Load(); shards != nil {
		for _, s := range *shards {
			s.loop.Post(func() { do(s) })
		}
	}
}

// hand takes one shard's part of an interval; called on the shard's goroutine at the interval's edge. It never waits for
// the collector.
func (e *Engine) hand(shard int, part *metrics.Interval) {
	e.handover.Lock()
	e.parts[shard] = append(e.parts[shard], part)
	e.handover.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// guard is what the shards share to protect the machine.
type guard struct {
	full    atomic.Bool // memory: no new users
	drained atomic.Bool // memory: the end was asked for
	files   int         // connections a shard may keep open
	closing atomic.Bool // said that idle connections are closed
	cutBody atomic.Bool // said that a body was kept in part
	foreign atomic.Bool // said that a redirect to a foreign host is not followed
}

// spareFiles is how many descriptors below the limit users stop keeping connections while they pause: what the rest of the
// process needs.
const spareFiles = 256

// init takes the limit of open files; 0 is none that is known.
func (g *guard) init(limit, shards int) {
	g.files = math.MaxInt
	if limit > 0 {
		g.files = max(16, (limit-spareFiles)/shards)
	}
}
