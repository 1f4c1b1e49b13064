package ledger

import (
	"time"

	"lt/engine/metrics"
)

// Item is a part of a run. The set is closed: *metrics.Interval and the pointers to the types below. (It has no method,
// because an interval belongs to a package that knows nothing of ledgers.)
type Item any

// EventKind sorts the diary of a run; the words stand in the summary.
type EventKind string

// The kinds of events.
const (
	EventStage  EventKind = "stage"
	EventSource EventKind = "source"
	EventUser   EventKind = "user"
	EventSLO    EventKind = "slo"
	EventGuard  EventKind = "guard" // a rule of safety, or our own machine
	EventKnee   EventKind = "knee"
	EventTarget EventKind = "target"
	EventNote   EventKind = "note"
)

// Event is an entry of the diary. Text is one line, masked and neutralised by whoever wrote it.
type Event struct {
	At   time.Duration `json:"at_ns"` // run time
	Kind EventKind     `json:"kind"`
	Text string        `json:"text"`
}

// Begin says when run time zero was. The header is written before: peers start, a name is typed.
type Begin struct {
	At time.Time `json:"at"`
}

// StageEdge says that a stage of the profile began at run time At, or ended.
type StageEdge struct {
	Index int           `json:"index"`
	At    time.Duration `json:"at_ns"`
	Ends  bool          `json:"ends,omitempty"`
}

// Pause says that the load went to zero at run time At because someone wanted so, or came back.
type Pause struct {
	At     time.Duration `json:"at_ns"`
	Begins bool          `json:"begins,omitempty"`
}

// Change says that the level of the load was changed by hand at run time At, within the present stage: it was multiplied, held or
// let go on. What is measured before and after is told apart.
type Change struct {
	At     time.Duration `json:"at_ns"`
	Kind   string        `json:"kind"`             // factor, hold, resume
	Factor float64       `json:"factor,omitempty"` // of the profile
}

// SourceState says what became of a source at run time At.
type SourceState struct {
	At time.Duration `json:"at_ns"`
	Source
}

// Gap is a part of the plan that no source was there to begin.
type Gap = metrics.Gap

// Ended says how a run came to its end; the words stand in the summary.
type Ended string

// The ways a run ends; empty while it goes on.
const (
	Finished Ended = "finished"
	ByUser   Ended = "user"
	BySLO    Ended = "slo"
	Failed   Ended = "failed"
)

// End is the last item.
type End struct {
	At    time.Duration `json:"at_ns"` // run time at which everything was over
	Ended Ended         `json:"ended"`
	Drain time.Duration `json:"drain_ns"` // of it, after the load had ended
}
