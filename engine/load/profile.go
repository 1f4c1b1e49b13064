package load

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"time"
)

// Bounds of a profile. They keep every figure far inside what a float64 counts exactly: 1000 h at 10 million a second
// are 3.6e13 arrivals, and neighbouring float64s there differ by 0.008 arrivals, which is less than a nanosecond of time.
const (
	MaxDuration = 1000 * time.Hour // longest stage and longest profile
	MaxLevel    = 10_000_000       // highest rate a second, or number of users
	MaxSteps    = 10_000           // most steps of one stage
)

// Curve is the shape of a stage that ramps.
type Curve uint8

// Linear is a straight line, Exponential changes by the same ratio in equal times, Steps climbs a staircase.
const (
	Linear Curve = iota
	Exponential
	Steps
)

func (c Curve) String() string {
	switch c {
	case Linear:
		return "linear"
	case Exponential:
		return "exponential"
	case Steps:
		return "steps"
	}
	return fmt.Sprintf("curve(%d)", uint8(c))
}

// Stage is one piece of a profile.
type Stage struct {
	Name   string        // free text, may be empty
	For    time.Duration // its length; above 0
	At     float64       // arrivals a second (open) or users (closed): the level held, or the one reached at its end
	Ramp   bool          // false: At is held throughout; true: goes to At from the level before (the first stage: from 0)
	Curve  Curve         // shape of the ramp; a held stage has none
	Steps  int           // number of steps with curve Steps: from a to b it holds a + (b-a)k/Steps for k = 1..Steps
	Warmup bool          // left out of totals
}

// Profile is the level over time: arrivals a second in the open model, users in the closed one. Its own clock starts
// at 0 and knows nothing of live changes; a Timeline adds them. All methods but Validate expect a valid profile. They
// work out the curve anew each time and are for plans and pictures; the hot path goes through a Timeline.
// Level is taken from the right at an edge: at the instant where a stage begins, that stage holds.
type Profile struct {
	Stages []Stage
}

// StageError is one problem of one stage.
type StageError struct {
	Stage int    // index into Profile.Stages; -1 if the profile as a whole is meant
	Field string // for, at, to, curve, steps
	Msg   string // what is wrong and what to do, without the place
}

func (e *StageError) Error() string {
	if e.Stage < 0 {
		return fmt.Sprintf("profile: %s: %s", e.Field, e.Msg)
	}
	return fmt.Sprintf("stage %d: %s: %s", e.Stage+1, e.Field, e.Msg)
}

// Validate reports every problem at once: nil, or an error that errors.Join made of *StageError alone.
func (p *Profile) Validate() error {
	var errs []error
	add := func(stage int, field, format string, args ...any) {
		errs = append(errs, &StageError{Stage: stage, Field: field, Msg: fmt.Sprintf(format, args...)})
	}
	if len(p.Stages) == 0 {
		add(-1, "stages", "there is none; give at least one, for example for: 30s, at: 50")
	}
	var total time.Duration
	before := 0.0
	for i, s := range p.Stages {
		level := "at"
		if s.Ramp {
			level = "to"
		}
		switch {
		case s.For <= 0:
			add(i, "for", "a stage lasts longer than 0, not %v", s.For)
		case s.For > MaxDuration:
			add(i, "for", "%v is longer than the %v that a stage may last", s.For, MaxDuration)
		case total <= MaxDuration:
			if total += s.For; total > MaxDuration {
				add(i, "for", "with this stage the profile lasts %v, and %v is the most", total, MaxDuration)
			}
		}
		switch {
		case math.IsNaN(s.At) || math.IsInf(s.At, 0):
			add(i, level, "%v is not a number that can be held", s.At)
		case s.At < 0:
			add(i, level, "%v is below 0", s.At)
		case s.At > MaxLevel:
			add(i, level, "%v is above %d, the most", s.At, MaxLevel)
		}
		switch {
		case s.Curve > Steps:
			add(i, "curve", "%v is unknown; it is linear, exponential or steps", s.Curve)
		case !s.Ramp && s.Curve != Linear:
			add(i, "curve", "only a ramp has a curve; write to: instead of at:, or leave curve out")
		case s.Curve == Exponential && before == 0 && s.At != 0:
			add(i, "curve", "an exponential ramp cannot leave 0; put a stage at: 1 before it, or use curve: linear")
		case s.Curve == Exponential && s.At == 0 && before != 0:
			add(i, "curve", "an exponential ramp never reaches 0; go to: 1 and end there, or use curve: linear")
		}
		switch {
		case s.Ramp && s.Curve == Steps && (s.Steps < 1 || s.Steps > MaxSteps):
			add(i, "steps", "%d is not in 1..%d", s.Steps, MaxSteps)
		case s.Ramp && s.Curve == Steps && s.For > 0 && s.For < time.Duration(s.Steps)*time.Millisecond:
			add(i, "steps", "%d steps in %v last less than 1ms each; use fewer", s.Steps, s.For)
		case (!s.Ramp || s.Curve != Steps) && s.Steps != 0:
			add(i, "steps", "only a ramp with curve: steps has steps; write curve: steps, or leave steps out")
		}
		before = s.At
	}
	return errors.Join(errs...)
}

// Duration is the length of the profile.
func (p *Profile) Duration() time.Duration {
	var d time.Duration
	for i := range p.Stages {
		d += p.Stages[i].For
	}
	return d
}

// Edges are the times at which stages begin, and the end of the last: one more than there are stages.
func (p *Profile) Edges() []time.Duration {
	edges := make([]time.Duration, 1, len(p.Stages)+1)
	for i := range p.Stages {
		edges = append(edges, edges[i]+p.Stages[i].For)
	}
	return edges
}

// StageAt is the index of the stage at t: the first before the start, the last from the end on, -1 without stages.
func (p *Profile) StageAt(t time.Duration) int {
	var end time.Duration
	for i := range p.Stages {
		if end += p.Stages[i].For; t < end {
			return i
		}
	}
	return len(p.Stages) - 1
}

// Peak is the highest level.
func (p *Profile) Peak() float64 {
	peak := 0.0
	for i := range p.Stages {
		peak = max(peak, p.Stages[i].At)
	}
	return peak
}

// Rate is the level at t, a second (open) or in users (closed); 0 before the start and from the end on.
func (p *Profile) Rate(t time.Duration) float64 {
	c := p.segments()
	i := c.find(t)
	if t < 0 || i == len(c) {
		return 0
	}
	return c[i].shape.level(seconds(t - c[i].from))
}

// Integral is L(t), the integral of Rate from 0 to t: the arrivals that the profile calls for until then.
func (p *Profile) Integral(t time.Duration) float64 {
	sum := 0.0
	for _, s := range p.segments() {
		if t <= s.from {
			break
		}
		sum += s.shape.integral(seconds(min(t, s.to) - s.from))
	}
	return sum
}

// Inverse is the earliest t with L(t) = u; false if the profile ends before.
func (p *Profile) Inverse(u float64) (time.Duration, bool) {
	sum := 0.0
	for _, s := range p.segments() {
		end := sum + s.shape.integral(seconds(s.to-s.from))
		if u <= end {
			return min(s.from+nanoseconds(s.shape.inverse(u-sum)), s.to), true
		}
		sum = end
	}
	return 0, false
}

// segment is a part of a profile with one formula; from and to are times of the profile's own clock.
type segment struct {
	from, to time.Duration
	stage    int
	shape    shape
}

type segments []segment

// segments cuts the profile where its formula changes.
func (p *Profile) segments() segments {
	out := make(segments, 0, len(p.Stages))
	var t time.Duration
	before := 0.0
	for i, s := range p.Stages {
		end := t + s.For
		switch {
		case !s.Ramp:
			out = append(out, segment{t, end, i, shape{kind: flat, start: s.At}})
		case s.Curve == Steps:
			n := time.Duration(s.Steps)
			for k := time.Duration(1); k <= n; k++ {
				// Whole part and rest apart: s.For * k would overflow for long stages of many steps.
				from := t + s.For/n*(k-1) + s.For%n*(k-1)/n
				to := t + s.For/n*k + s.For%n*k/n
				level := before + (s.At-before)*float64(k)/float64(n)
				out = append(out, segment{from, to, i, shape{kind: flat, start: level}})
			}
		default:
			out = append(out, segment{t, end, i, ramp(s.Curve, before, s.At, seconds(s.For))})
		}
		t, before = end, s.At
	}
	return out
}

// find is the index of the segment that holds t, len(c) from the end on.
func (c segments) find(t time.Duration) int {
	return sort.Search(len(c), func(i int) bool { return t < c[i].to })
}
