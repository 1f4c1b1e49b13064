package metrics

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"pgregory.net/rapid"
)

// oracle is the reference implementation with our geometry, in microseconds.
func oracle() *hdrhistogram.Histogram { return hdrhistogram.New(1, 3_600_000_000, 3) }

// counts are all counts of h in the reference's layout.
func counts(h *Histogram) []int64 {
	out := make([]int64, bucketCount)
	h.each(func(i int, n uint64) bool { out[i] = int64(n); return true })
	return out
}

func recorded(times ...time.Duration) *Histogram {
	h := new(Histogram)
	for _, d := range times {
		h.Record(nil, d)
	}
	return h
}

func TestHistogramCountsWhereTheReferenceDoes(t *testing.T) {
	ref, h := oracle(), new(Histogram)
	record := func(us int64) {
		if err := ref.RecordValue(us); err != nil {
			t.Fatal(err)
		}
		h.Record(nil, time.Duration(us)*time.Microsecond)
	}
	for us := int64(0); us < 10_000; us++ {
		record(us)
	}
	for us := int64(1); us <= 3_600_000_000; us *= 2 {
		record(us - 1)
		record(us)
		record(min(us+1, 3_600_000_000))
	}
	record(3_600_000_000)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		record(int64(math.Exp(rng.Float64() * math.Log(3.6e9))))
	}
	want := ref.Export().Counts
	if len(want) != bucketCount {
		t.Fatalf("the reference has %d counts, we have %d", len(want), bucketCount)
	}
	for i, n := range counts(h) {
		if n != want[i] {
			t.Fatalf("count %d is %d, the reference has %d", i, n, want[i])
		}
	}
	for _, p := range []float64{0.001, 1, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100} {
		want := min(time.Duration(ref.ValueAtPercentile(p))*time.Microsecond, h.Max())
		if got := h.Quantile(p / 100); got != want {
			t.Errorf("p%g is %v, the reference says %v", p, got, want)
		}
	}
}

func TestHistogramQuantilesAgreeWithTheReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, 3_600_000_000), 1, 200).Draw(t, "values")
		ref, h := oracle(), new(Histogram)
		for _, v := range values {
			_ = ref.RecordValue(v)
			h.Record(nil, time.Duration(v)*time.Microsecond)
		}
		p := rapid.Float64Range(0.01, 100).Draw(t, "percentile")
		want := min(max(time.Duration(ref.ValueAtPercentile(p))*time.Microsecond, h.Min()), h.Max())
		if got := h.Quantile(p / 100); got != want {
			t.Fatalf("p%g of %v: %v, the reference says %v", p, values, got, want)
		}
	})
}

func TestSummaryIsTheSameAsSingleQuantiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 2, 10, 999, 50_000} {
		h := new(Histogram)
		for range n {
			h.Record(nil, time.Duration(rng.ExpFloat64()*float64(10*time.Millisecond)))
		}
		s := h.Summary()
		for q, got := range map[float64]time.Duration{.5: s.P50, .75: s.P75, .9: s.P90, .95: s.P95, .99: s.P99, .999: s.P999} {
			if want := h.Quantile(q); got != want {
				t.Errorf("n=%d q=%g: %v in the summary, %v alone", n, q, got, want)
			}
		}
		if s.P99Low > s.P99 || s.P99 > s.P99High || s.P999Low > s.P999 || s.P999 > s.P999High {
			t.Errorf("n=%d: an interval does not hold its percentile: %+v", n, s)
		}
	}
}

// The rank interval of p99 must cover the true p99 in about 95 of 100 samples.
func TestRankIntervalCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	truth := time.Duration(-math.Log(0.01) * float64(10*time.Millisecond))
	covered := 0
	const runs = 400
	for range runs {
		h := new(Histogram)
		for range 2000 {
			h.Record(nil, time.Duration(rng.ExpFloat64()*float64(10*time.Millisecond)))
		}
		if s := h.Summary(); s.P99Low <= truth && truth <= s.P99High {
			covered++
		}
	}
	if share := float64(covered) / runs; share < 0.92 || share > 0.99 {
		t.Errorf("the interval of p99 covers in %.1f %% of the samples", share*100)
	}
}

func TestMomentsAreExact(t *testing.T) {
	h := recorded(1*time.Nanosecond, 1234567*time.Nanosecond, 59*time.Minute)
	if h.Min() != 1 || h.Max() != 59*time.Minute || h.Count() != 3 {
		t.Errorf("min %v max %v count %d", h.Min(), h.Max(), h.Count())
	}
	sum := 1 + 1234567 + 59*time.Minute
	if h.sum != (uint128{0, uint64(sum)}) || h.Mean() != sum/3 {
		t.Errorf("sum %v mean %v, want %v and %v", h.sum, h.Mean(), sum, sum/3)
	}
	if s := recorded(2*time.Second, 4*time.Second, 4*time.Second, 4*time.Second, 5*time.Second, 5*time.Second, 7*time.Second, 9*time.Second).StdDev(); s != 2*time.Second {
		t.Errorf("standard deviation is %v, want 2s", s)
	}
}

func TestTooLongIsClampedAndCounted(t *testing.T) {
	h := recorded(-time.Second, 2*time.Hour, time.Hour, 3*time.Hour)
	if h.Clamped() != 2 || h.Max() != time.Hour || h.Min() != 0 || h.Count() != 4 {
		t.Errorf("clamped %d max %v min %v count %d", h.Clamped(), h.Max(), h.Min(), h.Count())
	}
}

func TestEmptyHistogram(t *testing.T) {
	var h Histogram
	if h.Quantile(.99) != 0 || h.Mean() != 0 || h.StdDev() != 0 || h.Summary() != (Quantiles{}) {
		t.Error("an empty histogram is not all zero")
	}
	h.Add(&Histogram{})
	h.Each(func(low, high time.Duration, n uint64) bool {
		t.Errorf("an empty histogram counts %d in [%v, %v)", n, low, high)
		return true
	})
}

// One bad second in sixty: the mean of the seconds' p99 says 53 ms where the true p99 is near 400 ms. Merging must not
// average.
func TestPercentilesAreNotAveraged(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	var all Histogram
	var sum time.Duration
	for second := range 60 {
		h := new(Histogram)
		for range 1000 {
			d := 40*time.Millisecond + time.Duration(rng.Float64()*float64(5*time.Millisecond))
			if second == 30 {
				d = time.Duration(rng.Float64() * float64(time.Second))
			}
			h.Record(nil, d)
		}
		sum += h.Quantile(.99)
		all.Add(h)
	}
	if mean, p99 := sum/60, all.Quantile(.99); mean > 65*time.Millisecond || p99 < 350*time.Millisecond || p99 > 450*time.Millisecond {
		t.Errorf("mean of p99s %v, p99 of all %v: want about 60 ms against 400 ms", mean, p99)
	}
}

func TestCountsPassFourThousandMillion(t *testing.T) {
	var h Histogram
	h.Record(nil, time.Millisecond)
	i := indexOf(1000)
	h.addAt(nil, i, math.MaxUint32-1)
	h.count += math.MaxUint32 - 1
	h.Record(nil, time.Millisecond)
	c := h.Clone()
	c.Add(&h)
	if want := uint64(2) * (1 << 32); c.Count() != want || uint64(counts(&c)[i]) != want {
		t.Errorf("count is %d, in the bucket %d, want %d", c.Count(), counts(&c)[i], want)
	}
	c.Record(nil, 2*time.Millisecond)
	if c.Quantile(.5) != time.Millisecond || c.Quantile(1) != 2*time.Millisecond {
		t.Errorf("p50 %v, max %v", c.Quantile(.5), c.Quantile(1))
	}
}

func TestReleasedPagesComeBackClean(t *testing.T) {
	var pages Pages
	h := new(Histogram)
	for i := range 1000 {
		h.Record(&pages, time.Duration(i*i)*time.Microsecond)
	}
	clone := h.Clone()
	h.Release(&pages)
	if h.Count() != 0 || len(pages.free) == 0 {
		t.Fatal("release did not empty it or kept its pages")
	}
	h.Record(&pages, 25*time.Microsecond)
	if n := counts(h); n[25] != 1 || h.Quantile(1) != 25*time.Microsecond || clone.Count() != 1000 {
		t.Error("a released page kept counts, or the clone lost them")
	}
}

func TestBandsHoldEverything(t *testing.T) {
	h := recorded(time.Microsecond, time.Millisecond, 10*time.Millisecond, 10*time.Second)
	bands := h.Bands([]time.Duration{500 * time.Microsecond, 5 * time.Millisecond, 50 * time.Millisecond})
	if len(bands) != 2 || bands[0].Count != 2 || bands[1].Count != 2 {
		t.Errorf("bands: %v", bands)
	}
}

func TestSketchGivesTheSamePercentiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	a, b := new(Histogram), new(Histogram)
	for range 5000 {
		a.Record(nil, time.Duration(rng.ExpFloat64()*float64(10*time.Millisecond)))
		b.Record(nil, time.Duration(rng.ExpFloat64()*float64(200*time.Microsecond)))
	}
	var buf sketch
	fine := a.sketch(fineBits, &buf).merge(b.sketch(fineBits, &buf), &buf)
	coarse := a.sketch(coarseBits, &buf).merge(b.sketch(coarseBits, &buf), &buf)
	var rests resting
	rests.add(a, &buf)
	rests.add(b, &buf)
	a.Add(b)
	var again Histogram
	rests.addTo(&again, nil)
	if again.Summary() != a.Summary() {
		t.Errorf("after a rest: %+v, want %+v", again.Summary(), a.Summary())
	}
	qs := []float64{.5, .99}
	var f, c [2]float64
	fine.milliseconds(fineBits, a.count, qs, f[:])
	coarse.milliseconds(coarseBits, coarse.count(), qs, c[:])
	for i, q := range qs {
		want := ms(a.Quantile(q))
		if f[i] != want {
			t.Errorf("fine q%g: %g, want %g", q, f[i], want)
		}
		if c[i] < want*.999 || c[i] > want*1.04 {
			t.Errorf("coarse q%g: %g, want %g within 4 %%", q, c[i], want)
		}
	}
}
