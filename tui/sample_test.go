package tui

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"lt/engine/conductor"
	"lt/engine/knee"
	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/scenario"
	"lt/engine/slo"
)

// capacity is the requests a second that the target of the samples can answer.
const capacity = 420

// feed makes Views of an invented run: five stages that ramp through the capacity of a target whose response times follow
// the formula of a queue with one server, with a second mode, errors above the capacity, and a stall.
type feed struct {
	r      *rand.Rand
	view   conductor.View
	series metrics.Series
	errors [][]float64
}

var feedSteps = []metrics.StepName{
	{Scenario: "buyer", Step: "POST /api/login", Kind: metrics.KindSetup},
	{Scenario: "buyer", Step: "GET /"},
	{Scenario: "buyer", Step: "product"},
	{Scenario: "buyer", Step: "POST /cart"},
	{Scenario: "buyer", Step: "POST /checkout"},
	{Scenario: "browser", Step: "GET /"},
	{Scenario: "browser", Step: "GET /search?q={{term}}&page={{randomInt 1 20}}"},
}

// slowness is how much longer than the mean each step takes.
var slowness = []float64{1.2, 0.4, 1.6, 1.1, 2.4, 0.4, 0.9}

func newFeed() *feed {
	f := &feed{r: rand.New(rand.NewPCG(7, 11))}
	f.series.Every = time.Second
	for e := 0; e <= 56; e++ {
		f.series.Bands = append(f.series.Bands, time.Duration(math.Pow(10, float64(e)/8)*1e5))
	}
	f.series.P99, f.errors = make([][]float32, len(feedSteps)), make([][]float64, 3)
	f.view = conductor.View{
		Run: conductor.Header{
			Name: "Shop checkout", Target: "https://shop.staging.internal",
			Scenarios: []*scenario.Scenario{{Name: "buyer", Weight: 3}, {Name: "browser", Weight: 7}},
		},
		Factor: 1, Total: 280 * time.Second,
		Profile: load.Profile{Stages: []load.Stage{
			{Name: "warm-up", For: 10 * time.Second, At: 50, Warmup: true},
			{Name: "ramp-up", For: 60 * time.Second, At: 500, Ramp: true},
			{Name: "sustain", For: 120 * time.Second, At: 380},
			{Name: "spike", For: 30 * time.Second, At: 600},
			{Name: "recovery", For: 60 * time.Second, At: 50},
		}},
	}
	return f
}

// rate is the offered load at second t, and the stage.
func rate(t int) (float64, int) {
	switch {
	case t < 10:
		return 50, 0
	case t < 70:
		return 50 + float64(t-10)*450/60, 1
	case t < 190:
		return 380, 2
	case t < 220:
		return 600, 3
	}
	return 50, 4
}

// second adds one second to the run.
func (f *feed) second() {
	t := len(f.series.Points)
	offered, stage := rate(t)
	rho := min(offered/capacity, 0.985)
	mean := 9 / (1 - rho) * (1 + 0.06*f.r.NormFloat64())
	good := min(offered, capacity) * (1 + 0.015*f.r.NormFloat64())
	errors := 0.0
	if offered > capacity {
		errors = (offered - capacity) * 0.6
	}
	p := metrics.Point{
		Offered: offered, Goodput: good, Errors: errors, Stage: int16(stage),
		P50: mean * 0.69, P90: mean * 2.3, P99: mean * 4.6 * (1 + 0.1*f.r.Float64()), P999: mean * 6.9 * (1 + 0.2*f.r.Float64()),
		Heat: metrics.Heat{Counts: make([]uint32, len(f.series.Bands)-1)},
	}
	for range 300 {
		v := f.r.ExpFloat64() * mean
		if f.r.IntN(6) == 0 {
			v = 1.2 + 0.2*f.r.NormFloat64() // answered from a cache
		}
		for b := range p.Heat.Counts {
			if v >= float64(f.series.Bands[b])/1e6 && v < float64(f.series.Bands[b+1])/1e6 {
				p.Heat.Counts[b]++
			}
		}
	}
	f.series.Points = append(f.series.Points, p)
	for i := range slowness {
		f.series.P99[i] = append(f.series.P99[i], float32(p.P99*slowness[i]*(1+0.1*f.r.NormFloat64())))
	}
	for i := range f.errors {
		f.errors[i] = append(f.errors[i], errors/float64(i+2))
	}
	f.events(t, stage)
	if t%5 == 4 && stage > 0 {
		ms := func(v float64) time.Duration { return time.Duration(v * 1e6) }
		f.view.Points = append(f.view.Points, knee.Point{
			From: time.Duration(t-4) * time.Second, To: time.Duration(t+1) * time.Second, Stage: stage, Arrivals: offered / 3, Offered: offered,
			Goodput: good, GoodputLow: good * 0.97, GoodputHigh: good * 1.03, P50: ms(p.P50), P50Low: ms(p.P50 * 0.9), P50High: ms(p.P50 * 1.1),
			P99: ms(p.P99), P99Low: ms(p.P99 * 0.75), P99High: ms(p.P99 * 1.3), ErrorRate: errors / (good + errors), InFlight: math.Trunc(offered * mean / 1000), Seconds: 5, Requests: uint64(5 * offered),
		})
	}
}

func (f *feed) events(t, stage int) {
	add := func(kind conductor.EventKind, text string) {
		f.view.Events = append(f.view.Events, conductor.Event{At: time.Duration(t) * time.Second, Kind: kind, Text: text})
	}
	if _, before := rate(t - 1); t == 0 || before != stage {
		add(conductor.EventStage, f.view.Profile.Stages[stage].Name+" begins")
	}
	switch t {
	case 30:
		add(conductor.EventUser, "Marked: deployed v2 of the cart")
	case 62:
		add(conductor.EventSLO, "p99 < 300ms does not hold any more: 412 ms over the last 10 s")
	case 65:
		add(conductor.EventTarget, "The target answers 503 to 4 % of the requests")
	}
}

func quantiles(mean float64, n uint64) metrics.Quantiles {
	ms := func(v float64) time.Duration { return time.Duration(v * 1e6) }
	return metrics.Quantiles{
		Count: n, Min: ms(mean * 0.05), Mean: ms(mean), StdDev: ms(mean), P50: ms(mean * 0.69), P75: ms(mean * 1.4), P90: ms(mean * 2.3), P95: ms(mean * 3),
		P99: ms(mean * 4.6), P999: ms(mean * 6.9), Max: ms(mean * 9), P99Low: ms(mean * 4), P99High: ms(mean * 5.3), P999Low: ms(mean * 6), P999High: ms(mean * 8),
	}
}

// snapshot is the View at a run time of now, which lies within the newest second.
func (f *feed) snapshot(now time.Duration) *conductor.View {
	v := f.view
	v.State, v.Elapsed, v.Clock, v.Begun = conductor.Running, now, now, len(f.series.Points) > 0
	n := len(f.series.Points)
	series := f.series
	series.P99 = slices.Clone(series.P99) // the feed goes on
	s := &metrics.Snapshot{Elapsed: time.Duration(n) * time.Second, Series: series, Recent: series}
	v.Snapshot = s
	v.Stage = -1
	if n == 0 {
		v.State = conductor.Starting
		return &v
	}
	last := f.series.Points[n-1]
	arrivals, answered := last.Offered/3, last.Goodput+last.Errors
	v.Stage = int(last.Stage)
	mean := last.P50 / 0.69
	s.Window = metrics.Window{
		Length: time.Duration(min(n, 10)) * time.Second, OfferedRPS: last.Offered, ThroughputRPS: answered, GoodputRPS: last.Goodput,
		ErrorRate: last.Errors / max(1, answered), Response: quantiles(mean, uint64(answered*10)),
		Lag: quantiles(0.02, uint64(arrivals*10)), InFlight: int(last.Offered * mean / 1000), Users: 120, Connections: 120,
	}
	f.totals(&s.Totals, mean)
	for i, name := range feedSteps {
		s.Steps = append(s.Steps, f.step(i, name, mean, s.Totals))
	}
	f.stagesAndSources(s, mean)
	if s.Totals.Errors > 0 {
		for i, e := range []metrics.ErrorView{
			{
				Class: metrics.Status, Phase: metrics.PhaseReceive, Status: 503, StepID: 4, Message: "503 Service Unavailable: the queue is full", Count: s.Totals.Errors * 6 / 10,
				Hint:    "the target sheds load: its queue is full. See its own limit of concurrent requests, then what that waits for (database, upstream); lt target --queue for the demo.",
				Example: "POST /checkout HTTP/1.1\nHost: shop.staging.internal\nCookie: session=***\nContent-Type: application/json\n\n{\"cart\": \"c-4711\", \"pay\": \"invoice\"}\n\n--- answered after 212 ms\n\nHTTP/1.1 503 Service Unavailable\nRetry-After: 1\nContent-Type: application/json\n\n{\"error\": \"queue full\"}",
			},
			{Class: metrics.Timeout, Phase: metrics.PhaseWait, StepID: 2, Message: "no answer within 30s", Count: s.Totals.Errors * 3 / 10, Hint: "the target took the request and did not answer in time."},
			{Class: metrics.Reset, Phase: metrics.PhaseConnect, StepID: 6, Message: "connection reset by peer", Count: s.Totals.Errors / 10},
		} {
			e.Step, e.First, e.Last, e.Series, e.Sources = feedSteps[e.StepID], 57*time.Second, s.Elapsed-time.Duration(i)*time.Second, f.errors[i], []string{""}
			s.Errors = append(s.Errors, e)
		}
	}
	p95, p99 := mean*3, last.P99
	v.SLOs = []slo.Result{
		{Expr: "p99 < 300ms", Value: p99, Text: fmt.Sprintf("%.0f ms", p99), OK: p99 < 300, Fails: p99 >= 300, Near: p99 >= 270 && p99 < 300, Known: true, Since: 62 * time.Second, Window: 10 * time.Second},
		{Expr: "errors < 1%", Value: s.Totals.ErrorRate, Text: fmt.Sprintf("%.2f %%", s.Totals.ErrorRate*100), OK: s.Totals.ErrorRate < 0.01, Fails: s.Totals.ErrorRate >= 0.01, Known: true, Since: 66 * time.Second},
		{Expr: "buyer/product: p95 < 200ms over 10s", Value: p95, Text: fmt.Sprintf("%.0f ms", p95), OK: p95 < 200, Fails: p95 >= 200, Near: p95 > 180 && p95 < 200, Known: true, Since: 61 * time.Second},
	}
	return &v
}

func (f *feed) totals(t *metrics.Totals, mean float64) {
	n := len(f.series.Points)
	t.Counted = time.Duration(max(0, n-10)) * time.Second
	for _, p := range f.series.Points {
		t.Requests += uint64(p.Goodput + p.Errors)
		t.Errors += uint64(p.Errors)
		t.Scheduled += uint64(p.Offered / 3)
	}
	t.Started, t.Iterations = t.Scheduled, t.Scheduled
	t.ErrorRate = float64(t.Errors) / float64(max(1, t.Requests))
	t.Response, t.Service = quantiles(mean, t.Requests), quantiles(mean*0.8, t.Requests)
}

func (f *feed) step(i int, name metrics.StepName, mean float64, t metrics.Totals) metrics.StepView {
	m := mean * slowness[i]
	n := t.Requests / uint64(len(feedSteps))
	last := &f.series.Points[len(f.series.Points)-1]
	s := metrics.StepView{
		StepName: name, ID: i, Requests: n, Attempts: n, Response: quantiles(m, n), Service: quantiles(m*0.7, n), Reused: n * 97 / 100, BytesIn: n * 2200, BytesOut: n * 340,
		WindowRPS: (last.Goodput + last.Errors) / float64(len(feedSteps)), Share: slowness[i] / 8,
		Status: []metrics.StatusCount{{Status: 200, Count: n * 98 / 100}, {Status: 302, Count: n / 100}},
	}
	if i == 4 && t.Errors > 0 {
		s.Errors = t.Errors * 6 / 10
		s.ByClass[metrics.Status] = s.Errors
		s.Status = append(s.Status, metrics.StatusCount{Status: 503, Count: s.Errors})
	}
	for p := range metrics.Phases {
		s.Phases[p] = quantiles(m*[...]float64{0.01, 0.02, 0.04, 0.01, 0.6, 0.1}[p], n)
		if p <= int(metrics.PhaseTLS) {
			s.Phases[p].Count = n * 3 / 100
		}
	}
	for b := 0; b+1 < len(f.series.Bands); b++ {
		lo, hi := float64(f.series.Bands[b])/1e6, float64(f.series.Bands[b+1])/1e6
		share := math.Exp(-lo/m) - math.Exp(-hi/m)
		s.Distribution = append(s.Distribution, metrics.Band{Low: f.series.Bands[b], High: f.series.Bands[b+1], Count: uint64(share * float64(n))})
		share = math.Exp(-lo/m/0.7) - math.Exp(-hi/m/0.7)
		s.ServiceBands = append(s.ServiceBands, metrics.Band{Low: f.series.Bands[b], High: f.series.Bands[b+1], Count: uint64(share * float64(n))})
	}
	return s
}

func (f *feed) stagesAndSources(s *metrics.Snapshot, mean float64) {
	from := 0
	for i, st := range f.view.Profile.Stages {
		to := from + int(st.For/time.Second)
		if from < len(f.series.Points) {
			s.Stages = append(s.Stages, metrics.StageView{
				Name: st.Name, Index: i, Warmup: st.Warmup, From: time.Duration(from) * time.Second,
				To: time.Duration(min(to, len(f.series.Points))) * time.Second, Response: quantiles(mean, 1000),
			})
		}
		from = to
	}
	s.Sources = []metrics.SourceView{{
		Kind: "local", State: "running", Weight: 1, Share: 1, Asked: s.Window.OfferedRPS / 3, Done: s.Window.OfferedRPS / 3, Requests: s.Totals.Requests, Users: 120, InFlight: s.Window.InFlight,
		Connections: 120, Response: s.Totals.Response, Lag: s.Window.Lag, CPUPeak: 0.31, LostAt: -1, BytesIn: s.Totals.Requests * 2200,
		Audit: metrics.Audit{CPU: 0.42, ShardCPU: 0.24, Cores: 2, Memory: 48 << 20, MemLimit: 2 << 30, Files: 148, FileLimit: 20000, Ports: 121, PortLimit: 28232, GCPauseP99: 120 * time.Microsecond, GCShare: 0.002, SchedP99: 60 * time.Microsecond},
		Log:   []string{"started 2 shards", "resolved shop.staging.internal to 10.0.0.12"},
	}}
}

// states are the Views of the golden frames.
func states() map[string]*conductor.View {
	at := func(seconds int) *feed {
		f := newFeed()
		for range seconds {
			f.second()
		}
		return f
	}
	out := map[string]*conductor.View{
		"starting": at(0).snapshot(0),
		"running":  at(40).snapshot(40300 * time.Millisecond),
		"bent":     at(64).snapshot(64200 * time.Millisecond),
		"empty":    {Snapshot: &metrics.Snapshot{}, State: conductor.Running, Begun: true, Stage: 3},
	}
	broken := at(75).snapshot(75 * time.Second)
	broken.State, broken.Factor = conductor.Held, 1.21
	broken.Snapshot.Verdict = metrics.Verdict{Health: metrics.Saturated, Reasons: []string{"arrivals begin 41 ms after they are due (p99): one shard is at 99 % of its core."}}
	broken.Snapshot.Sources[0].Verdict = broken.Snapshot.Verdict
	broken.Snapshot.Sources = append(broken.Snapshot.Sources, metrics.SourceView{Name: "ada", Kind: "ssh", Label: "eu", State: "lost", Share: 0.5, LostAt: 70 * time.Second, Reason: "ssh exited 255: connection reset", RTT: 23 * time.Millisecond, ClockBound: 2 * time.Millisecond})
	broken.Snapshot.Window.Response.AtLeast, broken.Snapshot.Window.Response.AtLeastFrom = true, broken.Snapshot.Window.Response.P95
	for i := 50; i < 56; i++ {
		broken.Snapshot.Series.Points[i] = metrics.Point{Gap: true, P50: math.NaN(), P90: math.NaN(), P99: math.NaN(), P999: math.NaN(), Stage: 1}
	}
	out["broken"] = broken
	ended := at(280).snapshot(280 * time.Second)
	ended.State, ended.Ended, ended.EndedAgo, ended.Stage = conductor.Ended, "finished", 12*time.Second, -1
	out["ended"] = ended
	return out
}
