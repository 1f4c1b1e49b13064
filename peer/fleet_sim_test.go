package peer

import (
	"errors"
	"strings"
	"testing"
	"time"

	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/scenario"
	"lt/peer/wire"
)

var minute = scenario.Quick{Rate: "300", Duration: "60s", Arrivals: "even", Seed: "1"}

func said(v *verdict, words ...string) int {
	n := 0
	for _, e := range v.events {
		all := true
		for _, w := range words {
			all = all && strings.Contains(e, w)
		}
		if all {
			n++
		}
	}
	return n
}

// Without faults the parts are the whole.
func TestSimPartsAreTheWhole(t *testing.T) {
	for _, arrivals := range []string{"even", "poisson"} {
		q := minute
		q.Arrivals = arrivals
		s := simulate(t, q, []string{"a", "b", "c"}, nil)
		v := s.check(t)
		if v.missing != 0 || !v.whole || s.fleet.Err() != nil {
			t.Errorf("%s: %d missing, accounts whole %v, error %v", arrivals, v.missing, v.whole, s.fleet.Err())
		}
		for n, m := range v.members {
			if m.State != "done" || m.Share < .33 || m.Share > .34 {
				t.Errorf("%s is %+v", n, m)
			}
		}
	}
}

// Parts are in proportion to cores where no weights are given.
func TestSimWeights(t *testing.T) {
	s := simulate(t, minute, []string{"a", "b"}, func(s *simulation, c *Config) { s.host("a").cores = 3 })
	v := s.check(t)
	if got := v.members["a"].Share; got != .75 {
		t.Errorf("a has %v of the load", got)
	}
}

// A share is held to what the owner of a machine allows, and what nobody may make is said.
func TestSimLimits(t *testing.T) {
	s := simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		for _, n := range []string{"a", "b", "c"} {
			s.host(n).policy = &wire.Policy{MaxRate: 90}
		}
	})
	v := s.check(t)
	if v.gap < 1780 || v.gap > 1820 || said(v, "load gap", "from the start") != 1 {
		t.Errorf("gap %d, %q", v.gap, v.events)
	}
	// What a lower load leaves room for is taken, by nobody before it is lower; and what a higher one leaves none for is given up before.
	s = simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		for _, n := range []string{"a", "b", "c"} {
			s.host(n).policy = &wire.Policy{MaxRate: 90}
		}
		for at, factor := range map[time.Duration]float64{20 * time.Second: .5, 40 * time.Second: 1.2} {
			s.at(at, func() {
				if _, err := s.fleet.Change(load.Factor, factor); err != nil {
					t.Error(err)
				}
			})
		}
	})
	v = s.check(t)
	if v.gap < 19*30+19*90 || v.gap > 21*30+21*90 || said(v, "the load changes: from 0:20", "a 33 %") != 1 || said(v, "the load changes: from 0:40", "a 25 %") != 1 {
		t.Errorf("gap %d, %q", v.gap, v.events)
	}
	s = simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) { s.host("a").policy = &wire.Policy{MaxRate: 30} })
	v = s.check(t)
	if v.missing != 0 || v.members["a"].Share > .1 || v.members["b"].Share < .44 {
		t.Errorf("%d missing, %+v", v.missing, v.members)
	}
}

// What a live change comes to under max_rate is what an owner's limit is held against, and not what it would come to without.
func TestSimLimitUnderMaxRate(t *testing.T) {
	s := simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		c.File.Load.MaxRate = 300
		s.host("a").policy = &wire.Policy{MaxRate: 120}
		s.at(20*time.Second, func() {
			if _, err := s.fleet.Change(load.Factor, 2); err != nil {
				t.Error(err)
			}
		})
	})
	if v := s.check(t); v.missing != 0 || len(s.fleet.shares.epochs) != 1 {
		t.Errorf("%d missing, %d epochs: %q", v.missing, len(s.fleet.shares.epochs), v.events)
	}
}

// What moves no share is no cause of what moves one later; and that a share which was given up is taken by nobody is said.
func TestSimCausesOfMoves(t *testing.T) {
	s := simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		s.host("a").policy = &wire.Policy{MaxRate: 250}
		for i, factor := range []float64{1.1, 1.2, 1.1, 1} {
			s.at(time.Duration(10+i)*time.Second, func() {
				if _, err := s.fleet.Change(load.Factor, factor); err != nil {
					t.Error(err)
				}
			})
		}
		s.at(30*time.Second, func() {
			s.set(func() { s.host("b").refuses = true })
			s.kill("b")
		})
	})
	if v := s.check(t); said(v, "the load changes") != 0 || said(v, "b is lost: from 0:3") != 1 {
		t.Errorf("%q", v.events)
	}
	s = simulate(t, minute, []string{"a", "b"}, func(s *simulation, c *Config) {
		s.host("b").policy = &wire.Policy{MaxRate: 150}
		s.at(30*time.Second, func() {
			if err := s.fleet.Drain("a"); err != nil {
				t.Error(err)
			}
		})
	})
	if v := s.check(t); said(v, "a leaves: from", "load gap: 50 %", "what its owner allows") != 1 {
		t.Errorf("%q", v.events)
	}
}

// A killed peer is proven dead and its share moved at once; what it had not reported has a bound.
func TestSimKilled(t *testing.T) {
	s := simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		s.at(20*time.Second+300*time.Millisecond, func() {
			s.set(func() { s.host("b").refuses = true })
			s.kill("b")
		})
	})
	v := s.check(t)
	if v.whole || v.missing == 0 || v.missing > 300 {
		t.Errorf("whole %v, missing %d, gap %d", v.whole, v.missing, v.gap)
	}
	if v.members["b"].State != "lost" || v.members["b"].Account == nil {
		t.Errorf("%+v", v.members["b"])
	}
	if n := said(v, "b is lost: from", "a 50", "c 50"); n != 1 {
		t.Errorf("the decision was said %d times: %q", n, v.events)
	}
}

// A silence within the lease costs nothing.
func TestSimShortPartition(t *testing.T) {
	for _, d := range []time.Duration{4 * time.Second, 12 * time.Second} {
		s := simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
			s.at(20*time.Second, func() { s.block(true, "b") })
			s.at(20*time.Second+d, func() { s.block(false, "b") })
		})
		v := s.check(t)
		if v.missing != 0 || !v.whole || said(v, "not heard") != 1 {
			t.Errorf("%v: %d missing, %q", d, v.missing, v.events)
		}
		if back := said(v, "within its lease"); (d > lostAfter) != (back == 1) {
			t.Errorf("%v: %q", d, v.events)
		}
	}
}

// A coordinator that stood still beyond a lease hears that it is over before it misses anybody. The peer takes part anew as any other
// that comes back.
func TestSimLeaseOverUnnoticed(t *testing.T) {
	q := minute
	q.Duration = "2m"
	unnoticed := func(s *simulation, on bool) {
		s.block(on, "a", "b")
		s.set(func() { s.host("a").missed, s.host("b").missed = on, on })
	}
	s := simulate(t, q, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		s.at(20*time.Second, func() { unnoticed(s, true) })
		s.at(50*time.Second, func() { unnoticed(s, false) })
	})
	v := s.check(t)
	if !v.whole || v.gap != v.missing {
		t.Errorf("whole %v, missing %d, gap %d", v.whole, v.missing, v.gap)
	}
	for _, n := range []string{"a", "b"} {
		if said(v, n+" takes part anew") != 1 || v.members[n].State != "done" {
			t.Errorf("%s does not take part anew: %+v %q", n, v.members[n], v.events)
		}
	}
	if said(v, "its lease was over; up to") != 2 {
		t.Errorf("%q", v.events)
	}
}

// A peer that comes back beyond its lease takes part anew also where its last account is the first that is heard of it.
func TestSimAccountBeforeItsLink(t *testing.T) {
	q := minute
	q.Duration = "2m"
	s := simulate(t, q, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		s.host("b").hurried = true
		s.at(20*time.Second, func() { s.block(true, "b") })
		s.at(50*time.Second, func() { s.block(false, "b") })
	})
	if v := s.check(t); !v.whole || said(v, "b takes part anew") != 1 || v.members["b"].State != "done" {
		t.Errorf("whole %v, %+v %q", v.whole, v.members["b"], v.events)
	}
}

// A peer whose last account comes as the first that is heard of it after a silence near the end was away, and no more than that.
func TestSimAccountEndsASilence(t *testing.T) {
	s := simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		s.host("b").hurried = true
		s.at(50*time.Second, func() { s.block(true, "b") })
		s.at(63*time.Second, func() { s.block(false, "b") })
	})
	v := s.check(t)
	if m := v.members["b"]; m.State != "done" || m.Reason != "" || !v.whole || v.missing != 0 || said(v, "b is back") != 1 {
		t.Errorf("%d missing, %+v %q", v.missing, m, v.events)
	}
}

// A peer that is cut off as it is to leave has left: its share is others' when its lease is over, and it does not take part anew.
func TestSimDrainedAndLost(t *testing.T) {
	q := minute
	q.Duration = "2m"
	s := simulate(t, q, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		s.at(20*time.Second, func() {
			s.block(true, "a")
			if err := s.fleet.Drain("a"); err != nil {
				t.Error(err)
			}
		})
		s.at(45*time.Second, func() { s.block(false, "a") })
	})
	v := s.check(t)
	if v.gap != v.missing || v.gap > 300 || v.members["b"].Share < .49 || said(v, "anew") != 0 {
		t.Errorf("gap %d of %d missing: %+v %q", v.gap, v.missing, v.members, v.events)
	}
}

// A partition beyond the lease: the peer is silent by itself, its share is moved within 18 s, it takes part anew after it cooled down.
func TestSimLongPartition(t *testing.T) {
	q := minute
	q.Duration = "120s"
	s := simulate(t, q, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		s.at(20*time.Second, func() { s.block(true, "b") })
		s.at(45*time.Second, func() { s.block(false, "b") })
	})
	v := s.check(t)
	zero := s.fleet.Epoch()
	if last := v.lastBegin[2].Sub(zero); last > 35500*time.Millisecond || last < 34*time.Second {
		t.Errorf("the silent peer's last start was at %v", last)
	}
	first, anew := time.Duration(0), time.Duration(0)
	for _, b := range s.begins {
		at := b.at.Sub(zero)
		if first == 0 && at > 30*time.Second && b.source == 1 && s.fleet.shares.epochs[0].owner[b.index%int64(len(s.fleet.shares.epochs[0].owner))] != 1 {
			first = at
		}
		if anew == 0 && b.source == 4 {
			anew = at
		}
	}
	if first > 38*time.Second || first == 0 {
		t.Errorf("its share was moved at %v", first)
	}
	if anew < 56*time.Second || anew > 62*time.Second {
		t.Errorf("it took part anew at %v: lost at 26 s, and 30 s are to pass", anew)
	}
	// The late figures came, so the account is whole, and what nobody made is exactly what was declared.
	if !v.whole || v.gap != v.missing || v.gap == 0 {
		t.Errorf("whole %v, gap %d, missing %d", v.whole, v.gap, v.missing)
	}
	if m := v.members["b"]; m.State != "done" || m.Share < .33 || m.Share > .34 {
		t.Errorf("%+v", m)
	}
}

// What goes down together is one decision.
func TestSimBastion(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	s := simulate(t, minute, names, func(s *simulation, c *Config) {
		s.at(20*time.Second, func() { s.block(true, "a", "b", "c") })
	})
	v := s.check(t)
	if n := said(v, "a, b and c are lost: from"); n != 1 {
		t.Errorf("%d decisions: %q", n, v.events)
	}
	if v.whole || v.members["d"].Share > 1.5/8+.001 || v.members["d"].Share < 1.5/8-.001 || said(v, "load gap: 6") == 0 {
		t.Errorf("%+v %q", v.members["d"], v.events)
	}
}

// All are lost: the run ends and says why.
func TestSimAllLost(t *testing.T) {
	s := simulate(t, minute, []string{"a", "b"}, func(s *simulation, c *Config) {
		s.at(20*time.Second, func() { s.block(true, "a", "b") })
	})
	v := s.check(t)
	if err := s.fleet.Err(); err == nil || !strings.Contains(err.Error(), "no source of load is left") {
		t.Errorf("%v %q", err, v.events)
	}
}

// The policies of a loss.
func TestSimOnLoss(t *testing.T) {
	lose := func(s *simulation) { s.at(20*time.Second, func() { s.block(true, "b") }) }
	s := simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) { c.OnLoss = Continue; lose(s) })
	v := s.check(t)
	if v.members["a"].Share > .34 || v.gap < 2200 || v.gap > 2500 {
		t.Errorf("continue: %+v, gap %d", v.members["a"], v.gap)
	}
	s = simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) { c.OnLoss = StopRun; lose(s) })
	v = s.check(t)
	if end := s.fleet.Timeline().End(); end > 40*time.Second || said(v, "drained") != 1 {
		t.Errorf("stop: the load ended at %v, %q", end, v.events)
	}
}

// Where a loss is not made good, nobody takes more than its part while the lost peer comes back as another source either; and a loss
// that falls into a pause is counted to the arrival.
func TestSimContinueUntilItTakesPartAnew(t *testing.T) {
	q := minute
	q.Duration = "120s"
	s := simulate(t, q, []string{"a", "b"}, func(s *simulation, c *Config) {
		c.OnLoss = Continue
		s.at(20*time.Second, func() { s.block(true, "b") })
		s.at(37*time.Second, func() { s.block(false, "b") })
		for at, kind := range map[time.Duration]load.ChangeKind{34 * time.Second: load.Pause, 40 * time.Second: load.Unpause} {
			s.at(at, func() {
				if _, err := s.fleet.Change(kind, 0); err != nil {
					t.Error(err)
				}
			})
		}
	})
	v := s.check(t)
	for _, e := range s.fleet.shares.epochs {
		n := 0
		for _, o := range e.owner {
			if o == 1 {
				n++
			}
		}
		if share := float64(n) / float64(len(e.owner)); share > .501 {
			t.Errorf("a has %.3f of the load from %v on", share, e.at)
		}
	}
	if v.gap != v.missing || !v.whole || said(v, "b takes part anew") != 1 {
		t.Errorf("%d missing, %d declared: %q", v.missing, v.gap, v.events)
	}
}

// A link that comes and goes moves nothing to and fro.
func TestSimFlapping(t *testing.T) {
	q := minute
	q.Duration = "90s"
	s := simulate(t, q, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		for i := range 10 {
			s.at(time.Duration(10+6*i)*time.Second, func() { s.block(true, "b") })
			s.at(time.Duration(13+6*i)*time.Second, func() { s.block(false, "b") })
		}
	})
	v := s.check(t)
	if len(s.fleet.shares.epochs) != 1 || v.missing != 0 {
		t.Errorf("%d epochs, %d missing", len(s.fleet.shares.epochs), v.missing)
	}
}

// A peer that always dies is started anew less and less often.
func TestSimDiesAgainAndAgain(t *testing.T) {
	q := minute
	q.Duration = "10m"
	s := simulate(t, q, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		for i := range 59 {
			s.at(time.Duration(20+10*i)*time.Second, func() { s.kill("b") })
		}
	})
	v := s.check(t)
	if n := said(v, "started anew"); n < 2 || n > mostLives {
		t.Errorf("started anew %d times", n)
	}
}

// A joiner gets its share at the next epoch; one that is drained gives all of it and leaves.
func TestSimJoinAndDrain(t *testing.T) {
	for _, shards := range []int{1, 4} {
		s := simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
			for _, n := range []string{"a", "b", "c", "d"} {
				s.host(n).shards = shards
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
		if v.gap != v.missing || v.missing > 300 || !v.whole {
			t.Errorf("gap %d, missing %d", v.gap, v.missing)
		}
		if a, d := v.members["a"], v.members["d"]; a.State != "left" || a.Share != 0 || d.State != "done" || d.Share < .33 {
			t.Errorf("a %+v\nd %+v", a, d)
		}
		first := time.Time{}
		for _, b := range s.begins {
			if b.source == 4 && first.IsZero() {
				first = b.at
			}
		}
		if at := first.Sub(s.fleet.Epoch()); at > 14*time.Second || at < 12*time.Second {
			t.Errorf("d began at %v", at)
		}
	}
	s := simulate(t, minute, []string{"a"}, func(s *simulation, c *Config) {
		s.at(10*time.Second, func() {
			if err := s.fleet.Drain("a"); err == nil {
				t.Error("the only source could be drained")
			}
			if err := s.fleet.Drain("x"); err == nil {
				t.Error("a source that is not there could be drained")
			}
			if err := s.fleet.Add("a b"); err == nil {
				t.Error("nonsense could be added")
			}
		})
	})
	s.check(t)
}

// Several that join one take nothing from it before they may have it, and have nothing before.
func TestSimManyJoinOne(t *testing.T) {
	s := simulate(t, minute, []string{"a"}, func(s *simulation, c *Config) {
		s.at(10*time.Second, func() {
			if err := s.fleet.Add("b,c,d"); err != nil {
				t.Error(err)
			}
		})
	})
	v := s.check(t)
	if v.gap != v.missing || v.gap > 90 || v.members["a"].Share < .24 || v.members["a"].Share > .26 {
		t.Errorf("gap %d of %d missing: %+v %q", v.gap, v.missing, v.members, v.events)
	}
	for _, r := range s.reports {
		if m := r.Member; m != nil && m.Name == "b" && m.State == "running" {
			if m.Share != 0 {
				t.Errorf("as it joins it has %g of the load", m.Share)
			}
			break
		}
	}
}

// A run goes on after this machine has left it, to its end and to the last word of its peers.
func TestSimLocalLeaves(t *testing.T) {
	q := minute
	q.Rate = "30"
	s := simulate(t, q, []string{"a", "b"}, func(s *simulation, c *Config) {
		c.NoLocal, c.Portable = false, true
		s.at(10*time.Second, func() {
			if err := s.fleet.Drain("local"); err != nil {
				t.Error(err)
			}
		})
	})
	last := time.Duration(0)
	for _, b := range s.begins {
		last = max(last, b.at.Sub(s.fleet.Epoch()))
	}
	states := make(map[string]string)
	for _, m := range s.fleet.Members() {
		states[m.Name] = m.State
		if m.Account != nil && !m.Account.Whole {
			t.Errorf("%+v", m)
		}
	}
	if last < 59*time.Second || states["local"] != "left" || states["a"] != "done" || states["b"] != "done" || s.fleet.Err() != nil {
		t.Errorf("the last arrival began at %v; %v, %v", last, states, s.fleet.Err())
	}
}

// A peer that cannot keep up gives a part of its share to others; if none can, that is said once.
func TestSimRebalance(t *testing.T) {
	q := minute
	q.Duration = "100s"
	s := simulate(t, q, []string{"a", "b", "c"}, func(s *simulation, c *Config) { s.host("a").slow = true })
	v := s.check(t)
	if m := v.members["a"]; m.Share > .25 || m.Share < .1 || v.missing != v.gap || v.gap > 300 {
		t.Errorf("%+v, gap %d of %d missing", m, v.gap, v.missing)
	}
	if n := said(v, "a does not keep up"); n < 1 || n > 3 {
		t.Errorf("%d corrections in 100 s: %q", n, v.events)
	}
	s = simulate(t, q, []string{"a", "b"}, func(s *simulation, c *Config) { s.host("a").slow, s.host("b").slow = true, true })
	if v := s.check(t); said(v, "no source keeps up") != 1 || len(s.fleet.shares.epochs) != 1 {
		t.Errorf("%q", v.events)
	}
	s = simulate(t, q, []string{"a", "b"}, func(s *simulation, c *Config) {
		c.OnLoss = Continue
		s.host("a").slow = true
		s.at(20*time.Second, func() { s.block(true, "b") })
	})
	if v := s.check(t); said(v, "no source keeps up") != 0 || said(v, "a does not keep up with its share, and no other source has processor time to spare") != 1 {
		t.Errorf("%q", v.events)
	}
	s = simulate(t, q, []string{"a", "b", "c"}, func(s *simulation, c *Config) { s.host("a").slow = true; c.KeepShares = true })
	if v := s.check(t); len(s.fleet.shares.epochs) != 1 {
		t.Errorf("%q", v.events)
	}
}

// Changes by hand reach all before they hold.
func TestSimChanges(t *testing.T) {
	s := simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		s.host("c").delay = 100 * time.Millisecond
		change := func(at time.Duration, kind load.ChangeKind, factor float64) {
			s.at(at, func() {
				now := time.Since(s.fleet.Epoch())
				from, err := s.fleet.Change(kind, factor)
				if ahead := from - now; err != nil || ahead < 250*time.Millisecond || ahead > time.Second || kind == load.Stop && ahead > stopAhead {
					t.Errorf("%v takes effect %v from now, %v", kind, ahead, err)
				}
			})
		}
		change(10*time.Second, load.Hold, 0)
		change(12*time.Second, load.Factor, 1.5)
		change(20*time.Second, load.Pause, 0)
		change(25*time.Second, load.Unpause, 0)
		change(27*time.Second, load.Resume, 0)
		change(40*time.Second, load.Stop, 0)
	})
	if v := s.check(t); v.missing != 0 || !v.whole {
		t.Errorf("%d missing", v.missing)
	}
}

// A peer that is out of reach while the load is raised does not make up for that time when it hears of it: no second has more than the
// plan, and what became due meanwhile is dropped.
func TestSimRaisedWhileOutOfReach(t *testing.T) {
	for _, arrivals := range []string{"even", "poisson"} {
		for _, shards := range []int{1, 3} {
			q := minute
			q.Arrivals = arrivals
			s := simulate(t, q, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
				s.host("b").shards = shards
				s.at(20*time.Second, func() { s.block(true, "b") })
				s.at(21*time.Second, func() {
					if _, err := s.fleet.Change(load.Factor, 2); err != nil {
						t.Error(err)
					}
				})
				s.at(30*time.Second, func() { s.block(false, "b") })
			})
			v := s.check(t)
			dropped := len(s.dropped)
			if v.missing != 0 || v.gap != 0 || dropped < 800 || dropped > 950 || !v.whole {
				t.Errorf("%s, %d shards: %d dropped, %d missing beside them, %d declared: %q", arrivals, shards, dropped, v.missing, v.gap, v.events)
			}
		}
	}
}

// Everything is ended at once within a few seconds, also where nobody answers any more.
func TestSimCut(t *testing.T) {
	for _, silent := range []bool{false, true} {
		var cut time.Time
		s := simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
			s.at(20*time.Second, func() {
				s.block(silent, "b")
				cut = time.Now()
				s.fleet.Cut()
			})
		})
		if d := lastReport(s).Sub(cut); d > 3*time.Second {
			t.Errorf("it took %v", d)
		}
		for _, l := range s.links {
			if !l.closed {
				t.Errorf("the link to %s is open", l.host.name)
			}
		}
	}
}

func lastReport(s *simulation) time.Time {
	last := time.Time{}
	for _, b := range s.begins {
		if b.at.After(last) {
			last = b.at
		}
	}
	return last
}

// A start is for all or for none.
func TestSimStart(t *testing.T) {
	s := simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) { s.host("a").refuses, s.host("c").refuses = true, true })
	var errs *StartErrors
	if err := s.fleet.Err(); !errors.As(err, &errs) || len(errs.Errs) != 2 || errs.Ready != 1 || errs.Wanted != 3 || len(s.begins) > 0 {
		t.Errorf("%v, %d began", err, len(s.begins))
	}
	s = simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) { s.host("a").refuses, c.MinPeers = true, 2 })
	if v := s.check(t); v.missing != 0 || v.members["a"].State != "refused" || said(v, "without a") != 1 {
		t.Errorf("%+v", v)
	}
	s = simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) { s.host("b").lateArm = true })
	if err := s.fleet.Err(); !errors.As(err, &errs) || len(s.begins) > 0 || len(errs.Errs) != 1 || !strings.Contains(err.Error(), "did not confirm") {
		t.Errorf("%v, %d began", err, len(s.begins))
	}
	s = simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) { s.host("b").lateArm, c.MinPeers = true, 2 })
	if v := s.check(t); v.missing != 0 || v.members["b"].State != "refused" {
		t.Errorf("%+v", v)
	}
	s = simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) { s.host("b").noArm = true })
	if err := s.fleet.Err(); !errors.As(err, &errs) || len(s.begins) > 0 || len(errs.Errs) != 1 || errs.Wanted != 3 {
		t.Errorf("%v, %d began", err, len(s.begins))
	}
	s = simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) { s.host("b").noArm, c.MinPeers = true, 2 })
	if v := s.check(t); v.missing != 0 || v.members["b"].State != "refused" || v.members["a"].Share < .49 || said(v, "without b") != 1 {
		t.Errorf("%+v", v)
	}
	// One that breaks before another has answered, which is far away and in time.
	s = simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		s.host("b").brief, s.host("c").delay, c.MinPeers = true, 100*time.Millisecond, 2
	})
	if v := s.check(t); s.fleet.Err() != nil || v.missing != 0 || v.members["b"].State != "refused" || v.members["c"].State != "done" || v.members["a"].Share < .49 {
		t.Errorf("%v, %+v", s.fleet.Err(), v)
	}
}

// A peer that is added while the others agree on run time zero holds nobody up: it joins when they have begun.
func TestSimAddedWhileTheOthersStart(t *testing.T) {
	s := simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		s.host("a").asked = func() {
			if err := s.fleet.Add("d"); err != nil {
				t.Error(err)
			}
		}
	})
	v := s.check(t)
	if err := s.fleet.Err(); err != nil || v.gap != v.missing || !v.whole || said(v, "d joins") != 1 || v.members["d"].Share < .2 {
		t.Errorf("%v, %d missing, %d declared: %q", err, v.missing, v.gap, v.events)
	}
}

// The double entry finds what does not add up.
func TestSimAccounts(t *testing.T) {
	s := simulate(t, minute, []string{"a", "b"}, func(s *simulation, c *Config) { s.host("a").lies = true })
	v := s.check(t)
	if a := v.members["a"].Account; a.Whole || !strings.Contains(a.Text, "6007") && !strings.Contains(a.Text, "9007") {
		t.Errorf("%+v", a)
	}
	s = simulate(t, minute, []string{"a", "b"}, func(s *simulation, c *Config) {
		s.at(30*time.Second, func() { s.set(func() { s.host("a").mute = true }) })
	})
	v = s.check(t)
	if a := v.members["a"].Account; a.Whole || a.Unreported < 4500 || a.Unreported > 4700 {
		t.Errorf("%+v", a)
	}
}

// Questions are passed on and answered.
func TestPrompts(t *testing.T) {
	f := &Fleet{}
	type answer struct {
		text string
		ok   bool
	}
	got := make(chan answer)
	for range 2 {
		go func() {
			text, ok := f.prompts.ask(t.Context(), promptOf("ada", "password"))
			got <- answer{text, ok}
		}()
		var open []metrics.Prompt
		for len(open) == 0 {
			open = f.Prompts()
			time.Sleep(time.Millisecond)
		}
		f.Answer(open[0].ID+100, "x", true)
		f.Answer(open[0].ID, "secret", open[0].ID == 1)
		f.Answer(open[0].ID, "again", true)
		if a := <-got; a.ok != (open[0].ID == 1) || a.ok && a.text != "secret" {
			t.Errorf("%+v", a)
		}
	}
	if len(f.Prompts()) > 0 {
		t.Error("a question is left")
	}
}
