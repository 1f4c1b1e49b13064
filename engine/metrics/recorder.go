package metrics

import (
	"cmp"
	"slices"
	"time"
)

// Sample is one step that ended. Times are run time.
type Sample struct {
	Stage             int16 // of the request's own intended start; NoStage in a pause
	Step              uint16
	Class             Class
	Phase             Phase // where an error happened; without meaning for NoError
	Status            uint16
	Intended          time.Duration         // when it was due
	Start             time.Duration         // when we began, before any dial
	End               time.Duration         // the last byte, or when the error was known
	Phases            [Phases]time.Duration // negative: did not happen
	Attempts          int                   // exchanges; 0 counts as 1
	BytesIn, BytesOut int64
	Reused            bool          // found its connection open
	Stale             bool          // resent, because the kept connection had died
	Message           string        // of an error: short, the same for errors of one kind, neutralised
	Example           func() string // called at most once, if this is the first error of its kind; masked and neutralised
}

// The bounds of what is kept about errors.
const (
	maxKinds   = 50       // kinds of error a recorder tells apart
	maxExample = 16 << 10 // bytes of an example
	otherKinds = "other kinds of error"
)

// outcome says with which times the sample's count. A request that could not be made for want of a value that can be sent had no answer.
func (s *Sample) outcome() Outcome {
	if s.Class.CutShort() || s.Class == Extract && s.Status == 0 {
		return Cut
	}
	return Waited
}

// Counters are what a shard counts beside its samples; the fields are those of Interval.
type Counters struct {
	Scheduled, Started, Due, Late, Iterations, Failed, Unfinished, Opened uint64
}

// Recorder is where one shard records. Only that shard may touch it: nothing in it is locked or shared but the free list of
// pages, to which it goes when a part of a histogram is touched for the first time in an interval. Once warm, recording
// does not allocate.
type Recorder struct {
	Counters // the shard counts here directly; Cut takes them and starts from zero

	pages   *Pages
	steps   int
	dropped uint64
	stalled uint64
	own     uint64
	lag     Histogram
	waiting Histogram

	records []Record
	slots   []int32       // by (stage+1, step, outcome): place in records plus 1; 0 for none
	status  []StatusCount // room for the records' status lists, handed over with them
	errors  []ErrorCount
	kinds   map[kind]int32 // every kind met so far: place in errors plus 1, 0 where this interval has none yet
	tracked int            // kinds that are not otherKinds
}

// kind is what makes two errors the same.
type kind struct {
	class   Class
	phase   Phase
	status  uint16
	step    uint16
	message string
}

// NewRecorder makes a recorder for a run with the given number of steps. pages is shared by all shards of the source.
func NewRecorder(steps int, pages *Pages) *Recorder {
	return &Recorder{pages: pages, steps: max(steps, 1), kinds: make(map[kind]int32)}
}

// Sample records one step that ended. s is not kept.
func (r *Recorder) Sample(s *Sample) {
	rec := r.record(s.Stage, s.Step, s.outcome())
	rec.Requests++
	rec.Attempts += uint64(max(s.Attempts, 1))
	rec.BytesIn += uint64(s.BytesIn)
	rec.BytesOut += uint64(s.BytesOut)
	if s.Reused {
		rec.Reused++
	}
	if s.Stale {
		rec.Stale++
	}
	if s.Status != 0 {
		r.addStatus(rec, s.Status)
	}
	rec.Response.Record(r.pages, s.End-s.Intended)
	rec.Service.Record(r.pages, s.End-s.Start)
	for p := range s.Phases { // ranging over the values would copy them all
		if d := s.Phases[p]; d >= 0 {
			rec.Phases[p].Record(r.pages, d)
		}
	}
	if s.Class != NoError {
		rec.Errors[s.Class]++
		if s.Class == Limit {
			r.own++
		}
		r.fail(s)
	}
}

// Drop records an arrival that was given up after it had waited: its waiting time enters the response histogram of its
// first step. The arrival was counted as Scheduled, and its first request as Due, when they became due. stalled says that
// it came due while the loop did not run.
func (r *Recorder) Drop(stage int16, step uint16, waited time.Duration, stalled bool) {
	rec := r.record(stage, step, Waited)
	rec.DroppedFrom = Shortest(rec.Dropped, rec.DroppedFrom, 1, min(max(waited, 0), Longest))
	rec.Dropped++
	rec.Response.Record(r.pages, waited)
	r.dropped++
	if stalled {
		r.stalled++
	}
}

// Lag records, for one arrival that begins, our own delay (begun minus the later of due and slot free) and that of the
// limit (slot free minus due, zero if one was free).
func (r *Recorder) Lag(lag, queued time.Duration) {
	r.lag.Record(r.pages, lag)
	r.waiting.Record(r.pages, queued)
}

// record finds or begins the record of a key. The pointer holds until the next call.
func (r *Recorder) record(stage int16, step uint16, o Outcome) *Record {
	i := ((int(stage)+1)*r.steps+int(step))*Outcomes + int(o)
	if i >= 0 && i < len(r.slots) && r.slots[i] > 0 && int(step) < r.steps {
		return &r.records[r.slots[i]-1]
	}
	return r.begin(stage, step, o)
}

func (r *Recorder) begin(stage int16, step uint16, o Outcome) *Record {
	stage = max(stage, NoStage)
	if int(step) >= r.steps {
		r.widen(int(step) + 1)
	}
	i := r.slot(Key{stage, step, o})
	if i >= len(r.slots) {
		r.slots = append(r.slots, make([]int32, (int(stage)+2)*r.steps*Outcomes-len(r.slots))...)
	}
	if r.slots[i] == 0 {
		r.records = append(r.records, Record{Key: Key{stage, step, o}})
		r.slots[i] = int32(len(r.records))
	}
	return &r.records[r.slots[i]-1]
}

func (r *Recorder) slot(k Key) int {
	return ((int(k.Stage)+1)*r.steps+int(k.Step))*Outcomes + int(k.Outcome)
}

// widen makes room for more steps than were announced.
func (r *Recorder) widen(steps int) {
	r.steps = steps
	top := int16(NoStage)
	for i := range r.records {
		top = max(top, r.records[i].Stage)
	}
	r.slots = make([]int32, (int(top)+2)*steps*Outcomes)
	for i := range r.records {
		r.slots[r.slot(r.records[i].Key)] = int32(i + 1)
	}
}

// statusRoom is how many statuses a record holds before its list has to grow.
const statusRoom = 4

func (r *Recorder) addStatus(rec *Record, status uint16) {
	for i := range rec.Status {
		if rec.Status[i].Status == status {
			rec.Status[i].Count++
			return
		}
	}
	if rec.Status == nil {
		if len(r.status) < statusRoom {
			r.status = make([]StatusCount, 16*statusRoom)
		}
		rec.Status, r.status = r.status[:0:statusRoom], r.status[statusRoom:]
	}
	i, _ := slices.BinarySearchFunc(rec.Status, status, func(s StatusCount, want uint16) int { return cmp.Compare(s.Status, want) })
	rec.Status = slices.Insert(rec.Status, i, StatusCount{status, 1})
}

// fail counts an error under its kind. The first of each kind brings its example; kinds beyond maxKinds are counted
// together, a group a class.
func (r *Recorder) fail(s *Sample) {
	k := kind{s.Class, s.Phase, s.Status, s.Step, s.Message}
	place, known := r.kinds[k]
	example := ""
	if !known {
		if r.tracked < maxKinds {
			r.tracked++
		} else {
			k = kind{class: s.Class, phase: s.Phase, message: otherKinds}
			place, known = r.kinds[k]
		}
		if !known && s.Example != nil {
			example = clip(s.Example(), maxExample)
		}
	}
	if place == 0 {
		r.errors = append(r.errors, ErrorCount{Class: k.class, Phase: k.phase, Status: k.status, Step: k.step, Message: k.message, First: s.End, Last: s.End, Example: example})
		place = int32(len(r.errors))
		r.kinds[k] = place
	}
	e := &r.errors[place-1]
	e.Count++
	e.First, e.Last = min(e.First, s.End), max(e.Last, s.End)
}

// clip shortens s to at most n bytes without cutting a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}

// Cut ends the slice of run time [from, from+length): it hands over what was recorded since the last Cut and starts anew.
// The gauges (users, in flight, connections) and the audit are left to the caller. Nothing is copied but what the shard
// counts itself, so that the shard can go on at once; the caller merges the part and releases it.
func (r *Recorder) Cut(seq uint64, from, length time.Duration) *Interval {
	iv := &Interval{
		Seq: seq, From: from, Length: length,
		Scheduled: r.Scheduled, Started: r.Started, Due: r.Due, Late: r.Late, Dropped: r.dropped, Stalled: r.stalled,
		Iterations: r.Iterations, Failed: r.Failed, Unfinished: r.Unfinished, Opened: r.Opened,
		Lag: r.lag, Waiting: r.waiting,
		Audit:   Audit{OwnErrors: r.own},
		Records: r.records, Errors: r.errors,
	}
	for i := range r.records {
		r.slots[r.slot(r.records[i].Key)] = 0
	}
	for i := range r.errors {
		e := &r.errors[i]
		r.kinds[kind{e.Class, e.Phase, e.Status, e.Step, e.Message}] = 0
	}
	r.Counters = Counters{}
	r.dropped, r.stalled, r.own = 0, 0, 0
	r.lag, r.waiting = Histogram{}, Histogram{}
	r.status = make([]StatusCount, len(r.records)*statusRoom)
	r.records = make([]Record, 0, len(r.records))
	r.errors = nil
	return iv
}
