package peer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"lt/engine"
	"lt/engine/journey"
	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/redact"
	"lt/engine/scenario"
)

// changeAhead is how far in the future a live change takes effect, so that every shard knows of it before it is due.
const changeAhead = 20 * time.Millisecond

// Config says what a fleet runs.
type Config struct {
	File     *scenario.File
	Program  *journey.Program
	Redact   *redact.Redactor
	Shards   int  // of the local member; 0: as many as the load needs
	Portable bool // the portable poller even where there is a better one
	// Recover is deferred in every goroutine, so that a panic finds the terminal whole; nil: none.
	Recover func()
}

// Fleet is several sources of load as one. Make it with New, ask the targets through Local, then Start it once.
// Change, Cut, Members, Now and Timeline may be called from any goroutine.
type Fleet struct {
	cfg     Config
	log     *load.Log
	lease   load.Lease
	local   *engine.Engine
	reports chan metrics.Report
	ready   chan struct{}
	backlog []metrics.Report
	mu      sync.Mutex
	members []metrics.Member
	closed  bool
	epoch   time.Time
	err     error
}

// New prepares the fleet of the local engine.
func New(c Config) (*Fleet, error) {
	if c.Recover == nil {
		c.Recover = func() {}
	}
	f := &Fleet{
		cfg: c, log: load.NewLog(&c.File.Load), reports: make(chan metrics.Report), ready: make(chan struct{}, 1),
		members: []metrics.Member{{Name: "local", Kind: "local", Weight: 1, Share: 1, State: "starting"}},
	}
	f.lease.Forever()
	weights := make([]int, len(f.members))
	for i, m := range f.members {
		weights[i] = m.Weight
	}
	if err := f.log.Append(load.Change{Kind: load.Reshare, Epoch: &load.Epoch{ID: 1, Table: load.Table(weights)}}); err != nil {
		return nil, fmt.Errorf("deal the load to its sources: %w", err)
	}
	var err error
	f.local, err = engine.New(engine.Config{
		File: c.File, Program: c.Program, Log: f.log, Lease: &f.lease, Name: "local",
		Shards: c.Shards, Portable: c.Portable, Redact: c.Redact, Recover: c.Recover,
		OnInterval: func(iv *metrics.Interval) { f.put(metrics.Report{Interval: iv}) },
		OnGuard:    func(text string, drain bool) { f.put(metrics.Report{Text: text, Drain: drain}) },
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Local is the member in this process, for what has to be asked before the start.
func (f *Fleet) Local() *engine.Engine { return f.local }

// Start lets the load begin, with now as run time zero. Reports is closed when every member has ended; Err then tells how.
func (f *Fleet) Start(ctx context.Context) {
	f.mu.Lock()
	f.epoch = time.Now()
	f.members[0].State = "running"
	f.mu.Unlock()
	go f.pump()
	f.put(metrics.Report{Begun: true})
	go func() {
		defer f.cfg.Recover()
		err := f.local.Run(ctx, f.epoch)
		f.mu.Lock()
		f.err = err
		f.members[0].State = "done"
		f.closed = true
		f.mu.Unlock()
		f.nudge()
	}()
}

// put takes a report without ever waiting for whoever reads them: nothing slow may hold a source back.
func (f *Fleet) put(r metrics.Report) {
	f.mu.Lock()
	f.backlog = append(f.backlog, r)
	f.mu.Unlock()
	f.nudge()
}

func (f *Fleet) nudge() {
	select {
	case f.ready <- struct{}{}:
	default:
	}
}

// pump hands the reports on, in order. It ends when every member has ended and all was taken.
func (f *Fleet) pump() {
	defer f.cfg.Recover()
	defer close(f.reports)
	for range f.ready {
		for {
			f.mu.Lock()
			batch, closed := f.backlog, f.closed
			f.backlog = nil
			f.mu.Unlock()
			for _, r := range batch {
				f.reports <- r
			}
			if len(batch) == 0 {
				if closed {
					return
				}
				break
			}
		}
	}
}

// Reports is read by the conductor until it is closed.
func (f *Fleet) Reports() <-chan metrics.Report { return f.reports }

// Err is how the run of the members ended; it is meant to be read after Reports was closed.
func (f *Fleet) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Epoch is run time zero.
func (f *Fleet) Epoch() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.epoch
}

// Timeline is the profile under the changes so far.
func (f *Fleet) Timeline() *load.Timeline { return f.log.Timeline() }

// Change enters a live change into the log of every source and says when it takes effect.
func (f *Fleet) Change(kind load.ChangeKind, factor float64) (time.Duration, error) {
	at := time.Since(f.Epoch()) + changeAhead
	if cs := f.log.Changes(); len(cs) > 0 {
		at = max(at, cs[len(cs)-1].At)
	}
	if err := f.log.Append(load.Change{At: at, Kind: kind, Factor: factor}); err != nil {
		return 0, err
	}
	f.local.Refresh()
	return at, nil
}

// Cut ends everything at once.
func (f *Fleet) Cut() { f.local.Cut() }

// Members lists the sources, in the order of their numbers.
func (f *Fleet) Members() []metrics.Member {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]metrics.Member(nil), f.members...)
}

// Prompts are the questions that wait for an answer. A fleet of one asks nothing.
func (f *Fleet) Prompts() []metrics.Prompt { return nil }

// Answer answers a prompt; one that is over already is ignored.
func (f *Fleet) Answer(int, string, bool) {}

// Add lets a peer join.
func (f *Fleet) Add(string) error { return errAlone }

// Drain lets a source leave.
func (f *Fleet) Drain(string) error { return errAlone }

var errAlone = errors.New("this run has one source, this machine; --peers names others")

// Release gives an interval's pages back once everybody has read it.
func (f *Fleet) Release(iv *metrics.Interval) { iv.Release(f.local.Pages()) }
