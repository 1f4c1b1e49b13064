package conductor

import (
	"time"

	"lt/engine/knee"
	"lt/engine/ledger"
	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/scenario"
	"lt/engine/slo"
)

// State says where a run is.
type State uint8

// The states in the order in which a run passes through them. Held and Paused alternate with Running.
const (
	Starting State = iota // nothing is due yet
	Running
	Held     // the load stays where it is until told to go on
	Paused   // the rate is zero until told to go on
	Draining // nothing becomes due any more; what is in hand finishes
	Ended
)

// String is the state's word on the screen.
func (s State) String() string {
	return [...]string{"starting", "running", "held", "paused", "draining", "ended"}[min(int(s), 5)]
}

// View is everything that a screen may know of a run. It is immutable; a newer one replaces it as a whole.
type View struct {
	Run      Header
	State    State
	Begun    bool          // run time zero is fixed; a run that ended without has sent nothing
	StartsIn time.Duration // until run time zero, once it is fixed
	Elapsed  time.Duration // run time now
	Clock    time.Duration // the profile's own time, which stands still while the load is held or paused
	Total    time.Duration // run time at which the profile ends under the changes so far
	Stage    int           // present stage; -1 before the first and after the last
	Factor   float64       // of all that follows: 1 unless changed by hand
	Profile  load.Profile
	Snapshot *metrics.Snapshot // never nil
	Points   []knee.Point      // measured so far, for the panel of the knee
	SLOs     []slo.Result
	Events   []Event
	Prompts  []metrics.Prompt // that wait for an answer, the one to be asked first
	EndedAgo time.Duration    // since the end, while the screen stays
	Ended    ledger.Ended     // how the run came to its end; empty while it goes on
}

// Header says what is run; it does not change while a run goes on.
type Header struct {
	Name, Target string // target: host and port as shown; secrets masked
	Model        load.Model
	Basis        string // why the target may be loaded
	Scenarios    []*scenario.Scenario
}

// The ways a run ends.
const (
	Finished = ledger.Finished
	ByUser   = ledger.ByUser
	BySLO    = ledger.BySLO
	Failed   = ledger.Failed
)

// EventKind sorts the diary of a run; the words stand in the summary. Event is an entry of it.
type (
	EventKind = ledger.EventKind
	Event     = ledger.Event
)

// The kinds of events.
const (
	EventStage  = ledger.EventStage
	EventSource = ledger.EventSource
	EventUser   = ledger.EventUser
	EventSLO    = ledger.EventSLO
	EventGuard  = ledger.EventGuard
	EventKnee   = ledger.EventKnee
	EventTarget = ledger.EventTarget
	EventNote   = ledger.EventNote
)

// Command is something that a run is told. The set is closed: the types below.
type Command interface{ command() }

// The commands. Factor multiplies all that follows by By (1.1 and 1/1.1 for the keys); Snapshot writes a report of the run so far.
type (
	Hold     struct{} // stay at the present rate, or go on
	Pause    struct{} // to zero, or go on
	Factor   struct{ By float64 }
	Next     struct{} // to the next stage
	Mark     struct{ Text string }
	Stop     struct{} // drain and report
	Now      struct{} // end at once, then report
	Snapshot struct{ Path string }
	Add      struct{ Spec string } // a peer joins, named as in --peers
	Drain    struct{ Name string } // a source gives its share away and leaves
	Answer   struct {              // to a prompt of View.Prompts
		ID   int
		Text string
		OK   bool // false: refused
	}
)

func (Hold) command()     {}
func (Pause) command()    {}
func (Factor) command()   {}
func (Next) command()     {}
func (Mark) command()     {}
func (Stop) command()     {}
func (Now) command()      {}
func (Snapshot) command() {}
func (Add) command()      {}
func (Drain) command()    {}
func (Answer) command()   {}
