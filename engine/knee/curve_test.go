package knee

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lt/engine/metrics"
)

var steps = []metrics.StepName{{Scenario: "s", Step: "GET /"}, {Scenario: "s", Step: "login", Kind: metrics.KindSetup}}

// interval is a second of one source: n requests of which bad fail, each taking took, and as many of a setup step.
func interval(source string, second int, n, bad uint64, took time.Duration) *metrics.Interval {
	iv := &metrics.Interval{
		Source: source, From: time.Duration(second) * time.Second, Length: time.Second,
		Scheduled: n, Started: n, Due: n, InFlight: 3,
	}
	r := metrics.Record{Requests: n}
	r.Errors[metrics.Status] = bad
	for range n {
		r.Response.Record(nil, took)
	}
	setup := metrics.Record{Key: metrics.Key{Step: 1}, Requests: n}
	setup.Response.Record(nil, time.Minute)
	iv.Records = []metrics.Record{r, setup}
	return iv
}

func TestHeldStageIsOnePoint(t *testing.T) {
	c := NewCurve([]Stage{{Held: true, Length: 10 * time.Second}, {Held: true, Length: 10 * time.Second}}, steps)
	c.Begin(0, 0)
	for k := range 20 {
		if k == 10 {
			c.Begin(1, 10*time.Second)
		}
		n, took := uint64(100), 10*time.Millisecond
		if k >= 10 {
			n, took = 200, 40*time.Millisecond
		}
		if k < 2 || k == 10 || k == 11 { // settling: must not show
			n, took = 5, time.Second
		}
		c.Add(interval("local", k, n, n/10, took))
	}
	c.End(20 * time.Second)
	points := c.Points()
	if len(points) != 2 {
		t.Fatalf("%d points, want 2: %+v", len(points), points)
	}
	want := []Point{
		{From: 2 * time.Second, To: 10 * time.Second, Arrivals: 100, Offered: 100, Goodput: 90, GoodputLow: 90, GoodputHigh: 90, ErrorRate: .1, InFlight: 3, Seconds: 8, Requests: 800},
		{From: 12 * time.Second, To: 20 * time.Second, Stage: 1, Arrivals: 200, Offered: 200, Goodput: 180, GoodputLow: 180, GoodputHigh: 180, ErrorRate: .1, InFlight: 3, Seconds: 8, Requests: 1600},
	}
	for i, took := range []time.Duration{10 * time.Millisecond, 40 * time.Millisecond} {
		want[i].P50, want[i].P50Low, want[i].P50High = took, took, took
		want[i].P99, want[i].P99Low, want[i].P99High = took, took, took
	}
	if d := cmp.Diff(want, points); d != "" {
		t.Error(d)
	}
}

func TestRampIsCutIntoWindows(t *testing.T) {
	c := NewCurve([]Stage{{Length: 20 * time.Second}}, steps)
	c.Begin(0, 0)
	for k := range 20 {
		c.Add(interval("local", k, uint64(10*(k+1)), 0, time.Millisecond))
	}
	c.End(20 * time.Second)
	points := c.Points()
	if len(points) != 5 {
		t.Fatalf("%d points, want 5 (2..6, 6..10, 10..14, 14..18, 18..20): %+v", len(points), points)
	}
	for i, p := range points {
		first := 2 + 4*i
		last := min(first+4, 20)
		mean := 0.0
		for k := first; k < last; k++ {
			mean += float64(10*(k+1)) / float64(last-first)
		}
		if math.Abs(p.Offered-mean) > 1e-9 || p.Seconds != last-first {
			t.Errorf("point %d: offered %v over %d s, want %v over %d s", i, p.Offered, p.Seconds, mean, last-first)
		}
	}
}

// A percentile that a dropped arrival may have moved past is a lower bound.
func TestDroppedMakeLowerBounds(t *testing.T) {
	for _, tt := range []struct {
		waited   []time.Duration
		p50, p99 bool
	}{
		{nil, false, false},
		{[]time.Duration{10 * time.Second}, false, false},
		{[]time.Duration{10 * time.Second, 80 * time.Millisecond}, false, true},
		{[]time.Duration{time.Millisecond, 10 * time.Second}, true, true},
	} {
		c := NewCurve([]Stage{{Held: true, Length: 20 * time.Second}}, steps)
		c.Begin(0, 0)
		for k := range 20 {
			iv := interval("local", k, 0, 0, 0)
			r := &iv.Records[0]
			r.Requests = 1000
			for i := range 1000 {
				r.Response.Record(nil, 10*time.Millisecond+time.Duration(i)*100*time.Microsecond)
			}
			if k == 10 {
				for _, d := range tt.waited {
					if r.Dropped++; r.DroppedFrom == 0 || d < r.DroppedFrom {
						r.DroppedFrom = d
					}
					r.Response.Record(nil, d)
				}
			}
			c.Add(iv)
		}
		c.End(20 * time.Second)
		p := c.Points()[0]
		if p.LowerBound(p.P50) != tt.p50 || p.LowerBound(p.P99) != tt.p99 || p.Dropped != uint64(len(tt.waited)) {
			t.Errorf("dropped after %v: %d dropped, p50 %v a bound: %t, p99 %v: %t", tt.waited, p.Dropped, p.P50, p.LowerBound(p.P50), p.P99, p.LowerBound(p.P99))
		}
	}
}

// Each level of a ramp in steps is a point of its own, of which the settling is left out.
func TestStepsAreLevels(t *testing.T) {
	c := NewCurve([]Stage{{Length: 42 * time.Second, Levels: 4}}, steps) // 10.5 s each
	c.Begin(0, 500*time.Millisecond)
	for k := range 43 {
		c.Add(interval("local", k, uint64(100*(1+max(0, 2*k-1)/21)), 0, time.Millisecond))
	}
	c.End(42500 * time.Millisecond)
	points := c.Points()
	if len(points) != 4 {
		t.Fatalf("%d points, want one a level: %+v", len(points), points)
	}
	for i, p := range points {
		if p.Offered != float64(100*(i+1)) || p.Seconds < 7 || p.Seconds > 8 || p.GoodputLow != p.GoodputHigh {
			t.Errorf("level %d: %+v", i+1, p)
		}
	}
	for _, levels := range []int{20, 1 << 40} { // too short to be told apart: windows
		c := NewCurve([]Stage{{Length: 42 * time.Second, Levels: levels}}, steps)
		c.Begin(0, 0)
		for k := range 42 {
			c.Add(interval("local", k, 100, 0, time.Millisecond))
		}
		c.End(42 * time.Second)
		if n := len(c.Points()); n != 10 {
			t.Errorf("%d levels: %d points, want 10 windows", levels, n)
		}
	}
}

// When a pause or a hold has stopped the profile's clock, the levels of a ramp in steps come later than they were meant to: each still has
// points that are of no other.
func TestStepsAfterAChangeAreWindows(t *testing.T) {
	c := NewCurve([]Stage{{Length: 40 * time.Second, Levels: 4}}, steps)
	c.Begin(0, 0)
	for k := range 45 {
		at, level := time.Duration(k)*time.Second, k/10
		if k >= 18 { // five seconds late
			level = max(1, k-5) / 10
		}
		if k == 13 || k == 18 { // held, and let go on
			c.Level(at)
		}
		c.Add(interval("local", k, uint64(100*(1+level)), 0, time.Millisecond))
	}
	c.Finish(45 * time.Second)
	pure := make(map[float64]bool)
	for _, p := range c.Points() {
		if p.GoodputLow == p.GoodputHigh {
			pure[p.Offered] = true
		}
	}
	for level := range 4 {
		if rate := float64(100 * (1 + level)); !pure[rate] {
			t.Errorf("no point is of %v/s alone: %+v", rate, c.Points())
		}
	}
}

// What lies before a gap in what was told is folded in the order of time: no window of a ramp is lost.
func TestAGapLosesNoSeconds(t *testing.T) {
	for begin := range open {
		c := NewCurve([]Stage{{Length: 300 * time.Second}}, steps)
		c.Begin(0, 0)
		for k := range 100 {
			if k < 20+begin || k >= 40+begin {
				c.Add(interval("local", k, 10, 0, time.Millisecond))
			}
		}
		c.Finish(100 * time.Second)
		seconds := 0
		for _, p := range c.Points() {
			seconds += p.Seconds
		}
		if seconds != 100-20-2 {
			t.Errorf("a gap from second %d on: %d seconds are in points", 20+begin, seconds)
		}
	}
}

// A source whose link joins seconds bends no point before it has told of them; one that is gone is not waited for.
func TestPointsWaitForSlowLinks(t *testing.T) {
	c := NewCurve([]Stage{{Held: true, Length: 60 * time.Second}}, steps)
	c.Begin(0, 0)
	look := func(k, seconds int, rate float64) {
		t.Helper()
		points := c.Points()
		if len(points) != 1 || points[0].Goodput != rate || points[0].Seconds != seconds {
			t.Errorf("second %d: %+v, want %d seconds of %v/s", k, points, seconds, rate)
		}
	}
	for k := range 30 {
		c.Add(interval("local", k, 10, 0, time.Millisecond))
		if k%5 == 4 {
			iv := interval("slow", k-4, 50, 0, time.Millisecond)
			iv.Length = 5 * time.Second
			c.Add(iv)
		}
		if told := (k+1)/5*5 - 2; told > 0 {
			look(k, told, 20)
		}
	}
	c.Add(interval("local", 30, 20, 0, time.Millisecond))
	c.Gone("slow")
	look(30, 29, 20)
}

// The end of a point is that of its last second, whatever is missing between.
func TestAPointEndsWithItsLastSecond(t *testing.T) {
	c := NewCurve([]Stage{{Held: true, Length: 60 * time.Second}}, steps)
	c.Begin(0, 0)
	for k := range 60 {
		if k < 20 || k >= 40 {
			c.Add(interval("local", k, 10, 0, time.Millisecond))
		}
	}
	c.Finish(60 * time.Second)
	if p := c.Points()[0]; p.From != 2*time.Second || p.To != time.Minute || p.Seconds != 38 {
		t.Errorf("%+v", p)
	}
}

func TestPausesAndWarmupMakeNoPoints(t *testing.T) {
	c := NewCurve([]Stage{{Held: true, Warmup: true, Length: 10 * time.Second}, {Held: true, Length: 30 * time.Second}}, steps)
	c.Begin(0, 0)
	for k := range 40 {
		switch k {
		case 10:
			c.Begin(1, 10*time.Second)
		case 20:
			c.Begin(metrics.NoStage, 20*time.Second)
		case 30:
			c.Begin(1, 30*time.Second)
		}
		c.Add(interval("local", k, 50, 0, time.Millisecond))
	}
	c.Finish(40 * time.Second)
	points := c.Points()
	if len(points) != 2 || points[0].From != 12*time.Second || points[0].Seconds != 8 || points[1].From != 32*time.Second || points[1].Seconds != 8 {
		t.Fatalf("want 12..20 and 32..40, got %+v", points)
	}
}

// A ramp of a day makes a hundred points and not twenty thousand; a hundred stages leave their points and nothing else.
func TestLongRunsStaySmall(t *testing.T) {
	const day = 24 * 3600
	c := NewCurve([]Stage{{Length: day * time.Second}}, steps)
	c.Begin(0, 0)
	iv := interval("local", 0, 50, 0, time.Millisecond)
	const joined = 4 // as over a slow link, which makes the same seconds with less work
	iv.Length, iv.Records[0].Response = joined*time.Second, metrics.Histogram{}
	for k := 0; k < day; k += joined {
		iv.From = time.Duration(k) * time.Second
		c.Add(iv)
		if len(c.pieces) > 2 {
			t.Fatalf("%d pieces are kept at second %d", len(c.pieces), k)
		}
	}
	c.Finish(day * time.Second)
	points, seconds := c.Points(), 0
	for _, p := range points {
		seconds += p.Seconds
	}
	if len(points) != maxWindows || seconds != day-2 {
		t.Errorf("%d points of %d seconds, want %d of all but the two that settle", len(points), seconds, maxWindows)
	}

	stages := make([]Stage, 100)
	for i := range stages {
		stages[i] = Stage{Held: true, Length: 10 * time.Second}
	}
	c = NewCurve(stages, steps)
	iv = interval("local", 0, 50, 0, time.Millisecond)
	for k := range 1000 {
		if k%10 == 0 {
			c.Begin(k/10, time.Duration(k)*time.Second)
		}
		iv.From = time.Duration(k) * time.Second
		c.Add(iv)
		if len(c.pieces) > 3 {
			t.Fatalf("%d pieces are kept at second %d", len(c.pieces), k)
		}
	}
	c.Finish(1000 * time.Second)
	for i, p := range c.Points() {
		if p.Stage != i || p.Seconds != 8 || p.From != time.Duration(10*i+2)*time.Second {
			t.Errorf("point %d: %+v", i, p)
		}
	}
	if n := len(c.Points()); n != 100 {
		t.Errorf("%d points, want 100", n)
	}
}

// TestAskingChangesNothing feeds the same intervals to two curves and asks one of them all the time, as a screen does.
func TestAskingChangesNothing(t *testing.T) {
	stages := []Stage{{Length: 17 * time.Second}, {Held: true, Length: 2000 * time.Second}}
	asked, quiet := NewCurve(stages, steps), NewCurve(stages, steps)
	both := []*Curve{asked, quiet}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range both {
		c.Begin(0, 0)
	}
	for k := range 1500 {
		if k == 17 {
			for _, c := range both {
				c.Begin(1, 17*time.Second)
			}
		}
		a := interval("a", k, 20+rng.Uint64N(5), 1, time.Duration(1+rng.IntN(9))*time.Millisecond)
		for _, c := range both {
			c.Add(a)
		}
		asked.Points()
		if k > 0 { // the other source is a second late
			b := interval("b", k-1, 20, 0, 3*time.Millisecond)
			for _, c := range both {
				c.Add(b)
			}
		}
		asked.Points()
	}
	for _, c := range both {
		c.Finish(1500 * time.Second)
	}
	if d := cmp.Diff(quiet.Points(), asked.Points()); d != "" {
		t.Error(d)
	}
	if last := quiet.Points()[len(quiet.Points())-1]; last.Seconds != 1481 {
		t.Errorf("the held stage has %d seconds, want 1481", last.Seconds)
	}
}

// TestIntervalOfTheMean draws Poisson seconds of a known rate: the 95 % interval holds it in about 95 % of the cases.
func TestIntervalOfTheMean(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	hits := 0
	const rounds = 2000
	for range rounds {
		var p part
		for range 8 {
			n := uint64(math.Round(200 + math.Sqrt(200)*rng.NormFloat64()))
			p.add(&second{covered: time.Second, requests: n})
		}
		pt := point(&piece{}, &p)
		if pt.GoodputLow <= 200 && 200 <= pt.GoodputHigh {
			hits++
		}
	}
	if share := float64(hits) / rounds; share < .93 || share > .97 {
		t.Errorf("the interval holds the true rate in %.3f of the cases, want about 0.95", share)
	}
}

func BenchmarkAddAndPoints(b *testing.B) {
	b.ReportAllocs()
	c := NewCurve([]Stage{{Held: true, Length: time.Hour}}, steps)
	c.Begin(0, 0)
	iv := interval("local", 0, 1000, 0, 5*time.Millisecond)
	for i := 0; b.Loop(); i++ {
		iv.From = time.Duration(i) * time.Second
		c.Add(iv)
		c.Points()
	}
}
