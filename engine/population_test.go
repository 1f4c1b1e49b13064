package engine

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lt/engine/load"
	"lt/engine/scenario"
)

// The users of a ramp start when the profile crosses their number, and on the way down the highest leave first: after the
// iteration they are in, with its pauses cut short.
func TestClosedRamp(t *testing.T) {
	tg := &target{release: after(time.Millisecond)}
	spec := load.Spec{
		Model: load.Closed, Seed: 1, Graceful: time.Minute,
		Profile: load.Profile{Stages: []load.Stage{
			{Name: "up", For: 10 * time.Second, At: 10, Ramp: true}, {Name: "hold", For: 5 * time.Second, At: 10}, {Name: "down", For: 10 * time.Second, At: 0, Ramp: true},
		}},
	}
	f := get(spec, "/a")
	f.Scenarios[0].Steps[0].Think = constant(100 * time.Millisecond)
	o := virtual(t, f, tg)
	for _, iv := range o.intervals[:25] {
		end := (iv.From + iv.Length).Seconds()
		want := math.Min(end, 10)
		if end > 15 {
			want = 25 - end
		}
		if math.Abs(float64(iv.Users)-want) > 1 {
			t.Errorf("at %v there are %d users, want %.1f", iv.From+iv.Length, iv.Users, want)
		}
	}
	starts, ends := map[int]time.Duration{}, map[int]time.Duration{}
	for _, r := range tg.log {
		if _, ok := starts[r.conn]; !ok {
			starts[r.conn] = r.at
		}
		ends[r.conn] = r.at
	}
	if len(starts) != 10 || o.opened != 10 {
		t.Fatalf("%d users with %d connections, want 10: one each", len(starts), o.opened)
	}
	for n := 1; n <= 10; n++ {
		if want := time.Duration(n-1) * time.Second; starts[n] < want || starts[n] > want+5*time.Millisecond {
			t.Errorf("user %d started at %v, want %v", n, starts[n], want)
		}
		if want := 25*time.Second - time.Duration(n-1)*time.Second; ends[n] > want || ends[n] < want-110*time.Millisecond {
			t.Errorf("user %d made its last request at %v, want just before %v", n, ends[n], want)
		}
	}
	if o.started != o.iterations || o.requests != o.iterations || o.due != o.requests {
		t.Errorf("%d started, %d ended, %d requests, %d due", o.started, o.iterations, o.requests, o.due)
	}
	if o.lag.Max() > 2*time.Millisecond {
		t.Errorf("lag is up to %v", o.lag.Max())
	}
}

// A user that is dismissed in the middle of an iteration finishes it at once; at the end of the run the pauses keep their
// length, because all users finishing together would be a burst that no profile asked for.
func TestPausesOfThoseWhoLeave(t *testing.T) {
	const think = 3 * time.Second
	last := func(t *testing.T, stages ...load.Stage) (time.Duration, *outcome) {
		tg := &target{release: after(time.Millisecond)}
		f := get(load.Spec{Model: load.Closed, Seed: 1, Graceful: time.Minute, Profile: load.Profile{Stages: stages}}, "/a", "/b")
		f.Scenarios[0].Steps[0].Think = constant(think)
		o := virtual(t, f, tg)
		at := time.Duration(0)
		for _, r := range tg.log {
			if r.conn == 1 && r.path == "/b" {
				at = r.at
				break
			}
		}
		return at, o
	}
	at, o := last(t, load.Stage{For: time.Second, At: 1}, load.Stage{For: 10 * time.Second, At: 0})
	if at < time.Second || at > time.Second+5*time.Millisecond || o.unfinished != 0 || o.iterations != 1 {
		t.Errorf("dismissed at 1 s, its next step came at %v; %d iterations, %d unfinished", at, o.iterations, o.unfinished)
	}
	at, o = last(t, load.Stage{For: time.Second, At: 1})
	if at < think || at > think+5*time.Millisecond || o.iterations != 1 {
		t.Errorf("at the end of the run the pause of %v ended at %v; %d iterations", think, at, o.iterations)
	}
}

// On a pacing grid an iteration is intended at the grid's time: behind it, it begins at once, its response time counts from
// the grid, and the wait is the target's and not our lag.
func TestPacing(t *testing.T) {
	tg := &target{release: func(at time.Duration) time.Duration {
		if at < time.Second {
			return at + 2500*time.Millisecond // the first answer takes two and a half periods
		}
		return at + 100*time.Millisecond
	}}
	f := get(closed(1, 6*time.Second), "/a")
	f.Scenarios[0].Pacing = time.Second
	o := virtual(t, f, tg)
	want := []time.Duration{0, 2500 * time.Millisecond, 2600 * time.Millisecond, 3 * time.Second, 4 * time.Second, 5 * time.Second}
	if len(tg.seen) != len(want) {
		t.Fatalf("%d iterations at %v, want them at %v", len(tg.seen), tg.seen, want)
	}
	for i, at := range tg.seen {
		if d := at - want[i]; d < 0 || d > 2*time.Millisecond {
			t.Errorf("iteration %d began at %v, want %v", i, at, want[i])
		}
	}
	// Intended at 0, 1, 2, 3, 4, 5 s and answered at 2.5, 2.6, 2.7, 3.1, 4.1, 5.1 s.
	within(t, "the mean response time", o.response.Mean(), (2500+1600+700+3*100)*time.Millisecond/6, 0.01)
	within(t, "the longest service time but one", o.service.Quantile(0.8), 100*time.Millisecond, 0.02)
	if o.lag.Max() > 2*time.Millisecond || o.late != 2 {
		t.Errorf("lag up to %v, %d late; want none of our own and 2 late", o.lag.Max(), o.late)
	}
	within(t, "the longest wait of the grid for its user", o.waiting.Max(), 1500*time.Millisecond, 0.01)
}

// A bound on iterations is kept exactly whatever the number of users and shards, and no user runs twice before each of
// those who are wanted has run once.
func TestIterationsAreExact(t *testing.T) {
	for _, shards := range []int{1, 2, 5} {
		for _, n := range []int64{1, 10, 23, 100} {
			t.Run(fmt.Sprintf("%d in %d shards", n, shards), func(t *testing.T) {
				tg := &target{release: after(10 * time.Millisecond)}
				spec := closed(10, time.Minute)
				spec.Iterations = n
				o := virtual(t, get(spec), tg, func(c *Config) { c.Shards = shards })
				if int64(o.iterations) != n || int64(o.started) != n || int64(len(tg.log)) != n {
					t.Errorf("%d iterations of %d started, %d requests; want %d", o.iterations, o.started, len(tg.log), n)
				}
				if want := int(min(n, 10)); tg.conns != want {
					t.Errorf("%d users took part, want %d", tg.conns, want)
				}
				if last := o.intervals[len(o.intervals)-1]; last.From+last.Length > 2*time.Second {
					t.Errorf("the run ended at %v although nothing was left to do", last.From+last.Length)
				}
			})
		}
	}
}

// A user that is wanted again comes back as the same user, with a session of its own and draws that go on; also when it is
// wanted again before it has left.
func TestUsersComeBack(t *testing.T) {
	for _, slow := range []time.Duration{10 * time.Millisecond, 3 * time.Second} {
		t.Run(slow.String(), func(t *testing.T) {
			tg := &target{answer: greet}
			tg.release = tg.slowLogout(slow)
			f := shop(get(load.Spec{
				Model: load.Closed, Seed: 1, Graceful: time.Minute,
				Profile: load.Profile{Stages: []load.Stage{{For: time.Second, At: 1}, {For: time.Second, At: 0}, {For: 3 * time.Second, At: 1}}},
			}, "/{{iteration}}"))
			f.Scenarios[0].Steps[0].Think = constant(300 * time.Millisecond)
			virtual(t, f, tg)
			got := tg.paths()
			again := slices.Index(got, "/logout") + 1
			if again == 0 || again == len(got) || got[again] != "/login" {
				t.Fatalf("requests %v: the user did not come back", got)
			}
			want := 2 * time.Second
			if slow > time.Second {
				want = 1*time.Second + slow
			}
			if at := tg.log[again].at; at < want || at > want+300*time.Millisecond {
				t.Errorf("it came back at %v, want %v", at, want)
			}
			for _, p := range got[again:] {
				if p != "/login" && p != "/logout" && slices.Contains(got[:again], p) {
					t.Errorf("iteration %s came twice", p)
				}
			}
		})
	}
}

// The live changes act on the number of users as they do on a rate.
func TestLiveChangesOfUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := &target{release: after(10 * time.Millisecond)}
		f := get(closed(10, 10*time.Second), "/a")
		f.Scenarios[0].Steps[0].Think = constant(50 * time.Millisecond)
		log := load.NewLog(&f.Load)
		var o outcome
		e := prepare(t, f, log, &o, over(tg))
		follow(t, e, log, []load.Change{
			{At: 2 * time.Second, Kind: load.Factor, Factor: 0.5}, {At: 4 * time.Second, Kind: load.Pause}, {At: 6 * time.Second, Kind: load.Unpause}, {At: 8 * time.Second, Kind: load.Factor, Factor: 2},
		})
		if err := e.Run(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		tg.wait.Wait()
		for second, want := range []int{10, 10, 5, 5, 0, 0, 5, 5, 20, 20, 20, 20} {
			if got := o.intervals[second].Users; got != want {
				t.Errorf("after second %d there are %d users, want %d", second, got, want)
			}
		}
		if o.started != o.iterations || o.failed > 0 {
			t.Errorf("%d started, %d ended, %d failed", o.started, o.iterations, o.failed)
		}
	})
}

// Users of several scenarios come by weight, each for life.
func TestUsersKeepTheirScenario(t *testing.T) {
	tg := &target{release: after(10 * time.Millisecond)}
	f := get(closed(40, 3*time.Second), "/a")
	second := *f.Scenarios[0]
	second.Name, second.Weight = "other", 3
	second.Steps = []*scenario.Step{{Name: "GET /b", Method: "GET", URL: "/b", HTTP: f.HTTP, Think: constant(100 * time.Millisecond)}}
	f.Scenarios[0].Steps[0].Think = constant(100 * time.Millisecond)
	f.Scenarios = append(f.Scenarios, &second)
	f.Load.Weights = []int{1, 3}
	virtual(t, f, tg)
	kinds := map[int]string{}
	counts := map[string]int{}
	for _, r := range tg.log {
		if kinds[r.conn] == "" {
			kinds[r.conn] = r.path
			counts[r.path]++
		} else if kinds[r.conn] != r.path {
			t.Fatalf("the user of connection %d went from %s to %s", r.conn, kinds[r.conn], r.path)
		}
	}
	if counts["/a"] != 10 || counts["/b"] != 30 {
		t.Errorf("users by scenario: %v, want 10 and 30", counts)
	}
}

// Users who were due while the process did not run begin one after the other over ten seconds, beside those of the ramp, instead of
// all at once; those who were to leave meanwhile leave at once; and what is missing of the plan is said.
func TestStoppedInARamp(t *testing.T) {
	for _, shards := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d shards", shards), func(t *testing.T) {
			const stood = 4 * time.Second
			tg := &target{release: after(time.Millisecond)}
			spec := ramp(2000, 20*time.Second) // a hundred a second
			spec.Profile.Stages = append(spec.Profile.Stages, load.Stage{For: 10 * time.Second, At: 2000})
			f := get(spec)
			f.Scenarios[0].Steps[0].Think = constant(time.Hour)
			var o outcome
			synctest.Test(t, func(t *testing.T) {
				e := prepare(t, f, nil, &o, over(tg), func(c *Config) { c.Shards = shards })
				time.AfterFunc(5*time.Second, func() {
					for _, s := range *e.shards.Load() {
						s.loop.Post(func() { time.Sleep(stood) })
					}
				})
				if err := e.Run(t.Context(), time.Now()); err != nil {
					t.Fatal(err)
				}
				tg.wait.Wait()
			})
			byTenth := make([]int, 300)
			for _, at := range tg.seen {
				byTenth[at/(100*time.Millisecond)]++
			}
			for i, n := range byTenth {
				want := 10
				switch at := time.Duration(i) * 100 * time.Millisecond; {
				case at >= 20*time.Second, at >= 5*time.Second && at < 5*time.Second+stood:
					want = 0
				case at >= 9*time.Second && at < 19*time.Second:
					want = 14 // 400 over ten seconds
				}
				if n < want-shards || n > want+shards {
					t.Errorf("%d users came in tenth %d of a second, want %d", n, i, want)
				}
			}
			if o.started != 2000 || o.lag.Max() > 2*time.Millisecond {
				t.Errorf("%d users came, with a lag of up to %v; want 2000 without one", o.started, o.lag.Max())
			}
			// Number j of 400 was due j/100 s after 5 s and comes j/40 s after 9 s: 4 + j (1/40 - 1/100) s later.
			users, seconds := 0, 0.0
			for _, n := range o.notes {
				var u int
				var s float64
				if _, text, _ := strings.Cut(n, "local did not run for 4.0 s: "); text != "" {
					if _, err := fmt.Sscanf(text, "%d users that were due meanwhile begin over the ten seconds that follow, %f user-seconds", &u, &s); err != nil {
						t.Errorf("said %q: %v", n, err)
					}
				}
				users, seconds = users+u, seconds+s
			}
			if users < 399 || users > 401 || math.Abs(seconds-2800) > 20 {
				t.Errorf("said %q, which is %d users and %g user-seconds; want 400 and 2800", o.notes, users, seconds)
			}
			sums(t, &o)
		})
	}
}
