package load

import (
	"math"
	"testing"
)

// TestDrawsAreFixedForEver: a seed printed by one version gives the same run in all later ones.
func TestDrawsAreFixedForEver(t *testing.T) {
	if got := Rand(42, ForThink, 7, 3); got != 0x1b6ef3d34e390422 {
		t.Errorf("Rand = %#x", got)
	}
	s := NewStream(42, ForThink, 7, 3)
	if a, b := s.Uint64(), s.Uint64(); a != 0x3d59ba3322534abd || b != 0xe822c414d2a88554 {
		t.Errorf("stream = %#x %#x", a, b)
	}
	// splitmix64 from state 0, as published with the reference implementation (xoshiro.di.unimi.it/splitmix64.c).
	r := Stream{gamma: golden}
	if got := r.Uint64(); got != 0xe220a8397b1dcdaf {
		t.Errorf("splitmix64 from 0 = %#x", got)
	}
}

// TestNeighbouringStreamsAreIndependent: the first draws of streams with consecutive keys are uniform and uncorrelated.
func TestNeighbouringStreamsAreIndependent(t *testing.T) {
	const n = 100_000
	for name, at := range map[string]func(i uint64) Stream{
		"index":     func(i uint64) Stream { return NewStream(1, ForThink, i, 0) },
		"iteration": func(i uint64) Stream { return NewStream(1, ForThink, 0, i) },
		"seed":      func(i uint64) Stream { return NewStream(i, ForThink, 0, 0) },
		"purpose":   func(i uint64) Stream { return NewStream(1, Purpose(i), 0, 0) },
	} {
		var buckets [100]float64
		sum, product, before := 0.0, 0.0, 0.5
		for i := range uint64(n) {
			s := at(i)
			x := s.Float64()
			buckets[int(x*100)]++
			sum += x
			product += (x - 0.5) * (before - 0.5)
			before = x
		}
		chi := 0.0
		for _, b := range buckets {
			chi += (b - n/100) * (b - n/100) / (n / 100)
		}
		if chi > 160 { // 99 degrees of freedom: p = 1e-4
			t.Errorf("%s: chi squared %v", name, chi)
		}
		if c := product / n * 12; math.Abs(c) > 4/math.Sqrt(n) {
			t.Errorf("%s: neighbours are correlated by %v", name, c)
		}
	}
}

func TestDrawsHaveTheirMoments(t *testing.T) {
	const n = 200_000
	for _, c := range []struct {
		name           string
		draw           func(s *Stream) float64
		mean, variance float64
	}{
		{"Float64", (*Stream).Float64, 0.5, 1.0 / 12},
		{"Exp", (*Stream).Exp, 1, 1},
		{"Norm", (*Stream).Norm, 0, 1},
		{"Intn", func(s *Stream) float64 { return float64(s.Intn(7)) }, 3, 4},
		{"gamma", func(s *Stream) float64 { return gamma(s, 9) }, 9, 9},
		{"gamma of a block", func(s *Stream) float64 { return gamma(s, blockLen) }, blockLen, blockLen},
	} {
		s := NewStream(3, ForPick, 0, 0)
		sum, squares := 0.0, 0.0
		for range n {
			x := c.draw(&s)
			sum += x
			squares += (x - c.mean) * (x - c.mean)
		}
		if d := (sum/n - c.mean) / math.Sqrt(c.variance/n); math.Abs(d) > 4 {
			t.Errorf("%s: mean %v is %v standard errors off", c.name, sum/n, d)
		}
		if v := squares / n; math.Abs(v/c.variance-1) > 0.03 {
			t.Errorf("%s: variance %v, want %v", c.name, v, c.variance)
		}
	}
}

func TestIntnStaysInRange(t *testing.T) {
	s := NewStream(3, ForPick, 0, 0)
	for _, n := range []int{1, 2, 3, math.MaxInt64} {
		for range 1000 {
			if x := s.Intn(n); x < 0 || x >= n {
				t.Fatalf("Intn(%d) = %d", n, x)
			}
		}
	}
}
