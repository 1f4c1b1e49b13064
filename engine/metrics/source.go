package metrics

import "time"

// Report is what the sources of a run tell whoever conducts it: an interval of one of them, what became of one, that the run
// has begun, or a sentence.
type Report struct {
	Source   int       // its number in the share tables
	Interval *Interval // of that source
	Member   *Member   // the source is now so
	Begun    bool      // run time zero is fixed: the sources start together
	Text     string    // a sentence, which stands in the run's diary; beside Member, what happened to it
	Guard    bool      // the sentence is a rule of safety, or about a machine that makes load; else about the sources as such
	Drain    bool      // it asks for the run to be ended
	Gap      *Gap      // a part of the plan that no source made
}

// Gap is arrivals of the plan that no source was there to begin, due in run time [From, To): the shortfall of a fleet.
type Gap struct {
	From     time.Duration `json:"from_ns"`
	To       time.Duration `json:"to_ns"`
	Arrivals uint64        `json:"arrivals"`
}

// Account is what a source that is not this process says it did, held against what came of it: double entry.
type Account struct {
	Whole      bool          `json:"whole"`          // both agree
	Text       string        `json:"text,omitempty"` // what is wrong, for a sentence that begins with the source's name; empty if Whole
	Unreported uint64        `json:"unreported,omitempty"`
	Window     time.Duration `json:"window_ns,omitempty"` // the time in which it may have made at most so many Unreported requests
}

// Add joins the account of another life of the same source.
func (a *Account) Add(o Account) {
	a.Whole = a.Whole && o.Whole
	if a.Text != "" && o.Text != "" {
		a.Text += "; "
	}
	a.Text += o.Text
	a.Unreported += o.Unreported
	a.Window += o.Window
}

// Member is the state of one source.
type Member struct {
	Name, Kind, Label string // Kind: local, ssh, exec
	Weight            int
	Share             float64       // of the load, 0..1
	State             string        // starting, running, suspect, draining, done, lost, refused, left
	Step              string        // while it starts: dial, probe, upload, hello, clock, plan, preflight, ready, armed
	Progress          float64       // of that step, 0..1; 0: unknown
	Reason            string        // why it is so, without its name; a second line says what to do
	Clock             time.Duration // its clock less ours, measured
	Bound             time.Duration // half the width of what the offset may be
	RTT               time.Duration // round trip of the link
	StartSkew         time.Duration // it began so much after run time zero
	LostAt            time.Duration // run time; counts only in the state lost
	Log               []string      // its last lines, neutralised
	Account           *Account      // of a source elsewhere, once the run is over; nil: none
}

// Prompt is a question that somebody has to answer before a source can start: a password, a host key.
type Prompt struct {
	ID     int
	Source string        // name of the source that asks
	Text   string        // the question as ssh asks it, neutralised
	Secret bool          // the answer is not shown
	Choice bool          // yes or no
	Left   time.Duration // until it counts as refused
}
