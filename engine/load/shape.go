package load

import (
	"math"
	"time"
)

// kind is the formula of a shape.
type kind uint8

const (
	flat kind = iota
	straight
	growing
)

// shape is a level as a function of x, the seconds since its beginning:
//
//	flat:      level = start
//	straight:  level = start + slope x             slope in level a second
//	growing:   level = start e^(slope x)           slope in 1/s
//
// A shape has no end of its own; who holds it knows how far it goes.
type shape struct {
	kind         kind
	start, slope float64
}

// ramp goes from a to b in d seconds.
func ramp(c Curve, a, b, d float64) shape {
	switch {
	case a == b:
		return shape{kind: flat, start: a}
	case c == Exponential && a > 0 && b > 0:
		return shape{kind: growing, start: a, slope: math.Log(b/a) / d}
	}
	return shape{kind: straight, start: a, slope: (b - a) / d}
}

// level is the value at x seconds, never below 0.
func (s shape) level(x float64) float64 {
	switch s.kind {
	case straight:
		return max(0, s.start+float64(s.slope*x))
	case growing:
		return s.start * math.Exp(s.slope*x)
	}
	return s.start
}

// integral is the area from 0 to x seconds.
func (s shape) integral(x float64) float64 {
	switch s.kind {
	case straight:
		return max(0, x*(s.start+float64(s.slope*x)/2))
	case growing:
		return s.start * math.Expm1(s.slope*x) / s.slope
	}
	return s.start * x
}

// inverse is the x at which the area is v. The caller knows that the area is reached.
//
//	straight: v = a x + s x^2/2. The textbook root (sqrt(a^2 + 2 s v) - a)/s cancels when s is small or a is large; its
//	          conjugate 2v / (a + sqrt(a^2 + 2 s v)) has only sums, and holds for a = 0 and for falling ramps as well.
//	growing:  v = a (e^(s x) - 1)/s, so x = ln(1 + s v/a)/s.
func (s shape) inverse(v float64) float64 {
	if v <= 0 {
		return 0
	}
	switch s.kind {
	case straight:
		// At the foot of a ramp down to 0 the discriminant is 0, and rounding may put it below.
		return 2 * v / (s.start + math.Sqrt(max(0, float64(s.start*s.start)+float64(2*s.slope*v))))
	case growing:
		return math.Log1p(max(-1, s.slope*v/s.start)) / s.slope
	}
	return v / s.start
}

// crossing is the x at which the level is y; false if it never is or always is. It may lie before 0.
func (s shape) crossing(y float64) (float64, bool) {
	switch s.kind {
	case straight:
		return (y - s.start) / s.slope, true
	case growing:
		if y > 0 {
			return math.Log(y/s.start) / s.slope, true
		}
	}
	return 0, false
}

// after is the same curve with its beginning moved to x.
func (s shape) after(x float64) shape {
	s.start = s.level(x)
	return s
}

// times is the curve with all levels multiplied by f.
func (s shape) times(f float64) shape {
	s.start *= f
	if s.kind == straight {
		s.slope *= f
	}
	return s
}

// seconds and nanoseconds convert without loss: run times stay below 2^53 ns, 104 days.
func seconds(d time.Duration) float64 { return float64(d) / 1e9 }

// nanoseconds rounds to the nearest nanosecond; what no Duration holds becomes Never.
func nanoseconds(x float64) time.Duration {
	if !(x < float64(Never)/2e9) {
		return Never / 2
	}
	return time.Duration(x*1e9 + 0.5)
}
