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
	Drain    bool      // it asks for the run to be ended
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
