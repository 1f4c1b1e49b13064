package limits

import (
	"math"
	"runtime"
	"testing"
	"time"
)

func TestRatesNeedTwoReadings(t *testing.T) {
	r := func(steal, total, throttled, periods uint64) Reading {
		return Reading{steal: steal, total: total, throttled: throttled, periods: periods}
	}
	for _, c := range []struct {
		last, now              Reading
		wantSteal, wantThrottl float64
	}{
		{r(0, 0, 0, 0), r(0, 0, 0, 0), 0, 0},
		{r(10, 1000, 1, 10), r(30, 1200, 6, 20), 0.1, 0.5},
		{r(10, 1000, 1, 10), r(10, 1200, 1, 20), 0, 0},
		{r(10, 1000, 5, 10), r(5, 1200, 1, 20), 0, 0}, // counters that went back
		{r(0, 1000, 0, 10), r(5000, 1200, 99, 20), 1, 1},
	} {
		if s := c.now.Steal(c.last); s != c.wantSteal {
			t.Errorf("steal %g, want %g", s, c.wantSteal)
		}
		if s := c.now.ThrottledShare(c.last); s != c.wantThrottl {
			t.Errorf("throttled %g, want %g", s, c.wantThrottl)
		}
	}
}

func TestReadSeesTheWorkOfTheProcess(t *testing.T) {
	before := Read()
	x := 1.0
	for after := Read(); after.CPU-before.CPU < 20*time.Millisecond; after = Read() {
		for range 100_000 {
			x = math.Sqrt(x + 1)
		}
	}
	runtime.KeepAlive(x)
	r := Read()
	if r.Memory == 0 || r.MemLimit > 0 && r.Memory > r.MemLimit {
		t.Errorf("memory %d of %d", r.Memory, r.MemLimit)
	}
	if r.FileLimit <= 0 || r.Files > r.FileLimit || r.PortLimit < 0 {
		t.Errorf("files %d of %d, port limit %d", r.Files, r.FileLimit, r.PortLimit)
	}
	if r.GCShare < 0 || r.GCShare > 1 {
		t.Errorf("GC share %g", r.GCShare)
	}
}

func TestCollectionsAreThoseSinceTheReadingBefore(t *testing.T) {
	Read()
	for range 5 {
		runtime.GC()
	}
	if r := Read(); r.GCPauseP99 <= 0 || r.GCShare <= 0 {
		t.Errorf("five collections: pause p99 %s, share %g", r.GCPauseP99, r.GCShare)
	}
}

func TestP99OfWhatWasAdded(t *testing.T) {
	inf := math.Inf(1)
	edges := []float64{math.Inf(-1), 0.001, 0.01, 0.1, inf}
	for name, c := range map[string]struct {
		counts, before []uint64
		want           float64
	}{
		"nothing":             {[]uint64{5, 5, 5, 5}, []uint64{5, 5, 5, 5}, 0},
		"one":                 {[]uint64{0, 1, 0, 0}, []uint64{0, 0, 0, 0}, 0.01},
		"old ones are left":   {[]uint64{1000, 0, 7, 0}, []uint64{0, 0, 7, 0}, 0.001},
		"99 of 100 below":     {[]uint64{99, 1, 0, 0}, []uint64{0, 0, 0, 0}, 0.001},
		"98 of 100 below":     {[]uint64{98, 1, 1, 0}, []uint64{0, 0, 0, 0}, 0.01},
		"the last has no end": {[]uint64{0, 0, 0, 9}, []uint64{0, 0, 0, 0}, 0.1},
	} {
		if got := p99(c.counts, c.before, edges); got != c.want {
			t.Errorf("%s: %g, want %g", name, got, c.want)
		}
	}
	if got := p99([]uint64{1}, []uint64{0}, []float64{math.Inf(-1), inf}); got != 0 {
		t.Errorf("a bucket without edges: %g", got)
	}
}

func BenchmarkRead(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Read()
	}
}
