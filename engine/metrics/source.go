package metrics

// Report is what the sources of a run tell whoever conducts it: an interval of one of them, or a sentence about it.
type Report struct {
	Source   int       // its number in the share tables
	Interval *Interval // nil for a sentence
	Text     string
	Drain    bool // it asks for the run to be ended
}

// Member is the state of one source.
type Member struct {
	Name, Kind, Label string // Kind: local, ssh, exec
	Weight            int
	Share             float64 // of the load, 0..1
	State             string  // starting, running, draining, done, lost, refused, left
	Reason            string
}
