package load

import (
	"errors"
	"fmt"
	"time"
)

// Model says what a profile's level counts.
type Model uint8

// Open: arrivals a second, whether or not earlier ones were answered. Closed: users, each waiting for its answers.
const (
	Open Model = iota
	Closed
)

func (m Model) String() string {
	switch m {
	case Open:
		return "open"
	case Closed:
		return "closed"
	}
	return fmt.Sprintf("model(%d)", uint8(m))
}

// Arrivals says how arrivals are spaced around the rate.
type Arrivals uint8

// Poisson: as independent visitors arrive. Even: equal gaps at a steady rate.
const (
	Poisson Arrivals = iota
	Even
)

func (a Arrivals) String() string {
	switch a {
	case Poisson:
		return "poisson"
	case Even:
		return "even"
	}
	return fmt.Sprintf("arrivals(%d)", uint8(a))
}

// Spec is the whole load of a run, all sources together. It is read only once a Log or Schedule was made from it.
type Spec struct {
	Model       Model
	Profile     Profile
	Arrivals    Arrivals
	Seed        uint64
	Iterations  int64         // over all sources; 0: no bound
	MaxInFlight int           // iterations begun and not ended, over all sources; 0: no bound
	DropAfter   time.Duration // an arrival that waited longer is dropped; 0: at once when there is no slot
	Graceful    time.Duration // what is in hand at the end may finish so long
	MaxRate     float64       // cap of what live changes and searches reach, in the unit of Stage.At; 0: none
	Weights     []int         // of the scenarios, in their order; empty: one scenario
	ThinkMean   time.Duration // closed model: users that become wanted at one instant start spread over this, at most 5 s
}

// FieldError is one problem of a Spec outside its stages.
type FieldError struct {
	Field string // load, arrivals, iterations, max_in_flight, drop_after, graceful, think, max_rate, weight
	Msg   string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Msg }

// Validate reports every problem at once: nil, or an error that errors.Join made of *StageError and *FieldError alone.
func (s *Spec) Validate() error {
	var errs []error
	add := func(field, format string, args ...any) {
		errs = append(errs, &FieldError{Field: field, Msg: fmt.Sprintf(format, args...)})
	}
	if err := s.Profile.Validate(); err != nil {
		errs = append(errs, err.(interface{ Unwrap() []error }).Unwrap()...)
	}
	if s.Model > Closed {
		add("load", "%v is unknown; it is rate (open) or users (closed)", s.Model)
	}
	if s.Arrivals > Even {
		add("arrivals", "%v is unknown; it is poisson or even", s.Arrivals)
	}
	if s.Iterations < 0 {
		add("iterations", "%d is below 0; leave it out for no bound", s.Iterations)
	}
	if s.MaxInFlight < 0 {
		add("max_in_flight", "%d is below 0; leave it out for no bound", s.MaxInFlight)
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{{"drop_after", s.DropAfter}, {"graceful", s.Graceful}, {"think", s.ThinkMean}} {
		if d.value < 0 || d.value > MaxDuration {
			add(d.field, "%v is not in 0s..%v", d.value, MaxDuration)
		}
	}
	switch {
	case !(s.MaxRate >= 0 && s.MaxRate <= MaxLevel):
		add("max_rate", "%v is not in 0..%d; leave it out for no cap", s.MaxRate, MaxLevel)
	case s.MaxRate > 0 && s.Profile.Peak() > s.MaxRate:
		add("max_rate", "the profile reaches %v, above the cap of %v; raise the cap or lower the stage", s.Profile.Peak(), s.MaxRate)
	}
	if err := checkWeights(s.Weights); err != nil {
		add("weight", "%v", err)
	}
	return errors.Join(errs...)
}
