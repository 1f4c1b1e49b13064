package metrics

import "time"

// StepKind tells the steps of a journey from the ones before and after it, which are left out of the totals.
type StepKind uint8

// The kinds of steps.
const (
	KindStep StepKind = iota
	KindSetup
	KindTeardown
)

// String is the kind's name in the summary.
func (k StepKind) String() string {
	switch k {
	case KindSetup:
		return "setup"
	case KindTeardown:
		return "teardown"
	}
	return "step"
}

// StepName says what a step number means. A run has one list of them; records carry the position in it.
type StepName struct {
	Scenario string   `json:"scenario"`
	Step     string   `json:"step"`
	Kind     StepKind `json:"kind"`
}

// Key is what a record is kept under, within its interval: Stage is the stage of the request's own intended start (the
// position in the profile; NoStage in a pause), Step the position in the run's list of steps.
type Key struct {
	Stage   int16
	Step    uint16
	Outcome Outcome
}

// NoStage marks requests intended during a pause, which the totals leave out.
const NoStage = -1

// Record holds what happened to the requests of one key that ended within an interval.
type Record struct {
	Key
	Requests uint64 // samples: one a step, whatever was redirected, resent or attempted within it; without dropped arrivals
	Attempts uint64 // exchanges, redirects and resends included
	Dropped  uint64 // arrivals given up; their waiting time is in Response, not in Requests
	// DroppedFrom is the shortest time that one of the dropped arrivals had waited; 0 if there are none, or it is not known.
	DroppedFrom time.Duration
	Errors      [Classes]uint64
	Status      []StatusCount // by status, ascending
	BytesIn     uint64
	BytesOut    uint64
	Reused      uint64 // requests that found their connection open
	Stale       uint64 // resent because the kept connection had died
	Response    Histogram
	Service     Histogram
	Phases      [Phases]Histogram
}

// StatusCount is the number of answers with one status.
type StatusCount struct {
	Status uint16
	Count  uint64
}

// ErrorCount is the number of errors of one kind in an interval. Example is set where this interval holds the first of its
// kind and is at most 16 KiB; everything in it is masked and neutralised.
type ErrorCount struct {
	Class   Class
	Phase   Phase
	Status  uint16
	Step    uint16
	Message string
	Count   uint64
	First   time.Duration // run time
	Last    time.Duration
	Example string
}

// Audit is what a source saw of its own health within an interval.
type Audit struct {
	CPU        float64 // of the process, in cores, less the time polled while nothing was due
	ShardCPU   float64 // the busiest shard's, in cores, likewise
	Cores      float64 // that the process may use
	GCPauseP99 time.Duration
	GCShare    float64 // of CPU, 0..1
	SchedP99   time.Duration
	Steal      float64 // share of the machine's time that the hypervisor took, 0..1
	Throttled  float64 // share of the periods in which the control group was throttled, 0..1
	Memory     uint64  // bytes of this process
	MemLimit   uint64  // bytes; 0 unknown
	Files      int     // descriptors in use
	FileLimit  int
	Ports      int // ephemeral ports in use towards the busiest destination
	PortLimit  int // 0 unknown
	OwnErrors  uint64
	LimitHit   bool // max_in_flight made an arrival wait
}

// Interval is what one source did within [From, From+Length) of run time. Intervals of a source are numbered from 0 without
// gaps; whoever holds one may keep it, nothing changes in it after it was handed over.
type Interval struct {
	Source string // name of the source; empty: the local one
	Seq    uint64
	From   time.Duration
	Length time.Duration

	Scheduled   uint64 // arrivals that became due
	Started     uint64 // arrivals that began, whenever they were due
	Due         uint64 // requests that became due, all steps (without setup and teardown)
	Late        uint64
	Dropped     uint64
	Stalled     uint64 // of the dropped ones: the loop did not run, the lease was over, or a change was heard of late
	Iterations  uint64 // ended
	Failed      uint64 // of those, with an error in any step
	Unfinished  uint64 // cut at the end
	Users       int    // at the interval's end: slots (virtual users) in existence
	InFlight    int    // iterations begun and not ended, at the interval's end
	InFlightMax int
	Queued      int // arrivals waiting for a slot, at the interval's end
	Connections int // open, at the interval's end
	Opened      uint64
	Lag         Histogram // begun minus max(due, slot free)
	Waiting     Histogram // slot free minus due
	Audit       Audit

	Records []Record
	Errors  []ErrorCount
	Notes   []string // what the source wants said, once each: an event of the run
	Final   bool     // the source's last
}
