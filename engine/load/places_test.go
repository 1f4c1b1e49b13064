package load

import (
	"math"
	"slices"
	"testing"
)

// kolmogorov is the largest distance between the sample's distribution and f, times the root of its size: above 1.95 it
// is wrong with p < 0.001.
func kolmogorov(sample []float64, f func(x float64) float64) float64 {
	slices.Sort(sample)
	n, d := float64(len(sample)), 0.0
	for i, x := range sample {
		y := f(x)
		d = max(d, y-float64(i)/n, float64(i+1)/n-y)
	}
	return d * math.Sqrt(n)
}

// TestPoissonGapsAreExponential, at the beginning, over the edges of blocks and far out.
func TestPoissonGapsAreExponential(t *testing.T) {
	for _, from := range []int64{0, blockLen - 50, 1<<superBits - 100_000, 1 << 33} {
		p := newPlaces(&Spec{Seed: 11})
		gaps := make([]float64, 200_000)
		before := 0.0
		if from > 0 {
			before = p.at(from - 1)
		}
		sum, product := 0.0, 0.0
		for i := range gaps {
			u := p.at(from + int64(i))
			gaps[i] = u - before
			if gaps[i] <= 0 {
				t.Fatalf("arrival %d has place %v, the one before it %v", from+int64(i), u, before)
			}
			if i > 0 {
				product += (gaps[i] - 1) * (gaps[i-1] - 1)
			}
			sum += gaps[i]
			before = u
		}
		n := float64(len(gaps))
		if c := product / n; math.Abs(c) > 4/math.Sqrt(n) {
			t.Errorf("from %d: neighbouring gaps are correlated by %v", from, c)
		}
		if m := sum / n; math.Abs(m-1) > 4/math.Sqrt(n) {
			t.Errorf("from %d: the mean gap is %v", from, m)
		}
		if d := kolmogorov(gaps, func(x float64) float64 { return 1 - math.Exp(-x) }); d > 1.95 {
			t.Errorf("from %d: Kolmogorov distance %v", from, d)
		}
	}
}

// TestPoissonCountsHaveTheVarianceOfPoisson in windows of about a tenth of a block and of many blocks: a sequence that
// was pinned to its block's mean would show too little.
func TestPoissonCountsHaveTheVarianceOfPoisson(t *testing.T) {
	for _, window := range []float64{100, 10_000} {
		p := newPlaces(&Spec{Seed: 5})
		const windows = 2000
		squares, before := 0.0, int64(0)
		for w := range windows {
			n := p.first(float64(w+1) * window)
			d := float64(n-before) - window
			squares += d * d
			before = n
		}
		// The ratio has a standard error of sqrt(2/2000) = 0.03.
		if ratio := squares / windows / window; math.Abs(ratio-1) > 0.13 {
			t.Errorf("windows of %v: variance over mean is %v", window, ratio)
		}
	}
}

// TestAnyPlaceIsReachedWithoutThoseBefore: jumping forth and back gives what walking gave.
func TestAnyPlaceIsReachedWithoutThoseBefore(t *testing.T) {
	const n = 3 << superBits
	want := map[int64]float64{}
	walk := newPlaces(&Spec{Seed: 9})
	for i := int64(0); i < n; i += 317 {
		want[i] = walk.at(i)
	}
	jump := newPlaces(&Spec{Seed: 9})
	r := NewStream(1, ForPick, 0, 0)
	for range 2000 {
		i := int64(r.Intn(n/317)) * 317
		if got := jump.at(i); got != want[i] {
			t.Fatalf("place of %d: %v by a jump, %v on foot", i, got, want[i])
		}
		if got := jump.first(want[i]); got != i+1 {
			t.Fatalf("the first arrival beyond that of %d is %d", i, got)
		}
		if got := jump.first(math.Nextafter(want[i], 0)); got != i {
			t.Fatalf("the first arrival from that of %d on is %d", i, got)
		}
	}
}

func TestEvenPlaces(t *testing.T) {
	p := newPlaces(&Spec{Arrivals: Even})
	for u, want := range map[float64]int64{0: 0, 0.4: 0, 0.5: 1, 1.4: 1, 1.5: 2, 99.7: 100} {
		if got := p.first(u); got != want {
			t.Errorf("first(%v) = %d, want %d", u, got, want)
		}
	}
	if p.at(3) != 3.5 {
		t.Errorf("at(3) = %v", p.at(3))
	}
}

// TestPlacesAreFixedForEver: a printed seed gives the same arrivals in every later version.
func TestPlacesAreFixedForEver(t *testing.T) {
	p := newPlaces(&Spec{Seed: 42})
	for i, want := range map[int64]float64{0: 2.057359803, 1500: 1504.732486597, 5_000_000: 4997899.388514852} {
		if got := p.at(i); math.Abs(got-want) > 1e-8 {
			t.Errorf("the place of arrival %d is %.9f, was %.9f", i, got, want)
		}
	}
}
