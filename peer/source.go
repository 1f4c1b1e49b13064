package peer

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"lt/engine/load"
	"lt/engine/metrics"
	"lt/peer/boot"
	"lt/peer/wire"
)

// source is one source of load under one number of the share tables: this process, or one life of a peer. A peer that was lost
// and takes part anew is another source with the same name.
type source struct {
	n     int
	name  string
	at    boot.Address
	link  remote  // nil: the engine of this process
	cores int     // that it may use; 0: not yet known
	part  int     // of the load, in relation to the others; see weigh
	tilt  float64 // of its part, after it could not keep up; 1: all of it
	limit float64 // most arrivals a second, or users, that its owner allows; 0: any
	m     metrics.Member

	hello  wire.Hello
	beat   wire.Beat     // the newest
	offset time.Duration // of the clocks when run time zero was fixed

	ready, armed, begun bool
	failed              error         // before it began
	joins               bool          // while the run goes on
	asked               bool          // to arm, as a joiner
	from                time.Duration // run time from which a joiner may have a share
	waiting             bool          // that time is yet to come
	known               int           // entries of the log that it confirmed
	toldAt              time.Duration // run time at which it was told of the last of them
	tardy               []tardy       // users of whom it was told late, as long as some of them may not have begun
	since               int64         // first arrival from which it follows them; of one that is given up: beyond what it may have begun
	draining            bool
	stopAt              time.Time // when a drained source, whose share is gone, is stopped; zero: not yet
	stopped             bool
	suspect             bool
	lost                time.Time // zero: not lost
	gone                time.Time // since when it is proven dead; zero: it is not
	reason              string    // of its loss
	dead                time.Time // nothing begins there any more, and its share may be others'; zero: it may
	fin                 *wire.Fin
	finished            bool            // it has ended and its account is closed
	back                *wire.Hello     // its host is there again
	others              []wire.OtherRun // processes of other runs on its machine
	replaced            bool            // by its next life
	lives               int             // before this one
	renewing            bool            // its next life is starting

	edge      time.Duration // run time up to which it reported
	missed    int64         // arrivals of its own that were counted as begun by nobody
	inHand    int           // iterations in hand or queued when it last reported
	users     int           // that it had then
	meanwhile pace          // of the others since then
	skewed    bool          // its first interval with a start in it was seen
	held      held          // of memory, when it last reported
	hot       bool          // its newest interval says that it has no processor time to spare
	strained  []bool        // by second, the newest last: it could not keep up
}

// living says whether a source takes part, or may still.
func (s *source) living() bool { return s.failed == nil && s.dead.IsZero() && !s.finished }

// heard says whether a source can be told something now.
func (s *source) heard() bool { return s.living() && !s.suspect && s.lost.IsZero() }

// away says whether a source is out of reach, or dead.
func (s *source) away() bool { return !s.lost.IsZero() || !s.gone.IsZero() }

// has says whether a number of a share table is the source's.
func (s *source) has(n uint16) bool { return int(n) == s.n }

// enlist makes a source of an address, with the next number.
func (f *Fleet) enlist(a boot.Address) *source {
	s := &source{
		n: len(f.all), name: a.Name, at: a, tilt: 1,
		m: metrics.Member{Name: a.Name, Kind: a.Kind(), Label: a.Label, State: "starting"},
	}
	f.all = append(f.all, s)
	return s
}

// dial makes a source's link and starts it.
func (f *Fleet) dial(s *source) {
	make := newLink
	if f.cfg.link != nil {
		make = f.cfg.link
	}
	link, err := make(f, s)
	if err != nil {
		f.refuse(s, err)
		return
	}
	s.link = link
	link.Dial(f.ctx)
}

// newLink makes the link to a peer.
func newLink(f *Fleet, s *source) (remote, error) {
	f.dialing.Do(func() {
		var b *boot.Binaries
		if b, f.noDial = boot.FindBinaries(f.cfg.Version, f.cfg.Programs); f.noDial == nil {
			ask := f.prompts.ask
			if !f.cfg.Ask {
				ask = nil
			}
			f.dialer = boot.NewDialer(f.cfg.SSH, b, ask)
		}
	})
	if f.noDial != nil {
		return nil, f.noDial
	}
	job, err := NewJob(f.cfg.File, f.claim, f.cfg.Agent, f.cfg.NoPreflight)
	if err != nil {
		return nil, err
	}
	job.Share = f.likelyShare(s)
	return NewLink(LinkConfig{
		N: s.n, Name: s.name, Address: s.at.String(), Target: s.at.Target, Dial: dialing(f.dialer, s.at), Job: job,
		Steps: len(f.cfg.Program.Steps), Stages: len(f.cfg.File.Load.Profile.Stages), Run: f.cfg.Run, Version: f.cfg.Version,
		Paced: s.joins, Observer: (*ears)(f), Recover: f.cfg.Recover,
	}), nil
}

// likelyShare is the part of the load, 0..1, that a source will have if all machines are alike where no weights say otherwise: how many
// cores they have is not known yet.
func (f *Fleet) likelyShare(s *source) float64 {
	total, own := 0, max(1, s.at.Weight)
	there := false
	for _, o := range f.rows {
		total += max(1, o.at.Weight)
		there = there || o.name == s.name
	}
	if !there {
		total += own
	}
	return float64(own) / float64(total)
}

// dialing is a Dialer that starts, or finds again, the peer at an address.
func dialing(d *boot.Dialer, a boot.Address) Dialer {
	return func(ctx context.Context, on Dialing) (io.ReadWriteCloser, wire.Hello, error) {
		c, err := d.Dial(ctx, a, boot.Told{Step: on.Step, Line: on.Log})
		if err != nil {
			return nil, wire.Hello{}, err
		}
		hello, err := hearHello(ctx, c)
		if err != nil {
			c.Close()
			return nil, wire.Hello{}, err
		}
		return c, hello, nil
	}
}

// ears is a Fleet as its links see it.
type ears Fleet

var _ observer = (*ears)(nil)

// peer does something to a source in the next turn, unless the run is over.
func (f *Fleet) peer(n int, do func(s *source, now time.Time)) {
	f.tell(func(now time.Time) {
		if f.stage != over {
			do(f.all[n], now)
		}
	})
}

// Step implements observer.
func (e *ears) Step(n int, step string, progress float64) {
	f := (*Fleet)(e)
	f.peer(n, func(s *source, _ time.Time) {
		if s.m.State == "starting" {
			s.m.Step, s.m.Progress = step, progress
		}
	})
}

// shownLines are how many of a peer's lines are shown.
const shownLines = 20

// Log implements observer.
func (e *ears) Log(n int, line string) {
	f := (*Fleet)(e)
	f.peer(n, func(s *source, _ time.Time) {
		if len(s.m.Log) >= shownLines {
			s.m.Log = slices.Delete(s.m.Log, 0, len(s.m.Log)-shownLines+1)
		}
		s.m.Log = append(s.m.Log, line)
	})
}

// Ready implements observer.
func (e *ears) Ready(n int, h wire.Hello, p wire.Preflight) {
	f := (*Fleet)(e)
	f.peer(n, func(s *source, now time.Time) {
		s.ready, s.hello, s.cores, s.others = true, h, h.CPUs, p.Others
		if h.Policy != nil {
			s.limit = h.Policy.MaxRate
			if f.closedModel() {
				s.limit = float64(h.Policy.MaxUsers)
			}
		}
		s.m.Step, s.m.Progress = "ready", 1
		f.show(s, "")
		for _, x := range p.Findings {
			if x.Severity == 0 {
				continue // a note
			}
			text := s.name + ": " + x.Text
			if x.Remedy != "" {
				text += "; try: " + x.Remedy
			}
			f.say("%s", text)
		}
	})
}

// Failed implements observer.
func (e *ears) Failed(n int, err error) {
	f := (*Fleet)(e)
	f.peer(n, func(s *source, now time.Time) {
		if s.begun { // it never started: what it was given is free
			f.lose(s, now, err.Error())
			f.proven(s, now)
			return
		}
		f.refuse(s, err)
	})
}

// refuse notes that a source could not be started, and lets its link go.
func (f *Fleet) refuse(s *source, err error) {
	if s.failed != nil {
		return
	}
	s.failed = err
	if s.link != nil {
		s.link.Close()
	}
	if s.lives > 0 { // as it was before
		f.say("%s could not take part anew: %s", s.name, err)
		if i := slices.IndexFunc(f.rows, func(o *source) bool { return o.name == s.name }); i >= 0 {
			before := f.rows[i]
			before.renewing, before.lives, before.lost = false, s.lives, time.Now()
		}
		return
	}
	s.m.State, s.m.Reason = "refused", because(err)
	if f.begun {
		f.show(s, "%s does not join: %s", s.name, err)
		return
	}
	f.show(s, "")
}

// because is why a source could not be started, without its name: the phase and what was said in the first line, what to do in the
// second.
func because(err error) string {
	var start *StartError
	if !errors.As(err, &start) {
		return err.Error()
	}
	why := start.Phase + ": " + start.Said
	if start.Do != "" {
		why += "\n" + start.Do
	}
	return why
}

// Armed implements observer.
func (e *ears) Armed(n int) {
	f := (*Fleet)(e)
	f.peer(n, func(s *source, now time.Time) {
		s.armed, s.m.Step = true, "armed"
		if s.joins {
			f.joined(s, now)
		}
	})
}

// Beat implements observer.
func (e *ears) Beat(n int, b wire.Beat) {
	f := (*Fleet)(e)
	f.peer(n, func(s *source, _ time.Time) {
		s.beat = b
		s.m.Bound, s.m.RTT = b.Bound, b.RTT
		if s.begun {
			s.m.Clock = s.offset - b.Offset
		}
	})
}

// Interval implements observer.
func (e *ears) Interval(n int, iv *metrics.Interval) {
	f := (*Fleet)(e)
	f.peer(n, func(s *source, _ time.Time) { f.interval(s, iv) })
}

// interval takes what a source measured.
func (f *Fleet) interval(s *source, iv *metrics.Interval) {
	iv.Source = s.name
	s.edge = max(s.edge, iv.From+iv.Length)
	s.inHand, s.users, s.meanwhile = iv.InFlight+iv.Queued, iv.Users, pace{}
	for _, o := range f.all {
		if o != nil && o != s && o.edge <= iv.From && o.dead.IsZero() {
			o.meanwhile.add(iv)
		}
	}
	if a := &iv.Audit; a.Memory > 0 {
		s.held = held{a.Memory, a.MemLimit, iv.From + iv.Length}
	}
	if s.link != nil && !s.skewed && iv.Started > 0 {
		// What it began latest within its first second of work is a bound on how late it started, by its own clock.
		s.skewed = true
		s.m.StartSkew = iv.Lag.Max()
		f.show(s, "")
	}
	f.judge(s, iv)
	f.put(metrics.Report{Source: s.n, Interval: iv})
}

// pace is how fast users went on.
type pace struct {
	requests uint64
	users    float64 // user-seconds
}

func (p *pace) add(iv *metrics.Interval) {
	for i := range iv.Records {
		p.requests += iv.Records[i].Requests
	}
	p.users += float64(iv.Users) * iv.Length.Seconds()
}

// of is what so many users make of requests a second.
func (p *pace) of(users int) float64 {
	if p.users <= 0 {
		return 0
	}
	return float64(p.requests) / p.users * float64(users)
}

// Warn implements observer.
func (e *ears) Warn(n int, w wire.Warn) {
	f := (*Fleet)(e)
	f.peer(n, func(s *source, _ time.Time) {
		f.put(metrics.Report{Source: n, Text: s.name + ": " + w.Text, Guard: true, Drain: w.Drain})
	})
}

// closedModel says whether the load is users rather than arrivals.
func (f *Fleet) closedModel() bool { return f.cfg.File.Load.Model == load.Closed }
