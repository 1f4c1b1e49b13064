package metrics

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var shop = []StepName{{"buyer", "login", KindSetup}, {"buyer", "home", KindStep}, {"buyer", "cart", KindStep}}

// second is one interval of a source: n requests a step, begun and ended in it, of the stage.
func oneSecond(source string, at int, stage int16, n int, d time.Duration) *Interval {
	r := NewRecorder(len(shop), nil)
	from := time.Duration(at) * time.Second
	for range n {
		for step := uint16(1); step < 3; step++ {
			r.Sample(&Sample{Stage: stage, Step: step, Status: 200, Intended: from, Start: from, End: from + d*time.Duration(step), BytesIn: 100})
		}
		r.Lag(10*time.Microsecond, 0)
	}
	r.Scheduled, r.Started, r.Due, r.Iterations = uint64(n), uint64(n), uint64(2*n), uint64(n)
	iv := r.Cut(uint64(at), from, time.Second)
	iv.Source, iv.Users, iv.InFlight, iv.InFlightMax = source, 5, 2, 3
	return iv
}

func stages() []StageInfo { return []StageInfo{{"warm-up", true}, {"low", false}, {"high", false}} }

// Errors of kinds that are counted together are not put down to a step.
func TestOtherKindsOfErrorHaveNoStep(t *testing.T) {
	r := NewRecorder(len(shop), nil)
	for i := range maxKinds + 3 {
		r.Sample(&Sample{Step: 1, Class: Check, Phase: PhaseReceive, Status: 200, Message: fmt.Sprint("body is ", i)})
	}
	iv := r.Cut(0, 0, time.Second)
	tally := NewTally(shop, nil, nil)
	tally.Add(iv)
	for _, e := range tally.Snapshot(time.Second).Errors {
		want := shop[1]
		if e.Message == otherKinds {
			want = StepName{Step: "several steps"}
		}
		if e.Step != want || (e.Count == 3) != (e.Message == otherKinds) {
			t.Errorf("%d of %+v: %s", e.Count, e.Step, e.Message)
		}
	}
}

func TestTotalsLeaveOutWarmupPausesAndSetup(t *testing.T) {
	tally := NewTally(shop, stages(), nil)
	tally.SetStage(0, 0, 2*time.Second)
	tally.SetStage(1, 2*time.Second, 5*time.Second)
	tally.SetStage(NoStage, 5*time.Second, 7*time.Second)
	tally.SetStage(2, 7*time.Second, 9*time.Second)
	stage := []int16{0, 0, 1, 1, 1, NoStage, NoStage, 2, 2}
	rate := []int{10, 10, 20, 20, 20, 1, 1, 40, 40}
	for i := range stage {
		iv := oneSecond("", i, stage[i], rate[i], time.Millisecond)
		iv.Records = append(iv.Records, Record{Key: Key{stage[i], 0, Waited}, Requests: 1000, BytesIn: 5, Response: *recorded(time.Minute)})
		iv.Final = i == len(stage)-1
		tally.Add(iv)
	}
	s := tally.Snapshot(20 * time.Second)
	v := s.Totals
	if v.Counted != 5*time.Second || v.Requests != 280 || v.Scheduled != 140 || v.Iterations != 140 || v.Shortfall != 0 {
		t.Errorf("counted %v, requests %d, scheduled %d, iterations %d, shortfall %d", v.Counted, v.Requests, v.Scheduled, v.Iterations, v.Shortfall)
	}
	if v.ArrivalsRPS != 28 || v.OfferedRPS != 56 || v.ThroughputRPS != 56 || v.GoodputRPS != 56 {
		t.Errorf("rates: %v %v %v %v", v.ArrivalsRPS, v.OfferedRPS, v.ThroughputRPS, v.GoodputRPS)
	}
	if v.Response.Count != 280 || v.Response.Max != 2*time.Millisecond || v.BytesIn != 28_000 || v.Lag.Count != 140 {
		t.Errorf("response %+v, bytes %d, lag %d", v.Response, v.BytesIn, v.Lag.Count)
	}
	if s.Steps[0].Requests != 5000 || s.Steps[0].Kind != KindSetup || s.Steps[1].Requests != 140 {
		t.Errorf("steps: %d setup, %d home", s.Steps[0].Requests, s.Steps[1].Requests)
	}
	if math.Abs(s.Steps[1].Share-1./3) > 1e-6 || math.Abs(s.Steps[2].Share-2./3) > 1e-6 {
		t.Errorf("shares: %v %v", s.Steps[1].Share, s.Steps[2].Share)
	}
	want := []StageView{
		{Name: "warm-up", Warmup: true, To: 2 * time.Second, ThroughputRPS: 20, Response: Quantiles{Count: 40}},
		{Name: "low", Index: 1, From: 2 * time.Second, To: 5 * time.Second, ThroughputRPS: 40, Response: Quantiles{Count: 120}},
		{Name: "high", Index: 2, From: 7 * time.Second, To: 9 * time.Second, ThroughputRPS: 80, Response: Quantiles{Count: 160}},
	}
	for i, w := range want {
		g := s.Stages[i]
		if g.Name != w.Name || g.From != w.From || g.To != w.To || g.ThroughputRPS != w.ThroughputRPS || g.Warmup != w.Warmup || g.Response.Count != w.Response.Count {
			t.Errorf("stage %d: %+v", i, g)
		}
	}
	if s.Stages[0].ArrivalsRPS != 10 {
		t.Errorf("stage rate: %v", s.Stages[0].ArrivalsRPS)
	}
	if s.Elapsed != 9*time.Second || len(s.Series.Points) != 9 || s.Series.Points[5].Stage != NoStage || s.Series.Points[8].Goodput != 80 {
		t.Errorf("elapsed %v, %d points", s.Elapsed, len(s.Series.Points))
	}
}

// What was intended in one stage and ends in the next counts in the percentiles of the first and in the rate of the second.
func TestStageOfALateAnswer(t *testing.T) {
	tally := NewTally(shop, stages(), nil)
	tally.SetStage(1, 0, time.Second)
	tally.SetStage(2, time.Second, 2*time.Second)
	tally.Add(oneSecond("", 0, 1, 10, time.Millisecond))
	late := oneSecond("", 1, 1, 5, 300*time.Millisecond)
	late.Final = true
	tally.Add(late)
	s := tally.Snapshot(3 * time.Second)
	if a, b := s.Stages[0], s.Stages[1]; a.ThroughputRPS != 20 || a.Response.Count != 30 || b.Response.Count != 0 || b.ThroughputRPS != 10 {
		t.Errorf("stages: %+v\n%+v", a, b)
	}
}

// The order in which intervals come must not matter.
func TestOrderDoesNotMatter(t *testing.T) {
	build := func(order []int) (*Snapshot, []Second) {
		tally := NewTally(shop, stages(), []SourceInfo{{Name: "ada", State: "running"}, {Name: "bob", State: "running"}})
		tally.SetStage(1, 0, 8*time.Second)
		for _, i := range order {
			iv := oneSecond([]string{"ada", "bob"}[i%2], i/2, 1, 10+i, time.Millisecond*time.Duration(i+1))
			iv.Final = i/2 == 7
			iv.Errors = []ErrorCount{{Class: Status, Status: 500, Step: 1, Message: "m", Count: uint64(i), First: time.Duration(i), Last: time.Duration(i), Example: fmt.Sprint(i)}}
			tally.Add(iv)
			tally.Snapshot(0)
		}
		return tally.Snapshot(9 * time.Second), tally.Intervals()
	}
	a, rows := build([]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	b, others := build([]int{0, 1, 3, 5, 7, 9, 11, 13, 15, 2, 6, 4, 10, 8, 12, 14})
	ignore := cmp.FilterPath(func(p cmp.Path) bool { return strings.HasSuffix(p.String(), ".Sources") }, cmp.Ignore())
	gauges := cmp.FilterPath(func(p cmp.Path) bool { return strings.Contains(p.String(), "Audit") }, cmp.Ignore())
	nan := cmp.Comparer(func(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) })
	nan32 := cmp.Comparer(func(x, y float32) bool { return x == y || x != x && y != y })
	if d := cmp.Diff(a, b, ignore, gauges, nan, nan32); d != "" {
		t.Errorf("another order, another picture:\n%s", d)
	}
	if d := cmp.Diff(rows, others, nan); d != "" {
		t.Errorf("another order, other seconds:\n%s", d)
	}
	if w := rows[3]; w.Sources != 2 || w.Users != 10 || w.InFlight != 4 || a.Series.Points[3].Gap {
		t.Errorf("second: %+v", w)
	}
}

func TestPictureWaitsForAllSourcesButNotForEver(t *testing.T) {
	tally := NewTally(shop, nil, []SourceInfo{{Name: "ada", State: "running"}, {Name: "bob", State: "running"}})
	for i := range 3 {
		tally.Add(oneSecond("ada", i, 0, 1, time.Millisecond))
	}
	tally.Add(oneSecond("bob", 0, 0, 1, time.Millisecond))
	if s := tally.Snapshot(2600 * time.Millisecond); s.Elapsed != time.Second {
		t.Errorf("complete up to %v, want 1s: bob has not delivered the second", s.Elapsed)
	}
	s := tally.Snapshot(3700 * time.Millisecond)
	if s.Elapsed != 3*time.Second || !s.Series.Points[2].Gap || s.Series.Points[0].Gap || tally.Intervals()[2].Sources != 1 {
		t.Errorf("after the grace: complete up to %v, points %+v", s.Elapsed, s.Series.Points)
	}
	tally.Add(oneSecond("bob", 1, 0, 1, time.Millisecond))
	tally.Add(oneSecond("bob", 2, 0, 1, time.Millisecond))
	amended := tally.Snapshot(4 * time.Second)
	if amended.Series.Points[2].Gap || amended.Series.Points[2].Goodput != 4 || amended.Totals.Requests != 12 {
		t.Errorf("late data did not amend: %+v", amended.Series.Points[2])
	}
	if !s.Series.Points[2].Gap || s.Series.Points[2].Goodput != 2 {
		t.Error("a snapshot changed after it was published")
	}
	tally.SetSource(SourceInfo{Name: "bob", State: "lost", LostAt: 3 * time.Second, Reason: "gone"})
	tally.Add(oneSecond("ada", 3, 0, 1, time.Millisecond))
	lost := tally.Snapshot(4 * time.Second)
	if lost.Elapsed != 4*time.Second || lost.Series.Points[3].Gap || lost.Sources[1].LostAt != 3*time.Second || lost.Sources[0].LostAt >= 0 {
		t.Errorf("after the loss: %v %+v", lost.Elapsed, lost.Sources)
	}
}

// The seconds between a source's last word and its loss are a gap, also when the picture is made anew; those after it are none.
func TestALostSourceLeavesAGap(t *testing.T) {
	tally := NewTally(shop, stages(), []SourceInfo{{Name: "ada", State: "running"}, {Name: "bob", State: "running"}})
	for i := range 9 {
		tally.Add(oneSecond("ada", i, 1, 1, time.Millisecond))
		if i < 3 {
			tally.Add(oneSecond("bob", i, 1, 1, time.Millisecond))
		}
		if i == 6 {
			tally.SetSource(SourceInfo{Name: "bob", State: "lost", LostAt: 7 * time.Second})
		}
		tally.Snapshot(time.Duration(i+2) * time.Second)
	}
	for range 2 {
		for i, p := range tally.Snapshot(9 * time.Second).Series.Points {
			if want := i >= 3 && i < 7; p.Gap != want {
				t.Errorf("second %d is a gap: %t", i, p.Gap)
			}
		}
		tally.SetStage(1, 0, 0) // everything anew
	}
}

// A stage without a whole second of its own has its share of those that it touches.
func TestRatesOfShortStages(t *testing.T) {
	tally := NewTally(shop, stages(), nil)
	tally.SetStage(0, 0, 700*time.Millisecond)
	tally.SetStage(1, 700*time.Millisecond, 1900*time.Millisecond)
	tally.SetStage(NoStage, 1900*time.Millisecond, 2500*time.Millisecond)
	tally.SetStage(2, 2500*time.Millisecond, 2900*time.Millisecond)
	for i, n := range []int{100, 90, 50} { // in 1, 0.9 and 0.4 s
		iv := oneSecond("", i, 1, n, time.Millisecond)
		iv.Final = i == 2
		tally.Add(iv)
	}
	s := tally.Snapshot(3 * time.Second)
	for i, want := range []float64{100, 100, 125} {
		if got := s.Stages[i].ArrivalsRPS; math.Abs(got-want) > 1 {
			t.Errorf("stage %d: %v arrivals a second, want %v", i, got, want)
		}
	}
	if s.Totals.Scheduled != 140 { // of the first second most is warm-up
		t.Errorf("%d arrivals count", s.Totals.Scheduled)
	}
}

// A request that could not be sent had no answer: it makes no median and no throughput.
func TestWhatCouldNotBeSentMakesNoMedian(t *testing.T) {
	tally := NewTally(shop, nil, nil)
	r := NewRecorder(len(shop), nil)
	for range 9 {
		r.Sample(&Sample{Step: 1, Class: Extract, Phase: PhaseSend, Message: "a line break in a header", End: 20 * time.Microsecond})
	}
	r.Sample(&Sample{Step: 1, Class: Extract, Status: 200, Phase: PhaseReceive, Message: "no token", End: 30 * time.Millisecond})
	iv := r.Cut(0, 0, time.Second)
	iv.Final = true
	tally.Add(iv)
	if v := tally.Snapshot(time.Second).Totals; v.Response.P50 != 30*time.Millisecond || v.CutShort.Count != 9 || v.Errors != 10 || v.ThroughputRPS != 1 {
		t.Errorf("totals: %+v", v)
	}
}

func TestWindowIsTheLastTenSeconds(t *testing.T) {
	tally := NewTally(shop, nil, nil)
	for i := range 30 {
		d := time.Millisecond
		if i < 20 {
			d = time.Second
		}
		tally.Add(oneSecond("", i, 0, 10, d))
	}
	w := tally.Snapshot(30 * time.Second).Window
	if w.Length != 10*time.Second || w.OfferedRPS != 20 || w.GoodputRPS != 20 || w.Response.Max != 2*time.Millisecond || w.Response.Count != 200 || w.Users != 5 {
		t.Errorf("window: %+v", w)
	}
	if w := tally.window(30*time.Second, 15*time.Second); w.Response.Count != 300 || w.Response.Max != 2*time.Second {
		t.Errorf("window of 15 s: %+v", w)
	}
}

func TestDroppedArrivals(t *testing.T) {
	tally := NewTally(shop, nil, nil)
	r := NewRecorder(len(shop), nil)
	r.Sample(&Sample{Step: 1, Status: 200, End: time.Millisecond})
	r.Drop(0, 1, 10*time.Second, false)
	r.Scheduled, r.Started, r.Due = 2, 1, 2
	iv := r.Cut(0, 0, time.Second)
	iv.Final = true
	tally.Add(iv)
	v := tally.Snapshot(time.Second).Totals
	if v.Requests != 1 || v.Dropped != 1 || v.ErrorRate != .5 || !v.Response.AtLeast || v.Response.Count != 2 || v.Response.Max != 10*time.Second || v.Service.Count != 1 || v.ThroughputRPS != 1 || v.OfferedRPS != 2 || v.Shortfall != 0 {
		t.Errorf("totals: %+v", v)
	}
}

// A percentile is a lower bound where a dropped arrival had waited no longer than it says, and exact elsewhere.
func TestPercentilesThatDroppedArrivalsReach(t *testing.T) {
	for _, c := range []struct {
		waited        []time.Duration
		p50, p99, max bool
	}{
		{nil, false, false, false},
		{[]time.Duration{10 * time.Second}, false, false, true},
		{[]time.Duration{10 * time.Second, 80 * time.Millisecond}, false, true, true},
		{[]time.Duration{time.Microsecond, 10 * time.Second}, true, true, true},
	} {
		tally := NewTally(shop, stages(), nil)
		tally.SetStage(1, 0, 0)
		r := NewRecorder(len(shop), nil)
		for i := range 100 {
			r.Sample(&Sample{Stage: 1, Step: 1, Status: 200, End: time.Duration(i+1) * time.Millisecond})
		}
		for _, d := range c.waited {
			r.Drop(1, 1, d, false)
		}
		iv := r.Cut(0, 0, time.Second)
		iv.Final = true
		tally.Add(iv)
		s := tally.Snapshot(time.Second)
		for name, q := range map[string]*Quantiles{
			"totals": &s.Totals.Response, "window": &s.Window.Response, "step": &s.Steps[1].Response, "stage": &s.Stages[0].Response, "source": &s.Sources[0].Response,
		} {
			if q.LowerBound(q.P50) != c.p50 || q.LowerBound(q.P99) != c.p99 || q.LowerBound(q.Max) != c.max {
				t.Errorf("%s, dropped after %v: p50 %v, p99 %v, max %v", name, c.waited, q.LowerBound(q.P50), q.LowerBound(q.P99), q.LowerBound(q.Max))
			}
		}
	}
}

func TestRefusalsMakeNoMedian(t *testing.T) {
	tally := NewTally(shop, nil, nil)
	r := NewRecorder(len(shop), nil)
	for range 9 {
		r.Sample(&Sample{Step: 1, Class: Refused, Phase: PhaseConnect, Message: "refused", End: 50 * time.Microsecond})
	}
	r.Sample(&Sample{Step: 1, Class: Timeout, Phase: PhaseWait, Message: "timeout", End: 30 * time.Second})
	iv := r.Cut(0, 0, time.Second)
	iv.Final = true
	tally.Add(iv)
	s := tally.Snapshot(time.Second)
	if v := s.Totals; v.Response.P50 != 30*time.Second || v.CutShort.Count != 9 || v.Errors != 10 || v.ThroughputRPS != 0 || s.Steps[1].ByClass[Refused] != 9 {
		t.Errorf("totals: %+v", v)
	}
	if e := s.Errors; len(e) != 2 || e[0].Class != Refused || e[0].Count != 9 || e[0].Step.Step != "home" || e[0].Hint == "" || e[0].Series[0] != 9 {
		t.Errorf("errors: %+v", e)
	}
}

// A slow link may deliver several seconds in one interval: nothing may be lost or doubled by spreading it.
func TestJoinedIntervalIsSpreadOverItsSeconds(t *testing.T) {
	tally := NewTally(shop, nil, nil)
	iv := oneSecond("", 0, 0, 11, time.Millisecond)
	for i := 1; i < 4; i++ {
		iv.Merge(oneSecond("", i, 0, 11, time.Millisecond))
	}
	iv.Final = true
	tally.Add(iv)
	var arrivals float64
	for _, s := range tally.Intervals() {
		arrivals += s.Arrivals
	}
	s := tally.Snapshot(4 * time.Second)
	if arrivals != 44 || s.Totals.OfferedRPS != 22 || tally.Intervals()[1].Users != 5 || s.Totals.Response.Count != 88 {
		t.Errorf("arrivals %v, offered %v", arrivals, s.Totals.OfferedRPS)
	}
}

// What a run has left of its last second is no base for a rate where it is short: three answers in 3 ms are not a thousand a second.
func TestShortEndOfARun(t *testing.T) {
	for _, c := range []struct {
		seconds int
		length  time.Duration
		over    float64 // seconds that rates of the last row are over
	}{
		{3, 3 * time.Millisecond, 1},
		{3, 500 * time.Microsecond, 1},
		{3, 499 * time.Millisecond, 1},
		{3, 500 * time.Millisecond, .5},
		{3, 700 * time.Millisecond, .7},
		{3, time.Second, 1},
		{0, 3 * time.Millisecond, .003}, // all there is
	} {
		tally := NewTally(shop, nil, nil)
		for i := range c.seconds {
			tally.Add(oneSecond("", i, 0, 5, time.Millisecond))
		}
		tally.Snapshot(time.Duration(c.seconds) * time.Second) // the end amends a picture that was made before
		end := oneSecond("", c.seconds, 0, 3, time.Millisecond)
		end.Length, end.Final = c.length, true
		end.Errors = []ErrorCount{{Class: Status, Status: 500, Step: 1, Message: "m", Count: 3}}
		tally.Add(end)
		rows, s := tally.Intervals(), tally.Snapshot(10*time.Second)
		if len(rows) != c.seconds+1 || len(s.Series.Points) != c.seconds+1 {
			t.Errorf("%v behind %d s: %d rows, %d points", c.length, c.seconds, len(rows), len(s.Series.Points))
			continue
		}
		near := func(got, want float64) bool { return math.Abs(got-want) < want/1e6 }
		row, point := rows[c.seconds], s.Series.Points[c.seconds]
		if !near(row.Throughput, 6/c.over) || !near(row.Goodput, 6/c.over) || !near(row.Offered, 6/c.over) || !near(row.Arrivals, 3/c.over) {
			t.Errorf("%v behind %d s: %+v, want counts of %v s", c.length, c.seconds, row, c.over)
		}
		if point.Goodput != row.Goodput || point.Offered != row.Offered || !near(s.Errors[0].Series[c.seconds], 3/c.over) {
			t.Errorf("%v behind %d s: the charts and the list differ: %+v, %+v, errors %v", c.length, c.seconds, point, row, s.Errors[0].Series)
		}
		if c.seconds > 0 && (rows[c.seconds-1].Throughput != 10 || s.Series.Points[c.seconds-1].Goodput != 10) {
			t.Errorf("%v behind %d s: it changed the second before: %+v", c.length, c.seconds, rows[c.seconds-1])
		}
		lasted := float64(c.seconds) + max(c.length, time.Millisecond).Seconds()
		if want := float64(10*c.seconds+6) / lasted; !near(s.Window.ThroughputRPS, want) {
			t.Errorf("%v behind %d s: the window has %v answers a second, want %v", c.length, c.seconds, s.Window.ThroughputRPS, want)
		}
	}
}

// The window of the figures is as long as it says also when the run has just ended.
func TestWindowAtTheEndOfARun(t *testing.T) {
	tally := NewTally(shop, nil, []SourceInfo{{Name: "ada", State: "running"}})
	for i := range 20 {
		tally.Add(oneSecond("ada", i, 0, 5+i, time.Millisecond))
	}
	end := oneSecond("ada", 20, 0, 3, time.Millisecond)
	end.Length, end.Final = 3*time.Millisecond, true
	tally.Add(end)
	s := tally.Snapshot(21 * time.Second)
	arrivals := 3.
	for i := 10; i < 20; i++ {
		arrivals += float64(5 + i)
	}
	want := arrivals / 10.003
	if w := s.Window; w.Length != 10003*time.Millisecond || math.Abs(w.OfferedRPS-2*want) > 1e-9 || math.Abs(s.Steps[1].WindowRPS-want) > 1e-9 || math.Abs(s.Sources[0].Done-want) > 1e-9 {
		t.Errorf("%v: %v offered a second, %v of the step, %v of the source; want twice, once and once %v", w.Length, w.OfferedRPS, s.Steps[1].WindowRPS, s.Sources[0].Done, want)
	}
}

// A point of several seconds of which the last is short has the rate of all of them.
func TestShortEndOfALongRun(t *testing.T) {
	for _, c := range []struct {
		seconds int
		want    float64
	}{{MaxPoints + 1, 16 / 1.003}, {MaxPoints + 2, 6}, {2*MaxPoints + 3, 36 / 3.003}} {
		tally := NewTally(shop, nil, nil)
		for i := range c.seconds {
			tally.Add(oneSecond("", i, 0, 5, time.Millisecond))
		}
		end := oneSecond("", c.seconds, 0, 3, time.Millisecond)
		end.Length, end.Final = 3*time.Millisecond, true
		tally.Add(end)
		points := tally.Snapshot(2 * time.Hour).Series.Points
		if last := points[len(points)-1]; math.Abs(last.Goodput-c.want) > 1e-6 {
			t.Errorf("%d seconds: %v a second in the last point, want %v", c.seconds, last.Goodput, c.want)
		}
	}
}

// Whatever the length of a point and however often somebody looked, its figures are those of all its seconds; what comes up to two
// minutes late is among them.
func TestPointsAreMergedHistograms(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { pointsAreMerged(t, rand.New(rand.NewPCG(11, seed))) })
	}
}

func pointsAreMerged(t *testing.T, rng *rand.Rand) {
	tally := NewTally(shop, stages(), []SourceInfo{{Name: "ada", State: "running"}, {Name: "bob", State: "running"}})
	tally.SetStage(1, 0, 0)
	const seconds = 2*MaxPoints + 77
	truth := make([]Histogram, seconds)
	late := make(map[int][]*Interval) // by the second in which they come
	for k := range seconds {
		for _, source := range []string{"ada", "bob"} {
			iv := oneSecond(source, k, 1, 1+rng.IntN(3), time.Duration(1+rng.ExpFloat64()*float64(20*time.Millisecond)))
			for i := range iv.Records {
				truth[k].Add(&iv.Records[i].Response)
			}
			at := k
			if source == "bob" && rng.IntN(10) == 0 {
				at += rng.IntN(liveSeconds)
			}
			late[at] = append(late[at], iv)
		}
		for _, iv := range late[k] {
			tally.Add(iv)
		}
		if rng.IntN(20) == 0 {
			tally.Snapshot(time.Duration(k+1) * time.Second)
		}
	}
	for k := seconds; k < seconds+liveSeconds; k++ {
		for _, iv := range late[k] {
			tally.Add(iv)
		}
	}
	s := tally.Snapshot(2 * seconds * time.Second)
	if s.Series.Every != 4*time.Second || s.Series.From != 0 || s.Recent.Every != time.Second || s.Recent.From == 0 {
		t.Fatalf("the whole run by %v from %v, its end by %v from %v", s.Series.Every, s.Series.From, s.Recent.Every, s.Recent.From)
	}
	for _, series := range []*Series{&s.Series, &s.Recent} {
		if n := len(series.Points); n > MaxPoints || n < MaxPoints/2 {
			t.Errorf("%d points of %v", n, series.Every)
		}
		if end := series.From + time.Duration(len(series.Points))*series.Every; end < seconds*time.Second || end >= seconds*time.Second+series.Every {
			t.Errorf("points of %v end at %v, the run at %d s", series.Every, end, seconds)
		}
		for i, p := range series.Points {
			var want Histogram
			first := int((series.From + time.Duration(i)*series.Every) / time.Second)
			for k := first; k < min(first+int(series.Every/time.Second), seconds); k++ {
				want.Add(&truth[k])
			}
			heat := uint64(0)
			for _, n := range p.Heat.Counts {
				heat += uint64(n)
			}
			same := func(got float64, want time.Duration) bool { return float32(got) == float32(ms(want)) }
			if !same(p.P50, want.Quantile(.5)) || !same(p.P99, want.Quantile(.99)) || !same(p.P999, want.Quantile(.999)) || heat != want.Count() {
				t.Errorf("point %d of %v: %+v, want p50 %v, p99 %v, %d in all", i, series.Every, p, want.Quantile(.5), want.Quantile(.99), want.Count())
			}
			if math.IsNaN(float64(series.P99[1][i])) || series.P99[2][i] < series.P99[1][i] {
				t.Errorf("point %d of %v: p99 of the steps %v and %v", i, series.Every, series.P99[1][i], series.P99[2][i])
			}
		}
	}
}

// What comes later than its second keeps histograms amends counts and the heat bands; in a point that is not over
// yet it counts as any other.
func TestWhatComesTooLateForItsPercentiles(t *testing.T) {
	tally := NewTally(shop, stages(), nil)
	tally.SetStage(1, 0, 0)
	const seconds = 4*MaxPoints - 1 // points of 4 s; the last one that was sealed in part is open
	for k := range seconds {
		if k != 500 {
			tally.Add(oneSecond("ada", k, 1, 10, time.Millisecond))
		}
	}
	before := tally.Snapshot(seconds * time.Second)
	at := seconds - liveSeconds - 1
	for _, k := range []int{100, 500, at} {
		tally.Add(oneSecond("bob", k, 1, 1000, 100*time.Millisecond))
	}
	s := tally.Snapshot(seconds * time.Second)
	if got, want := s.Totals.Requests, before.Totals.Requests+6000; got != want {
		t.Errorf("%d requests, want %d", got, want)
	}
	count := func(p *Point) (n uint32) {
		for _, c := range p.Heat.Counts {
			n += c
		}
		return n
	}
	for _, k := range []int{100, 500} {
		p, was := &s.Series.Points[k/4], &before.Series.Points[k/4]
		if p.P99 != was.P99 || count(p) != count(was)+2000 || p.Goodput <= was.Goodput {
			t.Errorf("second %d: %+v, was %+v", k, p, was)
		}
		if count(was) > 80 {
			t.Errorf("a picture changed after it was published: %+v", was)
		}
	}
	if p, was := &s.Series.Points[at/4], &before.Series.Points[at/4]; p.P50 < 99 || count(p) != count(was)+2000 {
		t.Errorf("second %d: %+v, was %+v", at, p, was)
	}
	i := at - int(s.Recent.From/time.Second)
	if p := &s.Recent.Points[i]; p.P99 > 3 || count(p) != 2020 {
		t.Errorf("second %d by itself: %+v", at, p)
	}
	// A second of which nothing was known has the figures of what came.
	if row := tally.Intervals()[500]; row.Throughput != 2000 || row.Max != 200 {
		t.Errorf("second 500: %+v", row)
	}
}

func TestWhatComesTooLateAndIsAllThereIs(t *testing.T) {
	tally := NewTally(shop, stages(), nil)
	tally.SetStage(1, 0, 0)
	for k := range 2 * liveSeconds {
		if k != 50 {
			tally.Add(oneSecond("ada", k, 1, 10, time.Millisecond))
		}
	}
	tally.Add(oneSecond("bob", 50, 1, 1000, 100*time.Millisecond))
	s := tally.Snapshot(2 * liveSeconds * time.Second).Series
	if p := s.Points[50]; p.P99 != 200 || !(s.P99[1][50] > 99) || !(s.P99[2][50] > 199) { // NaN is neither
		t.Errorf("p99 %v, of the steps %v and %v", p.P99, s.P99[1][50], s.P99[2][50])
	}
}

// However late an interval claims to be, the series has a point for it.
func TestTheLongestRunFitsIntoASeries(t *testing.T) {
	var s series
	s.init(1)
	s.sealed = maxRows // as if they were
	s.reach(maxRows, nil, nil)
	if n := s.point(maxRows-1) + 1; n > MaxPoints {
		t.Errorf("%d points", n)
	}
	if maxRows < 2000*3600 {
		t.Errorf("%d seconds are all that a run may have", maxRows)
	}
}

// From the second minute on a run at 10,000 requests a second takes no more memory, but for the list of seconds.
func TestMemoryFromTheSecondMinuteOn(t *testing.T) {
	if testing.Short() {
		t.Skip("1,800 intervals of 10,000 requests are added up")
	}
	names := make([]StepName, 10)
	for i := range names {
		names[i] = StepName{Scenario: "s", Step: fmt.Sprint(i)}
	}
	tally := NewTally(names, []StageInfo{{Name: "sustain"}}, nil)
	tally.SetStage(0, 0, 0)
	rng := rand.New(rand.NewPCG(3, 4))
	var seconds [8]*Interval // different ones
	for i := range seconds {
		r := NewRecorder(len(names), nil)
		times := make([]time.Duration, 4096)
		for j := range times {
			times[j] = time.Duration(math.Exp(rng.NormFloat64()/2) * float64(20*time.Millisecond))
		}
		busySecond(r, len(names), times)
		seconds[i] = r.Cut(0, 0, time.Second)
	}
	var early uint64
	for k := range 1800 {
		iv := seconds[rng.IntN(len(seconds))]
		iv.Seq, iv.From = uint64(k), time.Duration(k)*time.Second
		tally.Add(iv)
		if k%4 == 0 {
			tally.Snapshot(iv.From + time.Second)
		}
		if k == 120 {
			early = heap()
		}
	}
	late := heap()
	rows := int64(cap(tally.rows)) * 88
	grown := int64(late) - int64(early) - rows
	t.Logf("%.1f MB after two minutes, %.1f MB more after thirty and %.1f MB for the list of seconds", float64(early)/1e6, float64(grown)/1e6, float64(rows)/1e6)
	if grown > 1500<<10 {
		t.Errorf("memory grew by %d KB beyond the list of seconds", grown>>10)
	}
	runtime.KeepAlive(tally)
	runtime.KeepAlive(seconds)
}

// A day of load: memory must stay flat but for the list of seconds, and joined points must keep exact percentiles.
func TestADayStaysFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and on one goroutine")
	}
	tally := NewTally(shop, stages(), nil)
	tally.SetStage(1, 0, 0)
	quick, slow := oneSecond("", 0, 1, 100, time.Millisecond), oneSecond("", 0, 1, 100, 50*time.Millisecond)
	const day = 24 * 3600
	var hour, end uint64
	for i := range day {
		iv := quick
		if i%64 == 0 || i >= day-4 {
			iv = slow
		}
		iv.Seq, iv.From = uint64(i), time.Duration(i)*time.Second
		tally.Add(iv)
		switch i {
		case 3600:
			hour = heap()
		case day - liveSeconds - 4:
			tally.Snapshot(day * time.Second) // the last point has begun, and all that it has is older when somebody looks again
		}
	}
	end = heap()
	s := tally.Snapshot(day * time.Second)
	if s.Totals.Requests != 200*day || s.Totals.OfferedRPS != 200 || s.Series.Every != 128*time.Second || len(s.Series.Points) != day/128 {
		t.Errorf("requests %d, offered %v, %d points of %v", s.Totals.Requests, s.Totals.OfferedRPS, len(s.Series.Points), s.Series.Every)
	}
	// One second in 64 is slow, so of each point 1/64 of the requests are: p99 is slow, p90 is not.
	if p := s.Series.Points[400]; p.P90 > 3 || p.P99 < 40 || p.Goodput != 200 {
		t.Errorf("a joined point: %+v", p)
	}
	var fast, late uint32
	heat := s.Series.Points[day/128-1].Heat
	for i, n := range heat.Counts {
		if s.Series.Bands[heat.First+i] < 10*time.Millisecond {
			fast += n
		} else {
			late += n
		}
	}
	if fast != 122*200 || late != 6*200 {
		t.Errorf("%d fast requests and %d slow ones in the last point, want %d and %d", fast, late, 122*200, 6*200)
	}
	rows := uint64(cap(tally.rows)) * 88
	if grown := int64(end) - int64(hour) - int64(rows); grown > 4<<20 {
		t.Errorf("beyond the list of seconds (%d MB) memory grew by %d MB between the first hour and the last", rows>>20, grown>>20)
	}
	if n := len(tally.Intervals()); n != day {
		t.Errorf("%d seconds, want %d", n, day)
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// What a source had of files and memory at the most is kept: at the end of a run it has let go of both.
func TestASourcesPeaksStay(t *testing.T) {
	tally := NewTally(shop, stages(), nil)
	for at, files := range []int{30, 62, 21} {
		iv := oneSecond("local", at, 1, 1, time.Millisecond)
		iv.Audit.Files, iv.Audit.Memory = files, uint64(files)<<20
		tally.Add(iv)
	}
	if v := tally.Snapshot(3 * time.Second).Sources[0]; v.FilesPeak != 62 || v.MemoryPeak != 62<<20 || v.Audit.Files != 21 {
		t.Errorf("at most %d files and %d bytes, in the end %d files", v.FilesPeak, v.MemoryPeak, v.Audit.Files)
	}
}
