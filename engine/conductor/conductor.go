package conductor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"lt/engine/history"
	"lt/engine/ledger"
	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/redact"
	"lt/engine/slo"
)

const (
	// ViewEvery is how often a new View is published, unless Config.Every says more often.
	ViewEvery = 250 * time.Millisecond
	// minFactor and maxFactor bound what the keys can multiply the load by.
	minFactor, maxFactor = 0.01, 100
)

// Source is what load comes from: peer.Fleet, whatever number of machines it is made of. All methods but Start may be
// called from any goroutine, and none of them waits for a machine.
//
// A start may take long: peers are dialled, and may ask questions. Until the report that says Begun there is no run time.
// A start that is cut, or that fails, ends with Reports closed and nothing begun; Err then says why.
type Source interface {
	Start(ctx context.Context)
	Reports() <-chan metrics.Report // closed when every member has ended
	Err() error
	Epoch() time.Time // run time zero; it may lie ahead for a moment. Without meaning before Begun
	Timeline() *load.Timeline
	Change(kind load.ChangeKind, factor float64) (time.Duration, error)
	Cut() // ends everything at once; before Begun it calls the start off
	Members() []metrics.Member
	Release(*metrics.Interval)
	Prompts() []metrics.Prompt           // that wait for an answer, the one to be asked first
	Answer(id int, text string, ok bool) // to a prompt; not ok: refused. One that is over already is ignored
	Add(spec string) error               // a peer joins, as if it had been named in --peers; the error is one of spelling
	Drain(name string) error             // a source gives its share to the others and leaves
}

// Config is what a run is made of.
type Config struct {
	Header Header
	Ledger *ledger.Ledger
	Record *history.Writer // nil: the run leaves no record. The run writes it in the background and closes it
	Source Source
	Spec   load.Spec
	Found  []Event // what was found out before the start, such as what a target speaks: the diary begins with it
	// AllowRate is asked before the load is raised by hand; an error is the sentence that refuses it.
	AllowRate func(peak float64) error
	// Snapshot writes a report of the run so far to a file and returns where it is. It is called between two items, so the
	// ledger stands still meanwhile.
	Snapshot func(path string) (string, error)
	// Watch gets a View soon after something was entered, and the last one before Wait returns; for plain mode. It is called
	// from one goroutine, which it may hold up for as long as it likes: it misses Views then, and the run goes on.
	Watch func(*View)
	// Every is how often a View is published, if that is more often than ViewEvery; 0: ViewEvery.
	Every time.Duration
	// Recover is deferred in every goroutine of the run, so that a panic finds the terminal whole; nil: none.
	Recover func()
}

// Run is one run while it goes on. Send, Next and Wait may be called from any goroutine.
type Run struct {
	cfg      Config
	commands chan Command
	views    chan *View    // one slot, newest wins
	wanted   atomic.Bool   // somebody waits for a View: making one that nobody looks at costs the machine under test
	lines    chan *View    // likewise, for Config.Watch; nil: nobody watches
	watched  chan struct{} // Config.Watch has had the last one
	done     chan struct{}
	err      error

	after  sync.Mutex // of what may still be done after the end
	waited bool       // the ledger has gone to whoever waited

	state  State
	begun  bool      // run time zero is fixed
	called time.Time // when the sources were told to start
	roll   roll
	ended  ledger.Ended
	endAt  time.Duration
	endT   time.Time
	last   *View // the picture at the end
	stage  int
	looked time.Duration // run time up to which the timeline was followed
	paused bool
	held   bool
	ahead  []ahead // changes that were ordered and do not hold yet, in order
	fresh  bool    // something was entered that nobody has looked at
	diary  diary
	broken error // why the record could not be written any more
}

// Start starts the sources and conducts the run in the background. When ctx is done everything is cut at once.
func Start(ctx context.Context, c Config) *Run {
	if c.Recover == nil {
		c.Recover = func() {}
	}
	r := &Run{cfg: c, commands: make(chan Command, 64), views: make(chan *View, 1), done: make(chan struct{}), stage: -1, called: time.Now()}
	for _, m := range c.Source.Members() {
		r.roll.see(&m, 0)
	}
	if c.Record != nil {
		c.Record.Behind()
	}
	for _, e := range c.Found {
		r.event(0, e.Kind, "%s", e.Text)
	}
	c.Source.Start(ctx)
	if c.Watch != nil {
		r.lines, r.watched = make(chan *View, 1), make(chan struct{})
		go r.watch()
	}
	go r.conduct()
	return r
}

// watch hands Views to whoever watches, in a goroutine of its own: lines that nobody reads must not keep the run from being
// stopped.
func (r *Run) watch() {
	defer close(r.watched)
	defer r.cfg.Recover()
	for v := range r.lines {
		r.cfg.Watch(v)
	}
}

// Send tells the run something. It never waits; after the end only a report can be asked for, which Next then writes.
func (r *Run) Send(c Command) {
	select {
	case r.commands <- c:
	default:
		// A full queue means that nobody reads it: the run is ending.
	}
}

// Next waits for a View that the caller has not seen. After the end it goes on giving the last one with a growing EndedAgo,
// once a second, until ctx is done.
func (r *Run) Next(ctx context.Context) (*View, error) {
	r.wanted.Store(true)
	select {
	case v := <-r.views:
		return v, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-r.done:
	}
	select {
	case v := <-r.views:
		return v, nil
	default:
	}
	var late Command
	select {
	case late = <-r.commands:
	case <-time.After(time.Second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r.after.Lock()
	defer r.after.Unlock()
	if s, ok := late.(Snapshot); ok && r.begun && !r.waited {
		r.snapshotAtEnd(s.Path)
	}
	last := *r.last
	last.EndedAgo = time.Since(r.endT)
	return &last, nil
}

// snapshotAtEnd writes a report when all is over. What became of it stands in the View alone: the record is closed.
func (r *Run) snapshotAtEnd(path string) {
	text := r.written(path)
	if text == "" {
		return
	}
	last := *r.last
	last.Events = append(last.Events[:len(last.Events):len(last.Events)], Event{At: r.endAt, Kind: EventNote, Text: text})
	r.last = &last
}

// Wait returns when the run has ended, its record is closed, and everything it started has ended. From then on Next reads the
// ledger no more: it is the caller's.
func (r *Run) Wait() error {
	<-r.done
	r.after.Lock()
	defer r.after.Unlock()
	r.waited = true
	return r.err
}

// Done is closed at the end.
func (r *Run) Done() <-chan struct{} { return r.done }

// conduct is the run: it reads what the sources report and what it is told, one thing at a time.
func (r *Run) conduct() {
	defer close(r.done)
	defer r.cfg.Recover() // before anybody is told that the run has ended
	every := ViewEvery
	if r.cfg.Every > 0 {
		every = min(every, r.cfg.Every) // a slower screen asks less often by itself
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	reports := r.cfg.Source.Reports()
	for {
		select {
		case rep, ok := <-reports:
			if !ok {
				r.finish()
				return
			}
			r.report(rep)
		case c := <-r.commands:
			r.command(c)
			r.publish()
		case <-tick.C:
			r.follow()
			r.look()
			r.publish()
		}
	}
}

// now is the present run time; zero while the run has not begun.
func (r *Run) now() time.Duration {
	if !r.begun {
		return 0
	}
	return max(0, time.Since(r.cfg.Source.Epoch()))
}

// Begun reports whether the run ever began, and Ended how it came to its end; without the first nothing was sent and there is
// nothing to report. Both may be asked after the end.
func (r *Run) Begun() bool { return r.begun }

// Ended is how the run came to its end.
func (r *Run) Ended() ledger.Ended { return r.ended }

// add enters an item into the ledger and the record.
func (r *Run) add(item ledger.Item) {
	if r.cfg.Record != nil && r.broken == nil {
		if err := r.cfg.Record.Add(item); err != nil {
			r.broken = cause(err)
			r.cfg.Ledger.Add(&ledger.Event{At: r.now(), Kind: EventGuard, Text: "the record can no longer be written: " + r.broken.Error()})
		}
	}
	r.cfg.Ledger.Add(item)
}

// cause is what the system says of an error, without who did what to which file: the sentence around it says that.
func cause(err error) error {
	for _, disk := range []error{history.ErrHung, history.ErrBehind} {
		if errors.Is(err, disk) {
			return disk
		}
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// RecordErr is why the record does not hold all of the run; nil: it does, or there is none. It may be asked after the end.
func (r *Run) RecordErr() error { return r.broken }

// event enters a sentence into the run's diary. Names and errors in it may come from outside: it becomes one harmless line.
func (r *Run) event(at time.Duration, kind EventKind, format string, args ...any) {
	r.fresh = true
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; ")
	r.add(&ledger.Event{At: at, Kind: kind, Text: ledger.Clip(redact.Neutralise(text))})
}

// report takes what a source says.
func (r *Run) report(rep metrics.Report) {
	iv := rep.Interval
	if iv == nil {
		r.tidings(rep)
		return
	}
	r.follow()
	r.add(iv)
	for _, n := range iv.Notes {
		r.event(iv.From+iv.Length, EventNote, "%s", n)
	}
	r.troubles(iv.Errors, r.cfg.Ledger.Header().Steps)
	r.cfg.Source.Release(iv)
	r.fresh = true
}

// look judges what was entered since the last look, and lets plain mode say it. With many sources intervals come far more
// often than a picture of the run is worth its price.
func (r *Run) look() {
	for _, m := range r.cfg.Source.Members() {
		r.fresh = r.roll.see(&m, time.Since(r.called)) || r.fresh
	}
	if !r.fresh {
		return
	}
	r.fresh = false
	slos := r.cfg.Ledger.SLOs()
	r.judged(slos, r.cfg.Ledger.Snapshot().Totals.Counted)
	for _, res := range slos {
		if res.Ends && r.state != Draining {
			r.event(r.now(), EventSLO, "%s does not hold (%s): the run is ended", res.Expr, res.Text)
			r.stop(BySLO)
		}
	}
	if r.lines != nil {
		offer(r.lines, r.view())
	}
}

// offer puts a View where its reader finds it; one that was not taken is replaced.
func offer(slot chan *View, v *View) {
	for {
		select {
		case slot <- v:
			return
		default:
		}
		select {
		case <-slot:
		default:
		}
	}
}

// tidings takes what is not an interval: what became of a source, that the run has begun, or a sentence.
func (r *Run) tidings(rep metrics.Report) {
	kind := EventSource
	if rep.Guard {
		kind = EventGuard
	}
	if rep.Member != nil {
		r.member(rep.Member)
	}
	if rep.Begun {
		r.begin()
	}
	if rep.Gap != nil {
		r.add(rep.Gap)
	}
	if rep.Text != "" {
		r.event(r.now(), kind, "%s", rep.Text)
	}
	if rep.Drain {
		r.stop(Failed)
	}
	r.fresh = true
}

// begin is run time zero: the record learns when that is, and what became of each source on the way here.
func (r *Run) begin() {
	if r.begun {
		return
	}
	r.begun = true
	r.add(&ledger.Begin{At: r.cfg.Source.Epoch().Round(0)}) // by the wall, for whoever compares with other logs
	for _, m := range r.cfg.Source.Members() {
		r.member(&m)
	}
	r.follow()
}

// member notices what became of a source. The record gets what changes its account; how it starts step by step, and what its
// clock says from second to second, is for the screen alone.
func (r *Run) member(m *metrics.Member) {
	at := time.Since(r.called)
	if !r.begun {
		r.roll.see(m, at) // the record gets it when the run begins
	} else if r.roll.note(m, at) {
		r.add(sourceState(r.now(), m))
	}
}

// follow notices what the timeline did since the last look: stages that began or ended, the end of the profile. It walks along
// the timeline's own edges, so that none is missed or moved when nobody could look for a while.
func (r *Run) follow() {
	now := r.now()
	if r.state == Starting {
		if now <= 0 {
			return
		}
		r.state = Running
	}
	line := r.cfg.Source.Timeline()
	for at := r.looked; at <= now; _, at = line.Span(at) {
		r.come(at)
		if st := line.At(at); st.Over {
			r.over(at)
		} else if st.Stage != r.stage && r.state != Draining {
			r.enters(st.Stage, at)
		}
	}
	r.come(now)
	r.looked = now
}

// enters says that a stage began, and with it that the one before has ended.
func (r *Run) enters(stage int, at time.Duration) {
	r.leaves(at)
	r.stage = stage
	r.add(&ledger.StageEdge{Index: stage, At: at})
	if stages := r.cfg.Spec.Profile.Stages; stage < len(stages) {
		r.event(at, EventStage, "%s begins", stages[stage].Name)
	}
}

// leaves says that the present stage has ended.
func (r *Run) leaves(at time.Duration) {
	if r.stage >= 0 {
		r.add(&ledger.StageEdge{Index: r.stage, At: at, Ends: true})
		r.stage = -1
	}
}

// over says that the profile has ended.
func (r *Run) over(at time.Duration) {
	r.leaves(at)
	if r.state != Draining {
		r.state = Draining
		r.event(at, EventStage, "the load has ended; what is in hand finishes")
	}
}

// stop lets the run drain.
func (r *Run) stop(why ledger.Ended) {
	if r.state == Draining {
		return
	}
	if r.state == Starting {
		r.ended = why
		r.cfg.Source.Cut()
		return
	}
	if at, err := r.cfg.Source.Change(load.Stop, 0); err != nil {
		r.event(r.now(), EventNote, "stop: %s", err)
		r.cfg.Source.Cut()
	} else {
		r.void(at)
	}
	r.ended = why
	r.state = Draining
}

// finish closes the run: every source has ended.
func (r *Run) finish() {
	r.follow()
	r.endAt, r.endT = r.now(), time.Now()
	if !r.begun {
		r.neverBegan()
		return
	}
	if r.ended == "" {
		r.ended = Finished
	}
	if err := r.cfg.Source.Err(); err != nil && !errors.Is(err, context.Canceled) {
		r.ended = Failed
		r.event(r.endAt, EventGuard, "a source ended early: %s", err)
		r.err = err
	}
	line := r.cfg.Source.Timeline()
	for _, m := range r.cfg.Source.Members() {
		r.roll.forget(m.Name) // the last word on its clock and its link
		r.member(&m)
	}
	r.add(&ledger.End{At: r.endAt, Ended: r.ended, Drain: max(0, r.endAt-line.End())})
	if r.cfg.Record != nil {
		if err := r.cfg.Record.Close(); err != nil && r.broken == nil {
			r.broken = cause(err)
			r.event(r.endAt, EventGuard, "the record could not be ended: %s", r.broken)
		}
	}
	r.end()
}

// end shows the last picture, to everyone.
func (r *Run) end() {
	r.state = Ended
	r.last = r.view()
	offer(r.views, r.last)
	if r.lines != nil {
		offer(r.lines, r.last)
		close(r.lines)
		<-r.watched
	}
}

// neverBegan closes a run whose start failed or was called off: nothing was sent, so nothing is kept.
func (r *Run) neverBegan() {
	if r.ended == "" {
		r.ended = Failed
	}
	if err := r.cfg.Source.Err(); err != nil && !errors.Is(err, context.Canceled) {
		r.err = err
	}
	if r.cfg.Record != nil {
		r.err = errors.Join(r.err, r.cfg.Record.Discard())
	}
	r.end()
}

// publish puts a new View where the screen finds it, if it waits for one.
func (r *Run) publish() {
	if r.wanted.Swap(false) {
		offer(r.views, r.view())
	}
}

// view is the run as it stands.
func (r *Run) view() *View {
	now := r.now()
	if r.state == Ended {
		now = r.endAt
	}
	line := r.cfg.Source.Timeline()
	st := line.At(now)
	l := r.cfg.Ledger
	total := line.End()
	if total == load.Never { // held or paused: as if it went on at this moment
		total = now + max(0, r.cfg.Spec.Profile.Duration()-st.Clock)
	}
	snap := *l.SnapshotAt(now)
	snap.Sources = r.sources(snap.Sources, st.Rate)
	startsIn := time.Duration(0)
	if r.begun && r.state == Starting {
		startsIn = max(0, time.Until(r.cfg.Source.Epoch()))
	}
	return &View{
		Run: r.cfg.Header, State: r.state, Begun: r.begun, StartsIn: startsIn, Elapsed: now, Clock: st.Clock, Total: total, Stage: r.stage, Factor: st.Factor,
		Profile: r.cfg.Spec.Profile, Snapshot: &snap, Points: l.Points(), SLOs: append([]slo.Result(nil), l.SLOs()...),
		Events: l.Events(), Prompts: r.cfg.Source.Prompts(), Ended: r.ended,
	}
}
