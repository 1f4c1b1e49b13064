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
	Lease   *load.Lease // nothing begins once it is over
	Source  int         // this source's number in the share tables
	Name    string      // this source's name in intervals
	Share   float64     // of max_in_flight, 0..1; zero means all of it
	Shards  int         // zero: as many as the load needs, at most one a core

	Portable bool // the portable poller even where there is a better one
	// Dial replaces the sockets of the portable poller, Lookup the system's resolver.
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Allow is asked about every address before it is dialled; an error is the sentence that refuses it. Nil allows all.
	Allow  func(host string, addr netip.Addr) error
	Redact *redact.Redactor // nil: only what is masked by place

	// OnInterval gets every interval in order, from one goroutine; it owns what it gets. Pages may be given back by
	// Interval.Release(Engine.Pages()).
	OnInterval func(*metrics.Interval)
	// OnGuard is told what the engine did to protect the machine; drain asks for the run to be ended.
	OnGuard func(text string, drain bool)
}

// Engine is one source of load on this machine.
type Engine struct {
	cfg     Config
	spec    *load.Spec
	pages   *metrics.Pages
	origins *origins
	shards  []*shard
	guard   guard
	names   []metrics.StepName

	handover sync.Mutex
	parts    [][]*metrics.Interval // by shard, in order, not yet collected
	wake     chan struct{}
	cut      atomic.Bool
	begun    atomic.Int64 // iterations of the closed model, for its limit
	epoch    time.Time
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
	e := &Engine{cfg: c, spec: &c.File.Load, pages: &metrics.Pages{}, wake: make(chan struct{}, 1), names: StepNames(c.Program)}
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

// shardCount is how many shards the load needs: one carries tens of thousands of requests a second, and a shard that has
// little to do costs wake-ups on a machine that may carry the target too.
func (e *Engine) shardCount() int {
	cores := runtime.NumCPU()
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
		n = min(n, cores)
	}
	if m := e.maxInFlight(); m > 0 {
		n = min(n, m)
	}
	return max(n, 1)
}

// maxInFlight is this source's part of the limit; 0 is none (the closed model has its users as a limit).
func (e *Engine) maxInFlight() int {
	m := e.spec.MaxInFlight
	if m <= 0 || e.spec.Model == load.Closed && e.spec.MaxInFlight == 0 {
		return 0
	}
	if e.cfg.Share > 0 && e.cfg.Share < 1 {
		m = max(1, int(math.Round(float64(m)*e.cfg.Share)))
	}
	return m
}

// Run makes the load, with epoch as run time zero, until the profile, the iterations in hand and their grace are over, or
// ctx is done, which cuts what is in hand at once. It returns when all that it started has ended and the last interval
// was handed over. It may be called once.
func (e *Engine) Run(ctx context.Context, epoch time.Time) error {
	e.epoch = epoch
	n := e.shardCount()
	if runtime.GOMAXPROCS(0) < n+1 {
		runtime.GOMAXPROCS(n + 1)
	}
	spin := 50 * time.Microsecond
	if n >= runtime.NumCPU() {
		spin = 0
	}
	e.parts = make([][]*metrics.Interval, n)
	e.guard.init(n)
	limit := e.maxInFlight()
	for i := range n {
		l, err := loop.New(loop.Options{Epoch: epoch, Spin: spin, Portable: e.cfg.Portable || e.cfg.Dial != nil, Dial: e.cfg.Dial})
		if err != nil {
			return fmt.Errorf("start event loop %d of %d: %w", i+1, n, err)
		}
		part := 0
		if limit > 0 {
			part = (limit + n - 1 - i) / n
		}
		e.shards = append(e.shards, newShard(e, l, i, n, part))
	}
	resolverCtx, stopResolver := context.WithCancel(ctx)
	defer stopResolver()
	var background sync.WaitGroup
	background.Go(func() { e.origins.refresh(resolverCtx) })

	stopCut := context.AfterFunc(ctx, e.Cut)
	defer stopCut()
	collected := make(chan struct{})
	go func() { defer close(collected); e.collect(epoch) }()

	var running sync.WaitGroup
	errs := make([]error, n)
	for i, s := range e.shards {
		running.Go(func() { errs[i] = s.run() })
	}
	running.Wait()
	<-collected
	stopResolver()
	e.origins.wait()
	background.Wait()
	return errors.Join(errs...)
}

// Refresh tells the shards that the log of changes has grown. Any goroutine may call it.
func (e *Engine) Refresh() {
	for _, s := range e.shards {
		s.loop.Post(s.refresh)
	}
}

// Cut ends everything at once: nothing new begins, what is in hand is counted as unfinished. Any goroutine may call it.
func (e *Engine) Cut() {
	e.cut.Store(true)
	for _, s := range e.shards {
		s.loop.Post(s.cutAll)
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
	files   int         // descriptors a shard may hold open
	closing atomic.Bool // said that idle connections are closed
	cutBody atomic.Bool // said that a body was kept in part
	drained atomic.Bool // memory: the end was asked for
	foreign atomic.Bool // said that a redirect to a foreign host is not followed
}

func (g *guard) init(shards int) {
	soft, _, err := limits.Files()
	if err != nil || soft <= 0 {
		g.files = math.MaxInt
		return
	}
	g.files = max(16, (soft-256)/shards)
}
