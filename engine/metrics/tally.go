package metrics

import (
	"math"
	"slices"
	"time"
)

// StageInfo is what the tally has to know of a stage of the profile.
type StageInfo struct {
	Name   string
	Warmup bool // left out of the totals
}

// SourceInfo is what is known of a source besides its intervals.
type SourceInfo struct {
	Name                   string // as in Interval.Source
	Kind                   string // local, ssh, exec
	Label                  string
	State                  string // starting, running, draining, done, lost, refused, left
	Weight                 int
	Share                  float64 // 0..1 of the load
	Asked                  float64 // arrivals a second
	Clock, ClockBound, RTT time.Duration
	StartSkew              time.Duration
	LostAt                 time.Duration // run time; counts only in the state lost
	Reason                 string
	Log                    []string
}

// grace is how long after its end a second waits for sources that have not delivered it.
const grace = 700 * time.Millisecond

// liveSeconds is how far back seconds keep their histograms, for windows and for amending percentiles: a peer whose lease ended
// while nobody could reach it hands over what it measured for a minute more.
const liveSeconds = 120

// WindowLength is the window of the row of figures.
const WindowLength = 10 * time.Second

// Tally adds up all intervals of a run and makes pictures of it. Intervals may come in any order between sources and late:
// what comes late amends. Only one goroutine may use a Tally; its snapshots are free for all.
//
// Memory stays flat but for one row of less than 100 bytes a second (Intervals): the series joins neighbours when it grows
// past MaxPoints, and only the last two minutes keep histograms. An interval that comes later than that amends every count and
// the totals exactly, but no longer the percentiles of its row and its point.
type Tally struct {
	steps  []StepName
	stages []StageInfo

	sources []*sourceSum
	spans   []span
	rows    []row
	live    [liveSeconds]second
	pages   Pages // of histograms that live only within a call

	total     sum
	lag       Histogram
	waiting   Histogram
	stepSums  []stepSum
	stageSums []sum
	errors    map[kind]*errorSum
	series    series
	auditor   Auditor
	gaps      uint64 // arrivals in the counted part of the run that no source was there to begin

	changed bool // since the last snapshot
	last    *Snapshot
}

// sum is what is kept for one group of requests. Histograms and counts are by the request's own tag.
type sum struct {
	requests, attempts, errors, answers, dropped, stale, reused uint64
	droppedFrom                                                 time.Duration
	in, out                                                     uint64
	byClass                                                     [Classes]uint64
	response, service, cut                                      Histogram
}

func (s *sum) add(r *Record) {
	failed := r.ErrorCount()
	s.requests += r.Requests
	s.attempts += r.Attempts
	s.errors += failed
	s.answers += answers(r)
	s.droppedFrom = Shortest(s.dropped, s.droppedFrom, r.Dropped, r.DroppedFrom)
	s.dropped += r.Dropped
	s.stale += r.Stale
	s.reused += r.Reused
	s.in += r.BytesIn
	s.out += r.BytesOut
	for c, n := range r.Errors {
		s.byClass[c] += n
	}
	if r.Outcome == Cut {
		s.cut.Add(&r.Response)
		return
	}
	s.response.Add(&r.Response)
	s.service.Add(&r.Service)
}

func (s *sum) errorRate() float64 { return errorRate(s.errors, s.dropped, s.requests) }

// quantiles is a summary of response times, marked where dropped arrivals are among them.
func (s *sum) quantiles() Quantiles {
	q := s.response.Summary()
	q.dropped(s.dropped, s.droppedFrom)
	return q
}

// answers is the number of complete answers, of whatever status, in a record.
func answers(r *Record) uint64 {
	if r.Outcome == Cut {
		return 0
	}
	return r.Requests - min(r.Requests, r.Errors[Timeout])
}

// errorRate is (errors + dropped) / (requests + dropped), 0..1.
func errorRate(errors, dropped, requests uint64) float64 {
	if requests+dropped == 0 {
		return 0
	}
	return float64(errors+dropped) / float64(requests+dropped)
}

type stepSum struct {
	sum
	status []StatusCount
	phases [Phases]Histogram
}

type errorSum struct {
	ErrorCount
	sources []string
	points  []uint32 // errors by point of the series of the whole run
}

// halve makes one point of every two.
func (g *errorSum) halve() {
	joined := make([]uint32, (len(g.points)+1)/2)
	for i, n := range g.points {
		joined[i/2] += n
	}
	g.points = joined
}

// maxGroups bounds the groups of errors of all sources together.
const maxGroups = 500

type sourceSum struct {
	SourceInfo
	sum     sum
	lag     Histogram
	audit   Audit
	cpuPeak float64
	files   int           // most descriptors in use
	memory  uint64        // most bytes in use
	first   time.Duration // where its first interval begins
	edge    time.Duration // where its newest interval ends
	any     bool
	final   bool
	gauge   gauge
	begun   [liveSeconds]begun // by row modulo liveSeconds
}

// begun is how many arrivals a source began within one row.
type begun struct {
	row     int
	started uint32
}

// gauge is what a source reported last, and for which row, so that a second report for the same row replaces it.
type gauge struct {
	row                                               int
	users, inFlight, inFlightMax, queued, connections int
}

// living reports whether data is still expected from the source.
func (s *sourceSum) living() bool {
	if s.final {
		return false
	}
	switch s.State {
	case "", "running", "suspect", "draining":
		return true
	}
	return false
}

// expected reports whether the source should have delivered the second that begins at t: one that was lost lived until then.
func (s *sourceSum) expected(t time.Duration) bool {
	return s.any && t >= s.first-time.Second/2 && (t < s.edge || s.living() || s.State == "lost" && t < s.LostAt)
}

// span is a piece of run time that a stage held, or a pause.
type span struct {
	stage    int16
	from, to time.Duration // to: maxTime while it runs
}

const maxTime = time.Duration(math.MaxInt64)

// afterStages is the stage of the time after the profile's end.
const afterStages = -2

// NewTally makes a tally for a run with these steps, stages and sources. Sources may also be added later with SetSource or
// by their first interval.
func NewTally(steps []StepName, stages []StageInfo, sources []SourceInfo) *Tally {
	t := &Tally{
		steps: slices.Clone(steps), stages: slices.Clone(stages),
		stepSums: make([]stepSum, len(steps)), stageSums: make([]sum, len(stages)),
		errors: make(map[kind]*errorSum), changed: true,
	}
	t.series.init(len(steps))
	for _, s := range sources {
		t.SetSource(s)
	}
	return t
}

// SetSource sets what is known of a source, by its name.
func (t *Tally) SetSource(info SourceInfo) {
	t.source(info.Name).SourceInfo = info
	t.changed = true
}

func (t *Tally) source(name string) *sourceSum {
	for _, s := range t.sources {
		if s.Name == name {
			return s
		}
	}
	s := &sourceSum{SourceInfo: SourceInfo{Name: name, State: "running"}, gauge: gauge{row: -1}}
	t.sources = append(t.sources, s)
	return s
}

// SetStage says that a stage holds the run time [from, to); index NoStage is a pause. A stage that a pause or a hold cuts
// is set once for every piece. While its end is not known, to is at or below from. A call with the same index and from
// moves the end; a later piece ends those before it.
func (t *Tally) SetStage(index int, from, to time.Duration) {
	if to <= from {
		to = maxTime
	}
	sp := span{int16(index), from, to}
	at := len(t.spans)
	for at > 0 && t.spans[at-1].from >= from {
		at--
	}
	if at < len(t.spans) && t.spans[at].from == from {
		t.spans[at] = sp
	} else {
		t.spans = slices.Insert(t.spans, at, sp)
	}
	t.changed = true
	t.series.touch(0)
}

// AddGap adds a part of the plan that no source was there to begin. It counts with the stage in which most of its time lies.
func (t *Tally) AddGap(g Gap) {
	if !t.left(t.stageAt(g.From + (g.To-g.From)/2)) {
		t.gaps += g.Arrivals
		t.changed = true
	}
}

// stageAt is the stage that holds a moment: its position, NoStage in a pause, afterStages after the end.
func (t *Tally) stageAt(at time.Duration) int16 {
	if len(t.spans) == 0 {
		return 0
	}
	for i := len(t.spans) - 1; i >= 0; i-- {
		if s := t.spans[i]; at >= s.from {
			if at < s.to {
				return s.stage
			}
			return afterStages
		}
	}
	return t.spans[0].stage
}

// left reports whether what belongs to a stage is left out of the totals.
func (t *Tally) left(stage int16) bool {
	if stage == NoStage {
		return true
	}
	return stage >= 0 && int(stage) < len(t.stages) && t.stages[stage].Warmup
}

// isStep tells the steps of a journey from setup and teardown.
func (t *Tally) isStep(step uint16) bool {
	return int(step) >= len(t.steps) || t.steps[step].Kind == KindStep
}

// Add adds one interval of one source. Nothing of iv is kept or changed.
func (t *Tally) Add(iv *Interval) {
	t.changed = true
	src := t.source(iv.Source)
	var all Histogram // response times of this interval, waited
	defer all.Release(&t.pages)
	rowsOf := t.spread(iv, src)
	middle := iv.From + iv.Length/2
	if !t.left(t.stageAt(middle)) {
		t.lag.Add(&iv.Lag)
		t.waiting.Add(&iv.Waiting)
	}
	t.addRecords(iv, src, rowsOf, &all)
	t.addErrors(iv, rowsOf.last)
	src.add(iv)
	t.auditor.Add(iv, &all)
}

func (s *sourceSum) add(iv *Interval) {
	s.lag.Add(&iv.Lag)
	if !s.any || iv.From < s.first {
		s.first = iv.From
	}
	s.any = true
	if end := iv.From + iv.Length; end >= s.edge {
		s.edge = end
		s.audit = iv.Audit
	}
	if iv.Audit.Cores > 0 {
		s.cpuPeak = max(s.cpuPeak, iv.Audit.CPU/iv.Audit.Cores)
	}
	s.files, s.memory = max(s.files, iv.Audit.Files), max(s.memory, iv.Audit.Memory)
	s.final = s.final || iv.Final
}

func (t *Tally) addRecords(iv *Interval, src *sourceSum, at seconds, all *Histogram) {
	var requests, failed, answered, dropped uint64
	var droppedFrom time.Duration
	sec := t.liveSecond(at.last)
	var late *second
	if sec == nil {
		s := t.newSecond()
		sec, late = &s, &s
	}
	for i := range iv.Records {
		r := &iv.Records[i]
		step := t.isStep(r.Step)
		if step {
			requests += r.Requests
			failed += r.ErrorCount()
			answered += answers(r)
			droppedFrom = Shortest(dropped, droppedFrom, r.Dropped, r.DroppedFrom)
			dropped += r.Dropped
			if r.Outcome == Waited {
				all.add(&t.pages, &r.Response)
			}
			if r.Stage >= 0 && int(r.Stage) < len(t.stageSums) {
				t.stageSums[r.Stage].add(r)
			}
		}
		sec.addRecord(r, &t.series.buf)
		if t.left(r.Stage) {
			continue
		}
		if int(r.Step) < len(t.stepSums) {
			s := &t.stepSums[r.Step]
			s.add(r)
			s.status = addStatuses(s.status, r.Status)
			for p := range r.Phases {
				s.phases[p].Add(&r.Phases[p])
			}
		}
		if step {
			t.total.add(r)
			src.sum.add(r)
		}
	}
	for k := at.first; k <= at.last; k++ {
		w := &t.rows[k]
		w.requests += at.part(requests, k)
		w.errors += at.part(failed, k)
		w.answers += at.part(answered, k)
		w.good += at.part(requests-min(requests, failed), k)
	}
	row := &t.rows[at.last]
	row.max = max(row.max, float32(float64(all.Max())/1e6))
	sec.response.add(all, &t.series.buf)
	sec.lag.add(&iv.Lag, &t.series.buf)
	sec.droppedFrom = Shortest(sec.dropped, sec.droppedFrom, dropped, droppedFrom)
	sec.dropped += dropped
	if late != nil {
		t.series.late(at.last, &late.cell)
	}
	if late == nil || math.IsNaN(float64(row.p50)) { // NaN: nothing has ended in it before
		row.percentiles(&sec.response)
	}
}

func (t *Tally) addErrors(iv *Interval, last int) {
	for i := range iv.Errors {
		e := &iv.Errors[i]
		k := kind{e.Class, e.Phase, e.Status, e.Step, e.Message}
		g := t.errors[k]
		if g == nil && len(t.errors) >= maxGroups {
			k = kind{class: e.Class, phase: e.Phase, message: otherKinds}
			g = t.errors[k]
		}
		if g == nil {
			g = &errorSum{ErrorCount: ErrorCount{Class: k.class, Phase: k.phase, Status: k.status, Step: k.step, Message: k.message, First: e.First, Last: e.Last}}
			t.errors[k] = g
		}
		g.add(e)
		if !slices.Contains(g.sources, iv.Source) {
			g.sources = append(g.sources, iv.Source)
		}
		p := t.series.point(last)
		for len(g.points) <= p {
			g.points = append(g.points, 0)
		}
		g.points[p] += uint32(min(e.Count, math.MaxUint32))
	}
}
