package engine

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/redact"
	"lt/engine/scenario"
)

// Above 90 % of the memory no new users begin, which is an error of our own machine; above 97 % the end of the run is asked
// for. Users that are there go on.
func TestMemoryGuard(t *testing.T) {
	for _, model := range []load.Model{load.Open, load.Closed} {
		t.Run(model.String(), func(t *testing.T) {
			var used atomic.Uint64
			used.Store(50)
			spec := even(10, 6*time.Second)
			if model == load.Closed {
				spec = closed(0, 6*time.Second)
				spec.Profile.Stages = []load.Stage{{For: 50 * time.Millisecond}, {For: 6 * time.Second, At: 60, Ramp: true}} // ten more users a second
			}
			f := get(spec)
			f.Scenarios[0].Steps[0].HTTP.Timeout = time.Hour
			var said []string
			var asked []bool
			var o outcome
			synctest.Test(t, func(t *testing.T) {
				tg := &target{release: after(20 * time.Second)} // every arrival needs a user of its own
				e := prepare(t, f, nil, &o, over(tg), func(c *Config) {
					c.Pressure = func() float64 { return float64(used.Load()) / 100 }
					c.OnGuard = func(text string, drain bool) { said, asked = append(said, text), append(asked, drain) }
				})
				time.AfterFunc(2520*time.Millisecond, func() { used.Store(91) })
				time.AfterFunc(4520*time.Millisecond, func() { used.Store(98) })
				if err := e.Run(t.Context(), time.Now()); err != nil {
					t.Fatal(err)
				}
				tg.wait.Wait()
			})
			if len(said) != 2 || !strings.Contains(said[0], "90 %") || asked[0] || !strings.Contains(said[1], "97 %") || !asked[1] {
				t.Errorf("said %q, asked for the end %v", said, asked)
			}
			// The guard looks ten times a second, so it acts from 2.6 s on. Arrivals and users are due at 50, 150 ... ms.
			refused := uint64(34)
			if o.errors[metrics.Limit] != refused || o.requests != 60 || o.iterations != 60 || o.failed != refused || o.due != 60 {
				t.Errorf("%d of class limit of %d requests, %d iterations, %d failed, %d due; want %d of 60", o.errors[metrics.Limit], o.requests, o.iterations, o.failed, o.due, refused)
			}
			own := uint64(0)
			for _, iv := range o.intervals {
				own += iv.Audit.OwnErrors
			}
			if own != refused || o.intervals[4].Users != int(60-refused) {
				t.Errorf("%d own errors, %d users at most; want %d and %d", own, o.intervals[4].Users, refused, 60-refused)
			}
			sums(t, &o)
		})
	}
}

// What grows fast is stopped before it is above the mark when it is next looked at, and goes on when it is seen to have stopped.
func TestMemoryGuardLooksAhead(t *testing.T) {
	var said []string
	var o outcome
	f := get(even(10, 5*time.Second))
	var looks atomic.Int64
	var full atomic.Bool
	used := 0.2
	synctest.Test(t, func(t *testing.T) {
		tg := &target{release: after(20 * time.Second)}
		e := prepare(t, f, nil, &o, over(tg), func(c *Config) {
			c.Pressure = func() float64 { // from 2 s on it grows by 3 % of the limit from look to look, as long as new users begin
				if !full.Load() && looks.Add(1) > 20 {
					used += 0.03
				}
				return used
			}
			c.OnGuard = func(text string, drain bool) {
				said = append(said, text)
				full.Store(true)
			}
		})
		if err := e.Run(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		tg.wait.Wait()
	})
	if len(said) != 1 || !strings.Contains(said[0], "at 77 %") || !strings.Contains(said[0], "grew by 30 %") {
		t.Errorf("said %q", said)
	}
	// Five looks later the last second saw it grow by 15 %, half of which would not bring it to 85 %.
	if got := o.errors[metrics.Limit]; got != 5 {
		t.Errorf("%d were refused, want the 5 of five looks", got)
	}
	sums(t, &o)
}

// Garbage is no memory that runs out: it is collected before users are refused, and no more often than that costs little.
func TestMemoryGuardCollectsGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []string
		used, garbage, calls := 0.5, 0.3, 0
		w := &memoryWatch{e: &Engine{cfg: Config{OnGuard: func(text string, _ bool) { said = append(said, text) }}}}
		w.share = func() float64 { return used + garbage }
		w.free = func() {
			time.Sleep(100 * time.Millisecond)
			calls++
			garbage = 0
		}
		look := func(n int) {
			for range n {
				time.Sleep(lookEvery)
				w.look()
			}
		}
		look(15)
		garbage = 0.42
		look(1)
		if calls != 1 || w.e.guard.full.Load() || len(said) > 0 {
			t.Errorf("of 92 %% nearly half is garbage: collected %d times, refused %v, said %q", calls, w.e.guard.full.Load(), said)
		}
		used = 0.92
		look(5)
		if calls != 1 || !w.e.guard.full.Load() || len(said) != 1 {
			t.Errorf("92 %% without garbage: collected %d times, refused %v, said %q", calls, w.e.guard.full.Load(), said)
		}
		look(40) // 100 ms of work want two seconds of rest
		if calls != 3 || len(said) != 1 {
			t.Errorf("collected %d times within four and a half seconds, said %q", calls, said)
		}
	})
}

// Users that memory refuses use up a bound on iterations as those that come do: the run makes no more than it, and ends with it.
func TestMemoryGuardWithinABound(t *testing.T) {
	spec := closed(0, time.Minute)
	spec.Profile.Stages = []load.Stage{{For: 10 * time.Second, At: 18, Ramp: true}, {For: 50 * time.Second, At: 18}} // two before the guard acts
	spec.Iterations = 100
	f := get(spec)
	f.Scenarios[0].Steps[0].Think = constant(500 * time.Millisecond)
	looks := 0
	var o outcome
	synctest.Test(t, func(t *testing.T) {
		tg := &target{release: after(10 * time.Millisecond)}
		e := prepare(t, f, nil, &o, over(tg), func(c *Config) {
			c.Pressure = func() float64 {
				if looks++; looks > 10 {
					return 0.91
				}
				return 0.5
			}
		})
		if err := e.Run(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		tg.wait.Wait()
	})
	last := o.intervals[len(o.intervals)-1]
	if o.started != 100 || o.errors[metrics.Limit] != 16 || last.From+last.Length > 40*time.Second {
		t.Errorf("%d iterations, %d of them refused, until %v; want 100, 16 of them refused, and the end with the last", o.started, o.errors[metrics.Limit], last.From+last.Length)
	}
	sums(t, &o)
}

// A panic in a goroutine of the engine meets Recover; if that ends it, the run ends with an error, every interval is handed
// over, and nothing hangs.
func TestPanicEndsTheRun(t *testing.T) {
	for _, tc := range []struct {
		name   string
		breaks func(e *Engine, c *Config)
		says   string
	}{
		{"shard", func(e *Engine, _ *Config) {
			time.AfterFunc(1500*time.Millisecond, func() { (*e.shards.Load())[1].loop.Post(func() { panic("a bug") }) })
		}, "shard 2 of 3"},
		{"broken recorder", func(e *Engine, _ *Config) {
			time.AfterFunc(1500*time.Millisecond, func() {
				s := (*e.shards.Load())[0]
				s.loop.Post(func() {
					s.rec = nil
					panic("a bug")
				})
			})
		}, "shard 1 of 3"},
		{"collector", func(e *Engine, _ *Config) {
			take := e.cfg.OnInterval
			e.cfg.OnInterval = func(iv *metrics.Interval) {
				take(iv)
				if iv.Seq == 1 {
					panic("a bug")
				}
			}
		}, "collector"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tg := &target{release: after(100 * time.Millisecond)}
				var recovered atomic.Int64
				var o outcome
				e := prepare(t, get(even(100, time.Minute)), nil, &o, over(tg), func(c *Config) {
					c.Shards = 3
					c.Recover = func() {
						if v := recover(); v != nil {
							recovered.Add(1)
						}
					}
				})
				tc.breaks(e, &e.cfg)
				began := time.Now()
				err := e.Run(t.Context(), time.Now())
				if err == nil || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("the run ended with %v, want it to name the %s", err, tc.says)
				}
				if took := time.Since(began); took > 3*time.Second {
					t.Errorf("the run went on for %v", took)
				}
				if recovered.Load() != 1 {
					t.Errorf("recovered %d times", recovered.Load())
				}
				tg.wait.Wait()
				if tc.says != "collector" && !o.intervals[len(o.intervals)-1].Final {
					t.Error("the last interval is missing")
				}
			})
		})
	}
}

// What stands in a request or an answer as a secret is in no message, note or example; what a target sends cannot harm a
// terminal.
func TestExamples(t *testing.T) {
	tg := &target{release: after(time.Millisecond), answer: func(r seen) string {
		body := "\x1b[2Jno " + r.header.Get("Authorization")
		return fmt.Sprintf("HTTP/1.1 500 No\r\nSet-Cookie: id=topsecret\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}}
	f := get(even(10, time.Second), "/{{password}}", "/b")
	f.Vars = append(f.Vars, scenario.Var{Name: "password", Value: "hunter2-hunter2"})
	f.Scenarios[0].Steps[0].Headers = []scenario.Pair{{Name: "Authorization", Value: "Bearer hunter2-hunter2"}}
	f.Scenarios[0].Steps[1].Check.Contains = []string{"hunter2-hunter2"}
	f.Scenarios[0].Steps[1].Check.Status = []scenario.StatusRange{{From: 100, To: 599}}
	o := virtual(t, f, tg, func(c *Config) { c.Redact = redact.New([]string{"hunter2-hunter2"}) })
	kinds := 0
	for _, iv := range o.intervals {
		for _, e := range iv.Errors {
			kinds++
			text := e.Message + e.Example
			for _, bad := range []string{"hunter2", "topsecret", "\x1b"} {
				if strings.Contains(text, bad) {
					t.Errorf("%q stands in the error %q", bad, text)
				}
			}
			if !strings.Contains(e.Example, "GET /") || !strings.Contains(e.Example, "HTTP/1.1 500 No") || e.Class == metrics.Status && !strings.Contains(e.Example, `\x1b[2Jno`) {
				t.Errorf("the example of %v is %q", e.Class, e.Example)
			}
		}
	}
	if kinds != 2 || o.errors[metrics.Status] != 10 || o.errors[metrics.Check] != 10 {
		t.Errorf("%d kinds of errors, %v", kinds, o.errors)
	}
}

// The example of an error has what came back whatever made it an error: its status and headers, and where the status was wrong the
// body.
func TestExamplesOfRightStatuses(t *testing.T) {
	tg := &target{release: after(5 * time.Millisecond)}
	for what, tc := range map[string]struct {
		check scenario.Check
		body  bool
	}{
		"status": {scenario.Check{Status: []scenario.StatusRange{{From: 201, To: 201}}}, true},
		"time":   {scenario.Check{Time: time.Millisecond}, false},
		"size":   {scenario.Check{Size: &scenario.Compare{Op: ">", Value: "100"}}, false},
	} {
		f := get(even(2, time.Second))
		f.Scenarios[0].Steps[0].Check = tc.check
		e := virtual(t, f, tg).firstError()
		if !strings.Contains(e.Example, "HTTP/1.1 200 OK") || tc.body && !strings.Contains(e.Example, "\n\nok") {
			t.Errorf("%s: the example is %q", what, e.Example)
		}
	}
}
