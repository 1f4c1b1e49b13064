package scenario

import (
	"errors"
	"fmt"
	"math"
	"time"

	"go.yaml.in/yaml/v4"

	"lt/engine/load"
)

// Defaults of the load. A file or URL without any asks for little and ends soon; a load without an end lasts
// DefaultDuration, because a run must not go on unwatched.
const (
	DefaultRate        = 50 // arrivals a second
	DefaultFor         = 30 * time.Second
	DefaultDuration    = 5 * time.Minute
	DefaultMaxInFlight = 10_000
	DefaultDropAfter   = 10 * time.Second
	DefaultGraceful    = 30 * time.Second
)

// MaxUsers is the largest number of users, and of iterations in flight.
const MaxUsers = load.MaxLevel

func defaultLoad() load.Spec {
	return load.Spec{
		Profile:     load.Profile{Stages: []load.Stage{{Name: "stage 1", For: DefaultFor, At: DefaultRate}}},
		MaxInFlight: DefaultMaxInFlight, DropAfter: DefaultDropAfter, Graceful: DefaultGraceful,
	}
}

// hold is the profile of one level: reached by a ramp within the first part of the whole duration, then held.
func hold(level float64, whole, ramp time.Duration) []load.Stage {
	var stages []load.Stage
	if ramp > 0 {
		stages = append(stages, load.Stage{Name: "ramp-up", For: ramp, At: level, Ramp: true})
	}
	if whole > ramp {
		name := "sustain"
		if ramp == 0 {
			name = "stage 1"
		}
		stages = append(stages, load.Stage{Name: name, For: whole - ramp, At: level})
	}
	return stages
}

// oneLevel takes apart what hold and cutWarmup have put together; ok is false for a load of any other shape.
func oneLevel(stages []load.Stage) (level float64, ramp, warmup time.Duration, ok bool) {
	stages, warmup, ok = withoutWarmup(stages)
	last, profile := stages[len(stages)-1], load.Profile{Stages: stages}
	if first := stages[0]; first.Ramp {
		ramp = first.For
	}
	for i, s := range hold(last.At, profile.Duration(), ramp) {
		s.Name = stages[i].Name
		ok = ok && s == stages[i]
	}
	if !ok {
		return 0, 0, 0, false
	}
	return last.At, ramp, warmup, true
}

// lasting is how long a load without a duration goes on: the default, or long enough for a number of iterations asked for
// at a rate, with half as much again for the chance in Poisson arrivals.
func lasting(iterations int64, rate float64) time.Duration {
	d := DefaultDuration
	if iterations > 0 && rate > 0 {
		if need := 1.5 * float64(iterations) / rate; need > d.Seconds() {
			d = time.Duration(math.Min(math.Ceil(need), load.MaxDuration.Seconds())) * time.Second
		}
	}
	return d
}

// warmupMark is behind the name of the part that cutWarmup has cut off a stage.
const warmupMark = " (warm-up)"

// cutWarmup marks the first part of a profile as warm-up, splitting the stage that goes on beyond it.
func cutWarmup(stages []load.Stage, warmup time.Duration, m load.Model) ([]load.Stage, error) {
	var out []load.Stage
	var t time.Duration
	profile := load.Profile{Stages: stages}
	for _, s := range stages {
		from, to := t, t+s.For
		t = to
		switch {
		case to <= warmup:
			s.Warmup = true
		case from < warmup:
			if s.Ramp && s.Curve == load.Steps {
				return nil, errors.New("the warm-up ends within a staircase of steps; let it end with a stage")
			}
			first := s
			first.Name, first.For, first.Warmup = s.Name+warmupMark, warmup-from, true
			if s.Ramp {
				if first.At = profile.Rate(warmup); m == load.Closed {
					first.At = math.Round(first.At) // there is no half user
				}
			}
			s.For -= first.For
			out = append(out, first)
		}
		out = append(out, s)
	}
	if warmup >= profile.Duration() {
		return nil, fmt.Errorf("the warm-up of %s leaves nothing of the %s that the load lasts; make it shorter", formatDuration(warmup), formatDuration(profile.Duration()))
	}
	return out, nil
}

// withoutWarmup undoes cutWarmup; ok is false if something else than the first part is warm-up.
func withoutWarmup(stages []load.Stage) (out []load.Stage, warmup time.Duration, ok bool) {
	ok = true
	for i, s := range stages {
		if s.Warmup {
			ok = ok && (i == 0 || stages[i-1].Warmup)
			warmup += s.For
		}
		s.Warmup = false
		if k := len(out) - 1; k >= 0 && out[k].Name == s.Name+warmupMark {
			s.For += out[k].For
			out = out[:k]
		}
		out = append(out, s)
	}
	return out, warmup, ok
}

var loadKeys = []string{"rate", "users", "for", "ramp", "iterations", "arrivals", "max_in_flight", "drop_after", "max_rate", "graceful", "warmup", "seed"}

// places says where the parts of a load stand in the file, so that what load.Spec.Validate finds gets its line.
type places struct {
	load   *yaml.Node
	fields map[string]*yaml.Node
	stages []map[string]*yaml.Node
}

// shape reads load:, or takes the default without one, and completes it with what the scenarios say.
func (p *parser) shape(n *yaml.Node) {
	at := &places{load: n, fields: map[string]*yaml.Node{}}
	p.f.Load = defaultLoad()
	if n != nil {
		if before := len(p.errs); !p.loadFields(n, at) || len(p.errs) > before {
			return // what follows would only repeat it
		}
	}
	p.f.complete()
	err := p.f.Load.Validate()
	if err == nil {
		if p.f.Load.Profile.Peak() == 0 {
			p.add(at.load, "give a stage a level above it, for example at: 50", "every stage is at 0, so nothing would happen")
		}
		return
	}
	for _, e := range unjoin(err) {
		where := at.load
		msg := e.Error()
		var se *load.StageError
		var fe *load.FieldError
		switch {
		case errors.As(e, &se):
			msg = se.Field + ": " + se.Msg
			if se.Stage >= 0 && se.Stage < len(at.stages) {
				where = at.stages[se.Stage][""]
				if x := at.stages[se.Stage][se.Field]; x != nil {
					where = x
				}
			}
		case errors.As(e, &fe):
			if x := at.fields[fe.Field]; x != nil {
				where = x
			}
		}
		p.fail(where, "", errors.New(msg))
	}
}

// complete derives what follows from the other parts of the file.
func (f *File) complete() {
	s := &f.Load
	f.Closed = s.Model == load.Closed
	s.Weights = nil
	for _, sc := range f.Scenarios {
		s.Weights = append(s.Weights, sc.Weight)
	}
	s.ThinkMean = f.meanPause()
	f.Warmup = 0
	for _, st := range s.Profile.Stages {
		if !st.Warmup {
			break
		}
		f.Warmup += st.For
	}
}

func (p *parser) loadFields(n *yaml.Node, at *places) bool {
	o := p.object(n, "load", loadKeys, nil)
	if o == nil {
		return false
	}
	for _, f := range o.fields {
		at.fields[f.key] = f.val
	}
	s := &p.f.Load
	level := o.get("rate")
	if users := o.get("users"); users != nil {
		if level != nil {
			p.add(users, "keep rate: (so many arrivals a second) or users: (so many at a time, each waiting for its answers)", "a load has rate or users, not both")
			return false
		}
		level = users
		s.Model = load.Closed
		s.MaxInFlight, s.DropAfter = 0, 0
		for _, key := range []string{"arrivals", "max_in_flight", "drop_after"} {
			if x := o.get(key); x != nil {
				p.add(x, "remove it, or write rate: instead of users:", "%s belongs to a load with rate:, users begin when they have finished", key)
			}
		}
	}
	if x := o.get("iterations"); x != nil {
		s.Iterations = p.intOf(x, "iterations", 1, 1<<53)
	}
	if x := o.get("arrivals"); x != nil {
		s.Arrivals = load.Arrivals(p.oneOf(x, "arrivals", "poisson", "even"))
	}
	if x := o.get("max_in_flight"); x != nil && !p.closed() {
		s.MaxInFlight = int(p.intOf(x, "max_in_flight", 1, MaxUsers))
	}
	if x := o.get("drop_after"); x != nil && !p.closed() {
		s.DropAfter, _ = p.duration(x, "drop_after")
	}
	if x := o.get("graceful"); x != nil {
		s.Graceful, _ = p.duration(x, "graceful")
	}
	if x := o.get("max_rate"); x != nil {
		s.MaxRate = p.level(x, "max_rate")
	}
	if x := o.get("seed"); x != nil {
		if v, ok := p.scalar(x, "seed"); ok {
			seed, err := parseSeed(v)
			if err != nil {
				p.fail(x, "seed", err)
			}
			s.Seed = seed
		}
	}
	switch {
	case level == nil:
		if x := o.get("for"); x != nil || s.Iterations == 0 {
			if !o.bad {
				p.add(n, "write for example rate: 500 or users: 50", "load has neither rate nor users")
			}
			return false
		}
		s.Profile.Stages = hold(DefaultRate, lasting(s.Iterations, DefaultRate), 0)
	case level.Kind == yaml.SequenceNode:
		for _, key := range []string{"for", "ramp"} {
			if x := o.get(key); x != nil {
				p.add(x, "give each stage its own for:", "%s does not go with a list of stages", key)
			}
		}
		p.stages(level, at)
	default:
		p.oneLevel(o, level)
	}
	if x := o.get("warmup"); x != nil {
		if d, ok := p.duration(x, "warmup"); ok && d > 0 {
			stages, err := cutWarmup(s.Profile.Stages, d, s.Model)
			if err != nil {
				p.fail(x, "warmup", err)
				return false
			}
			s.Profile.Stages = stages
			at.stages = nil
		}
	}
	return true
}

func (p *parser) closed() bool { return p.f.Load.Model == load.Closed }

// level reads a rate, or in the closed model a number of users.
func (p *parser) level(n *yaml.Node, what string) float64 {
	s, ok := p.scalar(n, what)
	if !ok {
		return 0
	}
	var v float64
	var err error
	if p.closed() {
		var k int64
		if k, err = ParseCount(s, 0, MaxUsers); err != nil {
			err = fmt.Errorf("%w; write how many users there are at a time, for example 50", err)
		}
		v = float64(k)
	} else {
		v, err = ParseRate(s)
	}
	if err != nil {
		p.fail(n, what, err)
	}
	return v
}

// oneLevel reads rate: or users: with a single number.
func (p *parser) oneLevel(o *object, n *yaml.Node) {
	what := "rate"
	if p.closed() {
		what = "users"
	}
	before := len(p.errs)
	v := p.level(n, what)
	if v == 0 && len(p.errs) == before {
		p.add(n, "write for example "+what+": 50", "%s is 0, so nothing would happen", what)
	}
	var whole, ramp time.Duration
	p.positive(o, "for", &whole)
	p.positive(o, "ramp", &ramp)
	if whole == 0 {
		rate := v
		if p.closed() {
			rate = 0
		}
		whole = max(lasting(p.f.Load.Iterations, rate), ramp)
	}
	if ramp > whole {
		p.add(o.get("ramp"), "the ramp is the first part of for:, so give for: at least as much", "the ramp of %s is longer than the whole load of %s", formatDuration(ramp), formatDuration(whole))
	}
	p.f.Load.Profile.Stages = hold(v, whole, ramp)
}

var curveWords = []string{"linear", "exponential", "steps"}

func (p *parser) stages(n *yaml.Node, at *places) {
	stages := []load.Stage{}
	for i, c := range p.items(n, "the list of stages", false) {
		o := p.object(c, "a stage", []string{"name", "for", "at", "to", "curve", "steps", "warmup"}, nil)
		if o == nil {
			continue
		}
		places := map[string]*yaml.Node{"": c}
		for _, f := range o.fields {
			places[f.key] = f.val
		}
		s := load.Stage{Name: fmt.Sprintf("stage %d", i+1)}
		if x := o.get("name"); x != nil {
			s.Name, _ = p.label(x, "name")
		}
		if o.get("for") == nil && !o.bad {
			p.add(c, "add for: 30s", "the stage %s has no length", quoted(s.Name))
		}
		p.positive(o, "for", &s.For)
		held, ramp := o.get("at"), o.get("to")
		switch {
		case held != nil && ramp != nil:
			p.add(ramp, "keep at: to hold a level, or to: to ramp from the level before", "a stage has at or to, not both")
		case held != nil:
			s.At = p.level(held, "at")
		case ramp != nil:
			s.At, s.Ramp = p.level(ramp, "to"), true
		case !o.bad:
			p.add(c, "add at: 500 to hold a level, or to: 500 to ramp from the level before", "the stage %s has no level", quoted(s.Name))
		}
		curve, steps := o.get("curve"), o.get("steps")
		if curve != nil {
			s.Curve = load.Curve(p.oneOf(curve, "curve", curveWords...))
		}
		switch {
		case steps != nil && ramp == nil && held != nil:
			p.add(steps, "write to: instead of at:, or remove steps", "only a ramp goes in steps")
		case steps != nil:
			s.Steps = int(p.intOf(steps, "steps", 1, load.MaxSteps))
			if curve == nil {
				s.Curve = load.Steps
			}
		case curve != nil && ramp != nil && s.Curve == load.Steps:
			p.add(curve, "add for example steps: 5", "a ramp with curve: steps says in how many")
		}
		if x := o.get("warmup"); x != nil {
			s.Warmup = p.bool(x, "warmup")
		}
		stages = append(stages, s)
		at.stages = append(at.stages, places)
	}
	if len(stages) == 0 {
		p.add(n, "write for example [{for: 30s, at: 50}]", "the list of stages is empty")
	}
	p.f.Load.Profile.Stages = stages
}
