package engine

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lt/engine/load"
)

// two runs a file as two sources that share the load 2:1, and returns what both measured together.
func two(t *testing.T, spec load.Spec, tg *target) *outcome {
	log := load.NewLog(&spec)
	if err := log.Append(load.Change{Kind: load.Reshare, Epoch: &load.Epoch{ID: 1, Table: load.Table([]int{2, 1})}}); err != nil {
		t.Fatal(err)
	}
	var (
		wait sync.WaitGroup
		mu   sync.Mutex
		all  outcome
	)
	for source := range 2 {
		wait.Go(func() {
			o := play(t, get(spec), log, over(tg), func(c *Config) { c.Source, c.Shards = source, 2 })
			mu.Lock()
			defer mu.Unlock()
			for _, iv := range o.intervals {
				all.take(iv)
			}
		})
	}
	wait.Wait()
	return &all
}

// Two sources with two shards each must make the very load that one shard makes alone: the same arrivals at the same times,
// and merged histograms with the same counts.
func TestTwoSourcesEqualOne(t *testing.T) {
	for _, arrivals := range []load.Arrivals{load.Even, load.Poisson} {
		t.Run(arrivals.String(), func(t *testing.T) {
			spec := load.Spec{
				Arrivals: arrivals, Seed: 42, DropAfter: time.Hour, Graceful: time.Minute,
				Profile: load.Profile{Stages: []load.Stage{
					{Name: "ramp", For: 4 * time.Second, At: 300, Ramp: true}, {Name: "hold", For: 3 * time.Second, At: 300},
				}},
			}
			delays := rand.New(rand.NewPCG(1, 2)).Perm(50)
			release := func(at time.Duration) time.Duration {
				return at + time.Duration(1+delays[int(at/time.Microsecond)%len(delays)])*time.Millisecond
			}
			var alone, both *outcome
			var seenAlone, seenBoth []time.Duration
			synctest.Test(t, func(t *testing.T) {
				tg := &target{release: release}
				alone = play(t, get(spec), nil, over(tg))
				tg.wait.Wait()
				seenAlone = tg.seen
			})
			synctest.Test(t, func(t *testing.T) {
				tg := &target{release: release}
				both = two(t, spec, tg)
				tg.wait.Wait()
				seenBoth = tg.seen
			})
			slices.Sort(seenAlone)
			slices.Sort(seenBoth)
			if !slices.Equal(seenAlone, seenBoth) {
				t.Fatalf("the target saw other requests: %d from one source, %d from two", len(seenAlone), len(seenBoth))
			}
			if alone.requests != both.requests || alone.scheduled != both.scheduled || alone.iterations != both.iterations {
				t.Errorf("one source: %d scheduled, %d requests; two: %d, %d", alone.scheduled, alone.requests, both.scheduled, both.requests)
			}
			for q := 0.0; q <= 1; q += 0.001 {
				if a, b := alone.response.Quantile(q), both.response.Quantile(q); a != b {
					t.Fatalf("response p%.1f is %v from one source and %v from two", q*100, a, b)
				}
			}
			if alone.response.Mean() != both.response.Mean() {
				t.Errorf("mean %v from one source, %v from two", alone.response.Mean(), both.response.Mean())
			}
		})
	}
}

// If the loop does not run for five seconds, what came due meanwhile is dropped as stalled and not fired off in a burst; all
// of it is counted, each in the second in which it was due.
func TestLoopThatDidNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := &target{release: after(time.Millisecond)}
		f := get(even(100, 12*time.Second))
		var o outcome
		e := prepare(t, f, nil, &o, over(tg))
		time.AfterFunc(3*time.Second+5*time.Millisecond, func() {
			(*e.shards.Load())[0].loop.Post(func() { time.Sleep(5 * time.Second) })
		})
		if err := e.Run(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		tg.wait.Wait()
		if o.scheduled != 1200 || o.requests+o.dropped != 1200 || o.dropped != o.stalled {
			t.Fatalf("%d scheduled, %d requests, %d dropped, %d of them stalled", o.scheduled, o.requests, o.dropped, o.stalled)
		}
		if o.dropped < 499 || o.dropped > 501 {
			t.Errorf("%d dropped, want those of five seconds: 500", o.dropped)
		}
		burst := 0
		for _, at := range tg.seen {
			if at > 8*time.Second && at < 8*time.Second+50*time.Millisecond {
				burst++
			}
		}
		if burst > 6 {
			t.Errorf("%d requests in the 50 ms after the loop ran again: a burst", burst)
		}
		for _, iv := range o.intervals[:12] {
			if iv.Scheduled != 100 {
				t.Errorf("second %d has %d arrivals, want 100", iv.Seq, iv.Scheduled)
			}
		}
	})
}
