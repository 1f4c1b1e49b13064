package load

import (
	"math"
	"sort"
	"time"
)

// Timeline is a profile under the live changes of a Log so far: it maps run time to the profile's clock, stage and
// level, and to L, the arrivals due until then. L is continuous and never falls whatever the changes do, so every
// index has one due time, none is lost and none comes twice; and since a change leaves all before it as it was, an index
// that was due stays due at the same time. A Timeline is immutable and safe for concurrent use; a longer Log has a new one.
//
// It is a list of pieces with one formula each, with the sum before it kept in each piece. So one division or square
// root finds a due time, no error builds up along the run, and the place of an arrival after a day is as exact as after
// a second: L = 1e10 is kept to 2e-6 arrivals.
type Timeline struct {
	spec    *Spec
	changes []Change
	pieces  []piece
	epochs  []epoch
	end     time.Duration
}

// piece is a span of run time with one formula.
type piece struct {
	from, to time.Duration // half-open; the last may end at Never
	clock    time.Duration // of the profile at from
	runs     bool          // the clock runs
	paused   bool
	stage    int
	factor   float64
	shape    shape   // level
	sum      float64 // L(from)
	sumEnd   float64 // L(to)
	epoch    int     // index into Timeline.epochs
}

// epoch is an Epoch with the time from which it holds.
type epoch struct {
	at    time.Duration
	from  int64
	table []uint16
}

// State is what holds at one run time.
type State struct {
	Clock  time.Duration // the profile's own time
	Stage  int           // index of the stage; the last one after the end, -1 before the start
	Factor float64       // present factor
	Rate   float64       // arrivals a second (open) or users (closed): the profile's level times Factor, at most Spec.MaxRate; 0 while paused and after the end
	Paused bool
	Over   bool // the profile has ended or was stopped
}

// everything is the table of a run without other sources: all belongs to source 0.
var everything = []uint16{0}

// newTimeline works the changes, which are valid and in order, into the profile.
func newTimeline(spec *Spec, changes []Change) *Timeline {
	b := builder{
		line:     &Timeline{spec: spec, changes: changes, epochs: []epoch{{table: everything}}, end: Never},
		segments: spec.Profile.segments(),
		factor:   1,
		limit:    math.Inf(1),
	}
	if spec.MaxRate > 0 {
		b.limit = spec.MaxRate
	}
	stop := stopAt(changes)
	for i := range changes {
		if changes[i].At > stop {
			continue // ordered before the stop, for a time after it
		}
		b.advance(changes[i].At)
		b.apply(&changes[i])
	}
	b.advance(Never)
	if b.over() {
		b.line.end = b.run
	}
	return b.line
}

// builder walks along run time.
type builder struct {
	line     *Timeline
	segments segments
	limit    float64 // cap of the level

	run          time.Duration // reached so far
	clock        time.Duration
	factor       float64
	held, paused bool
	stopped      bool
	sum          float64 // L(run)
}

func (b *builder) over() bool {
	return b.stopped || len(b.segments) == 0 || b.clock >= b.segments[len(b.segments)-1].to
}

// apply does the change at b.run, or at the end if that came before.
func (b *builder) apply(c *Change) {
	switch c.Kind {
	case Hold:
		b.held = true
	case Resume:
		b.held = false
	case Factor:
		b.factor = c.Factor
	case Pause:
		b.paused = true
	case Unpause:
		b.paused = false
	case Stop:
		b.stopped = true
	case Next:
		if !b.over() {
			i := b.segments.find(b.clock)
			stage := b.segments[i].stage
			for i < len(b.segments) && b.segments[i].stage == stage {
				b.clock = b.segments[i].to
				i++
			}
		}
	case Reshare:
		b.line.epochs = append(b.line.epochs, epoch{at: c.At, from: c.Epoch.From, table: c.Epoch.Table})
	}
}

// advance adds pieces up to the run time until, or up to the end of the profile.
func (b *builder) advance(until time.Duration) {
	for b.run < until && !b.over() {
		at := b.segments[b.segments.find(b.clock)]
		now := at.shape.after(seconds(b.clock - at.from)).times(b.factor)
		switch {
		case b.paused:
			b.add(until-b.run, at.stage, shape{})
		case b.held:
			b.add(until-b.run, at.stage, shape{start: min(now.start, b.limit)})
		default:
			length := min(at.to-b.clock, until-b.run)
			head, tail, cut := capped(now, b.limit, length)
			if cut > 0 {
				b.add(cut, at.stage, head)
			}
			if cut < length {
				b.add(length-cut, at.stage, tail)
			}
		}
	}
}

// capped is a shape under a limit, as two shapes: head until cut, tail from there to length.
func capped(s shape, limit float64, length time.Duration) (head, tail shape, cut time.Duration) {
	top := shape{start: limit}
	end := s.level(seconds(length))
	switch above, later := s.start > limit, end > limit; {
	case !above && !later:
		return s, shape{}, length
	case above && later:
		return top, shape{}, length
	}
	x, ok := s.crossing(limit)
	if !ok {
		return s, shape{}, length
	}
	cut = min(nanoseconds(max(0, x)), length)
	if s.start > limit {
		tail = s.after(seconds(cut))
		tail.start = min(tail.start, limit) // the crossing is rounded to a nanosecond
		return top, tail, cut
	}
	return s, top, cut
}

// add appends a piece of the given length.
func (b *builder) add(length time.Duration, stage int, s shape) {
	p := piece{
		from: b.run, to: Never, clock: b.clock, runs: !b.held && !b.paused, paused: b.paused,
		stage: stage, factor: b.factor, shape: s, sum: b.sum, epoch: len(b.line.epochs) - 1,
	}
	if length < Never-b.run {
		p.to = b.run + length
	}
	p.sumEnd = p.sum + s.integral(seconds(p.to-p.from))
	if p.runs {
		b.clock += length
	}
	b.run, b.sum = p.to, p.sumEnd
	b.line.pieces = append(b.line.pieces, p)
}

// level is the level at t, which lies in the piece.
func (p *piece) level(t time.Duration) float64 { return p.shape.level(seconds(t - p.from)) }

// reached is the earliest time in the piece with L = u; the caller knows that sum <= u <= sumEnd.
func (p *piece) reached(u float64) time.Duration {
	return min(p.from+nanoseconds(p.shape.inverse(u-p.sum)), p.to)
}

// find is the index of the piece that holds t; len(pieces) from the end on.
func (l *Timeline) find(t time.Duration) int {
	return sort.Search(len(l.pieces), func(i int) bool { return t < l.pieces[i].to })
}

// At is what holds at the run time t.
func (l *Timeline) At(t time.Duration) State {
	if t < 0 || len(l.pieces) == 0 {
		return State{Stage: -1, Factor: 1, Over: t >= l.end}
	}
	i := l.find(t)
	if i == len(l.pieces) {
		p := &l.pieces[i-1]
		s := State{Clock: p.clock, Stage: p.stage, Factor: p.factor, Over: true}
		if p.runs {
			s.Clock += p.to - p.from
		}
		return s
	}
	p := &l.pieces[i]
	s := State{Clock: p.clock, Stage: p.stage, Factor: p.factor, Rate: p.level(t), Paused: p.paused}
	if p.runs {
		s.Clock += t - p.from
	}
	return s
}

// Span is the run times [from, to) around t in which stage, pause and end are as at t, for callers that ask of many times
// close to each other.
func (l *Timeline) Span(t time.Duration) (from, to time.Duration) {
	switch i := l.find(t); {
	case t < 0:
		return math.MinInt64, 0
	case len(l.pieces) == 0: // over from the start
		return 0, Never
	case i == len(l.pieces):
		return l.pieces[i-1].to, Never
	default:
		return l.pieces[i].from, l.pieces[i].to
	}
}

// Rate is State.Rate at t.
func (l *Timeline) Rate(t time.Duration) float64 { return l.At(t).Rate }

// Least is the greatest lower bound of State.Rate in the run times from..to, both of them included: a level that a stage
// comes to at its end counts, though at that moment the next one begins.
func (l *Timeline) Least(from, to time.Duration) float64 {
	least := min(l.Rate(from), l.Rate(to))
	for i := l.find(from); i < len(l.pieces) && l.pieces[i].from <= to; i++ {
		p := &l.pieces[i]
		least = min(least, p.level(max(p.from, from)), p.level(min(p.to, to))) // no shape turns round within a piece
	}
	return least
}

// Integral is L(t): the arrivals that were to become due in the run times from 0 to t.
func (l *Timeline) Integral(t time.Duration) float64 {
	if t <= 0 || len(l.pieces) == 0 {
		return 0
	}
	i := l.find(t)
	if i == len(l.pieces) {
		return l.pieces[i-1].sumEnd
	}
	p := &l.pieces[i]
	return min(p.sum+p.shape.integral(seconds(t-p.from)), p.sumEnd)
}

// Inverse is the earliest run time with L(t) = u; false if L never gets there under the changes so far.
func (l *Timeline) Inverse(u float64) (time.Duration, bool) {
	i := sort.Search(len(l.pieces), func(i int) bool { return u <= l.pieces[i].sumEnd })
	if i == len(l.pieces) {
		return 0, false
	}
	if t := l.pieces[i].reached(u); t < Never/2 {
		return t, true
	}
	return 0, false
}

// Slots is the part of Spec.MaxInFlight that belongs to one shard of a source just after the run time t, and the time after
// which another epoch's table decides; Never if the log has none. The slots are dealt by the table as indices are, so over all
// shards of all sources they add up to MaxInFlight, or to less where the table names nobody. Without a limit it is as
// many as an int holds.
func (l *Timeline) Slots(t time.Duration, source, shard, shards int) (n int, until time.Duration) {
	i := l.epochAfter(t)
	until = Never
	if i+1 < len(l.epochs) {
		until = l.epochs[i+1].at
	}
	if l.spec.MaxInFlight <= 0 {
		return math.MaxInt, until
	}
	table := l.epochs[i].table
	return int(Share(int64(l.spec.MaxInFlight), table, source, shard, l.spec.atWork(table, source, shards))), until
}

// Users is how many users are wanted of a source just after the run time t.
func (l *Timeline) Users(t time.Duration, source int) int64 {
	return Share(wanted(l.Rate(t)), l.epochs[l.epochAfter(t)].table, source, 0, 1)
}

// Deals is how many tables have replaced the first one by the run time t: 0 before and when the run begins.
func (l *Timeline) Deals(t time.Duration) int {
	n := 0
	for i := range l.epochs {
		if at := l.epochs[i].at; at > 0 && at <= t {
			n++
		}
	}
	return n
}

// First is the table with which the run begins.
func (l *Timeline) First() []uint16 {
	return l.epochs[l.epochAfter(0)].table
}

// epochAfter is the epoch of what is due just after t.
func (l *Timeline) epochAfter(t time.Duration) int {
	i := len(l.epochs) - 1
	for i > 0 && l.epochs[i].at > max(t, 0) {
		i--
	}
	return i
}

// End is the run time at which the profile ends, or the stop if that comes first; Never while a hold or a pause is in
// force, since nobody knows when it ends.
func (l *Timeline) End() time.Duration { return l.end }

// since is the run time from which the timeline may differ from an earlier one of the same log: of the earliest entry of a kind that
// counts which the earlier one has not; Never if there is none. Entries that lie after a stop change nothing.
func (l *Timeline) since(earlier *Timeline, counts func(ChangeKind) bool) time.Duration {
	stop, at := stopAt(l.changes), Never
	for _, c := range l.changes[len(earlier.changes):] {
		if counts(c.Kind) && c.At <= stop {
			at = min(at, c.At)
		}
	}
	return at
}

// FirstAfter is the first index that is due after t, or the number of all indices if none is: what an Epoch that begins
// at t has as From. It is for whoever appends to the Log; it allocates, and in Poisson arrivals its cost grows with the
// index (about a millisecond for ten thousand million).
//
// The due times themselves decide, since L and its inverse may differ by the rounding to nanoseconds.
func (l *Timeline) FirstAfter(t time.Duration) int64 {
	c := newPlaces(l.spec)
	i := c.first(l.Integral(t))
	for i > 0 {
		if due, ok := l.Inverse(c.at(i - 1)); ok && due <= t {
			break
		}
		i--
	}
	for {
		if due, ok := l.Inverse(c.at(i)); !ok || due > t {
			break
		}
		i++
	}
	if n := l.spec.Iterations; n > 0 {
		i = min(i, n)
	}
	return i
}
