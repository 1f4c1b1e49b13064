package peer

import (
	"slices"
	"testing"
	"time"

	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/scenario"
)

// ninety are users of the closed model for a minute.
var ninety = scenario.Quick{Users: "90", Duration: "60s", Seed: "1"}

// lackingAt is how many users that are wanted at a run time run nowhere then.
func (v *verdict) lackingAt(at time.Duration) int64 { return v.lacking[at/simTick] }

// starts are the run times at which users began at their source, from a run time on, in order.
func (s *simulation) starts(from time.Duration) (out []time.Duration) {
	for _, p := range s.spells {
		if at := p.from.Sub(s.fleet.Epoch()); at >= from {
			out = append(out, at)
		}
	}
	slices.Sort(out)
	return out
}

// storm is the most users that begin within a second.
func storm(starts []time.Duration) (most int) {
	end := 0
	for i, at := range starts {
		for ; end < len(starts) && starts[end] < at+time.Second; end++ {
		}
		most = max(most, end-i)
	}
	return most
}

// Without faults every user that is wanted runs, and nothing is said to be missing.
func TestSimUsersAreTheWhole(t *testing.T) {
	for _, q := range []scenario.Quick{ninety, {Users: "90", Duration: "60s", Ramp: "20s", Seed: "1"}, {Stages: []string{"20s:30", "20s:~90", "20s:40"}, Users: "900", Seed: "1"}} {
		s := simulate(t, q, []string{"a", "b", "c"}, func(s *simulation, c *Config) { s.host("a").shards = 3 })
		v := s.check(t)
		if !v.whole || s.fleet.gap.without != 0 || v.without > 10 || said(v, "load gap") > 0 {
			t.Errorf("%.1f user-seconds are missing, %.1f are declared: %q", v.without, s.fleet.gap.without, v.events)
		}
		for n, m := range v.members {
			if m.State != "done" || m.Share < .33 || m.Share > .34 {
				t.Errorf("%s is %+v", n, m)
			}
		}
	}
}

// The users of a peer that is lost go to the others within 18 s and begin there over ten seconds; then all that are wanted run
// again. What was missing meanwhile is said to the user-second, as far as it is known.
func TestSimUsersOfALostPeer(t *testing.T) {
	s := simulate(t, ninety, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		s.at(20*time.Second, func() { s.block(true, "b") })
	})
	v := s.check(t)
	moved := s.starts(time.Second)
	if len(moved) != 30 || moved[0] > 38*time.Second || storm(moved) > 4 {
		t.Errorf("%d users moved, %d of them within a second: %v", len(moved), storm(moved), moved)
	}
	if n := v.lackingAt(moved[0] - 20*simTick); n != 30 {
		t.Errorf("%d users run nowhere just before the others have them", n)
	}
	if n := v.lackingAt(moved[0] + moveTime + 100*simTick); n != 0 {
		t.Errorf("%d of the users that are wanted run nowhere after they were moved", n)
	}
	if v.whole || said(v, "load gap: users of the plan had no source for", "user-seconds in all", "of the 5400 that were wanted") != 1 || said(v, "b is lost: from", "a 50", "c 50") != 1 {
		t.Errorf("%q", v.events)
	}
}

// A peer that comes back after its users were moved says when it ended, so that all that is missing is known.
func TestSimUsersOfAPeerThatComesBack(t *testing.T) {
	q := ninety
	q.Duration = "120s"
	s := simulate(t, q, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		s.at(20*time.Second, func() { s.block(true, "b") })
		s.at(45*time.Second, func() { s.block(false, "b") })
	})
	v := s.check(t)
	if !v.whole || v.without < 150 || v.lackingAt(80*time.Second) != 0 {
		t.Errorf("whole %v, %.1f user-seconds missing, %d users run nowhere in the end", v.whole, v.without, v.lackingAt(80*time.Second))
	}
	if m := v.members["b"]; m.State != "done" || m.Share < .33 || m.Share > .34 {
		t.Errorf("%+v", m)
	}
}

// A peer that is killed is proven dead, and its users are moved at once.
func TestSimUsersOfAKilledPeer(t *testing.T) {
	s := simulate(t, ninety, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		s.at(20*time.Second+300*time.Millisecond, func() {
			s.set(func() { s.host("b").refuses = true })
			s.kill("b")
		})
	})
	v := s.check(t)
	if moved := s.starts(time.Second); len(moved) != 30 || moved[0] > 23*time.Second || storm(moved) > 4 {
		t.Errorf("%d users moved: %v", len(moved), moved)
	}
	if a := v.members["b"].Account; a == nil || a.Whole || a.Unreported < 30 || a.Unreported > 90 {
		t.Errorf("%+v", a)
	}
}

// Users of a joiner and of one that leaves change hands without one of them running twice, and what that costs is said.
func TestSimUsersJoinAndDrain(t *testing.T) {
	s := simulate(t, ninety, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		for _, n := range []string{"a", "b", "c", "d"} {
			s.host(n).shards = 2
		}
		s.at(10*time.Second, func() {
			if err := s.fleet.Add("d"); err != nil {
				t.Error(err)
			}
		})
		s.at(30*time.Second, func() {
			if err := s.fleet.Drain("a"); err != nil {
				t.Error(err)
			}
		})
	})
	v := s.check(t)
	if !v.whole || s.fleet.gap.without < 100 || v.lackingAt(55*time.Second) != 0 || v.members["a"].State != "left" || v.members["d"].Share < .33 {
		t.Errorf("%.1f user-seconds missing, %d users run nowhere in the end\n%+v", s.fleet.gap.without, v.lackingAt(55*time.Second), v.members)
	}
}

// A loss that is not made good is missing to the end, and said as such.
func TestSimUsersStayMissing(t *testing.T) {
	s := simulate(t, ninety, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		c.OnLoss = Continue
		s.at(20*time.Second, func() { s.block(true, "b") })
	})
	v := s.check(t)
	if n := v.lackingAt(50 * time.Second); n != 30 || s.fleet.gap.without < 24*30-30 || said(v, "stay missing (on peer loss: continue)") != 1 {
		t.Errorf("%d users run nowhere, %.1f user-seconds are declared: %q", n, s.fleet.gap.without, v.events)
	}
}

// A peer that is out of reach while users are moved to it runs them when it hears of it, over ten seconds as the others do: nobody
// logs in by the dozen. One that is out of reach while there are to be more has fewer until then. Both are said.
func TestSimUsersHeardOfLate(t *testing.T) {
	for _, raised := range []bool{false, true} {
		s := simulate(t, ninety, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
			if raised {
				s.at(20*time.Second, func() { s.block(true, "c") })
				s.at(21*time.Second, func() {
					if _, err := s.fleet.Change(load.Factor, 1.5); err != nil {
						t.Error(err)
					}
				})
				s.at(30*time.Second, func() { s.block(false, "c") })
				return
			}
			s.at(20*time.Second, func() {
				if err := s.fleet.Drain("b"); err != nil {
					t.Error(err)
				}
			})
			// The drained peer confirms that it has let go, and the third one is not reached by what follows from it.
			s.at(20*time.Second+10*time.Millisecond, func() { s.set(func() { s.host("c").delay = 4500 * time.Millisecond }) })
			s.at(21*time.Second, func() { s.set(func() { s.host("c").delay = 5 * time.Millisecond }) })
		})
		v := s.check(t)
		if !v.whole || s.fleet.gap.without < 80 || v.lackingAt(50*time.Second) != 0 {
			t.Errorf("raised %v: %.1f user-seconds missing, %d users run nowhere in the end: %q", raised, s.fleet.gap.without, v.lackingAt(50*time.Second), v.events)
		}
		if most := storm(s.starts(time.Second)); !raised && most > 5 {
			t.Errorf("%d users began within a second", most)
		}
	}
}

// Users who were moved, or of whom their source was told late, and who have not begun yet when the load is paused or ends, are not missing
// from then on: they begin by the plan after a pause, and not at all after the end.
func TestSimUsersOnTheirWayInAPauseAndAtTheEnd(t *testing.T) {
	for _, late := range []bool{false, true} {
		for _, end := range []bool{false, true} {
			begins := 20 * time.Second
			if end {
				begins = 50 * time.Second
			}
			s := simulate(t, ninety, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
				change := func(at time.Duration, kind load.ChangeKind, factor float64) {
					s.at(at, func() {
						if _, err := s.fleet.Change(kind, factor); err != nil {
							t.Error(err)
						}
					})
				}
				if late {
					s.at(begins, func() { s.block(true, "c") })
					change(begins+time.Second, load.Factor, 1.5)
					s.at(begins+8*time.Second, func() { s.block(false, "c") })
				} else {
					s.at(begins+7*time.Second, func() {
						if err := s.fleet.Drain("c"); err != nil {
							t.Error(err)
						}
					})
				}
				if end { // the fleet waits for the figures of one source, which do not come
					s.at(begins+9*time.Second, func() { s.set(func() { s.host("a").mute = true }) })
					return
				}
				change(begins+9*time.Second, load.Pause, 0)
				change(begins+12*time.Second, load.Unpause, 0)
			})
			if v := s.check(t); !end && (!v.whole || v.lackingAt(begins+13*time.Second) != 0) {
				t.Errorf("late %v: accounts whole %v, %d users run nowhere after the pause: %q", late, v.whole, v.lackingAt(begins+13*time.Second), v.events)
			}
		}
	}
}

// A source that did not run says itself who was due meanwhile, up to the end of its lease; what it leaves out after that, once it is
// given up, the fleet says. Nothing is said twice.
func TestSimUsersOfAPeerThatDidNotRun(t *testing.T) {
	for _, c := range []struct {
		stood time.Duration
		lost  bool
	}{{8 * time.Second, false}, {25 * time.Second, true}} {
		for _, shards := range []int{1, 3} {
			q := ninety
			q.Ramp, q.Duration = "30s", "70s"
			s := simulate(t, q, []string{"a", "b", "c"}, func(s *simulation, c2 *Config) {
				s.host("b").shards = shards
				s.at(10*time.Second, func() { s.set(func() { s.host("b").still = true }) })
				s.at(10*time.Second+c.stood, func() { s.set(func() { s.host("b").still = false }) })
			})
			v := s.check(t)
			own := 0.0
			for _, l := range s.links {
				own += l.said
			}
			// One user a second was due there: 8^2 / 2 user-seconds and as much again until the last of them has begun, or 15^2 / 2.
			least, most := 30.0, 90.0
			if c.lost {
				least, most = 95, 120
			}
			if own < least || own > most || !v.whole || (s.fleet.gap.without > 0) != c.lost {
				t.Errorf("not running for %v it says %.1f user-seconds and the fleet %.1f; accounts whole %v: %q", c.stood, own, s.fleet.gap.without, v.whole, v.events)
			}
		}
	}
}

// What the users of a lost peer did is taken from what the others' users did meanwhile.
func TestPaceOfUsers(t *testing.T) {
	var p pace
	if got := p.of(15); got != 0 {
		t.Errorf("nobody made %g a second", got)
	}
	for _, iv := range []*metrics.Interval{
		{Length: time.Second, Users: 30, Records: []metrics.Record{{Requests: 50}, {Requests: 10}}},
		{Length: 2 * time.Second, Users: 15, Records: []metrics.Record{{Requests: 60}}},
	} {
		p.add(iv)
	}
	if got := p.of(15); got != 30 { // 120 requests in 60 user-seconds
		t.Errorf("15 users make %g requests a second, want 30", got)
	}
}
