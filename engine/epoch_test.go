package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lt/engine/load"
	"lt/engine/scenario"
)

// reshare is a change to another table.
func reshare(at time.Duration, id int, from int64, table ...uint16) load.Change {
	return load.Change{At: at, Kind: load.Reshare, Epoch: &load.Epoch{ID: id, From: from, Table: table}}
}

// enter puts changes into a log before a run.
func enter(t *testing.T, log *load.Log, changes ...load.Change) {
	t.Helper()
	for _, c := range changes {
		if err := log.Append(c); err != nil {
			t.Fatal(err)
		}
	}
}

// A source's part of max_in_flight follows the table: after an epoch's time there are as many in hand as it then may have;
// more of those that wait begin, or nothing is cut and new ones wait.
func TestTheLimitFollowsTheShare(t *testing.T) {
	for _, shards := range []int{1, 2} {
		spec := even(100, 12*time.Second)
		spec.MaxInFlight = 8
		f := get(spec)
		f.Scenarios[0].Steps[0].HTTP.Timeout = time.Hour
		var o outcome
		synctest.Test(t, func(t *testing.T) {
			tg := &target{release: after(200 * time.Millisecond)} // eight slots carry 40 a second
			log := load.NewLog(&f.Load)
			enter(t, log, reshare(0, 1, 0, 0, 1))
			e := prepare(t, f, log, &o, over(tg), func(c *Config) { c.Shards = shards })
			at := func(s int) time.Duration { return time.Duration(s) * time.Second }
			follow(t, e, log, []load.Change{
				reshare(at(2), 2, 200, 0), reshare(at(4), 3, 400, 0, 1, 2, 3), reshare(at(6), 4, 600, 1), reshare(at(8), 5, 800, 0, 1, 1, 1, 1, 1, 1, 1, 1), reshare(at(10), 6, 1000, 0, 0, 9, 9),
			})
			if err := e.Run(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
			tg.wait.Wait()
		})
		want := []int{4, 4, 8, 8, 2, 2, 0, 0, 1, 1, 4, 4} // of eight slots a half, all, a quarter, none, one, a half
		for i, iv := range o.intervals[:12] {
			if iv.InFlight != want[i] {
				t.Errorf("%d shards: in second %d there are %d in flight, want %d", shards, i, iv.InFlight, want[i])
			}
			if i%2 == 1 && iv.InFlightMax > want[i] {
				t.Errorf("%d shards: in second %d there were up to %d in flight, want %d", shards, i, iv.InFlightMax, want[i])
			}
		}
		if o.unfinished > 0 {
			t.Errorf("%d shards: %d were cut", shards, o.unfinished)
		}
		sums(t, &o)
	}
}

// An arrival that is due just before the epoch that takes the source's share begins all the same.
func TestWhatWasDueBeforeAnEpochBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := &target{release: after(time.Millisecond)}
		spec := even(100, 4*time.Second) // due at 5, 15, 25 ... ms
		spec.MaxInFlight, spec.DropAfter = 10, time.Second
		f := get(spec)
		log := load.NewLog(&f.Load)
		enter(t, log, reshare(2*time.Second, 1, 200, 1))
		var o outcome
		e := prepare(t, f, log, &o, over(tg))
		// The loop does not run around the epoch's time.
		time.AfterFunc(1980*time.Millisecond, func() {
			(*e.shards.Load())[0].loop.Post(func() { time.Sleep(40 * time.Millisecond) })
		})
		if err := e.Run(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		tg.wait.Wait()
		if o.scheduled != 200 || o.requests != 200 || o.dropped != 0 {
			t.Errorf("%d scheduled, %d requests, %d dropped; want 200 begun", o.scheduled, o.requests, o.dropped)
		}
	})
}

// Two sources of which one goes and comes back make each arrival once, and the whole is what one source would have made; in
// the closed model no user is at two places, and the iterations of a user that moves have numbers of their own.
func TestSourcesThatComeAndGo(t *testing.T) {
	for _, model := range []load.Model{load.Open, load.Closed} {
		t.Run(model.String(), func(t *testing.T) {
			spec := even(100, 40*time.Second)
			if model == load.Closed {
				spec = closed(20, 40*time.Second)
			}
			f := get(spec, "/a", "/b")
			for _, st := range f.Scenarios[0].Steps {
				st.HTTP.Trace = scenario.TraceRequestID
				st.Think = constant(250 * time.Millisecond)
			}
			log := load.NewLog(&f.Load)
			enter(t, log, reshare(0, 1, 0, 0, 1))
			at := func(s int) time.Duration { return time.Duration(s) * time.Second }
			var (
				outcomes [3]outcome
				tg       = &target{release: after(20 * time.Millisecond)}
			)
			synctest.Test(t, func(t *testing.T) {
				var wait sync.WaitGroup
				start := time.Now()
				var first *Engine
				for source := range 3 {
					e := prepare(t, f, log, &outcomes[source], over(tg), func(c *Config) {
						c.Source, c.Shards, c.Name = source, 2, fmt.Sprint(source)
						if source == 2 {
							c.From = 25500 * time.Millisecond
						}
					})
					if source == 0 {
						first = e
						// 1 is drained; nobody has its share for a while; 2 comes later.
						follow(t, e, log, []load.Change{reshare(at(10), 2, 1000, 0, 7), reshare(at(11), 3, 1100, 0), reshare(at(26), 4, 2600, 0, 7), reshare(at(27), 5, 2700, 0, 2)})
					}
					wait.Go(func() {
						if source == 2 {
							time.Sleep(25500 * time.Millisecond)
						}
						if err := e.Run(t.Context(), start); err != nil {
							t.Error(err)
						}
					})
					if source == 1 {
						time.AfterFunc(at(15), e.Drain)
					}
				}
				wait.Wait()
				if n := uint64(outcomes[0].started); first.Begun() != n {
					t.Errorf("%d arrivals begun by the counter, %d by the intervals", first.Begun(), n)
				}
				tg.wait.Wait()
			})
			ids, users := map[string]bool{}, map[string][]seen{}
			for _, r := range tg.log {
				id := r.header.Get("X-Request-Id")
				if id == "" || ids[id] {
					t.Fatalf("the id %q came twice", id)
				}
				ids[id] = true
				// lt-SEED-sSOURCE-iINDEX..., in the closed model lt-SEED-sSOURCE-uUSER-iITERATION...
				parts := strings.Split(id, "-")
				source := strings.Join(parts[3:], "-")
				if ids[source] {
					t.Fatalf("%s came from two sources", source)
				}
				ids[source] = true
				users[parts[3]] = append(users[parts[3]], r)
			}
			if last := outcomes[1].intervals[len(outcomes[1].intervals)-1]; last.From+last.Length > at(16) || !last.Final {
				t.Errorf("the drained source ended at %v", last.From+last.Length)
			}
			joined := outcomes[2].intervals
			if joined[0].Seq != 0 || joined[0].From != at(25) || joined[0].Length != time.Second || joined[0].Scheduled != 0 || outcomes[2].dropped > 0 {
				t.Errorf("the first interval of the source that joined: %+v", joined[0])
			}
			if model == load.Open {
				// Of the seconds 10 and 26 nobody had a half.
				if n := len(users); n != 4000-100 {
					t.Errorf("%d arrivals were made, want 3900", n)
				}
				return
			}
			if len(users) != 20 {
				t.Fatalf("%d users took part", len(users))
			}
			for user, rs := range users {
				where, since := "", time.Duration(0)
				for _, r := range rs {
					source := strings.Split(r.header.Get("X-Request-Id"), "-")[2]
					if source != where {
						if where != "" && r.at < since+700*time.Millisecond {
							t.Errorf("user %s came to source %s at %v, %v after its last request from %s", user, source, r.at, r.at-since, where)
						}
						where = source
					}
					since = r.at
				}
			}
			// Half of the users move at 11 and at 27 s; they start over ten seconds.
			for i, want := range []float64{10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20} {
				if got := outcomes[0].intervals[10+i].Users; math.Abs(float64(got)-want) > 1 {
					t.Errorf("after second %d source 0 has %d users, want %g", 10+i, got, want)
				}
			}
			if got := joined[12].Users; got != 10 {
				t.Errorf("the source that joined has %d users, want 10", got)
			}
		})
	}
}

// With a bound on iterations in the closed model no change of shares lets the whole exceed it: what a source that goes has not
// begun stays undone, and one that joins has no part.
func TestTheBoundHoldsWhateverTheShares(t *testing.T) {
	spec := closed(20, time.Minute)
	spec.Iterations = 400
	f := get(spec)
	f.Scenarios[0].Steps[0].Think = constant(100 * time.Millisecond)
	log := load.NewLog(&f.Load)
	enter(t, log, reshare(0, 1, 0, 0, 1, 1, 1))
	var outcomes [3]outcome
	synctest.Test(t, func(t *testing.T) {
		tg := &target{release: after(20 * time.Millisecond)}
		start := time.Now()
		var wait sync.WaitGroup
		for source := range 3 {
			e := prepare(t, f, log, &outcomes[source], over(tg), func(c *Config) {
				c.Source, c.Shards = source, 2
				if source == 2 {
					c.From = 500 * time.Millisecond
				}
			})
			wait.Go(func() {
				if source == 2 {
					time.Sleep(500 * time.Millisecond)
				}
				if err := e.Run(t.Context(), start); err != nil {
					t.Error(err)
				}
			})
			if source == 1 {
				follow(t, e, log, []load.Change{reshare(time.Second, 2, 0, 0, 2)})
				time.AfterFunc(1500*time.Millisecond, e.Drain)
			}
		}
		wait.Wait()
		tg.wait.Wait()
	})
	if outcomes[0].started != 100 || outcomes[1].started == 0 || outcomes[1].started >= 300 || outcomes[2].started != 0 {
		t.Errorf("%d, %d and %d iterations; want 100 of 100, a part of 300, and none", outcomes[0].started, outcomes[1].started, outcomes[2].started)
	}
	if last := outcomes[2].intervals[len(outcomes[2].intervals)-1]; last.From+last.Length > time.Second {
		t.Errorf("the source without a part went on until %v", last.From+last.Length)
	}
}

// An epoch in the future: nothing is due before it, no interval begins before zero, and the run can be ended meanwhile.
func TestEpochInTheFuture(t *testing.T) {
	for _, spec := range []load.Spec{even(100, 2*time.Second), closed(10, 2*time.Second)} {
		for _, tc := range []struct {
			name string
			end  func(e *Engine, cancel func())
		}{{"run", nil}, {"cut", func(e *Engine, _ func()) { e.Cut() }}, {"drain", func(e *Engine, _ func()) { e.Drain() }}, {"context", func(_ *Engine, cancel func()) { cancel() }}} {
			t.Run(spec.Model.String()+" "+tc.name, func(t *testing.T) {
				var o outcome
				tg := &target{release: after(10 * time.Millisecond)}
				synctest.Test(t, func(t *testing.T) {
					e := prepare(t, get(spec), nil, &o, over(tg), func(c *Config) { c.Shards = 2 })
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					began := time.Now()
					epoch := began.Add(time.Minute)
					tg.epoch = epoch
					want := 62 * time.Second
					if tc.end != nil {
						want = 40 * time.Second
						time.AfterFunc(want, func() { tc.end(e, cancel) })
					}
					if err := e.Run(ctx, epoch); err != nil {
						t.Fatal(err)
					}
					if took := time.Since(began); took < want || took > want+time.Second {
						t.Errorf("the run took %v, want %v", took, want)
					}
					tg.wait.Wait()
				})
				sums(t, &o)
				if tc.end != nil {
					if len(o.intervals) != 1 || o.scheduled+o.started > 0 || o.intervals[0].Length != 0 {
						t.Errorf("%d intervals, %d begun before the start", len(o.intervals), o.started)
					}
					return
				}
				if tg.seen[0] < 0 || tg.seen[0] > 10*time.Millisecond || o.dropped > 0 || o.late > 0 {
					t.Errorf("the first request came at %v; %d dropped, %d late", tg.seen[0], o.dropped, o.late)
				}
			})
		}
	}
}

// On the real poller too a shard that waits for the start sleeps.
func TestWaitingForTheStartCostsNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second of real time")
	}
	var o outcome
	f := get(even(100, time.Second))
	e := prepare(t, f, nil, &o)
	time.AfterFunc(time.Second, func() {
		for _, s := range *e.shards.Load() {
			if cpu, ok := s.loop.ThreadCPU(); ok && cpu > 50*time.Millisecond {
				t.Errorf("a shard used %v of CPU while it waited for a second", cpu)
			}
			if n := s.loop.Polled(); n > 0 {
				t.Errorf("a shard polled for %v before the start", n)
			}
		}
		e.Cut()
	})
	if err := e.Run(t.Context(), time.Now().Add(30*time.Second)); err != nil {
		t.Fatal(err)
	}
	if o.scheduled > 0 {
		t.Errorf("%d arrivals before the start", o.scheduled)
	}
}

// A lease that is over and not extended ends the run: no request leaves any more, what is in hand has its grace, at most five
// seconds, and the last interval comes.
func TestALapsedLeaseEndsTheRun(t *testing.T) {
	for _, tc := range []struct {
		name     string
		graceful time.Duration
		revoke   bool
		ends     time.Duration
	}{{"over", time.Minute, false, 7 * time.Second}, {"short grace", time.Second, false, 3 * time.Second}, {"revoked", time.Minute, true, 7 * time.Second}} {
		for _, spec := range []load.Spec{even(100, time.Minute), closed(5, time.Minute)} {
			t.Run(tc.name+" "+spec.Model.String(), func(t *testing.T) {
				spec.Graceful = tc.graceful
				f := get(spec, "/fast", "/slow")
				f.Scenarios[0].Steps[1].HTTP.Timeout = time.Hour
				var o outcome
				tg := &target{}
				tg.release = func(at time.Duration) time.Duration {
					tg.mu.Lock()
					defer tg.mu.Unlock()
					if tg.log[len(tg.log)-1].path == "/slow" && at > 1500*time.Millisecond {
						return at + time.Hour
					}
					return at + 100*time.Millisecond
				}
				synctest.Test(t, func(t *testing.T) {
					lease := &load.Lease{}
					lease.Extend(2 * time.Second)
					if tc.revoke {
						lease.Extend(time.Hour)
						time.AfterFunc(2*time.Second, lease.Revoke)
						time.AfterFunc(3*time.Second, func() { lease.Extend(2 * time.Hour) })
					}
					e := prepare(t, f, nil, &o, over(tg), func(c *Config) { c.Lease, c.Shards = lease, 2 })
					began := time.Now()
					if err := e.Run(t.Context(), began); !errors.Is(err, ErrLapsed) {
						t.Errorf("the run ended with %v", err)
					}
					if took := time.Since(began); took < tc.ends || took > tc.ends+1100*time.Millisecond {
						t.Errorf("the run took %v, want %v", took, tc.ends)
					}
					tg.wait.Wait()
				})
				for _, at := range tg.seen {
					if at > 2*time.Second+time.Millisecond {
						t.Fatalf("a request at %v, after the lease", at)
					}
				}
				if o.unfinished == 0 {
					t.Error("nothing was cut")
				}
				sums(t, &o)
			})
		}
	}
}

// A process that was stopped for long finds its lease over when it goes on: no request leaves.
func TestALeaseThatEndedWhileTheLoopDidNotRun(t *testing.T) {
	for _, spec := range []load.Spec{even(100, time.Minute), closed(50, time.Minute)} {
		var o outcome
		tg := &target{release: after(100 * time.Millisecond)}
		f := get(spec, "/a", "/b")
		f.Scenarios[0].Steps[0].Think = constant(300 * time.Millisecond)
		synctest.Test(t, func(t *testing.T) {
			lease := &load.Lease{}
			lease.Extend(15 * time.Second)
			e := prepare(t, f, nil, &o, over(tg), func(c *Config) { c.Lease = lease })
			time.AfterFunc(3*time.Second, func() {
				(*e.shards.Load())[0].loop.Post(func() { time.Sleep(30 * time.Second) })
			})
			began := time.Now()
			if err := e.Run(t.Context(), began); !errors.Is(err, ErrLapsed) {
				t.Errorf("the run ended with %v", err)
			}
			if took := time.Since(began); took > 33*time.Second+time.Millisecond {
				t.Errorf("it ended at %v, want at once when the loop ran again at 33 s", took)
			}
			tg.wait.Wait()
		})
		for _, at := range tg.seen {
			if at > 3*time.Second+time.Millisecond {
				t.Fatalf("%v: a request at %v, after the loop had stood still", spec.Model, at)
			}
		}
		if spec.Model == load.Open && (o.scheduled != 1500 || o.stalled != 1200) {
			t.Errorf("%d arrivals, %d of them dropped; it is to drop what was due within its lease of 15 s and nothing else", o.scheduled, o.stalled)
		}
		sums(t, &o)
	}
}

// Users who were due while the process did not run are said to be missing until its lease was over, if it is, and to begin late if it is
// extended in time: what comes after the lease is missing from somebody else's account.
func TestUsersWhoWereDueBeforeALeaseEnded(t *testing.T) {
	for _, c := range []struct {
		name     string
		stood    time.Duration // from 5 s on
		extended bool          // 300 ms after that
		want     string
		users    int
		seconds  float64
	}{
		// A hundred a second are due from 5 s on: in the ten seconds until the lease is over, 100 * 10^2 / 2 user-seconds.
		{"and is over", 30 * time.Second, false, "that were due meanwhile never began, which leaves out %f user-seconds of the plan until its lease was over", 1500, 5000},
		// Number j of 1050, from 0, was due (j+1)/100 s after 5 s and comes j/105 s after 15.5 s.
		{"and is extended", 10500 * time.Millisecond, true, "that were due meanwhile begin over the ten seconds that follow, %f user-seconds later than planned in all", 1050, 1050*10.5 - 1050*1051/2/100. + 1049*1050/2/105.},
	} {
		for _, shards := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/%d", c.name, shards), func(t *testing.T) {
				var o outcome
				tg := &target{release: after(time.Millisecond)}
				spec := ramp(2000, 20*time.Second)
				spec.Profile.Stages = append(spec.Profile.Stages, load.Stage{For: 20 * time.Second, At: 2000})
				f := get(spec)
				f.Scenarios[0].Steps[0].Think = constant(time.Hour)
				synctest.Test(t, func(t *testing.T) {
					lease := &load.Lease{}
					lease.Extend(15 * time.Second)
					e := prepare(t, f, nil, &o, over(tg), func(c *Config) { c.Lease, c.Shards = lease, shards })
					time.AfterFunc(5*time.Second, func() {
						for _, s := range *e.shards.Load() {
							s.loop.Post(func() { time.Sleep(c.stood) })
						}
					})
					if c.extended {
						time.AfterFunc(5*time.Second+c.stood+300*time.Millisecond, func() { lease.Extend(time.Hour) })
					}
					if err := e.Run(t.Context(), time.Now()); errors.Is(err, ErrLapsed) == c.extended {
						t.Errorf("the run ended with %v", err)
					}
					tg.wait.Wait()
				})
				users, seconds := 0, 0.0
				for _, n := range o.notes {
					if _, text, _ := strings.Cut(n, " s: "); strings.Contains(text, "due meanwhile") {
						var u int
						var s float64
						if _, err := fmt.Sscanf(text, "%d users "+c.want, &u, &s); err != nil {
							t.Errorf("said %q: %v", n, err)
						}
						users, seconds = users+u, seconds+s
					}
				}
				if users < c.users-shards || users > c.users+shards || math.Abs(seconds-c.seconds) > 20 {
					t.Errorf("said %q; want %d users and %.0f user-seconds", o.notes, c.users, c.seconds)
				}
				sums(t, &o)
			})
		}
	}
}

// A lease that is extended within the grace: the load goes on, all users are there, and there is no burst.
func TestALeaseThatIsExtendedInTime(t *testing.T) {
	for _, spec := range []load.Spec{even(100, 12*time.Second), closed(50, 12*time.Second)} {
		t.Run(spec.Model.String(), func(t *testing.T) {
			spec.ThinkMean = time.Second
			f := get(spec, "/a", "/b")
			for _, st := range f.Scenarios[0].Steps {
				st.Think = constant(500 * time.Millisecond)
			}
			var o outcome
			tg := &target{release: after(20 * time.Millisecond)}
			synctest.Test(t, func(t *testing.T) {
				lease := &load.Lease{}
				lease.Extend(3 * time.Second)
				e := prepare(t, f, nil, &o, over(tg), func(c *Config) { c.Lease = lease })
				time.AfterFunc(5*time.Second, lease.Forever)
				if err := e.Run(t.Context(), time.Now()); err != nil {
					t.Fatal(err)
				}
				tg.wait.Wait()
			})
			tenths := make([]int, 140)
			for _, at := range tg.seen {
				tenths[at/(100*time.Millisecond)]++
			}
			before := slices.Max(tenths[10:30])
			for i, n := range tenths {
				if i > 30 && i < 50 && n > 0 {
					t.Errorf("%d requests at %d.%d s, while the lease was over", n, i/10, i%10)
				}
				if i >= 50 && n > 2*before {
					t.Errorf("%d requests at %d.%d s, %d at most in a tenth before the lease ended: a burst", n, i/10, i%10, before)
				}
			}
			if spec.Model == load.Open && (o.scheduled != 1200 || o.stalled != 200 || o.dropped != 200) {
				t.Errorf("%d arrivals, %d dropped, %d of them stalled; want 200 of 1200", o.scheduled, o.dropped, o.stalled)
			}
			if spec.Model == load.Closed && o.intervals[8].Users != 50 {
				t.Errorf("%d users are left of 50", o.intervals[8].Users)
			}
			if o.unfinished > 0 {
				t.Errorf("%d were cut", o.unfinished)
			}
			sums(t, &o)
		})
	}
}

// What comes due after the extension begins, however long it takes a shard to notice; what came due before it does not.
func TestTheMomentOfAnExtensionCounts(t *testing.T) {
	for _, blocked := range []time.Duration{0, 7 * time.Millisecond, 400 * time.Millisecond} {
		for _, shards := range []int{1, 3} {
			var o outcome
			tg := &target{release: after(time.Millisecond)}
			synctest.Test(t, func(t *testing.T) {
				lease := &load.Lease{}
				lease.Extend(3 * time.Second)
				e := prepare(t, get(even(1000, 8*time.Second)), nil, &o, over(tg), func(c *Config) { c.Lease, c.Shards = lease, shards })
				time.AfterFunc(5249*time.Millisecond, func() {
					for _, s := range *e.shards.Load() {
						s.loop.Post(func() { time.Sleep(blocked) })
					}
				})
				time.AfterFunc(5250*time.Millisecond, func() { lease.Extend(6 * time.Second) })
				time.AfterFunc(5700*time.Millisecond, lease.Forever)
				if err := e.Run(t.Context(), time.Now()); err != nil {
					t.Fatal(err)
				}
				tg.wait.Wait()
			})
			if o.scheduled != 8000 || o.stalled != 2250 || o.dropped != 2250 || o.requests != 5750 {
				t.Errorf("blocked for %v, %d shards: %d arrivals, %d dropped, %d of them stalled, %d requests; want 2250 of 8000 dropped", blocked, shards, o.scheduled, o.dropped, o.stalled, o.requests)
			}
			if lag := o.lag.Max(); lag > blocked+time.Millisecond {
				t.Errorf("blocked for %v, %d shards: a lag of %v: the extension wakes a shard", blocked, shards, lag)
			}
			sums(t, &o)
		}
	}
}

// A request that waits for the lease on a connection that its server closes meanwhile was never asked: it gets another connection.
func TestAConnectionThatIsLostWhileTheLeaseIsOver(t *testing.T) {
	var o outcome
	tg := &target{release: after(time.Millisecond)}
	synctest.Test(t, func(t *testing.T) {
		lease := &load.Lease{}
		lease.Extend(time.Second)
		e := prepare(t, get(even(10, time.Second)), nil, &o, over(tg), func(c *Config) {
			c.Lease = lease
			dial := c.Dial
			c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				time.Sleep(2 * time.Second)
				nc, err := dial(ctx, network, address)
				if time.Since(tg.epoch) < 4*time.Second {
					time.AfterFunc(500*time.Millisecond, func() { nc.Close() })
				}
				return nc, err
			}
		})
		time.AfterFunc(4*time.Second, lease.Forever)
		if err := e.Run(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		tg.wait.Wait()
	})
	if o.requests != 10 || o.failed > 0 || o.attempts != 10 || o.opened != 20 {
		t.Errorf("%d requests in %d attempts over %d connections, %d failed (%+v); want 10, each once, over 20", o.requests, o.attempts, o.opened, o.failed, o.firstError())
	}
	sums(t, &o)
}

// A source that has more slots under an epoch than before gives them to those who wait, also if it comes to that only with the
// next arrival.
func TestWhoWaitsGetsTheSlotsOfAnEpoch(t *testing.T) {
	for _, blocked := range []bool{false, true} {
		spec := even(100, 8*time.Second)
		spec.MaxInFlight, spec.DropAfter = 8, 6*time.Second
		f := get(spec)
		var o outcome
		tg := &target{release: after(200 * time.Millisecond)}
		synctest.Test(t, func(t *testing.T) {
			log := load.NewLog(&f.Load)
			enter(t, log, reshare(0, 1, 0, 0, 1), reshare(2*time.Second, 2, 200, 1), reshare(4500*time.Millisecond, 3, 450, 0))
			e := prepare(t, f, log, &o, over(tg))
			if blocked {
				time.AfterFunc(4490*time.Millisecond, func() {
					(*e.shards.Load())[0].loop.Post(func() { time.Sleep(30 * time.Millisecond) })
				})
			}
			if err := e.Run(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
			tg.wait.Wait()
		})
		for second, want := range map[int]int{1: 4, 3: 0, 4: 8, 7: 8} {
			if got := o.intervals[second].InFlight; got != want {
				t.Errorf("blocked %t: after second %d there are %d in flight, want %d", blocked, second, got, want)
			}
		}
		sums(t, &o)
	}
}

// A connection that stands only when the lease is over carries no request until it is extended.
func TestNoRequestOnAConnectionThatComesLate(t *testing.T) {
	for _, extended := range []bool{true, false} {
		var o outcome
		tg := &target{release: after(time.Millisecond)}
		f := get(even(10, time.Second))
		synctest.Test(t, func(t *testing.T) {
			lease := &load.Lease{}
			lease.Extend(time.Second)
			e := prepare(t, f, nil, &o, over(tg), func(c *Config) {
				c.Lease = lease
				dial := c.Dial
				c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					time.Sleep(2 * time.Second)
					return dial(ctx, network, address)
				}
			})
			if extended {
				time.AfterFunc(4*time.Second, lease.Forever)
			}
			err := e.Run(t.Context(), time.Now())
			if extended == errors.Is(err, ErrLapsed) {
				t.Errorf("extended %t, and the run ended with %v", extended, err)
			}
			tg.wait.Wait()
		})
		for _, at := range tg.seen {
			if at < 4*time.Second {
				t.Errorf("a request at %v", at)
			}
		}
		if want := map[bool]int{true: 10}[extended]; len(tg.seen) != want || int(o.requests) != want {
			t.Errorf("extended %t: %d requests came, %d were counted, want %d", extended, len(tg.seen), o.requests, want)
		}
		sums(t, &o)
	}
}

// A source that is drained lets what is in hand finish, says goodbye for its users and hands over its last interval.
func TestDrain(t *testing.T) {
	for _, spec := range []load.Spec{even(20, time.Minute), closed(5, time.Minute)} {
		tg := &target{answer: greet, release: after(300 * time.Millisecond)}
		f := shop(get(spec, "/a", "/b"))
		f.Scenarios[0].Steps[0].Think = constant(time.Second)
		var o outcome
		synctest.Test(t, func(t *testing.T) {
			e := prepare(t, f, nil, &o, over(tg), func(c *Config) { c.Shards = 2 })
			time.AfterFunc(3*time.Second, e.Drain)
			if err := e.Run(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
			if n := e.Begun(); n != o.started {
				t.Errorf("%d begun by the counter, %d by the intervals", n, o.started)
			}
			tg.wait.Wait()
		})
		kinds := map[string]int{}
		for _, r := range tg.log {
			if r.path == "/login" && r.at > 3*time.Second {
				t.Errorf("%v: a user came at %v", spec.Model, r.at)
			}
			kinds[r.path]++
		}
		if o.unfinished > 0 || o.failed > 0 || kinds["/login"] != kinds["/logout"] || kinds["/login"] == 0 {
			t.Errorf("%v: %d unfinished, %d failed, requests %v", spec.Model, o.unfinished, o.failed, kinds)
		}
		if last := o.intervals[len(o.intervals)-1]; last.From+last.Length > 6*time.Second {
			t.Errorf("%v: the source ended at %v", spec.Model, last.From+last.Length)
		}
		sums(t, &o)
	}
}

// The id of a request names source, arrival, step and attempt; a redirect is an attempt of its own.
func TestRequestsSayWhoTheyAre(t *testing.T) {
	tg := &target{release: after(time.Millisecond), answer: func(r seen) string {
		if r.path == "/" {
			return "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
		}
		return fine
	}}
	f := get(even(2, time.Second), "/")
	f.Scenarios[0].Steps[0].HTTP.Redirects, f.Scenarios[0].Steps[0].HTTP.Trace = 1, scenario.TraceRequestID
	f.Load.Seed = 0xabc
	virtual(t, f, tg)
	var got []string
	for _, r := range tg.log {
		got = append(got, r.header.Get("X-Request-Id"))
	}
	want := []string{"lt-0000000000000abc-s0-i0-p0-n1", "lt-0000000000000abc-s0-i0-p0-n2", "lt-0000000000000abc-s0-i1-p0-n1", "lt-0000000000000abc-s0-i1-p0-n2"}
	if !slices.Equal(got, want) {
		t.Errorf("ids %q, want %q", got, want)
	}
}
