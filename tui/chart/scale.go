package chart

import (
	"math"
	"time"
)

// scale maps values to 0..1 along an axis and knows the axis' ticks. Values outside of it are clamped to its ends.
type scale struct {
	log      bool
	from, to float64 // of the axis; for a logarithmic one of the values, not of their logarithms
	a, b     float64 // the same, transformed
	ticks    []float64
}

// limit is the largest value that an axis shows: above it differences between ticks are lost in the float64.
const limit = 1e15

// at is the place of v on the axis, 0..1. NaN has none.
func (s *scale) at(v float64) (float64, bool) {
	if math.IsNaN(v) {
		return 0, false
	}
	v = max(s.from, min(v, s.to))
	if s.log {
		v = math.Log10(v)
	}
	return max(0, min((v-s.a)/(s.b-s.a), 1)), true
}

// value is the reverse of at.
func (s *scale) value(f float64) float64 {
	v := s.a + f*(s.b-s.a)
	if s.log {
		return math.Pow(10, v)
	}
	return v
}

func (s *scale) transform() {
	s.a, s.b = s.from, s.to
	if s.log {
		s.a, s.b = math.Log10(s.from), math.Log10(s.to)
	}
}

// linear is an axis from 0 (or below, if there are negative values) to a round value that leaves hi a little room, with
// about n ticks.
func linear(lo, hi float64, n int) scale {
	lo, hi = max(-limit, min(lo, 0)), min(hi, limit)
	if !(hi > lo) {
		hi = lo + 1
	}
	step := round125((hi-lo)/float64(max(1, n)), false)
	s := scale{from: math.Floor(lo/step) * step, to: math.Ceil(hi*1.0001/step) * step}
	for i := 0; i <= 2*max(1, n)+2; i++ {
		v := s.from + float64(i)*step
		if v > s.to+step/2 {
			break
		}
		s.ticks = append(s.ticks, v)
	}
	s.transform()
	return s
}

// logarithmic is an axis between round values around lo and hi, both above 0, with at most about n ticks: decades, and the
// steps 2 and 5 where there is room.
func logarithmic(lo, hi float64, n int) scale {
	const least = 1e-9
	if !(lo >= least) {
		lo = least
	}
	lo = min(lo, limit)
	if !(hi > lo) {
		hi = lo
	}
	hi = min(hi, limit)
	s := scale{log: true, from: round125(lo*1.0000001, true), to: round125(hi*0.9999999, false)}
	if s.to < s.from*2 {
		s.to = round125(s.from*2, false)
	}
	s.transform()
	decades := s.b - s.a
	steps := []float64{1}
	if decades <= 1 || decades*3 <= float64(n) {
		steps = []float64{1, 2, 5}
	}
	every := max(1, int(math.Ceil(decades/float64(max(1, n)))))
	first := int(math.Floor(s.a + 1e-9))
	for e := first; e <= int(math.Ceil(s.b)); e++ {
		if (e-first)%every != 0 {
			continue
		}
		for _, m := range steps {
			v := m * math.Pow(10, float64(e))
			if v >= s.from*0.999 && v <= s.to*1.001 {
				s.ticks = append(s.ticks, v)
			}
		}
	}
	if len(s.ticks) < 2 {
		s.ticks = []float64{s.from, s.to}
	}
	return s
}

// round125 is the nearest of 1, 2 and 5 times a power of ten that is not below v, or with down not above it.
func round125(v float64, down bool) float64 {
	if !(v > 0) || math.IsInf(v, 0) {
		return 1
	}
	e := math.Pow(10, math.Floor(math.Log10(v)))
	if e == 0 || math.IsInf(e, 0) {
		return v
	}
	m := v / e
	if down {
		switch {
		case m >= 5:
			return 5 * e
		case m >= 2:
			return 2 * e
		}
		return e
	}
	switch {
	case m <= 1.0000001:
		return e
	case m <= 2.0000001:
		return 2 * e
	case m <= 5.0000001:
		return 5 * e
	}
	return 10 * e
}

// extent is the range of the finite values of all lists; ok is false if there are none. With positive only values above 0
// count.
func extent(positive bool, lists ...[]float64) (lo, hi float64, ok bool) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, list := range lists {
		for _, v := range list {
			if math.IsNaN(v) || math.IsInf(v, 0) || positive && v <= 0 {
				continue
			}
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	return lo, hi, lo <= hi
}

// clockSteps are the distances between labels of a time axis.
var clockSteps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour, 365 * 24 * time.Hour,
}

// clockTicks are the places of labels between from and to, at most about n.
func clockTicks(from, to time.Duration, n int) []time.Duration {
	if to <= from || to-from < 0 || n < 1 {
		return nil
	}
	step := clockSteps[len(clockSteps)-1]
	for _, s := range clockSteps {
		if (to-from)/s <= time.Duration(n) {
			step = s
			break
		}
	}
	var out []time.Duration
	t := from.Truncate(step)
	for t < from {
		t += step
	}
	for ; t <= to && len(out) <= 2*n+2; t += step {
		if t < 0 {
			continue
		}
		out = append(out, t)
	}
	return out
}
