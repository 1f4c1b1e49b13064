package journey

import (
	"math"
	"time"

	"lt/engine/load"
	"lt/engine/scenario"
)

// pause prepares the think time of a step. A lognormal distribution with mean m and standard deviation d is the
// exponential of a normal one with variance sigma² = ln(1 + d²/m²) and mean mu = ln m - sigma²/2.
func (c *compiler) pause(st *Step) {
	t := st.Src.Think
	if t == nil || c.p.think == 0 {
		return
	}
	st.pause, st.HasThink = t, true
	if t.Kind == scenario.LogNormal {
		if t.A <= 0 {
			st.pause, st.HasThink = nil, false
			return
		}
		ratio := float64(t.B) / float64(t.A)
		variance := math.Log1p(ratio * ratio)
		st.mu, st.sigma = math.Log(float64(t.A))-variance/2, math.Sqrt(variance)
	}
}

// Pause is the think time after a step: never negative, clamped as its profile says, then multiplied by the file's factor.
// It depends on seed, iteration and step alone, and in the closed model on the user. 0 if the step has none.
func (p *Program) Pause(st *Step, in *Input) time.Duration {
	t := st.pause
	if t == nil {
		return 0
	}
	s := load.NewStream(in.Seed, load.ForThink, uint64(in.Iteration), p.who(in)<<32|uint64(uint32(st.ID)))
	d := float64(t.A)
	switch t.Kind {
	case scenario.Uniform:
		d += (float64(t.B) - float64(t.A)) * s.Float64()
	case scenario.Normal:
		d += float64(t.B) * s.Norm()
	case scenario.LogNormal:
		d = math.Exp(st.mu + st.sigma*s.Norm())
	case scenario.Exponential:
		d *= s.Exp()
	}
	if t.Max > 0 {
		d = min(d, float64(t.Max))
	}
	// A thousand hours are more than any run lasts and far from the end of a Duration.
	d = min(max(d, float64(t.Min), 0)*p.think, float64(1000*time.Hour))
	return time.Duration(d)
}
