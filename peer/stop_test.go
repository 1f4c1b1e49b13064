package peer

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"lt/engine/load"
	"lt/engine/scenario"
)

// What is ordered takes one way to a peer, whatever was ordered before and is not answered yet: changes reach it as they come, a stop
// even if there are more of them than may be under way, and the order to end at once as well.
func TestOrdersTakeOneWay(t *testing.T) {
	const way = 900 * time.Millisecond
	for _, c := range []struct {
		name    string
		changes int  // before it
		cut     bool // it is to end at once; else a stop in the log
	}{{"one before", 1, false}, {"more than may be under way", 3 * mostUnderWay, false}, {"cut", 3 * mostUnderWay, true}} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, newHost(t), steady(50, 5*time.Minute))
				w.begin()
				w.at(5 * time.Second)
				w.host.path(0).delay(way, way)
				w.at(10 * time.Second)
				for i := range c.changes {
					time.Sleep(time.Millisecond)
					w.link.Changes(1+i, []load.Change{{At: 11 * time.Second, Kind: load.Factor, Factor: 1}})
				}
				time.Sleep(time.Millisecond)
				told := time.Since(w.zero)
				if c.cut {
					w.link.Stop(true)
				} else {
					w.link.Changes(1+c.changes, []load.Change{{At: told + stopAhead, Kind: load.Stop}})
				}
				w.diary.await(t, time.Minute, "fin")
				if last := w.host.target.last(w.zero); last < told || last > told+way+20*time.Millisecond {
					t.Errorf("told at %v; the last request came at %v", told, last)
				}
				if !c.cut {
					w.diary.await(t, time.Minute, fmt.Sprintf("applied %d", c.changes+2))
				}
				w.account()
				w.close()
				w.ended(0)
			})
		})
	}
}

// paths are those of three peers in simulations: how long each takes to the peer, and how much longer back.
var paths = []struct {
	name          string
	delay, longer [3]time.Duration
}{
	{name: "near", delay: [3]time.Duration{5 * ms, 5 * ms, 5 * ms}},
	{name: "one is 400 ms away and back", delay: [3]time.Duration{5 * ms, 200 * ms, 5 * ms}},
	{name: "900 ms", delay: [3]time.Duration{450 * ms, 450 * ms, 5 * ms}},
	{name: "2 s", delay: [3]time.Duration{1000 * ms, 1000 * ms, 1000 * ms}},
	{name: "long there", delay: [3]time.Duration{700 * ms, 5 * ms, 5 * ms}},
	{name: "long back", delay: [3]time.Duration{20 * ms, 5 * ms, 5 * ms}, longer: [3]time.Duration{1400 * ms, 0, 0}},
}

const ms = time.Millisecond

// A stop by hand holds within half a second of the key, whatever round trips take and whatever lies further ahead: no source begins
// anything after its time, or after it heard of it if that is later. What a source begins until it hears is reported as what it
// is: the accounts are whole, and nothing is missing.
func TestSimStopByHand(t *testing.T) {
	for _, path := range paths {
		for _, before := range []string{"nothing", "factor", "hold", "pause", "next", "epoch"} {
			for _, model := range []string{"even", "poisson", "closed"} {
				t.Run(fmt.Sprintf("%s/%s/%s", path.name, before, model), func(t *testing.T) {
					q := scenario.Quick{Stages: []string{"15s:300", "15s:400"}, Arrivals: model, Seed: "1"}
					if model == "closed" {
						q = scenario.Quick{Users: "900", Stages: []string{"15s:60", "15s:90"}, Seed: "1"}
					}
					var key, stop time.Duration
					pending := false
					names := []string{"a", "b", "c"}
					s := simulate(t, q, names, func(s *simulation, c *Config) {
						for i, n := range names {
							h := s.host(n)
							h.delay, h.longer, h.shards = path.delay[i], path.longer[i], 1+i
						}
						change := func(kind load.ChangeKind, factor float64) {
							if _, err := s.fleet.Change(kind, factor); err != nil {
								t.Error(err)
							}
						}
						s.at(10*time.Second, func() {
							switch before {
							case "factor":
								change(load.Factor, 1.5)
							case "hold":
								change(load.Hold, 0)
							case "pause":
								change(load.Pause, 0)
							case "next":
								change(load.Next, 0)
							case "epoch":
								if err := s.fleet.Drain("c"); err != nil {
									t.Error(err)
								}
							}
						})
						s.at(10*time.Second+20*ms, func() {
							key = time.Since(s.fleet.Epoch())
							pending = load.Latest(s.fleet.log.Changes()) > key
							var err error
							if stop, err = s.fleet.Change(load.Stop, 0); err != nil {
								t.Error(err)
							}
						})
					})
					v := s.check(t)
					if stop < key || stop > key+stopAhead || s.fleet.Timeline().End() != stop {
						t.Errorf("ordered at %v, it holds from %v on, and the load ends at %v", key, stop, s.fleet.Timeline().End())
					}
					if before != "nothing" && !pending {
						t.Errorf("nothing lay ahead at %v", key)
					}
					late := 0
					for _, b := range s.begins {
						if b.at.After(s.fleet.Epoch().Add(stop + simTick)) {
							late++
						}
					}
					switch way, told := slices.Max(path.delay[:]), said(v, "heard of the stop"); {
					case way <= stopAhead && (late > 0 || told > 0):
						t.Errorf("%d arrivals began after a stop of which all heard in time: %q", late, v.events)
					case way > stopAhead+load.Hearing && (told == 0 || late == 0 && model != "closed"):
						t.Errorf("%d arrivals began after a stop of which not all heard in time: %q", late, v.events)
					}
					s.holdsTo(t, stop)
					sum := int64(0)
					for _, l := range s.links {
						if l.totals != l.sum {
							t.Errorf("%s did %+v, and %+v is known", l.host.name, l.sum, l.totals)
						}
						sum += int64(l.totals.Started)
					}
					if model != "closed" && sum != int64(len(s.begins)) {
						t.Errorf("%d arrivals began, and %d are reported", len(s.begins), sum)
					}
					if !v.whole || v.unreported != 0 || s.fleet.Err() != nil {
						t.Errorf("accounts whole %v, %d unreported, error %v: %+v", v.whole, v.unreported, s.fleet.Err(), v.members)
					}
				})
			}
		}
	}
}

// holdsTo checks that no source began anything after the time of a stop, or after it heard of it if that was later, or after its lease
// was over if it never did.
func (s *simulation) holdsTo(t *testing.T, stop time.Duration) {
	t.Helper()
	zero := s.fleet.Epoch()
	by := func(source int) time.Time {
		for _, l := range s.links {
			if l.n != source {
				continue
			}
			at := l.lease // of one that never heard of it
			switch heard := zero.Add(stop); {
			case !l.stop.IsZero() && l.stop.After(heard):
				at = l.stop
			case !l.stop.IsZero():
				at = heard
			}
			return at.Add(simTick) // a peer looks once a tick
		}
		return zero
	}
	for _, b := range s.begins {
		if end := by(b.source); b.at.After(end) {
			t.Errorf("source %d began arrival %d at %v: the stop was for %v, and it knew by %v", b.source, b.index, b.at.Sub(zero), stop, end.Sub(zero))
			return
		}
	}
	for _, p := range s.spells {
		if end := by(p.source); p.from.After(end) || p.to.After(end.Add(simTick)) {
			t.Errorf("source %d ran user %d from %v to %v: the stop was for %v, and it knew by %v", p.source, p.user, p.from.Sub(zero), p.to.Sub(zero), stop, end.Sub(zero))
			return
		}
	}
}

// Every other order holds within a second on all sources, whatever round trips take and whatever was ordered a moment before: a second
// is enough for a way of as long, so no source hears of it late.
func TestSimOrdersHoldWithinASecond(t *testing.T) {
	for _, path := range paths {
		for _, model := range []string{"even", "closed"} {
			t.Run(path.name+"/"+model, func(t *testing.T) {
				q := scenario.Quick{Stages: []string{"20s:300", "10s:400"}, Arrivals: model, Seed: "1"}
				if model == "closed" {
					q = scenario.Quick{Users: "900", Stages: []string{"20s:60", "10s:90"}, Seed: "1"}
				}
				names := []string{"a", "b", "c"}
				s := simulate(t, q, names, func(s *simulation, c *Config) {
					for i, n := range names {
						s.host(n).delay, s.host(n).longer = path.delay[i], path.longer[i]
					}
					order := func(at time.Duration, kind load.ChangeKind, factor float64) {
						s.at(at, func() {
							now := time.Since(s.fleet.Epoch())
							if from, err := s.fleet.Change(kind, factor); err != nil || from <= now || from > now+mostAhead {
								t.Errorf("%v, ordered at %v, holds from %v on: %v", kind, now, from, err)
							}
						})
					}
					s.at(8*time.Second, func() {
						if err := s.fleet.Drain("c"); err != nil {
							t.Error(err)
						}
					})
					for i, o := range []struct {
						kind   load.ChangeKind
						factor float64
					}{{load.Hold, 0}, {load.Factor, 1.1}, {load.Pause, 0}, {load.Unpause, 0}, {load.Factor, 0.99}, {load.Resume, 0}, {load.Next, 0}} {
						order(8*time.Second+time.Duration(1+i)*20*ms, o.kind, o.factor)
						order(14*time.Second+time.Duration(i)*300*ms, o.kind, o.factor)
					}
				})
				v := s.check(t)
				for _, l := range s.links {
					if l.lates > 0 {
						t.Errorf("%s heard late of %d orders", l.host.name, l.lates)
					}
				}
				if model != "closed" && v.gap != v.missing || !v.whole || len(s.dropped) > 0 {
					t.Errorf("%d missing, %d declared, %d dropped: %q", v.missing, v.gap, len(s.dropped), v.events)
				}
			})
		}
	}
}

// A link that becomes slow while the run goes on is known to be slow three seconds later: no order comes too late over it. When it is
// quick again orders hold as soon as before.
func TestSimOrdersOverALinkThatBecomesSlow(t *testing.T) {
	for _, way := range []time.Duration{120 * ms, 250 * ms, 450 * ms} {
		var soon []time.Duration
		s := simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
			for at, d := range map[time.Duration]time.Duration{20 * time.Second: way, 30 * time.Second: 5 * ms} {
				s.at(at, func() { s.set(func() { s.host("b").delay = d }) })
			}
			for i, at := range []time.Duration{15 * time.Second, 23 * time.Second, 40 * time.Second} {
				s.at(at, func() {
					now := time.Since(s.fleet.Epoch())
					from, err := s.fleet.Change(load.Factor, 1+float64(i+1)/20)
					if err != nil || from > now+mostAhead {
						t.Errorf("ordered at %v, it holds from %v on: %v", now, from, err)
					}
					soon = append(soon, from-now)
				})
			}
		})
		v := s.check(t)
		for _, l := range s.links {
			if l.lates > 0 {
				t.Errorf("%v each way: %s heard late of %d orders", way, l.host.name, l.lates)
			}
		}
		if want := max(leastAhead, min(6*way, mostAhead)); len(soon) != 3 || soon[0] != leastAhead || soon[1] != want || soon[2] != leastAhead || v.missing != 0 || len(s.dropped) > 0 {
			t.Errorf("%v each way: orders held after %v, want %v while it was slow; %d missing, %d dropped", way, soon, want, v.missing, len(s.dropped))
		}
	}
}

// A peer that never hears of the stop goes on until its lease is over, and what it may have begun by then is unreported: not only
// what the plan had until the stop.
func TestSimStopThatIsNotHeard(t *testing.T) {
	s := simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, c *Config) {
		s.at(20*time.Second, func() { s.block(true, "b") })
		s.at(20*time.Second+200*ms, func() {
			if _, err := s.fleet.Change(load.Stop, 0); err != nil {
				t.Error(err)
			}
		})
	})
	v := s.check(t)
	if a := v.members["b"].Account; a == nil || a.Whole || a.Unreported < 1400 || a.Unreported > 1750 {
		t.Errorf("%+v: it may begin 100 a second for 15 s, and a second is the margin", a)
	}
}
