package ledger

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"lt/engine/knee"
	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/slo"
)

// Ledger adds up one run. Make it with New.
type Ledger struct {
	header Header
	tally  *metrics.Tally
	judge  *slo.Judge
	curve  *knee.Curve
	events []Event
	books  map[string]*book
	states map[string]Source
	now    time.Duration // newest run time that was told
	stage  int           // that holds, pauses aside; metrics.NoStage: none
	pieces []piece       // what held when, pauses included, from the one on that the judge was not told of
	turns  int           // pieces and levels so far
	told   time.Duration // run time up to which the judge was told of complete seconds
	paused bool
	end    *End
	replay func(yield func(Item) error) error
}

// piece is run time [from, to) that a stage held, or with metrics.NoStage a pause. to is forever while it holds.
type piece struct {
	stage    int
	from, to time.Duration
}

const forever = time.Duration(math.MaxInt64)

// The bounds on what a ledger keeps of a run, so that neither a run that repeats itself nor a record made by someone else can
// take more than some hundred MB. A share table has no more sources; stages, pauses and changes by hand are a few hundred.
const (
	maxEvents  = 10_000
	maxText    = 4 << 10 // bytes of an event, or of a name or reason of a source
	maxSources = 4096
	maxTurns   = 4 * maxStages
	// maxRun is the longest run time that a ledger follows: the longest profile, and a tenth for what was held by hand.
	maxRun = load.MaxDuration + load.MaxDuration/10
)

// within reports whether a run time can be one; in a record made by someone else it may be anything.
func within(at time.Duration) bool { return at >= 0 && at <= maxRun }

// Clip cuts a text to what a ledger keeps of it, a few KiB.
func Clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}

// New makes an empty ledger for a run. An error means a header that no run can have, such as an SLO that cannot be read.
func New(h Header) (*Ledger, error) {
	if err := h.Validate(); err != nil {
		return nil, fmt.Errorf("header of the run: %w", err)
	}
	l := &Ledger{header: h, books: make(map[string]*book), states: make(map[string]Source), stage: metrics.NoStage}
	stages := make([]metrics.StageInfo, len(h.Stages))
	curve := make([]knee.Stage, len(h.Stages))
	for i, s := range h.Stages {
		stages[i] = metrics.StageInfo{Name: s.Name, Warmup: s.Warmup}
		curve[i] = knee.Stage{Held: !s.Ramp, Warmup: s.Warmup, Length: s.For}
		if s.Curve == load.Steps.String() {
			curve[i].Levels = s.Steps
		}
	}
	var err error
	if l.judge, err = newJudge(&h, stages); err != nil {
		return nil, err
	}
	l.tally = metrics.NewTally(h.Steps, stages, nil)
	l.curve = knee.NewCurve(curve, h.Steps)
	for _, s := range h.Sources {
		if s.State == "starting" {
			s.State = "running"
		}
		l.source(0, s)
	}
	return l, nil
}

// Add enters an item. Nothing of an interval is kept; the other items are copied. After the end nothing but events is
// entered. Anything outside of the closed set of items is a mistake of the program, and Add panics.
func (l *Ledger) Add(item Item) {
	if l.end != nil {
		if e, ok := item.(*Event); ok {
			l.event(e)
		}
		return
	}
	switch it := item.(type) {
	case *metrics.Interval:
		l.interval(it)
	case *Event:
		l.event(it)
	case *Begin:
		l.header.Started = it.At
	case *StageEdge:
		l.edge(it)
	case *Pause:
		l.pause(it)
	case *Change:
		if !l.paused && within(it.At) && l.turn() {
			l.curve.Level(it.At)
		}
	case *SourceState:
		l.source(it.At, it.Source)
	case *Gap:
		if within(it.From) && within(it.To) && it.To >= it.From {
			l.tally.AddGap(*it)
		}
	case *End:
		l.finish(it)
	default:
		panic(fmt.Sprintf("ledger: %T is not an item of a run", item))
	}
}

func (l *Ledger) interval(iv *metrics.Interval) {
	if !within(iv.From) || !within(iv.Length) || !within(iv.From+iv.Length) {
		return
	}
	b := l.books[iv.Source]
	if b == nil {
		if len(l.books) >= maxSources || len(iv.Source) > maxText {
			return
		}
		b = &book{}
		l.books[iv.Source] = b
	}
	l.now = max(l.now, iv.From+iv.Length)
	b.enter(iv)
	l.tally.Add(iv)
	l.judge.Add(iv)
	l.curve.Add(iv)
	if s, known := l.states[iv.Source]; iv.Final && known && living(s.State) {
		s.State = "done"
		l.source(iv.From+iv.Length, s)
	}
	l.tellSeconds()
}

// event enters a sentence. The last one that there is room for says that there is no more.
func (l *Ledger) event(e *Event) {
	switch n := len(l.events); {
	case n < maxEvents-1:
		l.events = append(l.events, Event{At: e.At, Kind: EventKind(Clip(string(e.Kind))), Text: Clip(e.Text)})
	case n == maxEvents-1:
		l.events = append(l.events, Event{At: e.At, Kind: EventNote, Text: fmt.Sprintf("more than %d events: those from here on are not kept", maxEvents)})
	}
}

// turn counts a change of what holds, and says whether there is room for it.
func (l *Ledger) turn() bool {
	l.turns++
	return l.turns <= maxTurns
}

func (l *Ledger) edge(e *StageEdge) {
	switch {
	case e.Index < 0 || e.Index >= len(l.header.Stages) || !within(e.At):
		return // a record made by someone else
	case e.Ends && e.Index == l.stage:
		if n := len(l.pieces); !l.paused && n > 0 && l.pieces[n-1].stage == e.Index { // else there was no room for it
			l.close(e.At)
			l.tally.SetStage(e.Index, l.pieces[n-1].from, e.At)
			l.curve.End(e.At)
		}
		l.stage = metrics.NoStage
	case !e.Ends:
		l.stage = e.Index
		if !l.paused {
			l.hold(e.Index, e.At)
		}
	}
}

// hold lets a stage or a pause hold from run time at on.
func (l *Ledger) hold(stage int, at time.Duration) {
	if !l.turn() {
		return
	}
	l.close(at)
	l.pieces = append(l.pieces, piece{stage, at, forever})
	l.tally.SetStage(stage, at, 0)
	l.curve.Begin(stage, at)
}

// close ends what holds at run time at.
func (l *Ledger) close(at time.Duration) {
	if n := len(l.pieces); n > 0 && l.pieces[n-1].to == forever {
		l.pieces[n-1].to = at
	}
}

func (l *Ledger) pause(p *Pause) {
	switch {
	case !within(p.At):
		return
	case p.Begins && !l.paused:
		l.hold(metrics.NoStage, p.At)
	case !p.Begins && l.paused && l.stage != metrics.NoStage:
		l.hold(l.stage, p.At)
	}
	l.paused = p.Begins
}

func (l *Ledger) source(at time.Duration, s Source) {
	if _, known := l.states[s.Name]; !known && (len(l.states) >= maxSources || len(s.Name) > maxText) {
		return
	}
	s.Kind, s.Label, s.State, s.Reason = Clip(s.Kind), Clip(s.Label), Clip(s.State), Clip(s.Reason)
	l.states[s.Name] = s
	if !living(s.State) {
		l.curve.Gone(s.Name)
	}
	l.tally.SetSource(metrics.SourceInfo{
		Name: s.Name, Kind: s.Kind, Label: s.Label, State: s.State, Weight: s.Weight, Share: s.Share,
		Clock: s.Clock, ClockBound: s.Bound, RTT: s.RTT, StartSkew: s.StartSkew, LostAt: at, Reason: s.Reason,
	})
}

func living(state string) bool {
	return state == "" || state == "running" || state == "suspect" || state == "draining"
}

func (l *Ledger) finish(e *End) {
	end := *e
	end.At = min(max(end.At, 0), maxRun)
	end.Drain = min(max(end.Drain, 0), end.At)
	l.end = &end
	l.now = max(l.now, end.At)
	for name, s := range l.states {
		if living(s.State) && l.books[name] != nil && l.books[name].final {
			s.State = "done"
			l.source(end.At, s)
		}
	}
	l.curve.Finish(end.At - end.Drain)
	l.tellSeconds()
}

// Header is what the run began with; Started is run time zero, once that was told.
func (l *Ledger) Header() Header { return l.header }

// Snapshot is the picture of the run as far as its items tell. Asked again without a new item it costs next to nothing.
func (l *Ledger) Snapshot() *metrics.Snapshot { return l.tally.Snapshot(l.now) }

// SnapshotAt is the picture for somebody who has a clock: by run time now, seconds that ended longer than 0.7 s ago are
// complete whoever has not delivered them, and the age of each source's data counts from there.
func (l *Ledger) SnapshotAt(now time.Duration) *metrics.Snapshot {
	return l.tally.Snapshot(max(l.now, min(now, maxRun)))
}

// Seconds is the run by second, as far as it is complete.
func (l *Ledger) Seconds() []metrics.Second { return l.tally.Intervals() }

// SLOs tells how each criterion stands, in the order of the header.
func (l *Ledger) SLOs() []slo.Result { return l.judge.Results(&l.Snapshot().Totals) }

// Points are the measured points of the curve so far.
func (l *Ledger) Points() []knee.Point { return l.curve.Points() }

// Events are the diary so far, in the order in which they were entered.
func (l *Ledger) Events() []Event { return slices.Clone(l.events) }

// Verdict says whether the figures are the target's or the generator's.
func (l *Ledger) Verdict() metrics.Verdict { return l.Snapshot().Verdict }

// End is how the run ended; false while it goes on, and for a record that stops in the middle.
func (l *Ledger) End() (End, bool) {
	if l.end == nil {
		return End{}, false
	}
	return *l.end, true
}

// Now is the newest run time that the ledger was told.
func (l *Ledger) Now() time.Duration { return l.now }

// Judged is the verdict of the SLOs.
type Judged string

// None: there is no criterion. Fail: at least one did not hold, or there was nothing to judge it by.
const (
	None Judged = "none"
	Pass Judged = "pass"
	Fail Judged = "fail"
)

// Judged says whether every SLO held. A run that an SLO has ended has failed it, whatever the requests still in hand made of
// the figures afterwards.
func (l *Ledger) Judged() Judged {
	results := l.SLOs()
	if len(results) == 0 {
		return None
	}
	if l.end != nil && l.end.Ended == BySLO {
		return Fail
	}
	for _, r := range results {
		if !r.Known || !r.OK {
			return Fail
		}
	}
	return Pass
}

// ErrNoRecord means that a run's items are wanted again and nothing wrote them down.
var ErrNoRecord = errors.New("the run left no record, and only a record has its histograms second by second")

// SetReplay says how the items can be read again; the package that keeps the record does so.
func (l *Ledger) SetReplay(f func(yield func(Item) error) error) { l.replay = f }

// Replay hands the items of the run to yield, in their order, as far as they were written down. An interval is valid only
// until yield returns. It stops at the first error of yield and returns it; without a record it is ErrNoRecord.
func (l *Ledger) Replay(yield func(Item) error) error {
	if l.replay == nil {
		return ErrNoRecord
	}
	return l.replay(yield)
}
