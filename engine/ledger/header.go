package ledger

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/scenario"
)

// Schema names the version of the header. A change that an old reader must not survive gets a new number.
const Schema = "lt.run/1"

// Header is what is known of a run before it begins. Together with the items it is the whole record: whoever reads one needs
// neither the scenario's file nor the machine that it ran on. It holds no secret: values from the environment stay
// references, and literal secrets in the scenario's text are masked.
type Header struct {
	Schema      string             `json:"schema"`
	ID          string             `json:"id"`
	Name        string             `json:"name"`
	Path        string             `json:"scenario"`       // the file as given; empty in quick mode
	Text        string             `json:"text,omitempty"` // its content; empty in quick mode
	Target      string             `json:"target"`         // secrets masked
	Started     time.Time          `json:"started"`        // when lt was called; Begin has run time zero
	Version     string             `json:"version"`        // of the program
	Seed        uint64             `json:"seed"`
	Model       string             `json:"model"`    // open, closed
	Arrivals    string             `json:"arrivals"` // poisson, even; without meaning in the closed model
	MaxInFlight int                `json:"max_in_flight"`
	MaxRate     float64            `json:"max_rate"`   // arrivals a second or users; 0: no cap
	Iterations  int64              `json:"iterations"` // 0: no bound
	DropAfter   time.Duration      `json:"drop_after_ns"`
	Graceful    time.Duration      `json:"graceful_ns"`
	Labels      map[string]string  `json:"labels"`
	Basis       string             `json:"basis"` // why the target may be loaded
	Host        json.RawMessage    `json:"host"`  // facts about the machine: an object
	Scenarios   []Share            `json:"scenarios"`
	Steps       []metrics.StepName `json:"steps"`
	OwnStatus   []bool             `json:"own_status"` // by step: it checks the status itself
	Stages      []Stage            `json:"stages"`
	SLO         []string           `json:"slo"`
	Sources     []Source           `json:"sources"`
}

// Share is one scenario's part of the arrivals.
type Share struct {
	Name   string `json:"name"`
	Weight int    `json:"weight"`
}

// Stage is one stage of the profile, as load.Stage.
type Stage struct {
	Name   string        `json:"name"`
	For    time.Duration `json:"for_ns"`
	At     float64       `json:"at"` // arrivals a second or users: held, or reached at the end
	Ramp   bool          `json:"ramp"`
	Curve  string        `json:"curve,omitempty"` // linear, exponential, steps
	Steps  int           `json:"steps,omitempty"`
	Warmup bool          `json:"warmup"`
}

// Source is what a source is at the start, or has become.
type Source struct {
	Name      string        `json:"name"`
	Kind      string        `json:"kind"` // local, ssh, exec
	Label     string        `json:"label,omitempty"`
	Weight    int           `json:"weight"`
	Share     float64       `json:"share"` // 0..1 of the load
	State     string        `json:"state"` // starting, running, draining, done, lost, refused, left
	Reason    string        `json:"reason,omitempty"`
	Clock     time.Duration `json:"clock_ns,omitempty"`      // its clock less ours, measured
	Bound     time.Duration `json:"bound_ns,omitempty"`      // half the width of what the offset may be
	RTT       time.Duration `json:"rtt_ns,omitempty"`        // round trip of the link
	StartSkew time.Duration `json:"start_skew_ns,omitempty"` // it began so much after run time zero
	// Account is what a source elsewhere says it did, held against what came of it, once the run is over.
	Account *metrics.Account `json:"account,omitempty"`
}

// About is what a header says beside the scenario.
type About struct {
	ID      string // from NewID
	Version string
	Started time.Time
	Basis   string
	Labels  map[string]string
	Host    json.RawMessage
	Target  string // secrets masked
	Steps   []metrics.StepName
	Sources []metrics.Member
}

// NewHeader describes a run of file.
func NewHeader(file *scenario.File, about About) Header {
	spec := &file.Load
	h := Header{
		Schema: Schema, ID: about.ID, Name: file.Name, Path: file.Path, Target: about.Target,
		Started: about.Started, Version: about.Version, Seed: spec.Seed, Model: spec.Model.String(), Arrivals: spec.Arrivals.String(),
		MaxInFlight: spec.MaxInFlight, MaxRate: spec.MaxRate, Iterations: spec.Iterations, DropAfter: spec.DropAfter, Graceful: spec.Graceful,
		Labels: maps.Clone(file.Labels), Basis: about.Basis, Host: about.Host, Steps: slices.Clone(about.Steps),
	}
	if file.Path != "" {
		h.Text = maskText(string(file.Text), file.Secrets)
	}
	if h.Labels == nil {
		h.Labels = make(map[string]string)
	}
	maps.Copy(h.Labels, about.Labels)
	for _, s := range file.Scenarios {
		h.Scenarios = append(h.Scenarios, Share{s.Name, s.Weight})
	}
	for _, s := range spec.Profile.Stages {
		st := Stage{Name: s.Name, For: s.For, At: s.At, Ramp: s.Ramp, Steps: s.Steps, Warmup: s.Warmup}
		if s.Ramp {
			st.Curve = s.Curve.String()
		}
		h.Stages = append(h.Stages, st)
	}
	for _, c := range file.SLO {
		h.SLO = append(h.SLO, c.Expr)
	}
	for _, m := range about.Sources {
		h.Sources = append(h.Sources, Source{Name: m.Name, Kind: m.Kind, Label: m.Label, Weight: m.Weight, Share: m.Share, State: m.State, Reason: m.Reason})
	}
	h.OwnStatus = ownStatus(file, h.Steps)
	return h
}

// ownStatus says of each step whether the scenario checks its status.
func ownStatus(file *scenario.File, names []metrics.StepName) []bool {
	checked := make(map[metrics.StepName]bool)
	for _, sc := range file.Scenarios {
		for kind, steps := range [...][]*scenario.Step{metrics.KindStep: sc.Steps, metrics.KindSetup: sc.Setup, metrics.KindTeardown: sc.Teardown} {
			for _, st := range steps {
				checked[metrics.StepName{Scenario: sc.Name, Step: st.Name, Kind: metrics.StepKind(kind)}] = len(st.Check.Status) > 0
			}
		}
	}
	out := make([]bool, len(names))
	for i, n := range names {
		out[i] = checked[n]
	}
	return out
}

// Closed reports whether the run's users wait for their answers.
func (h *Header) Closed() bool { return h.Model == load.Closed.String() }

// Validate reports what makes a header useless, everything at once. It is meant for headers read from outside.
func (h *Header) Validate() error {
	var errs []error
	if h.Schema != Schema {
		errs = append(errs, fmt.Errorf("its schema is %q and this version reads %q", h.Schema, Schema))
	}
	if !validID(h.ID) {
		errs = append(errs, errors.New("its id is not made of letters and digits"))
	}
	if len(h.Steps) > maxSteps {
		errs = append(errs, fmt.Errorf("it has %d steps, and %d are the most", len(h.Steps), maxSteps))
	}
	if len(h.Stages) > maxStages {
		errs = append(errs, fmt.Errorf("it has %d stages, and %d are the most", len(h.Stages), maxStages))
	}
	if len(h.Sources) > maxSources {
		errs = append(errs, fmt.Errorf("it has %d sources, and %d are the most", len(h.Sources), maxSources))
	}
	for i, s := range h.Stages {
		if s.For < 0 || s.For > load.MaxDuration {
			errs = append(errs, fmt.Errorf("stage %d lasts %v, which is not in 0..%v", i+1, s.For, load.MaxDuration))
		}
	}
	return errors.Join(errs...)
}

// validID reports whether an id can be typed, and stand in a file's name, on a terminal and in a report as it is.
func validID(id string) bool {
	for _, r := range id {
		if (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return false
		}
	}
	return id != "" && len(id) <= 64
}

// The bounds on what a header may ask a ledger to keep: each step has its histograms and its line of points, each stage its
// histograms. Positions of both are 16 bits wide, so that there is room above.
const (
	maxSteps  = 1 << 13
	maxStages = 1 << 13
)

// NewID makes the id of a run, of ten characters: five of the minute at which the run started, so that ids sort by time, and five at
// random. The alphabet is Crockford's base 32, without the letters that look like digits.
func NewID(at time.Time) string {
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	var random [5]byte
	// crypto/rand never fails: it ends the program where the system has no randomness.
	_, _ = rand.Read(random[:])
	id := make([]byte, 10)
	minutes := max(0, at.Unix()/60-epochMinutes)
	for i := 4; i >= 0; i-- {
		id[i] = alphabet[minutes%32]
		minutes /= 32
		id[5+i] = alphabet[random[i]%32]
	}
	return string(id)
}

// epochMinutes is the beginning of 2020; 32^5 minutes from there reach to 2083.
const epochMinutes = 1577836800 / 60
