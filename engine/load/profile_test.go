package load

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

// TestProfileAgainstAnalyticIntegrals: each curve against its integral worked out by hand.
func TestProfileAgainstAnalyticIntegrals(t *testing.T) {
	for _, c := range []struct {
		name   string
		stages []Stage
		t      time.Duration
		rate   float64
		sum    float64
	}{
		{"held", []Stage{{For: 10 * sec, At: 7}}, 4 * sec, 7, 28},
		{"linear from 0", []Stage{{For: 10 * sec, At: 100, Ramp: true}}, 4 * sec, 40, 80},
		{"linear down", []Stage{{For: 10 * sec, At: 100}, {For: 10 * sec, At: 50, Ramp: true}}, 14 * sec, 80, 1000 + 360},
		{"linear down to 0", []Stage{{For: sec, At: 100}, {For: 10 * sec, At: 0, Ramp: true}}, 11*sec - 1, 1e-8, 600},
		{"exponential 1 to e in 1 s", []Stage{{For: sec, At: 1}, {For: sec, At: math.E, Ramp: true, Curve: Exponential}}, 1500 * time.Millisecond, math.Sqrt(math.E), math.Sqrt(math.E)},
		{"exponential down", []Stage{{For: sec, At: 8}, {For: 3 * sec, At: 1, Ramp: true, Curve: Exponential}}, 2 * sec, 4, 8 + 4/math.Ln2},
		{"steps", []Stage{{For: sec, At: 10}, {For: 4 * sec, At: 50, Ramp: true, Curve: Steps, Steps: 4}}, 3500 * time.Millisecond, 40, 10 + 20 + 30 + 20},
		{"one step", []Stage{{For: 4 * sec, At: 50, Ramp: true, Curve: Steps, Steps: 1}}, sec, 50, 50},
		{"before", []Stage{{For: sec, At: 5}}, -sec, 0, 0},
		{"after", []Stage{{For: sec, At: 5}}, 2 * sec, 0, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Profile{Stages: c.stages}
			if err := p.Validate(); err != nil {
				t.Fatal(err)
			}
			if got := p.Rate(c.t); math.Abs(got-c.rate) > 1e-6 {
				t.Errorf("rate %v, want %v", got, c.rate)
			}
			got := p.Integral(c.t)
			if math.Abs(got-c.sum) > 1e-6 {
				t.Errorf("integral %v, want %v", got, c.sum)
			}
			if c.t < 0 || c.t >= p.Duration()-1 {
				return
			}
			if back, ok := p.Inverse(got); !ok || back < c.t-1 || back > c.t+1 {
				t.Errorf("inverse %v %v, want %v", back, ok, c.t)
			}
		})
	}
}

func TestStagesAndEdges(t *testing.T) {
	p := Profile{Stages: []Stage{{For: sec, At: 5}, {For: 2 * sec, At: 9, Ramp: true}}}
	if e := p.Edges(); len(e) != 3 || e[1] != sec || e[2] != 3*sec {
		t.Errorf("edges %v", e)
	}
	for at, want := range map[time.Duration]int{-1: 0, 0: 0, sec - 1: 0, sec: 1, 3 * sec: 1, time.Hour: 1} {
		if got := p.StageAt(at); got != want {
			t.Errorf("stage at %v: %d, want %d", at, got, want)
		}
	}
	if p.Peak() != 9 || p.Duration() != 3*sec {
		t.Errorf("peak %v, duration %v", p.Peak(), p.Duration())
	}
	if (&Profile{}).StageAt(0) != -1 {
		t.Error("a profile without stages has a stage")
	}
	if _, ok := p.Inverse(1e9); ok {
		t.Error("a due time beyond the end")
	}
}

func TestValidateReportsEveryProblemAtItsPlace(t *testing.T) {
	spec := Spec{
		Arrivals: 7, Iterations: -1, MaxInFlight: -1, DropAfter: -1, Graceful: -1, MaxRate: math.NaN(), Weights: []int{0, 0},
		Profile: Profile{Stages: []Stage{
			{For: 0, At: 1},
			{For: 2000 * time.Hour, At: -1},
			{For: sec, At: math.NaN(), Ramp: true},
			{For: sec, At: 1e9},
			{For: sec, At: 0},
			{For: sec, At: 5, Ramp: true, Curve: Exponential},
			{For: sec, At: 0, Ramp: true, Curve: Exponential},
			{For: sec, At: 5, Ramp: true, Curve: Steps},
			{For: sec, At: 5, Ramp: true, Curve: 9},
			{For: sec, At: 5, Curve: Steps, Steps: 2},
			{For: sec, At: 5, Ramp: true, Curve: Steps, Steps: 5000},
		}},
	}
	stages := map[string]bool{}
	fields := map[string]bool{}
	for _, err := range spec.Validate().(interface{ Unwrap() []error }).Unwrap() {
		var s *StageError
		var f *FieldError
		switch {
		case errors.As(err, &s):
			stages[string(rune('0'+s.Stage))+s.Field] = true
		case errors.As(err, &f):
			fields[f.Field] = true
		default:
			t.Errorf("%T: %v", err, err)
		}
	}
	for _, want := range []string{"0for", "1for", "1at", "2to", "3at", "5curve", "6curve", "7steps", "8curve", "9curve", "9steps", ":steps"} {
		if !stages[want] {
			t.Errorf("no problem at %s", want)
		}
	}
	for _, want := range []string{"arrivals", "iterations", "max_in_flight", "drop_after", "graceful", "max_rate", "weight"} {
		if !fields[want] {
			t.Errorf("no problem with %s", want)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		spec Spec
		want string
	}{
		{Spec{}, "give at least one"},
		{Spec{Profile: Profile{Stages: []Stage{{For: sec, At: 5, Ramp: true, Curve: Exponential}}}}, "stage 1: curve: an exponential ramp cannot leave 0; put a stage at: 1 before it"},
		{Spec{MaxRate: 10, Profile: Profile{Stages: []Stage{{For: sec, At: 50}}}}, "raise the cap or lower the stage"},
		{Spec{Weights: []int{100_001, 1}, Profile: Profile{Stages: []Stage{{For: sec, At: 50}}}}, "use rounder numbers"},
		{Spec{Weights: []int{-1}, Profile: Profile{Stages: []Stage{{For: sec, At: 50}}}}, "at least 0"},
		{Spec{Profile: Profile{Stages: []Stage{{For: 600 * time.Hour, At: 50}, {For: 600 * time.Hour, At: 50}}}}, "is the most"},
	} {
		if err := c.spec.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want it to say %q", err, c.want)
		}
	}
}

// FuzzWalk: whatever passes Validate can be walked under any changes: no panic, due times in order, an end.
func FuzzWalk(f *testing.F) {
	f.Add(int64(sec), 100.0, true, byte(0), 0, int64(sec), 50.0, false, byte(0), 3, uint64(1), byte(3), 1.5, int64(sec/2), byte(0))
	f.Add(int64(sec), 1.0, false, byte(0), 0, int64(sec), 1000.0, true, byte(1), 0, uint64(2), byte(1), 1.0, int64(1), byte(1))
	f.Add(int64(1), 1e7, true, byte(2), 1, int64(MaxDuration-1), 1e-300, true, byte(1), 0, uint64(3), byte(4), 1.0, int64(0), byte(1))
	f.Add(int64(sec), 8.0, false, byte(0), 0, int64(sec-79), 9000.0, false, byte(0), 0, uint64(2), byte(4), 1.0, int64(1), byte(0)) // a pause that comes late
	f.Fuzz(func(t *testing.T, for0 int64, at0 float64, ramp0 bool, curve0 byte, steps0 int, for1 int64, at1 float64, ramp1 bool, curve1 byte, steps1 int, seed uint64, change byte, factor float64, at int64, arrivals byte) {
		spec := &Spec{Seed: seed, Arrivals: Arrivals(arrivals), Profile: Profile{Stages: []Stage{
			{For: time.Duration(for0), At: at0, Ramp: ramp0, Curve: Curve(curve0), Steps: steps0},
			{For: time.Duration(for1), At: at1, Ramp: ramp1, Curve: Curve(curve1), Steps: steps1},
		}}}
		if spec.Validate() != nil {
			return
		}
		log := NewLog(spec)
		s := NewSchedule(spec, log, 0, 0, 1)
		last := time.Duration(0)
		walk := func() {
			for range 3000 {
				_, due, ok := s.Peek()
				if !ok {
					return
				}
				// A change may come when arrivals after it are consumed; what it makes due before them is due at once.
				if due < last || due > max(last, log.Timeline().End()) {
					t.Fatalf("due %v after %v, the end is %v", due, last, log.Timeline().End())
				}
				last = due
				s.Next()
			}
		}
		walk()
		if log.Append(Change{At: time.Duration(at), Kind: ChangeKind(change), Factor: factor}) != nil {
			return
		}
		s.Refresh()
		walk()
		u := log.Timeline().Integral(log.Timeline().End() / 2)
		if math.IsNaN(u) || u < 0 {
			t.Fatalf("L = %v", u)
		}
	})
}
