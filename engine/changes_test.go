package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lt/engine/load"
	"lt/engine/metrics"
)

// hear enters a change into the log at a run time and tells the engine.
func hear(t *testing.T, e *Engine, log *load.Log, at time.Duration, c load.Change) {
	t.Helper()
	time.AfterFunc(at, func() {
		if err := log.Append(c); err != nil {
			t.Error(err)
		}
		e.Refresh()
	})
}

// follow enters changes into the log a moment before each takes effect, as a run does.
func follow(t *testing.T, e *Engine, log *load.Log, changes []load.Change) {
	t.Helper()
	for _, c := range changes {
		hear(t, e, log, c.At-20*time.Millisecond, c)
	}
}

// under runs a spec in virtual time with what happens meanwhile.
func under(t *testing.T, spec load.Spec, tg *target, meanwhile func(e *Engine, log *load.Log), options ...option) *outcome {
	t.Helper()
	var o outcome
	synctest.Test(t, func(t *testing.T) {
		f := get(spec)
		log := load.NewLog(&f.Load)
		e := prepare(t, f, log, &o, append([]option{over(tg)}, options...)...)
		meanwhile(e, log)
		if err := e.Run(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		tg.wait.Wait()
	})
	sums(t, &o)
	return &o
}

// perSecond counts what a target saw in each second.
func perSecond(tg *target) []int {
	var out []int
	for _, at := range tg.seen {
		for len(out) <= int(at/time.Second) {
			out = append(out, 0)
		}
		out[at/time.Second]++
	}
	return out
}

// Each kind of change acts from its second on, however many shards follow the log, and no arrival is lost or made twice.
func TestLiveChanges(t *testing.T) {
	at := func(s int) time.Duration { return time.Duration(s) * time.Second }
	for _, tc := range []struct {
		name    string
		stages  []load.Stage
		changes []load.Change
		rates   []int
		tags    map[int16]int
	}{
		{"hold", []load.Stage{{For: at(2), At: 100}, {For: at(2), At: 40}}, []load.Change{{At: at(1), Kind: load.Hold}, {At: at(4), Kind: load.Resume}}, []int{100, 100, 100, 100, 100, 40, 40}, map[int16]int{0: 500, 1: 80}},
		{"next", []load.Stage{{For: at(3), At: 100}, {For: at(2), At: 40}}, []load.Change{{At: at(1), Kind: load.Next}}, []int{100, 40, 40}, map[int16]int{0: 100, 1: 80}},
		{"factor", []load.Stage{{For: at(4), At: 100}}, []load.Change{{At: at(1), Kind: load.Factor, Factor: 2}, {At: at(2), Kind: load.Factor, Factor: 0.5}}, []int{100, 200, 50, 50}, map[int16]int{0: 400}},
		{"pause", []load.Stage{{For: at(3), At: 100}}, []load.Change{{At: at(1), Kind: load.Pause}, {At: at(3), Kind: load.Unpause}}, []int{100, 0, 0, 100, 100}, map[int16]int{0: 300}},
		{"stop", []load.Stage{{For: at(10), At: 100}}, []load.Change{{At: at(2), Kind: load.Stop}}, []int{100, 100}, map[int16]int{0: 200}},
	} {
		for _, shards := range []int{1, 3} {
			t.Run(tc.name, func(t *testing.T) {
				tg := &target{release: after(5 * time.Millisecond)}
				spec := even(1, 1)
				spec.Profile.Stages = tc.stages
				o := under(t, spec, tg, func(e *Engine, log *load.Log) { follow(t, e, log, tc.changes) }, func(c *Config) { c.Shards = shards })
				if got := perSecond(tg); !slices.Equal(got, tc.rates) {
					t.Errorf("requests by second %v, want %v", got, tc.rates)
				}
				tags := map[int16]int{}
				for _, iv := range o.intervals {
					for i := range iv.Records {
						tags[iv.Records[i].Stage] += int(iv.Records[i].Requests)
					}
				}
				for stage, want := range tc.tags {
					if tags[stage] != want {
						t.Errorf("%d requests of stage %d, want %d", tags[stage], stage, want)
					}
				}
				if len(tags) != len(tc.tags) {
					t.Errorf("stages %v, want %v", tags, tc.tags)
				}
			})
		}
	}
}

// What a change calls for of which the source hears late is dropped up to that time, and not fired off in a burst; a little is
// made good; and a source that goes down late begins nothing until the plan has come up with it.
func TestChangesThatAreHeardOfLate(t *testing.T) {
	ms := time.Millisecond
	for _, tc := range []struct {
		name    string
		change  load.Change
		heard   time.Duration
		rates   []int
		dropped uint64
	}{
		{"raised", load.Change{At: 3005 * ms, Kind: load.Factor, Factor: 2}, 6007 * ms, []int{100, 100, 100, 100, 100, 100, 200, 200}, 300},
		{"raised, heard of at once", load.Change{At: 3005 * ms, Kind: load.Factor, Factor: 2}, 3047 * ms, []int{100, 100, 100, 200, 200, 200, 200, 200}, 0},
		{"lowered", load.Change{At: 3005 * ms, Kind: load.Factor, Factor: 0.5}, 5007 * ms, []int{100, 100, 100, 100, 100, 0, 0, 50}, 0},
	} {
		for _, shards := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/%d", tc.name, shards), func(t *testing.T) {
				tg := &target{release: after(ms)}
				o := under(t, even(100, 8*time.Second), tg, func(e *Engine, log *load.Log) { hear(t, e, log, tc.heard, tc.change) }, func(c *Config) { c.Shards = shards })
				got := perSecond(tg)
				for i, want := range tc.rates {
					if math.Abs(float64(got[i]-want)) > 2 {
						t.Errorf("requests by second %v, want %v", got, tc.rates)
						break
					}
				}
				if o.dropped != tc.dropped || o.stalled != tc.dropped {
					t.Errorf("%d dropped, %d of them by the stall, want %d", o.dropped, o.stalled, tc.dropped)
				}
			})
		}
	}
}

// Of two sources one is out of reach while the load is raised and paused and goes on: no second has more than the plan, and what is
// missing from it was dropped.
func TestASourceOutOfReachWhileTheLoadIsRaised(t *testing.T) {
	for _, arrivals := range []load.Arrivals{load.Even, load.Poisson} {
		at := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
		spec := even(400, 20*time.Second)
		spec.Arrivals = arrivals
		f := get(spec)
		changes := []load.Change{
			reshare(0, 1, 0, 0, 1), {At: at(3), Kind: load.Factor, Factor: 1.5}, {At: at(9), Kind: load.Pause}, {At: at(10), Kind: load.Unpause}, {At: at(11), Kind: load.Factor, Factor: 3},
		}
		heard := map[int][]float64{0: {0, 2.9, 8.9, 9.9, 10.9}, 1: {0, 8.3, 8.9, 15.7, 15.8}}
		tg := &target{release: after(time.Millisecond)}
		var outcomes [2]outcome
		var plan *load.Timeline
		synctest.Test(t, func(t *testing.T) {
			var wait sync.WaitGroup
			start := time.Now()
			for source := range outcomes {
				log := load.NewLog(&f.Load)
				e := prepare(t, f, log, &outcomes[source], over(tg), func(c *Config) { c.Source, c.Shards = source, 2 })
				for i, c := range changes {
					if heard := heard[source][i]; heard == 0 {
						enter(t, log, c)
					} else {
						hear(t, e, log, at(heard), c)
					}
				}
				wait.Go(func() {
					if err := e.Run(t.Context(), start); err != nil {
						t.Error(err)
					}
				})
				defer func() { plan = log.Timeline() }()
			}
			wait.Wait()
			tg.wait.Wait()
		})
		for second, n := range perSecond(tg) {
			from, to := at(float64(second)), at(float64(second+1))
			if most := 1.05 * float64(plan.FirstAfter(to)-plan.FirstAfter(from)); float64(n) > most {
				t.Errorf("%v: in second %d there were %d requests, want at most %.0f", arrivals, second, n, most)
			}
		}
		a, b := &outcomes[0], &outcomes[1]
		if want := uint64(plan.FirstAfter(plan.End())); a.scheduled+b.scheduled != want || a.dropped > 0 || b.dropped != b.stalled || b.dropped == 0 {
			t.Errorf("%v: %d and %d arrivals of %d, %d and %d dropped, %d by the stall", arrivals, a.scheduled, b.scheduled, want, a.dropped, b.dropped, b.stalled)
		}
	}
}

// A shard that did not run for a moment has not heard late of a change that the source heard of in time.
func TestAShardThatFindsAChangeLateMakesItGood(t *testing.T) {
	tg := &target{release: after(time.Millisecond)}
	o := under(t, even(100, 4*time.Second), tg, func(e *Engine, log *load.Log) {
		follow(t, e, log, []load.Change{{At: 2 * time.Second, Kind: load.Factor, Factor: 2}})
		time.AfterFunc(1950*time.Millisecond, func() {
			(*e.shards.Load())[0].loop.Post(func() { time.Sleep(500 * time.Millisecond) })
		})
	})
	if got, want := perSecond(tg), []int{100, 100, 200, 200}; o.dropped > 0 || got[0] != want[0] || got[2]+got[1] != want[2]+want[1] || got[3] != want[3] {
		t.Errorf("%d dropped, requests by second %v, want %v", o.dropped, got, want)
	}
}

// sums holds the intervals against each other: numbered without gaps, one second each, and their parts the whole.
func sums(t *testing.T, o *outcome) {
	t.Helper()
	for i, iv := range o.intervals {
		last := i == len(o.intervals)-1
		if iv.Seq != uint64(i) || iv.From != time.Duration(i)*time.Second || iv.Final != last || !last && iv.Length != time.Second {
			t.Errorf("interval %d has number %d, begins at %v and is %v long (final %t)", i, iv.Seq, iv.From, iv.Length, iv.Final)
		}
	}
	last := o.intervals[len(o.intervals)-1]
	if last.InFlight != 0 || last.Queued != 0 || last.Users != 0 || last.Connections != 0 {
		t.Errorf("at the end %d are in flight, %d queued, %d users, %d connections", last.InFlight, last.Queued, last.Users, last.Connections)
	}
	if o.scheduled != o.started+o.dropped {
		t.Errorf("%d arrivals, %d begun and %d dropped", o.scheduled, o.started, o.dropped)
	}
	if o.started != o.iterations+o.unfinished {
		t.Errorf("%d begun, %d ended and %d unfinished", o.started, o.iterations, o.unfinished)
	}
}

// A run bounded by iterations goes on after a pause.
func TestPauseDoesNotEndABoundedRun(t *testing.T) {
	tg := &target{release: after(time.Millisecond)}
	spec := even(100, time.Minute)
	spec.Iterations = 250
	o := under(t, spec, tg, func(e *Engine, log *load.Log) {
		follow(t, e, log, []load.Change{{At: time.Second, Kind: load.Pause}, {At: 3 * time.Second, Kind: load.Unpause}})
	})
	if got, want := perSecond(tg), []int{100, 0, 0, 100, 50}; !slices.Equal(got, want) {
		t.Errorf("requests by second %v, want %v", got, want)
	}
	if n := len(o.intervals); n != 5 {
		t.Errorf("the run took %d seconds, want it to end with its last iteration", n)
	}
}

// What is intended in a pause, such as the step behind a think time, has no stage.
func TestStepsInAPauseHaveNoStage(t *testing.T) {
	var o outcome
	synctest.Test(t, func(t *testing.T) {
		tg := &target{release: after(time.Millisecond)}
		f := get(even(10, 2*time.Second), "/a", "/b")
		f.Scenarios[0].Steps[0].Think = constant(time.Second)
		log := load.NewLog(&f.Load)
		e := prepare(t, f, log, &o, over(tg))
		follow(t, e, log, []load.Change{{At: time.Second, Kind: load.Pause}, {At: 5 * time.Second, Kind: load.Unpause}})
		if err := e.Run(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		tg.wait.Wait()
	})
	tags := map[int16]uint64{}
	for _, iv := range o.intervals {
		for i := range iv.Records {
			tags[iv.Records[i].Stage] += iv.Records[i].Requests
		}
	}
	if tags[metrics.NoStage] != 10 || tags[0] != 30 {
		t.Errorf("requests by stage %v, want the 10 second steps without one", tags)
	}
}

// Once the lease is over nothing begins, in either model; what was in hand goes on to its end.
func TestNothingBeginsAfterTheLease(t *testing.T) {
	for _, spec := range []load.Spec{even(100, 4*time.Second), closed(5, 4*time.Second)} {
		tg := &target{release: after(100 * time.Millisecond)}
		lease := &load.Lease{}
		lease.Extend(2 * time.Second)
		o := &outcome{}
		synctest.Test(t, func(t *testing.T) {
			e := prepare(t, get(spec), nil, o, over(tg), func(c *Config) { c.Lease = lease })
			// Of the open model's arrivals after the lease nobody knows whose they are, also when the load would be over.
			if err := e.Run(t.Context(), time.Now()); (spec.Model == load.Open) != errors.Is(err, ErrLapsed) {
				t.Errorf("%v: the run ended with %v", spec.Model, err)
			}
			tg.wait.Wait()
		})
		for _, at := range tg.seen {
			if at > 2*time.Second+time.Millisecond {
				t.Fatalf("%v: a request at %v, after the lease", spec.Model, at)
			}
		}
		if o.requests != uint64(len(tg.seen)) || o.iterations != o.started {
			t.Errorf("%v: %d requests answered of %d, %d of %d iterations", spec.Model, o.requests, len(tg.seen), o.iterations, o.started)
		}
		if spec.Model == load.Open && (o.dropped != 0 || o.scheduled != 200) {
			t.Errorf("%d of %d arrivals dropped, want none of 200: those after the lease are not this source's to drop", o.dropped, o.scheduled)
		}
		sums(t, o)
	}
}

// After the end what is in hand has the grace to finish; then it is cut and counted.
func TestGraceful(t *testing.T) {
	tg := &target{release: func(at time.Duration) time.Duration {
		if at < time.Second {
			return at + 2*time.Second
		}
		return at + time.Hour
	}}
	spec := even(10, 2*time.Second)
	spec.Graceful = 3 * time.Second
	f := get(spec)
	f.Scenarios[0].Steps[0].HTTP.Timeout = 24 * time.Hour
	var o outcome
	synctest.Test(t, func(t *testing.T) {
		e := prepare(t, f, nil, &o, over(tg))
		began := time.Now()
		if err := e.Run(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 5*time.Second || took > 5*time.Second+2*time.Millisecond {
			t.Errorf("the run took %v, want 5 s", took)
		}
		tg.wait.Wait()
	})
	if o.unfinished != 10 || o.iterations != 10 || o.requests != 10 {
		t.Errorf("%d unfinished, %d iterations, %d requests; want 10 of each", o.unfinished, o.iterations, o.requests)
	}
	sums(t, &o)
}

// Cut, and the end of the context, end a run at once.
func TestCut(t *testing.T) {
	for _, byContext := range []bool{false, true} {
		for _, spec := range []load.Spec{even(100, time.Minute), closed(10, time.Minute)} {
			tg := &target{release: after(500 * time.Millisecond)}
			if spec.Model == load.Open {
				spec.MaxInFlight = 20
			}
			var o outcome
			synctest.Test(t, func(t *testing.T) {
				e := prepare(t, get(spec), nil, &o, over(tg), func(c *Config) { c.Shards = 2 })
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				stop := e.Cut
				if byContext {
					stop = cancel
				}
				began := time.Now()
				time.AfterFunc(1750*time.Millisecond, stop)
				if err := e.Run(ctx, time.Now()); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > 1800*time.Millisecond {
					t.Errorf("the run went on until %v", took)
				}
				tg.wait.Wait()
			})
			if o.unfinished != uint64(min(20, 10*(1+int(1-spec.Model)))) {
				t.Errorf("%v: %d unfinished", spec.Model, o.unfinished)
			}
			sums(t, &o)
		}
	}
}

// A Cut that comes before Run is not forgotten.
func TestCutBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := &target{release: after(time.Millisecond)}
		var o outcome
		e := prepare(t, get(even(100, time.Hour)), nil, &o, over(tg))
		e.Cut()
		e.Refresh()
		if err := e.Run(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		tg.wait.Wait()
		if len(o.intervals) != 1 || o.requests > 0 {
			t.Errorf("%d intervals, %d requests", len(o.intervals), o.requests)
		}
		if err := e.Run(t.Context(), time.Now()); err == nil {
			t.Error("an engine ran twice")
		}
	})
}

// With drop_after 0 an arrival that finds no slot is given up at once.
func TestDropAtOnce(t *testing.T) {
	tg := &target{release: after(95 * time.Millisecond)}
	spec := even(100, 2*time.Second)
	spec.MaxInFlight, spec.DropAfter = 5, 0
	o := virtual(t, get(spec), tg)
	// Of ten arrivals, 10 ms apart, the first five take the slots, and the first of them is free again for the eleventh.
	if o.dropped != 100 || o.requests+o.dropped != 200 || o.waiting.Max() > 0 {
		t.Errorf("%d requests, %d dropped, longest wait %v", o.requests, o.dropped, o.waiting.Max())
	}
	if o.stalled != 0 {
		t.Errorf("%d of the dropped are said to be stalled", o.stalled)
	}
	sums(t, o)
}

// Waiting for a slot is late but no lag; our own delay is lag. Together they are the time from due to begun.
func TestLateLagAndQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := &target{release: after(30 * time.Millisecond)}
		spec := even(100, time.Second) // one every 10 ms, due at 5, 15, ...
		spec.MaxInFlight = 1
		var o outcome
		e := prepare(t, get(spec), nil, &o, over(tg))
		if err := e.Run(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		tg.wait.Wait()
		// Arrival i is due at 5+10i and begins at 5+30i: queued 20i, up to 1980 ms.
		within(t, "the longest wait", o.waiting.Max(), 1980*time.Millisecond, 0.001)
		within(t, "the mean wait", o.waiting.Mean(), 990*time.Millisecond, 0.001)
		if o.lag.Max() > time.Microsecond || o.late != 99 {
			t.Errorf("lag up to %v, %d late; want none and 99", o.lag.Max(), o.late)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		tg := &target{release: after(time.Millisecond)}
		var o outcome
		e := prepare(t, get(even(100, time.Second)), nil, &o, over(tg))
		time.AfterFunc(500*time.Millisecond, func() {
			(*e.shards.Load())[0].loop.Post(func() { time.Sleep(205 * time.Millisecond) })
		})
		if err := e.Run(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		tg.wait.Wait()
		within(t, "the longest lag", o.lag.Max(), 200*time.Millisecond, 0.01)
		if o.waiting.Max() > 0 || o.late != 19 || o.dropped > 0 {
			t.Errorf("queued up to %v, %d late, %d dropped; want none, 19, none", o.waiting.Max(), o.late, o.dropped)
		}
	})
}
