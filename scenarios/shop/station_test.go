package shop

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// served is what a run of a station did with one request.
type served struct {
	arrival, start, departure time.Duration
	refused                   bool
}

// drive sends requests with the service times of the Config's own stream through a station.
func drive(c Config, arrivals func(i int) time.Duration, n int) []served {
	st := newStation(c)
	out := make([]served, n)
	number := uint64(0)
	for i := range out {
		at := arrivals(i)
		out[i] = served{arrival: at, refused: !st.hasRoom(at)}
		if !out[i].refused {
			out[i].start, out[i].departure = st.enter(at, c.Service.Quantile(uniform(c.Seed, drawService, number)))
			number++
		}
	}
	return out
}

// poisson yields arrivals at a rate per second. Call it with 0, 1, 2 ...
func poisson(rate float64, seed uint64) func(int) time.Duration {
	rng := rand.New(rand.NewPCG(seed, 1))
	at := 0.0
	return func(int) time.Duration {
		at += rng.ExpFloat64() / rate
		return time.Duration(at * 1e9)
	}
}

// even yields arrivals at a rate per second, the first after one spacing.
func even(rate float64) func(int) time.Duration {
	return func(i int) time.Duration { return time.Duration(float64(i+1) / rate * 1e9) }
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > tolerance*math.Abs(want) {
		t.Errorf("%s: got %.6g, want %.6g within %.1f %%", what, got, want, 100*tolerance)
	}
}

func meanOf(run []served, of func(served) time.Duration) float64 {
	sum, n := 0.0, 0
	for _, v := range run {
		if !v.refused {
			sum += of(v).Seconds()
			n++
		}
	}
	return sum / float64(n)
}

// quantile is the value at rank ceil(q n), in seconds.
func quantile(run []served, q float64, of func(served) time.Duration) float64 {
	var all []time.Duration
	for _, v := range run {
		if !v.refused {
			all = append(all, of(v))
		}
	}
	slices.Sort(all)
	return all[max(0, int(math.Ceil(q*float64(len(all))))-1)].Seconds()
}

func response(v served) time.Duration { return v.departure - v.arrival }
func waiting(v served) time.Duration  { return v.start - v.arrival }

// erlangB is the blocking probability of M/G/c/c with offered load a = rate x mean service, by the usual recursion.
func erlangB(c int, a float64) float64 {
	b := 1.0
	for k := 1; k <= c; k++ {
		b = a * b / (float64(k) + a*b)
	}
	return b
}

// erlangC is the probability of waiting in M/M/c.
func erlangC(c int, a float64) float64 {
	b := erlangB(c, a)
	rho := a / float64(c)
	return b / (1 - rho*(1-b))
}

const ms = time.Millisecond

func TestStationAgreesWithQueueingTheory(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and on one goroutine")
	}
	const n = 1_000_000
	for _, tc := range []struct {
		name      string
		servers   int
		rho       float64
		tolerance float64 // of the waiting time: twice what the mean of a run this long varies by from seed to seed
	}{{"M/M/1 at 0.5", 1, 0.5, 0.02}, {"M/M/1 at 0.8", 1, 0.8, 0.03}, {"M/M/4 at 0.8", 4, 0.8, 0.05}, {"M/M/16 at 0.9", 16, 0.9, 0.09}} {
		t.Run(tc.name, func(t *testing.T) {
			c := Config{Service: Distribution{Kind: Exponential, A: 10 * ms}, Servers: tc.servers, Queue: maxQueue, Seed: 7}
			rate := tc.rho * c.Capacity()
			run := drive(c, poisson(rate, 11), n)
			p := erlangC(tc.servers, rate*0.010)
			decay := c.Capacity() - rate // of the waiting time of those who wait, per second
			near(t, "mean waiting time", meanOf(run, waiting), p/decay, tc.tolerance)
			near(t, "mean response time", meanOf(run, response), p/decay+0.010, 0.02)
			near(t, "p95 of the waiting time", quantile(run, 0.95, waiting), math.Log(p/0.05)/decay, tc.tolerance)
			if tc.servers == 1 {
				near(t, "p50 of the response time", quantile(run, 0.50, response), math.Ln2/decay, 0.03)
				near(t, "p99 of the response time", quantile(run, 0.99, response), math.Log(100)/decay, 0.04)
			}
		})
	}
}

// The mean waiting time of M/G/1 depends on the first two moments alone: W = rate E[S^2] / (2 (1 - rho)) (Pollaczek,
// Khinchine).
func TestStationWaitsByTheSecondMoment(t *testing.T) {
	for _, tc := range []struct {
		service Distribution
		second  float64 // E[S^2] in s^2
	}{
		{Distribution{Kind: Constant, A: 10 * ms}, 1e-4},
		{Distribution{Kind: LogNormal, A: 10 * ms, B: 10 * ms}, 2e-4},
		{Distribution{Kind: Uniform, A: 0, B: 20 * ms}, 4e-4 / 3},
	} {
		c := Config{Service: tc.service, Queue: maxQueue, Seed: 3}
		const rate = 70.0
		run := drive(c, poisson(rate, 5), 1_000_000)
		near(t, "mean waiting time with "+tc.service.String(), meanOf(run, waiting), rate*tc.second/(2*(1-0.7)), 0.03)
	}
}

func TestStationRefusesAsErlangSays(t *testing.T) {
	lost := func(run []served) float64 {
		n := 0
		for _, v := range run {
			if v.refused {
				n++
			}
		}
		return float64(n) / float64(len(run))
	}
	// Without a waiting room the loss does not depend on the shape of the service time.
	for _, kind := range []Distribution{{Exponential, 10 * ms, 0}, {LogNormal, 10 * ms, 20 * ms}, {Constant, 10 * ms, 0}} {
		c := Config{Service: kind, Servers: 5, Seed: 2}
		run := drive(c, poisson(400, 3), 500_000)
		near(t, "loss of M/G/5/5 with "+kind.String(), lost(run), erlangB(5, 4), 0.02)
	}
	// M/M/1/K with K places in all: (1 - rho) rho^K / (1 - rho^(K+1)).
	for _, rho := range []float64{0.8, 1.5} {
		const places = 6
		c := Config{Service: Distribution{Kind: Exponential, A: 10 * ms}, Queue: places - 1, Seed: 2}
		run := drive(c, poisson(rho*100, 3), 500_000)
		want := (1 - rho) * math.Pow(rho, places) / (1 - math.Pow(rho, places+1))
		near(t, "loss of M/M/1/6", lost(run), want, 0.03)
	}
	// M/M/c/K: with c servers and r waiting places the blocked state follows from Erlang's loss B at c.
	const servers, room, load = 3, 4, 3.6
	c := Config{Service: Distribution{Kind: Exponential, A: 10 * ms}, Servers: servers, Queue: room, Seed: 2}
	run := drive(c, poisson(load*100, 3), 500_000)
	rho, b := load/servers, erlangB(servers, load)
	sum := 0.0
	for k := 1; k <= room; k++ {
		sum += math.Pow(rho, float64(k))
	}
	near(t, "loss of M/M/3/7", lost(run), b*math.Pow(rho, room)/(1+b*sum), 0.03)
}

// Twice the capacity is offered: what departs a second is the capacity, for every shape and number of servers.
func TestStationCapacityIsServersByMeanService(t *testing.T) {
	for _, service := range []string{"20ms", "exponential(20ms)", "lognormal(20ms, 10ms)", "uniform(10ms, 30ms)", "normal(20ms, 20ms)"} {
		for _, servers := range []int{1, 4, 32} {
			d, err := ParseDistribution(service)
			if err != nil {
				t.Fatal(err)
			}
			c := Config{Service: d, Servers: servers, Queue: 100, Seed: 9}
			run := drive(c, poisson(2*c.Capacity(), 4), 100_000)
			last, n := time.Duration(0), 0
			for _, v := range run {
				if !v.refused {
					n++
					last = max(last, v.departure)
				}
			}
			near(t, "capacity with "+service, float64(n)/last.Seconds(), c.Capacity(), 0.02)
		}
	}
}

// The table with known answers of a test for coordinated omission: even arrivals, one stall, exact percentiles.
func TestStallHasTheKnownAnswer(t *testing.T) {
	for _, tc := range []struct {
		name          string
		rate          float64
		seconds       int
		service       time.Duration
		servers       int
		stall         Stall
		p50, p95, p99 float64
		max, mean     float64
	}{
		{"released at once, short run", 200, 20, 2 * ms, 5000, Stall{5 * time.Second, 5 * time.Second}, .002, 4.002, 4.802, 5.002, .627},
		{"released at once, long run", 200, 60, 2 * ms, 5000, Stall{20 * time.Second, 5 * time.Second}, .002, 2.002, 4.402, 5.002, .210},
		{"backlog of one server", 200, 60, 4 * ms, 1, Stall{20 * time.Second, 5 * time.Second}, .004, 4.404, 4.884, 5.004, 1.046},
		{"released at once, fast", 1000, 30, 1 * ms, 9000, Stall{10 * time.Second, 2 * time.Second}, .001, .501, 1.701, 2.001, .068},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Config{Service: Distribution{A: tc.service}, Servers: tc.servers, Queue: maxQueue, Stalls: []Stall{tc.stall}}
			run := drive(c, even(tc.rate), int(tc.rate)*tc.seconds)
			for _, v := range run {
				if v.departure >= tc.stall.At && v.departure < tc.stall.At+tc.stall.For {
					t.Fatalf("a departure at %v lies in the stall %v", v.departure, tc.stall)
				}
			}
			// The first arrival inside the stall comes up to one spacing after its beginning.
			near(t, "p50", quantile(run, .50, response), tc.p50, 0.01)
			near(t, "p95", quantile(run, .95, response), tc.p95, 0.01)
			near(t, "p99", quantile(run, .99, response), tc.p99, 0.01)
			near(t, "max", quantile(run, 1, response), tc.max, 0.01)
			near(t, "mean", meanOf(run, response), tc.mean, 0.01)
		})
	}
}

// reference runs the same queue in another way: event by event, with remaining work that shrinks while the servers run.
func reference(c Config, arrivals, services []time.Duration) []served {
	type job struct {
		index int
		left  time.Duration
	}
	out := make([]served, len(arrivals))
	serving := make([]*job, c.servers())
	var queue []*job
	now, next, admitted := time.Duration(0), 0, 0
	stalled := func() bool {
		for _, s := range c.Stalls {
			if now >= s.At && now < s.At+s.For {
				return true
			}
		}
		return false
	}
	place := func(j *job) bool {
		for i := range serving {
			if serving[i] == nil {
				serving[i] = j
				out[j.index].start = now
				return true
			}
		}
		return false
	}
	for {
		event := time.Duration(math.MaxInt64)
		if next < len(arrivals) {
			event = arrivals[next]
		}
		busy := false
		for _, j := range serving {
			if j != nil {
				busy = true
				if !stalled() {
					event = min(event, now+j.left)
				}
			}
		}
		if next == len(arrivals) && !busy {
			return out
		}
		for _, s := range c.Stalls {
			for _, edge := range []time.Duration{s.At, s.At + s.For} {
				if edge > now {
					event = min(event, edge)
				}
			}
		}
		if !stalled() {
			for _, j := range serving {
				if j != nil {
					j.left -= event - now
				}
			}
		}
		now = event
		if !stalled() {
			for i, j := range serving {
				if j != nil && j.left == 0 {
					out[j.index].departure = now
					serving[i] = nil
				}
			}
			for len(queue) > 0 && place(queue[0]) {
				queue = queue[1:]
			}
		}
		for next < len(arrivals) && arrivals[next] == now {
			out[next].arrival = now
			j := &job{index: next, left: services[min(admitted, len(services)-1)]}
			switch {
			case place(j):
				admitted++
			case len(queue) < c.Queue:
				queue = append(queue, j)
				admitted++
			default:
				out[next].refused = true
			}
			next++
		}
	}
}

func TestStationEqualsAnEventByEventSimulation(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		c := Config{Servers: 1 + rng.IntN(5), Queue: rng.IntN(8)}
		at := time.Duration(0)
		for range rng.IntN(4) {
			at += time.Duration(1 + rng.Int64N(2e9))
			s := Stall{At: at, For: time.Duration(1 + rng.Int64N(1e9))}
			c.Stalls = append(c.Stalls, s)
			at += s.For
		}
		arrivals := make([]time.Duration, 200)
		services := make([]time.Duration, len(arrivals))
		at = 0
		for i := range arrivals {
			at += time.Duration(1 + rng.Int64N(4e7))
			arrivals[i] = at
			services[i] = time.Duration(1 + rng.Int64N(8e7))
		}
		want := reference(c, arrivals, services)
		st := newStation(c)
		admitted := 0
		for i, at := range arrivals {
			if ok := st.hasRoom(at); ok == want[i].refused {
				t.Fatalf("round %d, request %d: let in %v, the simulation refused %v", round, i, ok, want[i].refused)
			} else if !ok {
				continue
			}
			start, departure := st.enter(at, services[admitted])
			admitted++
			if wantStart := resumed(c, want[i].start); start != wantStart || departure != want[i].departure {
				t.Fatalf("round %d, request %d at %v: start %v departure %v, the simulation has %v and %v", round, i, at, start, departure, wantStart, want[i].departure)
			}
		}
	}
}

// resumed is the end of the stall that a time lies in, else the time: a service that is taken up by a standing server
// begins when it goes on.
func resumed(c Config, at time.Duration) time.Duration {
	for _, s := range c.Stalls {
		if at >= s.At && at < s.At+s.For {
			return s.At + s.For
		}
	}
	return at
}

func TestStationCensus(t *testing.T) {
	st := newStation(Config{Servers: 2, Queue: 3})
	for i := range 5 {
		if !st.hasRoom(0) {
			t.Fatalf("request %d was refused", i)
		}
		st.enter(0, 10*ms)
	}
	if st.hasRoom(0) {
		t.Error("a sixth request was let in: two are served and three may wait")
	}
	for _, tc := range []struct {
		at               time.Duration
		serving, waiting int
	}{{0, 2, 3}, {10*ms - 1, 2, 3}, {10 * ms, 2, 1}, {20 * ms, 1, 0}, {30 * ms, 0, 0}} {
		if serving, waiting := st.census(tc.at); serving != tc.serving || waiting != tc.waiting {
			t.Errorf("at %v: %d served and %d waiting, want %d and %d", tc.at, serving, waiting, tc.serving, tc.waiting)
		}
	}
}

func TestSameSeedSameRun(t *testing.T) {
	c := Config{Service: Distribution{Kind: LogNormal, A: 20 * ms, B: 10 * ms}, Servers: 3, Queue: 10, Seed: 42}
	one, two := drive(c, poisson(200, 1), 10_000), drive(c, poisson(200, 1), 10_000)
	if !slices.Equal(one, two) {
		t.Error("two runs with the same seed differ")
	}
	c.Seed++
	if slices.Equal(one, drive(c, poisson(200, 1), 10_000)) {
		t.Error("another seed changed nothing")
	}
}

func BenchmarkStation(b *testing.B) {
	c := Demo()
	st := newStation(c)
	at, n := time.Duration(0), uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		at += 2 * ms
		if st.hasRoom(at) {
			st.enter(at, c.Service.Quantile(uniform(c.Seed, drawService, n)))
			n++
		}
	}
}
